"""Retention: the grammar of part 5 of istatd's behaviour, its table and its mistakes, and changes that take effect."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from istat.errors import SettingsError
from istat.retention import DEFAULT_RETENTION, Ladder, format_duration
from tests.worked.site import HOUR, NOW, Site

THEIRS = "10s:10d,5m:1y9d,1h:6y12d,5m:7d:ret-7d:0.9"


def test_the_table_of_the_default_levels() -> None:
    ladder = Ladder.parse(THEIRS)
    assert [(one.name, one.interval, one.samples) for one in ladder.levels] == [
        ("10s", 10, 86_400), ("5m", 300, 107_712), ("1h", 3600, 52_848)]
    (season,) = ladder.seasons
    assert (season.name, season.interval, season.season // season.interval, season.weight) == ("ret-7d", 300, 2016, 0.9)
    assert THEIRS == DEFAULT_RETENTION + ",5m:7d:ret-7d:0.9", "the default has no trailing level"


@pytest.mark.parametrize(("text", "interval", "keep", "name"), [
    ("10s:10d", 10, 864_000, "10s"), ("1h30m:1y9d", 5400, 374 * 86400, "1h30m"), ("60s:90s", 60, 90, "60s"),
    ("1h:2w", 3600, 14 * 86400, "1h"),
    ("5m:1y:medium", 300, 365 * 86400, "medium"), ("5m:1y:", 300, 365 * 86400, "5m"), ("1m1m:1h", 120, 3600, "1m1m")])
def test_levels(text: str, interval: int, keep: int, name: str) -> None:
    (level,) = Ladder.parse(text).levels
    assert (level.interval, level.keep, level.name, level.samples) == (interval, keep, name, keep // interval)


@pytest.mark.parametrize(("text", "says"), [
    ("10s", "interval:keep"), ("0s:10d", "cannot be 0"), ("1h:10s", "less than one interval"), ("10:1d", "no duration"),
    ("10q:1d", "no duration"), ("10s:1d,5m:7d:s:1", "more than 0 and less than 1"),
    ("10s:1d,5m:7d:s:0", "more than 0 and less than 1"), ("10s:1d,5m:7d:s:x", "a number such as 0.9"),
    ("5m:1d,10s:10d", "longer"), ("10s:1d,10s:10d:b", "longer"), ("10s:1d,5m:7d:s:0.9,1h:1y", "after the others"),
    ("10s:1d,15s:2d", "multiple")])
def test_mistakes_are_told_with_all_others_before_anything_is_opened(make: Callable[..., Site], text: str,
                                                                    says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        make("--retention", text, "--flush", "10")


def test_durations_are_printed_as_they_are() -> None:
    assert [format_duration(seconds) for seconds in (90, 5400, 374 * 86400)] == ["1m30s", "1h30m", "1y9d"]


def test_other_levels_hold_for_counters_that_are_there(make: Callable[..., Site]) -> None:
    site = make("--retention", "10s:1d")
    site.feed(f"g {HOUR} 1")
    site.restart("--retention", "10s:2d,5m:10d:five,1h:1y")
    assert [row[:3] for row in site.level("g", 2)] == [(HOUR, 1, 1)]
    site.feed(f"g {NOW - 36 * 3600} 7", f"g {NOW - 5 * 86400} 9")
    assert [row[2] for row in site.level("g", 0)] == [7, 1]
    assert [row[2] for row in site.level("g", 1)] == [9, 7, 1]


def test_some_counters_have_other_levels(make: Callable[..., Site]) -> None:
    site = make("--retention-rules", "db.** = 1s:1h,1m:1d")
    site.feed(f"db.x {NOW - 1} 1", f"db.x {NOW} 2", f"web {NOW} 3")
    assert [row[:3] for row in site.level("db.x", 0)] == [(NOW - 1, 1, 1), (NOW, 1, 2)]
    assert site.get("web", NOW, NOW + 10)["interval"] == 10
