"""The pieces of the attacks that need no server: how they are judged, and what bystanders tell."""
from __future__ import annotations

import pytest

from bench.attacks.beside import Asked, Streams, lines
from bench.attacks.goals import GOALS, missed, table
from bench.attacks.sending import client_hello
from bench.attacks.table import ATTACKS
from bench.figures import Mode, Run

GOOD: Run = {"failed": 0, "health_median_ms": 2, "health_p99_ms": 50, "calm_p99_ms": 4, "health_longest_ms": 250,
             "health_unanswered": 0, "rss_growth_mb": 150, "udp_lost": 0, "tcp_kept": 0.8, "counters_made": 0,
             "flush_errors": 0, "log_lines": 100}


def test_all_goals_are_reached_by_a_good_run() -> None:
    assert missed(GOOD) == []
    assert {key for goal in GOALS for key in goal.keys} == set(GOOD)


@pytest.mark.parametrize(("key", "value"), [("health_median_ms", 51), ("health_p99_ms", 55), ("health_longest_ms", 251),
                                            ("health_unanswered", 1), ("rss_growth_mb", 151), ("udp_lost", 1),
                                            ("tcp_kept", 0.79), ("counters_made", 1), ("flush_errors", 1),
                                            ("log_lines", 101), ("failed", 1)])
def test_each_is_missed_by_itself(key: str, value: float) -> None:
    assert len(missed({**GOOD, key: value})) == 1


def test_the_table_has_a_row_for_each_build() -> None:
    before = Mode("silent", "w", {"istatd": [{**GOOD, "health_median_ms": 900}]})
    after = Mode("silent", "w", {"istatd": [GOOD]})
    _, _, first, second = table([("before", [before]), ("after", [after])]).splitlines()
    assert first.startswith("| silent | before | 900 |") and first.endswith("| median |")
    assert second.startswith("| silent | after | 2 |") and second.endswith("| yes |")


def test_a_rate_counts_what_lies_within_the_span() -> None:
    streams = Streams([(0.0, 2.0, 200), (2.0, 4.0, 400)])
    assert streams.rate(1.0, 3.0) == 150
    assert streams.rate(4.0, 5.0) == 0


def test_a_question_belongs_to_when_it_was_asked() -> None:
    asked = Asked([(1.0, 9.0, True), (2.0, 0.1, False)])
    assert asked.within(1.0, 2.0) == [(9.0, True)]


def test_what_attackers_and_bystanders_send_is_well_formed() -> None:
    assert client_hello()[0] == 0x16
    assert len(lines("udp").splitlines()) == len({line.split()[0] for line in lines("udp").splitlines()}) == 1000
    assert all(attack.about for attack in ATTACKS.values())
