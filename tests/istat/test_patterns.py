"""Globs and regular expressions as automata: they mean what `re` means, and are bounded."""

from __future__ import annotations

import re
import time
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import BadQuery
from istat.kernels import Implementation, implementation, native_missing
from istat.patterns.globs import glob_automaton
from istat.patterns.graphite import graphite_automaton
from istat.patterns.regex import regex_automaton
from tests import plain_names

Pattern = implementation("python").search.Pattern

NAMES = [b"", b"a", b"b", b"ab", b"a.b", b"abba", b"cpu.user.host.web1", b"cpu0.idle", b"disk-1.ops", b"a_b.c", b"...",
         b"aaa.aaa", b"1234", b"x(y)[z]{1}"]  # fmt: skip
EXPRESSIONS = [
    "", "a", "^a", "a$", "^$", "^ab$", "^a|b$", "(^a|b)b", "a(b|c)*$", r"\d+", r"^\w+\.\w+$", r"web\d", "[a-c]{2}",
    "[^a-z.]", r"a\.b", "^(?:cpu|disk)[0-9-]*", "(a|b){2,3}$", "a{3}", "a{0,2}b", "(ab?)+a", "^.{4}$", "x*", "^[.]+$",
    r"[\w-]+\.ops", "[]x]", "[a-]", "^([a-z]+[.]?)*$", r"\(y\)", "a.*a", "a.*?a$", "(|a)b", r"\D\W", r"[^\d]$",
    "(a*)*b",
    "((a{1,2}){1,2}b)?c", r"z\]\{1\}", "^(a|ab)(c|bcd)?(.*)$", "u.*ho?st", "^cpu.user", "(cpu)", "^(cpu)",
    "a+b+", "^a+b",
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_mean_what_re_says(expression: str) -> None:
    automaton = regex_automaton(expression.encode())
    pattern, wanted = Pattern(*automaton), re.compile(expression.encode(), re.DOTALL)
    for name in NAMES:
        found = wanted.search(name) is not None
        assert pattern.fits(name) is found, name
        if found:
            assert name.startswith(automaton.prefix), name
            assert all(literal in name for literal in automaton.literals), (name, automaton.literals)


ATOM = st.sampled_from(["a", "b", r"\.", ".", "[ab]", "[^a]", r"\w", "x"])


def _bigger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeat = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,1}", "{1,}"])
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join), st.builds("(?:{}|{})".format, inner, inner),
        st.builds("(?:{}){}".format, inner, repeat))  # fmt: skip


@given(st.recursive(ATOM, _bigger, max_leaves=8), st.sampled_from(["{}", "^{}", "{}$", "^{}$"]),
       st.lists(st.text("abx.", max_size=7), max_size=6))  # fmt: skip
def test_random_expressions_mean_what_re_says(inner: str, frame: str, names: list[str]) -> None:
    expression = frame.format(f"(?:{inner})")
    automaton = regex_automaton(expression.encode())
    pattern = Pattern(*automaton)
    for name in names:
        found = re.search(expression, name) is not None
        assert pattern.fits(name.encode()) is found
        assert not found or all(literal in name.encode() for literal in (automaton.prefix, *automaton.literals))


# The table of part 7.5 of the behaviour specification.
GLOBS = [
    ("foo.b?.baz", "foo.bar.baz", True),
    ("f*a*bar", "foo.bar", False),
    ("istatd.*.http", "istatd.http.errors.http", True),
    ("tep.?", "tep.child", True),
    ("tep.?", "tep.child.deeper", False),
    ("?.baz", "foo.bar.baz", False),
    ("?.baz", "foo.baz", True),
    ("a??b", "ab", True),
    ("a??b", "axxb", True),
    ("a??b", "a.b", False),
    ("?*", "any.thing", True),
    ("*?a", "fa", True),  # istatd fails on this one
    ("*?a", "faa", True),
    ("*", "a.b.c", True),
    ("*", "", True),
    ("", "", False),
    ("", "a", False),
    ("foo", "foo", True),
    ("foo", "foobar", False),
    ("Foo", "foo", False),
    ("a.*", "a", False),
    ("a.*", "a.", True),
    ("(x)[y]+", "(x)[y]+", True),
]


@pytest.mark.parametrize(("pattern", "name", "fits"), GLOBS)
def test_globs_mean_what_the_table_says(kernels: Implementation, pattern: str, name: str, fits: bool) -> None:
    assert kernels.search.Pattern(*glob_automaton(pattern.encode())).fits(name.encode()) is fits
    assert plain_names.fits(pattern.encode(), name.encode()) is fits


@given(st.text("a.b*?", max_size=12), st.lists(st.text("a.bc", max_size=9), max_size=6))
def test_globs_mean_what_their_expression_means(glob: str, names: list[str]) -> None:
    automaton = glob_automaton(glob.encode())
    builds = ["python"] if native_missing() else ["python", "native"]
    for pattern in [implementation(build).search.Pattern(*automaton) for build in builds]:
        for name in map(str.encode, names):
            found = plain_names.fits(glob.encode(), name)
            assert pattern.fits(name) is found
            assert not found or name.startswith(automaton.prefix)
            assert not found or all(literal in name for literal in automaton.literals)


def test_patterns_tell_what_narrows_the_search() -> None:
    assert glob_automaton(b"cpu.*.host.?b")[3:] == (b"cpu.", (b".host.", b"b"))
    assert regex_automaton(rb"^cpu\.(user|idle)\.host[0-9]+x{2}$")[3:] == (b"cpu.", (b".host", b"xx"))
    assert regex_automaton(rb"user|idle")[3:] == (b"", ())
    assert regex_automaton(rb"(disk)+\.ops?")[3:] == (b"", (b"disk", b".op"))


@pytest.mark.parametrize("bad", [
    "(", ")", "a)", "[", "[a", "[b-a]", r"[\d-z]", "*", "a**", "a{", "a{x}", "a{2,1}", "a{1000000}", r"\1", r"\b",
    "(?=a)",
    "(?i)a", "a" * 1001, "(" * 40 + ")" * 40, "^*", "(a{30}){30}", "\\", "[\\", "(?", "x{1,2}{3}", "a{,3}",
])  # fmt: skip
def test_what_cannot_be_done_is_said(bad: str) -> None:
    with pytest.raises(BadQuery):
        regex_automaton(bad.encode())


@pytest.mark.parametrize("hard", [
    "(a|b)*a" + "(a|b)" * 30, ".*".join("abcdefgh") * 20, "(.?){200}x", "(a*)*" * 100, "[ab]{1,250}c", "(x+x+)+y",
])  # fmt: skip
def test_hard_expressions_are_quick_or_refused(hard: str) -> None:
    """Time tells by hundreds: what needs all its states is given up after a bounded number of them."""
    began = time.monotonic()
    try:
        Pattern(*regex_automaton(hard.encode())).fits(b"ab" * 300)
    except BadQuery as refused:
        assert "too many states" in str(refused)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("hard", [b"*a" * 200, b"*" * 998 + b"x", b"?*" * 499 + b"x", b"?" * 998 + b"x", b"*.*" * 300,
                                  b"*?a?b" * 200, b"?a" * 300])  # fmt: skip
def test_hard_globs_are_taken(kernels: Implementation, hard: bytes) -> None:
    """Time tells by ten thousands and more: what backtracks here does so for longer than anyone waits."""
    began = time.monotonic()
    pattern = kernels.search.Pattern(*glob_automaton(hard))
    assert not any(pattern.fits(name) for name in (b"b" * 199, b"cpu.user.host.a.b" + b"b" * 100, b"." * 150))
    assert time.monotonic() - began < 5


def test_long_patterns_are_refused() -> None:
    for automaton in (glob_automaton, regex_automaton):
        with pytest.raises(BadQuery, match="1000"):
            automaton(b"a" * 1001)


def braces(pattern: str) -> list[str]:
    """A glob of Graphite's without braces, once for each choice."""
    at = pattern.find("{")
    if at < 0:
        return [pattern]
    depth, parts, begin = 0, [], at + 1
    for end in range(at, len(pattern)):
        depth += {"{": 1, "}": -1}.get(pattern[end], 0)
        if (pattern[end] == "," and depth == 1) or not depth:
            parts.append(pattern[begin:end])
            begin = end + 1
        if not depth:
            break
    return [whole for part in parts for whole in braces(pattern[:at] + part + pattern[begin:])]


def fits_graphite(pattern: str, name: str) -> bool:
    """As graphite-web does it: component by component."""
    return any(len(parts) == len(names) and all(map(fnmatchcase, names, parts))
               for one in braces(pattern) for parts, names in [(one.split("."), name.split("."))])


GRAPHITE = [
    "*", "*.*", "cpu.*", "c?u", "c?u.user*.host.web1", "{cpu,disk-1}.*", "{cpu,disk-1}.{ops,user.host.*}", "[ab].b",
    "[!a].b", "[a-c]*", "a[]x]b", "a{b,_b.c}", "a{,b}{b,}a", "{a,{b,ab}}", "*b*a", "**", "a**a", "web{1,2}", "...",
    "x(y)*", "cpu[0-9].idle", "*.[!h]*",
]  # fmt: skip


@pytest.mark.parametrize("pattern", GRAPHITE)
def test_globs_of_graphite(pattern: str) -> None:
    automaton = graphite_automaton(pattern.encode())
    compiled = Pattern(*automaton)
    for name in NAMES[1:]:
        assert compiled.fits(name) is fits_graphite(pattern, name.decode()), name


@given(st.lists(st.sampled_from(["a", "b", ".", "*", "?", "[ab]", "[!a]", "{a,b.}", "{,ab}", "{a*,[b-c]}"]), min_size=1,
                max_size=7).map("".join), st.lists(st.text("abc.", min_size=1, max_size=7), max_size=8))  # fmt: skip
def test_random_globs_of_graphite(pattern: str, names: list[str]) -> None:
    automaton = graphite_automaton(pattern.encode())
    compiled = Pattern(*automaton)
    for name in names:
        assert compiled.fits(name.encode()) is fits_graphite(pattern, name)
        assert not compiled.fits(name.encode()) or all(part in name.encode() for part in automaton.literals)


@pytest.mark.parametrize(("pattern", "said"), [
    ("a{b", "{ without"), ("a[b", "[ without"), ("[z-a]", "later one"), ("{" * 40 + "a" + "}" * 40, "braces"),
    ("a" * 1001, "1000 bytes"), ("*?" * 400, "positions|states")])
def test_globs_of_graphite_that_cannot_be(pattern: str, said: str) -> None:
    with pytest.raises(BadQuery, match=said.replace("{", r"\{").replace("[", r"\[")):
        graphite_automaton(pattern.encode())


def test_an_empty_glob_of_graphite_fits_nothing() -> None:
    assert not any(map(Pattern(*graphite_automaton(b"")).fits, NAMES))
