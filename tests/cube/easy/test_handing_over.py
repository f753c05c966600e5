"""Easy: sinks that fail, its begin and end, snapshots, and sinks that ask back."""
from __future__ import annotations

import logging
import threading

from istat.cube import Easy
from istat.cube.easy.handles import Target
from tests.cube.easy.conftest import KEY, S, in_threads

# Sinks that fail.


def test_what_a_failing_sink_did_not_take_comes_later_unchanged(easy, sink, clock, caplog):
    requests = easy.counter("http", "requests")
    sink.broken = True
    for _ in range(3):
        requests.incrby(KEY)
        clock.advance(10)
        assert easy.collect() is False
    assert easy.stats()["waiting"] == 3
    assert "no route" in caplog.text
    sink.broken = False
    clock.advance(10)
    assert easy.collect() is True
    assert [(frame.sequence, frame.cube("http").totals["requests"]) for frame in sink.frames] == [
        (0, 1), (1, 1), (2, 1), (3, 0)]
    assert easy.stats()["error"] is None


def test_when_no_more_frames_can_wait_the_next_one_covers_all_that_follows(master, sink, clock):
    easy = Easy(master, sink=sink, clock=clock, backlog=2)
    requests = easy.counter("http", "requests")
    sink.broken = True
    for _ in range(5):
        requests.incrby(KEY)
        clock.advance(10)
        easy.collect()
    assert easy.stats()["waiting"] == 2
    sink.broken = False
    clock.advance(10)
    easy.collect()
    assert [(frame.t0 // S, frame.t1 // S, frame.cube("http").totals["requests"]) for frame in sink.frames] == [
        (1000, 1010, 1), (1010, 1020, 1), (1020, 1060, 3)]


def test_a_cumulative_frame_that_was_not_taken_is_replaced(master, sink, clock):
    easy = Easy(master, output="cumulative", sink=sink, clock=clock)
    requests = easy.counter("http", "requests")
    sink.broken = True
    for _ in range(3):
        requests.incrby(KEY)
        easy.collect()
    assert easy.stats()["waiting"] == 1
    sink.broken = False
    easy.collect()
    assert [frame.cube("http").totals["requests"] for frame in sink.frames] == [3, 3]


# Begin, end, and being asked.


def test_with_a_thread_of_its_own_frames_come_by_themselves_and_the_last_at_the_end(master):
    frames, enough = [], threading.Event()

    def sink(frame):
        frames.append(frame)
        if len(frames) == 3:
            enough.set()

    with Easy(master, interval=0.05, sink=sink) as easy:
        requests = easy.counter("http", "requests")
        requests.incrby(KEY)
        assert enough.wait(20)
        requests.incrby(KEY)
    assert sum(frame.cube("http").totals["requests"] for frame in frames) == 2
    assert [frame.sequence for frame in frames] == list(range(len(frames)))
    assert all(before.t1 == after.t0 for before, after in zip(frames, frames[1:]))
    count = len(frames)
    assert easy.stop() is True
    assert len(frames) == count, "nothing came since"


def test_what_is_written_after_the_end_comes_with_the_next_one(master, sink):
    easy = Easy(master, interval=60, sink=sink).start()
    requests = easy.counter("http", "requests")
    requests.incrby(KEY)
    assert easy.stop() is True
    requests.incrby(KEY)
    assert sink.sum() == 1
    easy.start()
    easy.stop()
    assert sink.sum() == 2


def test_an_end_that_could_not_hand_over_everything_says_so(easy, sink, caplog):
    easy.counter("http", "requests").incrby(KEY)
    sink.broken = True
    with caplog.at_level(logging.ERROR):
        assert easy.stop() is False
    assert "1 frames of cubes were not taken" in caplog.text
    sink.broken = False
    assert easy.stop() is True
    assert sink.sum() == 1


def test_a_snapshot_is_a_copy_of_what_was_counted_and_takes_nothing_away(easy, sink, clock):
    requests = easy.counter("http", "requests")
    requests.incrby(KEY)
    clock.advance(3)
    snapshot = easy.snapshot()
    assert (snapshot.cube("http").totals["requests"], snapshot.t0, snapshot.t1) == (1, 1000 * S, 1003 * S)
    requests.incrby(KEY)
    assert easy.snapshot().cube("http").totals["requests"] == 2
    assert snapshot.cube("http").totals["requests"] == 1
    assert sink.frames == []
    easy.collect()
    assert sink.sum() == 2
    assert easy.snapshot().cube("http").totals["requests"] == 0


def test_without_a_sink_all_stays_for_snapshots(master, clock):
    easy = Easy(master, clock=clock)
    requests = easy.counter("http", "requests")
    for _ in range(3):
        requests.incrby(KEY)
        clock.advance(10)
        assert easy.collect() is True
    snapshot = easy.snapshot()
    assert (snapshot.cube("http").totals["requests"], snapshot.t0, snapshot.t1) == (3, 1000 * S, 1030 * S)


def test_snapshots_may_be_taken_while_others_write_and_frames_are_made(master, sink):
    easy = Easy(master, interval=0.01, sink=sink).start()
    requests = easy.counter("http", "requests")
    done = threading.Event()

    def ask():
        while not done.is_set():
            easy.snapshot()

    asking = threading.Thread(target=ask)
    asking.start()
    in_threads(4, lambda: [requests.incrby(KEY) for _ in range(500)])
    done.set()
    asking.join()
    easy.stop()
    assert sink.sum() == 2000
    assert easy.stats()["failed"] == 0


def test_a_sink_may_use_the_easy_that_calls_it(master, clock):
    seen = []

    def sink(frame):
        requests.incrby(("from", "sink", 0))
        seen.append((easy.collect(), frame.cube("http").totals["requests"]))

    easy = Easy(master, sink=sink, clock=clock)
    requests = easy.counter("http", "requests")
    requests.incrby(KEY)
    easy.collect()
    assert seen[0] == (False, 1)


def test_a_write_that_takes_very_long_holds_nobody_up_and_is_counted_later(easy, sink, monkeypatch):
    monkeypatch.setattr("istat.cube.easy.easy.LONGEST_WRITE", 0.01)
    begun, go_on, done, end = (threading.Event() for _ in range(4))
    quick = Target.call

    def slow(target, instance):
        found = quick(target, instance)

        def call(*args):
            begun.set()
            go_on.wait(20)
            return found(*args)

        return call if target.metric == "open" else found

    monkeypatch.setattr(Target, "call", slow)
    requests, open_now = easy.counter("http", "requests"), easy.gauge("http", "open")

    def work():
        requests.incrby(KEY)
        open_now.set(KEY, 1)
        requests.incrby(KEY)
        done.set()
        end.wait(20)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait(20)
    requests.incrby(KEY)
    easy.collect()
    assert sink.sum() == 1, "of the other thread"
    go_on.set()
    done.wait(20)
    easy.collect()
    assert sink.sum() == 3
    end.set()
    thread.join()
