"""Counter names: the worked examples of part 1 of istatd's behaviour, as a site sees them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from istat.names import expand, munge
from tests.worked.site import HOUR, NOW, Site

T = HOUR


def test_munging_changes_bytes_and_never_their_number() -> None:
    text = "AbC/:\\\"' \t\u00e9(x)%*<&>~\x7f".encode("latin-1")
    assert munge(text) == b"abc" + b"_" * (text.index(b"(") - 3) + b"(x)%*<&>~_"
    assert munge("é".encode()) == b"__", "each byte of UTF-8 by itself"
    unchanged = b".-+()[]{}<>&%$#@!,;=~?*^|`"
    assert munge(unchanged) == unchanged
    assert munge(bytes(range(33)) + b"\x7f\x80\xff") == b"_" * 36


def test_a_name_is_munged_where_samples_come_and_where_it_is_asked_for_and_patterns_are_not(site: Site) -> None:
    site.feed(f"Web:Host/1 {T} 5", f"*Web:Hits {T} 50")
    assert site.listed() == {"web_host_1": 0, "web_hits": 1}
    assert site.listed("W*") == {}
    for name in ("web_host_1", "WEB:Host_1", "*Web:Host_1", "web%3Ahost%2F1"):
        assert site.buckets(name, T, T + 10, "sum") == [(T, 5)]


def test_the_star_counts_at_the_front_and_once(site: Site) -> None:
    site.feed(f"** {T} 50", f"*a*b {T} 50", f"x* {T} 1", "* 5", "^ 5")
    assert site.listed() == {"**": 1, "a*b": 1, "x*": 0}
    assert site.buckets("**", T, T + 10, "sum") == [(T, 5)]
    assert site.refused == {"no_name": 2}


def test_a_name_that_is_too_long_is_refused_counted_and_costs_nobody_else_anything(site: Site) -> None:
    site.feed(f"{'n' * 1000} {T} 1", f"{'m' * 1001} {T} 1", f"a{'^b' * 65} {T} 1", f"ok {T} 1")
    assert set(site.listed()) == {"n" * 1000, "ok"}
    assert site.refused == {"name_too_long": 2}


def test_names_that_differ_in_dots_are_counters_of_their_own(site: Site) -> None:
    names = ["p.q", "p..q", ".p.q", "p.q."]
    site.feed(*(f"{name} {T} {value}" for value, name in enumerate(names)))
    site.restart()
    assert [site.buckets(name, T, T + 10, "sum", "count") for name in names] == [
        [(T, value, 1)] for value in range(4)]


@pytest.mark.parametrize(("wire", "wanted"), [
    ("a", ["a"]), ("a^b", ["a.b"]), ("a^b^c", ["a.b", "a.c"]), ("a^b^c^", ["a.b", "a.c", "a"]), ("a^", ["a"]),
    ("^a^b", ["a", "b"]), ("^a^", ["a"]), ("^", []), ("", []), ("a.^b", ["a..b"]),
    ("foo.bar.baz^blorg^derp.pred^end", ["foo.bar.baz.blorg", "foo.bar.baz.derp.pred", "foo.bar.baz.end"]),
    ("*cpu^host.a^role.b^", ["cpu.host.a", "cpu.role.b", "cpu"]),
    ("a^b^c^b", ["a.b", "a.c"]), ("a^b^B^", ["a.b", "a"]),
    ("a^^b", ["a.b"]), ("a^^", ["a"]), ("^^a", ["a"]), ("^^", []), ("a^b^^^c^", ["a.b", "a.c", "a"]),
])
def test_carets_in_the_order_written_and_an_empty_piece_is_none(site: Site, wire: str, wanted: list[str]) -> None:
    found = expand(wire.encode())
    assert [name.decode() for name in found.names] == wanted
    assert found.event == wire.startswith("*")
    if wire:
        site.feed(f"{wire} {T} 40")
        kind, value = (1, 4) if found.event else (0, 40)
        leaves = {name: kind for name, kind in site.listed().items() if name in wanted and kind != 2}
        assert set(leaves.values()) <= {kind}
        assert [site.buckets(name, T, T + 10, "sum", "count") for name in wanted] == [[(T, value, 1)]] * len(wanted)


def test_parents_are_not_made_unless_they_are_asked_for(make: Callable[..., Site]) -> None:
    site = make()
    site.feed(f"*a.b.c {T} 10")
    assert site.listed() == {"a.b.c": 1, "a.b": 2, "a": 2}
    assert site.ask("/a.b").status_code == 404
    site.restart("--make-parents")
    site.feed(f"*a.b.d {T} 10", f"g.x.y {T} 1")
    assert site.store.count() == 2 + 2 + 3
    for name in ("g.x", "g"):
        answer = site.get(name, T, T + 60)
        assert (answer["buckets"], answer["start"], answer["end"]) == ([], T, T + 60)
    for name in ("a.b", "a"):           # events without a sample are zeros for istatd's clients, a gap for others
        assert site.buckets(name, T, T + 20, "sum", "count") == [(T, 0, 1), (T + 10, 0, 1)]
        (series,) = site.ask("/api/v1/series", params={"name": name, "start": T, "end": T + 20}).json["series"]
        assert set(series["avg"]) == {None}


def test_rollup_feeds_so_many_ancestors(make: Callable[..., Site]) -> None:
    site = make("--rollup", "2")
    site.feed(f"a.b.c.d {T} 4", f"a.b.c.e {T} 6", f"*hits.web.x {T} 10", f"*hits.web.y {T} 20")
    for _ in range(3):
        assert [site.buckets(name, T, T + 10, "sum", "count") for name in ("a.b.c.d", "a.b.c", "a.b")] == [
            [(T, 4, 1)], [(T, 10, 2)], [(T, 10, 2)]]
        assert site.ask("/a").status_code == 404
        assert [site.buckets(name, T, T + 10, "sum", "count") for name in ("hits.web", "hits")] == [[(T, 3, 1)]] * 2
        assert site.level("hits", 1) == [(T, 30, 3.0, pytest.approx(8.7), 0, 3)]
        site.crash()


def test_the_kind_is_that_of_the_first_sample(site: Site) -> None:
    site.feed(f"gauge {T} 5", f"*event {T} 50")
    site.feed(f"*gauge {T} 7", f"event {T} 30", f"event {T} 20 5 6 7 8")
    assert site.buckets("gauge", T, T + 10, "sum", "count") == [(T, 12, 2)]
    assert site.buckets("event", T, T + 10, "sum", "count") == [(T, 10, 1)]
    assert site.listed() == {"gauge": 0, "event": 1}


def test_a_branch_may_hold_data_and_a_part_may_be_called_like_a_level(site: Site) -> None:
    site.feed(f"a {T} 1", f"a.b {T} 2", f"a.10s {T} 3", f"x.10s {T} 4", f"x {T} 5")
    assert site.listed() == {"a": 2, "a.b": 0, "a.10s": 0, "x": 2, "x.10s": 0}
    assert [site.buckets(name, T, T + 10, "sum")[0][1] for name in ("a", "a.b", "a.10s", "x.10s", "x")] == [
        1, 2, 3, 4, 5]


def test_a_name_leads_to_no_file_outside_the_store(site: Site) -> None:
    site.feed(f"../../etc/passwd {T} 1", f"a/../b {T} 1")
    assert set(site.listed()) >= {"a_.._b"}
    site.end()
    assert {path.name for path in site.folder.parent.iterdir()} == {"store"}
    assert NOW > T
