"""Lines of a batch: those without a time are of its clock, those of seven words cover its interval; in both builds."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.ingest.engines import LINES, NOW, TWIN, again_of, engine_of, feed, rows

T = NOW - 1000 - (NOW - 1000) % 300
WIDE = b"agg.x %d 10 34 2 5 3\n" % T


def feed_interval(engine, text, interval):
    assert engine.feed(text, 0, len(text), interval) == text.rfind(b"\n") + 1


def all_rows(engine):
    return [rows(engine, id, level) for id in range(5) for level in (0, 1)]


def test_lines_without_a_time_are_of_the_clock_that_was_set_last(kernels):
    engine = engine_of(kernels)
    assert engine.set_now(T) == NOW
    feed(engine, b"foo.bar 1\n*ev 2\nfoo.bar %d 4\n" % (T + 10))
    assert engine.set_now(NOW) == T
    feed(engine, b"foo.bar 8\n")
    assert [(row[0], row[2]) for row in rows(engine, 0)] == [(T, 1.0), (T + 10, 4.0), (NOW, 8.0)]
    assert rows(engine, 1) == [(T, 1, 2.0, 0.0, 2.0, 2.0)]
    feed(engine, b"foo.bar %d 1\n" % (NOW + 61))        # what times are taken has not moved
    assert engine.tally()["from_future"] == 1
    engine.set_now(5)
    feed(engine, b"foo.bar 1\n")
    assert engine.tally()["from_past"] == 1
    engine.set_limits(NOW + 5, NOW + 65, NOW + 15, [NOW - 864000, NOW - 32313600])
    assert engine.set_now(0) == NOW + 5


def test_lines_of_seven_words_go_to_the_level_of_their_interval(kernels):
    engine = engine_of(kernels)
    feed_interval(engine, WIDE + b"foo.bar %d 1\nfoo.bar 1\n" % T + WIDE + b"*ev %d 60 0 0 0 3\n" % T, 60)
    assert rows(engine, 4, 0) == [] and rows(engine, 4, 1)[0][:3] == (T, 6, 20.0)
    assert [row[0] for row in rows(engine, 0, 0)] == [T, NOW] and rows(engine, 0, 1) == []
    assert rows(engine, 1, 0) == [] and rows(engine, 1, 1) == [(T, 1, 60.0, 0.0, 60.0, 60.0)]
    feed_interval(engine, WIDE, 10)
    feed(engine, WIDE)
    assert rows(engine, 4, 0)[0][:3] == (T, 6, 20.0)
    feed_interval(engine, WIDE + b"foo.bar 5\nbad\n", 301)
    assert [code for code, _line in engine.take_leftovers()] == [11, 4]
    assert engine.tally()["too_coarse"] == 1 and engine.tally()["lines"] == 9


@pytest.mark.parametrize("interval", [-1, 1 << 31])
def test_an_interval_that_cannot_be(kernels, interval):
    engine = engine_of(kernels)
    with pytest.raises(ValueError, match=f"lines of {interval} s"):
        engine.feed(WIDE, 0, len(WIDE), interval)
    assert all_rows(engine) == [[]] * 10


@given(st.lists(LINES, max_size=20), st.sampled_from([0, 1, 10, 60, 300, 301]), st.sampled_from([T, NOW, 7]))
def test_both_builds_take_the_same_and_replay_it(native, made, interval, clock):
    found = []
    for build in (native, TWIN):
        engine = engine_of(build)
        engine.take_names()
        engine.set_now(clock)
        feed_interval(engine, b"".join(made) + WIDE, interval)
        left, untold = list(engine.take_leftovers()), engine.take_untold()
        engine.set_now(NOW)
        feed(engine, b"foo.bar 1\n" + WIDE)
        payload = engine.take_journal()
        assert all_rows(again_of(build, payload)) == all_rows(engine)
        found.append((left, untold, engine.tally(), payload, all_rows(engine)))
    assert found[0] == found[1]
