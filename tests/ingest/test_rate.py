"""The samples a second that the status tells."""

from __future__ import annotations

from istat.clock import FakeClock
from istat_server.ingest.rate import SPANS, Rate


def test_the_rate_is_that_of_a_minute_without_what_came_between() -> None:
    clock = FakeClock(0)
    rate = Rate(clock)
    assert rate.value is None, "nothing is known yet"
    clock.advance(10)
    rate.end(50)
    assert rate.value == 5
    rate.begin(110)         # sixty of the server's own
    clock.advance(10)
    rate.end(130)
    assert rate.value == 3.5


def test_who_sends_once_a_minute_is_seen_all_the_time() -> None:
    clock = FakeClock(0)
    rate = Rate(clock)
    for span in range(3 * SPANS):
        clock.advance(10)
        total = 120 * (1 + span // SPANS)
        rate.end(total)
        rate.begin(total)
        if span >= SPANS - 1:
            assert rate.value == 2


def test_short_spans_are_put_together() -> None:
    clock = FakeClock(0)
    rate = Rate(clock)
    total = 0
    for _ in range(1000):       # a second each, two samples a second
        clock.advance(1)
        total += 2
        rate.end(total)
        rate.begin(total)
    assert rate.value == 2 and sum(seconds for seconds, _ in rate._spans) > 25
