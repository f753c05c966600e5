"""Clocks."""

from __future__ import annotations

import time

import pytest

from istat.clock import Clock, FakeClock, StoppedClock, SystemClock


def test_the_fake_clock_moves_only_when_told() -> None:
    clock: Clock = FakeClock(100)
    assert (clock.now(), clock.now(), clock.monotonic()) == (100.0, 100.0, 0.0)


def test_advance_moves_both_and_set_only_the_wall_clock() -> None:
    clock = FakeClock(100)
    clock.advance(2.5)
    assert (clock.now(), clock.monotonic()) == (102.5, 2.5)
    clock.set(50)
    assert (clock.now(), clock.monotonic()) == (50.0, 2.5)


def test_time_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        FakeClock(1).advance(-1)


def test_the_system_clock_is_the_machines() -> None:
    clock: Clock = SystemClock()
    assert abs(clock.now() - time.time()) < 60
    assert clock.monotonic() <= clock.monotonic()


def test_a_stopped_clock_stands_until_it_is_set() -> None:
    clock = StoppedClock(5.0)
    before = clock.monotonic()
    assert clock.now() == 5.0
    clock.set(7.0)
    assert clock.now() == 7.0 and clock.monotonic() >= before
