"""The samples a second that the status tells."""

from __future__ import annotations

from istat.clock import FakeClock
from istat_server.server import Rate


def test_the_rate_is_that_of_the_last_span_without_what_came_between() -> None:
    clock = FakeClock(0)
    rate = Rate(clock)
    assert rate.value == 0
    clock.advance(10)
    rate.end(50)
    assert rate.value == 5
    rate.begin(110)         # sixty of the server's own
    clock.advance(10)
    rate.end(130)
    assert rate.value == 2
