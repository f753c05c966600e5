"""Frames tile time: aligned or not, also when the machine slept or its clock was set."""
from __future__ import annotations

import pytest

from istat.clock import FakeClock
from istat.cube.easy.edges import Edges

S = 1_000_000_000


def test_aligned_edges_are_multiples_of_the_interval():
    clock = FakeClock(1003.5)
    edges = Edges(10, True, clock)
    assert edges.remaining() == 6.5
    clock.advance(6.5)
    assert edges.remaining() == 0
    clock.advance(0.02)
    assert edges.cut() == (1003.5 * S, 1010 * S), "it ends at the edge, though the collector was a little late"
    assert edges.remaining() == pytest.approx(9.98)
    clock.advance(10)
    assert edges.cut() == (1010 * S, 1020 * S)


def test_edges_that_are_not_aligned_follow_the_first():
    clock = FakeClock(1003.5)
    edges = Edges(10, False, clock)
    assert edges.remaining() == 10
    clock.advance(10.5)
    assert edges.cut() == (1003.5 * S, 1014 * S)
    assert edges.remaining() == 10


def test_a_frame_before_its_edge_ends_now():
    clock = FakeClock(1003)
    edges = Edges(10, True, clock)
    clock.advance(2)
    assert edges.cut() == (1003 * S, 1005 * S)
    assert edges.remaining() == 5


def test_a_machine_that_slept_gives_one_frame_of_the_true_length():
    clock = FakeClock(1000)
    edges = Edges(10, True, clock)
    clock.set(4605)             # the monotonic clock of Linux stands still meanwhile
    assert edges.remaining() == 0
    assert edges.cut() == (1000 * S, 4600 * S)
    assert edges.remaining() == pytest.approx(5)


def test_a_clock_that_was_set_back_hardly_delays_a_frame_and_gives_its_true_length():
    clock = FakeClock(10_000)
    edges = Edges(10, True, clock)
    clock.advance(4)
    clock.set(2004)
    assert edges.remaining() == 11
    clock.advance(11)
    assert edges.remaining() == 0
    assert edges.cut() == (2000 * S, 2015 * S)
    assert edges.remaining() == 5


def test_a_clock_that_is_slowed_a_little_moves_no_edge():
    clock = FakeClock(10_000)
    edges = Edges(10, True, clock)
    clock.advance(10)
    clock.set(10_009.999)
    assert edges.remaining() == pytest.approx(0.001)


@pytest.mark.parametrize("interval", [0, -1, float("inf"), float("nan")])
def test_an_interval_is_above_0(interval):
    with pytest.raises(ValueError, match="number of seconds"):
        Edges(interval, True, FakeClock())
