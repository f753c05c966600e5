"""Times: the worked examples of part 3 of istatd's behaviour, and what a site gains: nothing is lost or erased."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from istat.clock import FakeClock
from tests.worked.site import HOUR, NOW, Site

T = HOUR


def test_a_bucket_begins_at_a_multiple_of_its_interval(site: Site) -> None:
    site.feed(f"g {T} 1", f"g {T + 9} 2", f"g {T + 10} 4", f"g {T - 1} 8")
    assert site.buckets("g", T - 10, T + 20, "sum") == [(T - 10, 8), (T, 3), (T + 10, 4)]
    assert [row[:3] for row in site.level("g", 1)] == [(T - 300, 1, 8), (T, 3, 7)]
    assert [row[:3] for row in site.level("g", 2)] == [(T - 3600, 1, 8), (T, 3, 7)]


@pytest.mark.parametrize(("line", "ahead", "taken"), [
    ("g", 60, True), ("g", 61, False), ("*e", 10, True), ("*e", 11, False)])
def test_how_far_ahead_of_the_clock_a_sample_may_be(site: Site, line: str, ahead: int, taken: bool) -> None:
    site.feed(f"{line} {NOW + ahead} 10")
    name = line.lstrip("*")
    assert (site.store.find(name.encode()) is not None) == taken, "what is refused leaves no counter"
    assert site.refused == ({} if taken else {"from_future": 1})
    if taken:
        start = (NOW + ahead) // 10 * 10
        assert site.buckets(name, start, start + 10, "max") == [(start, 1 if line == "*e" else 10)]


@pytest.mark.parametrize("line", ["g", "*e"])
@pytest.mark.parametrize(("age", "level"), [
    (50, 0), (51, 0), (3600, 0), (86400, 0), (9 * 86400, 0), (11 * 86400, 1), (300 * 86400, 1), (400 * 86400, 2),
    (2200 * 86400, 2)])
def test_late_samples_are_taken_anywhere_within_retention(site: Site, line: str, age: int, level: int) -> None:
    """Of events too: there is no window of a few buckets behind the clock."""
    at = NOW - age
    site.feed(f"{line} {at} 3600")
    name = line.lstrip("*")
    interval = (10, 300, 3600)[level]
    start = at - at % interval
    for _ in range(3):
        for above in range(level, 3):
            (row,) = site.level(name, above)
            assert row[0] == at - at % (10, 300, 3600)[above]
            assert row[2] == pytest.approx(3600 if line == "g" else 360)
        (bucket,) = [one for one in site.buckets(name, start, start + interval, "sum") if one[1]]
        assert bucket == (start, pytest.approx(3600 if line == "g" else 360))
        site.crash()


def test_older_than_all_retention_is_refused_and_counted(site: Site) -> None:
    site.feed(f"g {NOW - 2300 * 86400} 1", f"*e {NOW - 2300 * 86400} 1")
    assert (site.refused, site.listed()) == ({"from_past": 2}, {})


@pytest.mark.parametrize(("sample", "taken"), [
    ("10 34 2 5 3", True), ("0 0 0 0 0", False), ("10 34 5 2 3", False), ("10 34 4 5 3", False),
    ("10 34 2 3 3", False), ("5 5 5 4.9996 1", True), ("5 5 5 4.9994 1", False), ("5 5 5.0004 6 1", True),
    ("5 5 5.0006 6 1", False), ("-5 25 -4.9996 -4 1", True), ("-5 25 -4.9994 -4 1", False),
    ("-5 25 -6 -5.0004 1", True), ("-5 25 -6 -5.0006 1", False)])
def test_gauges_that_contradict_themselves_are_refused(site: Site, sample: str, taken: bool) -> None:
    site.feed(f"g {T} {sample}", f"*e {T} {sample}")
    assert (site.store.find(b"g") is not None) == taken
    assert site.refused == ({} if taken else {"rejected": 1})
    assert site.store.find(b"e") is not None, "of events only the sum counts"


def test_what_came_to_the_current_bucket_of_events_is_seen_at_every_sample(site: Site) -> None:
    for number in range(1, 8):
        site.at(NOW + number, "*e 10")
        assert site.buckets("e", NOW, NOW + 10, "sum", "max", "count") == [(NOW, number, number, 1)]


def test_a_flush_changes_nothing_for_events_before_and_behind_it(site: Site) -> None:
    for number in range(6):
        site.at(NOW + number, "*e 10", f"*e {NOW - 40} 10", f"*e {NOW - 400} 10")
        site.store.flush()
        assert site.buckets("e", NOW, NOW + 10, "sum") == [(NOW, number + 1)]
    assert site.refused == {}
    assert [site.buckets("e", at, at + 10, "sum") for at in (NOW - 40, NOW - 400)] == [[(NOW - 40, 6)],
                                                                                     [(NOW - 400, 6)]]


@pytest.mark.parametrize("end", ["restart", "crash"])
def test_a_restart_erases_nothing_of_the_minute_before_it(site: Site, end: str) -> None:
    wanted = []
    for step in range(6):
        at = NOW + 10 * step
        site.at(at + 1, "*e 20", "g 5")
        wanted.append((at, 2 + (step == 5)))
    getattr(site, end)()
    site.at(NOW + 55, "*e 10", "g 7")
    assert site.buckets("e", NOW, NOW + 60, "sum") == wanted
    assert site.buckets("g", NOW + 50, NOW + 60, "sum", "count") == [(NOW + 50, 12, 2)]
    assert [row[:3] for row in site.level("e", 2)] == [(T, 360, pytest.approx(13))]


def test_events_in_any_order(site: Site) -> None:
    for at in (40, 0, 70, 20, 900, 0, 40, -3600):
        site.feed(f"*e {T + at} 10")
    found = {time - T: value for time, value in site.buckets("e", T - 3600, T + 1000, "sum") if value}
    assert found == {-3600: 1, 0: 2, 20: 1, 40: 2, 70: 1, 900: 1}


def test_late_samples_of_the_bucket_before_leave_the_first_one_alone(site: Site) -> None:
    """05:00:07, then 04:59:55, :47 and :40: they are of the hour of 04:00."""
    site.feed(f"g {T + 7} 100", f"g {T - 5} 1", f"g {T - 13} 2", f"g {T - 20} 4")
    for _ in range(2):
        assert [row[:3] for row in site.level("g", 2)] == [(T - 3600, 3, 7), (T, 1, 100)]
        assert [row[:3] for row in site.level("g", 0)] == [(T - 20, 2, 6), (T - 10, 1, 1), (T, 1, 100)]
        site.restart()


def test_first_and_last_bucket_of_a_counter_are_told_from_the_first_sample_on(site: Site) -> None:
    site.feed(f"g {T + 3} 1")
    (found,) = site.store.describe([site.store.find(b"g").id])
    assert (found.first, found.last) == (T, T)


def test_a_clock_that_is_stopped_at_a_time(make: Callable[..., Site], clock: FakeClock) -> None:
    site = make("--fake-time", str(NOW))
    assert site.server.settings["fake-time"] == NOW
    clock.set(NOW)
    site.feed("g 5")
    assert site.buckets("g", NOW, NOW + 10, "sum") == [(NOW, 5)]
    site.sender = site.server.roster.connected("tcp", "192.0.2.9:1")
    site.sender.seen(site.server.roster.now(), 4)
    (row,) = site.ask("/", params={"a": "*"}).json["agents"]
    assert 0 <= row["_idle"] < 100, "by the clock of the machine"


def test_gaps_of_gauges_are_absent_and_those_of_events_are_zeros_with_count_one(site: Site) -> None:
    site.feed(f"g {T} 1", f"g {T + 30} 2", f"*e {T} 10", f"*e {T + 30} 20")
    assert site.buckets("g", T, T + 40, "sum", "count") == [(T, 1, 1), (T + 30, 2, 1)]
    assert site.buckets("e", T, T + 40, "sum", "count") == [(T, 1, 1), (T + 10, 0, 1), (T + 20, 0, 1), (T + 30, 2, 1)]
