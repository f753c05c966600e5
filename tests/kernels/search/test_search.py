"""Search: it finds what a plain look at every name finds, however the names are spread over segments and tail."""
from __future__ import annotations

import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.kernels import implementation
from tests import plain_names

TWIN = implementation("python")
NAME = st.one_of(st.text("ab.", max_size=9), st.text("abc.-_", min_size=3, max_size=20),
                 st.builds("host.web{}.cpu.{}".format, st.integers(0, 30), st.sampled_from(["user", "idle", "sys-x"])),
                 ).map(str.encode)


def literal(build, text, anywhere=True):
    """The pattern that holds a text (or is that text), as a plain automaton."""
    classes = bytes(1 + sorted(set(text)).index(byte) if byte in text else 0 for byte in range(256))
    width = max(classes) + 1
    states = len(text) + 2
    rows = [[0] * width, [1] * width]
    for at in range(len(text)):
        row = [2 if anywhere else 0] * width
        for byte in set(text):
            seen = text[:at] + bytes([byte])
            longest = next(k for k in range(min(len(seen), len(text)), -1, -1) if seen.endswith(text[:k]))
            if anywhere:
                row[classes[byte]] = 1 if longest == len(text) else longest + 2
            elif text[at] == byte:
                row[classes[byte]] = at + 3
        rows.append(row)
    if not anywhere or not text:
        rows.append([1 if anywhere else 0] * width)
        states += 1
    moves = struct.pack(f"<{states * width}H", *(state for row in rows for state in row))
    accepts = bytes([0, 1] + [0] * len(text) + [1] * (states - len(text) - 2))
    return build.search.Pattern(classes, moves, accepts, b"" if anywhere else text, (text,) if anywhere else ())


class Spread:
    """A table whose ids are in segments made at some moments, and a tail."""

    def __init__(self, build):
        self.build = build
        self.table = build.names.NameTable(5)
        self.segments = []

    def done(self):
        return self.segments[-1].stop if self.segments else 0

    def step(self, step):
        what, *rest = step
        if what == "add":
            self.table.add(*rest)
        elif what == "segment":
            self.segments.append(self.build.search.build(self.table, self.done(), len(self.table)))
        elif what == "merge" and len(self.segments) > 1:
            right = self.segments.pop()
            self.segments.append(self.build.search.merge(self.table, self.segments.pop(), right))
        elif what == "unlist" and self.table.has(rest[0]):
            self.table.unlist(rest[0])
        elif what == "rename" and self.table.has(rest[0]) and self.table.find(rest[1]) < 0:
            self.table.unlist(rest[0])
            self.table.relist(*rest)

    def where(self):
        return self.table, list(self.segments), (self.done(), len(self.table)), list(self.table.moved)

    def names(self):
        return plain_names.listed(self.table)


STEP = st.one_of(NAME.map(lambda name: ("add", name)), NAME.map(lambda name: ("add", name)), st.just(("segment",)),
                 st.just(("merge",)), st.integers(0, 30).map(lambda id: ("unlist", id)),
                 st.tuples(st.just("rename"), st.integers(0, 30), NAME))


@given(st.lists(STEP, max_size=80), NAME, st.lists(NAME, min_size=1, max_size=2), st.integers(-1, 20),
       st.integers(0, 9))
def test_what_is_found_is_what_a_plain_look_finds(native, steps, text, words, after, limit):
    for build in (native, TWIN):
        spread = Spread(build)
        for step in steps:
            spread.step(step)
        where, names, search = spread.where(), spread.names(), build.search
        wanted = [id for id, name in sorted(names.items()) if text in name and id > after]
        assert search.find(*where, literal(build, text), after, -1) == wanted
        assert search.find(*where, literal(build, text), after, limit) == wanted[:limit]
        assert search.find(*where, literal(build, text, False), -1, 5) == [i for i, n in names.items() if n == text]
        ranked = sorted((len(n), n, id) for id, n in names.items() if all(word in n for word in words))
        assert search.find_words(*where, words, limit) == [id for _, _, id in ranked][:limit]
        assert search.find_words(*where, words) == [id for _, _, id in ranked]
        for last in (text, *names.values()):
            behind = [id for size, name, id in ranked if (size, name) > (len(last), last)]
            assert search.find_words(*where, words, limit, last) == behind[:limit]
        for prefix in (b"", text, text.rpartition(b".")[0], b"host", b"a"):
            below = plain_names.children(names, prefix)
            assert search.children(*where, prefix, 100) == below
            assert search.children(*where, prefix, limit) == below[:limit]
            for label in (b"", text, b"a", *(label for label, _id, _deeper in below[:3])):
                behind = [one for one in below if one[0] > label]
                assert search.children(*where, prefix, limit, label) == behind[:limit]


def test_many_names_over_many_segments(kernels):
    spread = Spread(kernels)
    names = [b"host.web%03d.disk%d.%s" % (i * 7919 % 500, i % 3, b"ops" if i % 2 else b"bytes") + b"x" * (i % 11)
             for i in range(6000)]
    for at, name in enumerate(names):
        spread.step(("add", name))
        if at in (1000, 1500, 5000):
            spread.step(("segment",))
        if at == 3000:
            spread.step(("merge",))
    known = spread.names()
    for text in (b"web123", b"disk1", b"opsxxxxx", b"b", b"none", b"web12"):
        wanted = [id for id, name in known.items() if text in name]
        assert kernels.search.find(*spread.where(), literal(kernels, text)) == wanted
        assert kernels.search.find(*spread.where(), literal(kernels, text), 40, 7) == [i for i in wanted if i > 40][:7]
        ranked = sorted((len(known[id]), known[id], id) for id in wanted)
        for limit in (0, 1, 30, 9999):
            found = kernels.search.find_words(*spread.where(), [text], limit)
            assert found == [id for _, _, id in ranked][:limit]
    assert [label for label, _, _ in kernels.search.children(*spread.where(), b"host", 999)] == [
        b"web%03d" % i for i in range(500)]
    assert len(kernels.search.children(*spread.where(), b"host", 9)) == 9
    assert kernels.search.work(*spread.where()[:3], None, [b"none"]) <= 6000


def test_few_names_are_looked_at_for_a_rare_text(native):
    table = native.names.NameTable(1)
    for i in range(100_000):
        table.add(b"host.web%04d.cpu.core%02d.user" % (i // 50, i % 50))
    segment = native.search.build(table, 0, 100_000)
    assert segment.memory() / 100_000 < 13
    assert native.search.work(table, [segment], (100_000, 100_000), None, [b"web1234"]) < 5000
    assert native.search.work(table, [segment], (100_000, 100_000), literal(native, b"host.web1234.", False), []) <= 50
    found = native.search.find_words(table, [segment], (100_000, 100_000), [], [b"web1234", b"core07"], 10)
    assert [table.name(id) for id in found] == [b"host.web1234.cpu.core07.user"]


def test_a_segment_is_of_ids_that_are_there(kernels):
    table = kernels.names.NameTable()
    table.add(b"a")
    table.add(b"b")
    one, two = kernels.search.build(table, 0, 1), kernels.search.build(table, 1, 2)
    assert (len(one), one.first, one.stop) == (1, 0, 1)
    for first, stop in ((0, 3), (2, 1)):
        with pytest.raises(ValueError, match="no ids"):
            kernels.search.build(table, first, stop)
    with pytest.raises(ValueError, match="neighbours"):
        kernels.search.merge(table, two, one)
    with pytest.raises(ValueError, match="another table"):
        kernels.search.children(kernels.names.NameTable(), [one], (0, 0), [], b"", 10)


@given(st.binary(max_size=12), st.text("ab", max_size=9).map(str.encode))
def test_automata_run_the_same_in_both_builds(native, text, name):
    for build in (native, TWIN):
        assert literal(build, text).fits(name + text + name)
        assert literal(build, text).fits(name) is (text in name)
        assert literal(build, text, False).fits(name) is (text == name)


@pytest.mark.parametrize(("classes", "moves", "accepts"), [
    (bytes(255), bytes(6), bytes(3)), (bytes(256), bytes(5), bytes(3)), (bytes(256), bytes(4), bytes(2)),
    (bytes(256), b"\3\0" * 3, bytes(3))])
def test_what_is_no_automaton_is_refused(kernels, classes, moves, accepts):
    with pytest.raises(ValueError, match=re.compile("states|state")):
        kernels.search.Pattern(classes, moves, accepts)


def test_a_label_says_that_names_go_on_also_where_it_is_the_last_of_few(kernels):
    table = kernels.names.NameTable()
    for name in (b"a", b"a-b", b"a.c", b"b", b"b.c", b"c", b"c.d"):
        table.add(name)
    table.unlist(4)
    segment = kernels.search.build(table, 0, 7)
    every = [(b"a", 0, True), (b"a-b", 1, False), (b"b", 3, False), (b"c", 5, True)]
    for limit in range(1, 5):
        assert kernels.search.children(table, [segment], (7, 7), [], b"", limit) == every[:limit]


def test_labels_in_pages_leave_none_out_however_names_and_labels_are_in_order(kernels):
    """`a-b` is before `a.c` in the order of names, and behind `a` in that of labels."""
    table = kernels.names.NameTable()
    names = sorted({b"h.w" + b"-".join(parts) + end for parts in ([b""], [b"", b"1"], [b"", b"1", b"2"], [b"2", b"!"])
                    for end in (b"", b".x", b"-y", b"-y.z", b"+.q")})
    for name in names:
        table.add(name)
    half = kernels.search.build(table, 0, len(names) // 2)
    whole = plain_names.children(plain_names.listed(table), b"h")
    for where in ((table, [half], (half.stop, len(names)), []),
                  (table, [half, kernels.search.build(table, half.stop, len(names))], (len(names), len(names)), [])):
        for size in (1, 2, 3, 100):
            pages, behind = [], None
            while page := kernels.search.children(*where, b"h", size, behind):
                pages += page
                behind = page[-1][0]
            assert pages == whole
