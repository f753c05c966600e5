"""Retention rules: the grammar of istatd, and the arithmetic of windows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import BadRetention
from istat.retention import DEFAULT_RETENTION, Ladder, Level, Rule, Rules, Season, format_duration, parse_duration
from tests import plain_names


def test_the_default_ladder() -> None:
    ladder = Ladder.parse()
    assert [(v.name, v.interval, v.keep, v.samples) for v in ladder.levels] == [
        ("10s", 10, 864000, 86400),
        ("5m", 300, 374 * 86400, 107712),
        ("1h", 3600, 2202 * 86400, 52848),
    ]
    assert ladder.text == DEFAULT_RETENTION
    assert (ladder.finest.name, ladder.coarsest.name) == ("10s", "1h")


def test_the_default_windows_are_a_day_a_month_and_a_year() -> None:
    assert [Ladder.parse().window(i) // 86400 for i in range(3)] == [1, 30, 360]


def test_a_window_is_at_most_a_quarter_of_what_is_kept_but_at_least_the_coarsest_interval() -> None:
    ladder = Ladder.parse("10s:2h,1m:12h,1h:7d")
    assert [ladder.window(i) for i in range(3)] == [3600, 3 * 3600, 42 * 3600]


@pytest.mark.parametrize(
    ("text", "seconds"), [("1y9d", 374 * 86400), ("1h30m", 5400), ("90s", 90), ("1m1m", 120), ("0s", 0),
                         ("1w", 604800), ("2w1d", 1296000)]
)
def test_durations_add_up(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(90, "1m30s"), (0, "0s"), (374 * 86400, "1y9d"), (3600, "1h"), (86399, "23h59m59s"),
                         (604800, "7d")]
)
def test_durations_are_printed_shortly(seconds: int, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 10**10))
def test_a_printed_duration_reads_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "10", "s", "1x", "w", "-1s", "1.5h", "10 s", "10S", "१s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(BadRetention, match="no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "interval:keep"),
        ("10s", "interval:keep"),
        ("0s:10d", "cannot be 0"),
        ("10s:5s", "less than one interval"),
        ("10x:10d", "no duration"),
        ("10s:10d,10s:20d:b", "must be a multiple"),
        ("10s:10d,15s:20d", "must be a multiple"),
        ("5m:10d,10s:20d", "must be a multiple"),
        ("10s:10d:a,5m:20d:a", "same name"),
        ("10s:10d:../x", "cannot name"),
        ("10s:10d,5m:7d:ret-7d:0.9,1h:1y", "after the others"),
        ("5m:7d:ret-7d:0.9", "1 to 16 levels"),
        ("10s:10d,5m:7d:ret-7d:1.0", "more than 0 and less than 1"),
        ("10s:10d,5m:7d:ret-7d:0", "more than 0 and less than 1"),
        ("10s:10d,5m:7d:ret-7d:x", "a number such as 0.9"),
        ("10s:10d,25s:7d:ret-7d:0.9", "must be a multiple"),
        ("10s:10d,7m:1h:s:0.9", "the season a multiple"),
        ("10s:10d,5m:7d:10s:0.9", "same name"),
        ("10s:10d:a:b:c", "at most a name"),
        ("10s:999999999y", "too long"),
        (",".join(f"{2**i}s:10d" for i in range(17)), "1 to 16 levels"),
    ],
)
def test_what_is_no_ladder(text: str, message: str) -> None:
    with pytest.raises(BadRetention, match=message):
        Ladder.parse(text)


def test_seasonal_levels_come_last_and_have_files_of_their_own() -> None:
    ladder = Ladder.parse("10s:10d,1h:1y,5m:7d:ret-7d:0.9")
    assert ladder.seasons == (Season(300, 7 * 86400, "ret-7d", 0.9),)
    assert ladder.text == "10s:10d,1h:1y,5m:7d:ret-7d:0.9"
    assert [level.name for level in ladder.stored] == ["10s", "1h", "ret-7d"]
    assert ladder.stored[2].keep > 8 * 86400
    assert Ladder.parse("10s:10d,5m:7d::0.25").seasons[0].name == "5m"


def test_a_level_keeps_the_name_it_was_given_or_its_interval_as_written() -> None:
    ladder = Ladder.parse("60s:1d, 5m:10d:five, 3600s:1y")
    assert [v.name for v in ladder.levels] == ["60s", "five", "3600s"]
    assert ladder.text == "60s:1d,5m:10d:five,3600s:1y"


def ladders() -> st.SearchStrategy[Ladder]:
    """Ladders of one to four levels, each interval a multiple of the one before."""

    def build(first: int, factors: list[int], keeps: list[int]) -> Ladder:
        levels, interval = [], first
        for index, (factor, keep) in enumerate(zip(factors, keeps)):
            interval *= factor if index else 1
            levels.append(Level(interval, interval * keep, format_duration(interval)))
        return Ladder(tuple(levels))

    return st.builds(
        build,
        st.integers(1, 600),
        st.lists(st.integers(2, 30), min_size=1, max_size=4),
        st.lists(st.integers(1, 100), min_size=4, max_size=4),
    )


@given(ladders())
def test_every_window_is_a_multiple_of_every_interval(ladder: Ladder) -> None:
    assert Ladder.parse(ladder.text) == ladder
    for index, level in enumerate(ladder.levels):
        window = ladder.window(index)
        assert window >= ladder.coarsest.interval
        assert not [v for v in ladder.levels if window % v.interval]
        assert window <= max(level.keep // 4, ladder.coarsest.interval)


def test_the_first_rule_that_fits_wins() -> None:
    given = ("db.** = 10s:2d", "?.cpu=10s:3d", "*= 10s:4d")
    rules = Rules(Ladder.parse("10s:1d"), tuple(map(Rule.parse, given)))
    names = (b"db.a.b", b"db", b"web.cpu", b"web.a.cpu", b".cpu")
    assert [rules.choose(name) for name in names] == ["db.**", "*", "?.cpu", "*", "?.cpu"]
    assert rules.ladder("db.**").text == "10s:2d"
    assert rules.ladder("").text == "10s:1d"
    assert Rules(Ladder.parse("10s:1d")).choose(b"a") == ""


@given(st.text("ab.*?", min_size=1, max_size=8), st.text("ab.", min_size=1, max_size=8))
def test_rules_fit_as_patterns_do(pattern: str, name: str) -> None:
    rules = Rules(Ladder.parse(), (Rule(pattern, Ladder.parse()),))
    assert (rules.choose(name.encode()) == pattern) == plain_names.fits(pattern.encode(), name.encode())


def test_a_rule_reads_back() -> None:
    assert Rule.parse("DB.* = 10s:2d,1h:1y") == Rule("db.*", Ladder.parse("10s:2d,1h:1y"))
    assert Rule.parse(Rule.parse("db.*=10s:2d").text) == Rule.parse("db.* = 10s:2d")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("db.*", "PATTERN = LEVELS"),
        ("= 10s:1d", "fits no counter"),
        ("a b = 10s:1d", "fits no counter"),
        ("a/b = 10s:1d", "fits no counter"),
        ("a = 10s", "interval:keep"),
        ("a = 10s:1d:journal", "another folder"),
    ],
)
def test_what_is_no_rule(text: str, message: str) -> None:
    with pytest.raises(BadRetention, match=message):
        Rule.parse(text)


def test_rules_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(BadRetention, match=r"two retention rules are for a\.\*"):
        Rules(Ladder.parse(), (Rule.parse("a.* = 10s:1d"), Rule.parse("a.*=10s:2d")))
    with pytest.raises(BadRetention, match="60 retention rules, not 61"):
        Rules(Ladder.parse(), tuple(Rule.parse(f"a{n} = 10s:1d") for n in range(61)))
