"""Input lines: the worked examples of part 2 of istatd's behaviour."""

from __future__ import annotations

import math

import pytest

from tests.worked.site import HOUR, NOW, Site

T = HOUR


def test_the_worked_example(site: Site) -> None:
    text = (b"Foo.Bar 1325394000 5\r\n" b"foo.bar 1325394000 7.25\n" b"foo.bar 1325394030 1e3\n"
            b"agg.x 1325394000 10 34 2 5 3\n" b"q 1 2 3\n" b"bad abc\n")
    assert site.server.intake.feed(memoryview(text), 0, len(text), site.sender) == len(text)
    assert site.buckets("foo.bar", T, T + 60, "sum", "sumsq", "min", "max", "count") == [
        (T, 12.25, 77.5625, 5, 7.25, 2), (T + 30, 1000, 1e6, 1000, 1000, 1)]
    assert site.buckets("agg.x", T, T + 10, "sum", "sumsq", "min", "max", "count") == [
        (T, 10, pytest.approx(34), 2, 5, 3)]
    assert set(site.listed()) == {"foo.bar", "foo", "agg.x", "agg"}
    assert site.refused == {"bad_fields": 1, "bad_number": 1}


@pytest.mark.parametrize("line", ["w 5", "\t w \v 5\f\r", "  w   5  ", f"w\t{NOW}\t5", f"w {NOW} 5 25 5 5 1",
                                  f"w {NOW} 5 25 5 5 1 and more"])
def test_every_form_of_a_sample(site: Site, line: str) -> None:
    site.at(NOW, line)
    assert site.buckets("w", NOW, NOW + 10, "sum", "sumsq", "min", "max", "count") == [(NOW, 5, 25, 5, 5, 1)]
    assert site.refused == {}


@pytest.mark.parametrize("line", ["w", "w ", "w 1 2 3", "w 1 2 3 4", "w 1 2 3 4 5", "w^a^b 1 2 3"])
def test_what_is_no_sample_is_counted_once_a_line_and_makes_nothing(site: Site, line: str) -> None:
    site.feed(line)
    assert (site.refused, site.listed()) == ({"bad_fields": 1}, {})


@pytest.mark.parametrize(("text", "value"), [
    ("5", 5), ("+5", 5), ("-5", -5), (".1", 0.1), ("5.", 5), ("1e3", 1000), ("1E-2", 0.01), ("nan", 0), ("NaN", 0),
    ("-nan", 0), ("-NaN", 0), ("123456789.123", 123456789.123)])
def test_numbers_that_are_taken_with_all_their_digits(site: Site, text: str, value: float) -> None:
    site.feed(f"w {T} {text}")
    assert site.buckets("w", T, T + 10, "sum", "min", "max") == [(T, value, value, value)]


@pytest.mark.parametrize(("text", "kind"), [
    ("0x10", "bad_number"), ("1,000", "bad_number"), ("5x", "bad_number"), ("abc", "bad_number"),
    ("NAN", "not_finite"), ("+nan", "not_finite"), ("inf", "not_finite"), ("-inf", "not_finite"),
    ("Infinity", "not_finite"), ("-INFINITY", "not_finite"), ("1e999", "not_finite")])
def test_what_is_no_number_is_refused_and_counted_and_never_served(site: Site, text: str, kind: str) -> None:
    site.feed(f"w {T} {text}", f"ok {T} 1")
    assert (set(site.listed()), site.refused) == ({"ok"}, {kind: 1})


def test_times_and_counts(site: Site) -> None:
    site.feed(f"w {T + 3}.75 5", f"c {T} 6 12 2 4 2", "w -5 1", "w 0 1", "w 0 1 1 1 1 1", f"c {T} 1 1 1 1 -1",
              f"c {T} 1 1 1 1 1.5", f"n {T}x 1")
    assert site.buckets("w", T, T + 10, "sum", "count") == [(T, 5, 1)]
    assert site.buckets("c", T, T + 10, "sum", "count") == [(T, 6, 2)]
    assert site.refused == {"from_past": 3, "bad_number": 3}


@pytest.mark.parametrize("first", "@$%&;:")
def test_reserved_commands_are_counted_and_do_nothing_else(site: Site, first: str) -> None:
    site.feed(f"{first}any command 1 2", f"  {first}x 5", "\t#hostname x", f"!w {T} 1", f"a {T} 2", "", "\r",
              " ", "\t \r")
    assert site.refused == {"reserved": 3, "bad_fields": 2}
    assert set(site.listed()) == {"!w", "a"}
    assert not site.sender.metadata


def test_metadata_is_split_at_the_first_space_and_shown_as_text(site: Site) -> None:
    sender = site.server.roster.connected("tcp", "192.0.2.9:56220")
    site.sender = sender
    site.feed("#hostname  db1 ", "#istatd_categories a, b,c\r", "#rack 3", "#rack 4", "#nospace", "#version 1.2 x")
    row, = site.ask("/", params={"a": "*"}).json["agents"]
    assert {key: row[key] for key in ("hostname", "istatd_categories", "rack", "version", "_peer", "_online")} == {
        "hostname": "db1", "istatd_categories": "a, b,c", "rack": "4", "version": "1.2 x",
        "_peer": "192.0.2.9:56220", "_online": True}
    assert site.refused == {"bad_metadata": 1}


def test_samples_are_applied_in_order_and_visible_at_once(site: Site) -> None:
    for number in range(1, 5):
        site.feed(f"w {T} {number}", f"*e {T} 10")
        assert site.buckets("w", T, T + 10, "count") == [(T, number)]
        assert site.buckets("e", T, T + 10, "sum") == [(T, number)]


def test_nothing_that_is_served_is_no_number(site: Site) -> None:
    site.feed(f"w {T} 1.7e308", f"w {T} 1.7e308", f"v {T} -1.7e308", f"v {T} -1.7e308", f"v {T + 1} 0")
    for name in ("w", "v"):
        for bucket in site.get(name, T, T + 10)["buckets"]:
            assert all(math.isfinite(value) for value in bucket["data"].values())
