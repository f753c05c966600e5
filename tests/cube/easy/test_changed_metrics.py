"""A metric of the master's that becomes another one while an Easy counts: what was counted by either is in a frame."""
from __future__ import annotations

import pytest

from istat.cube import Easy, Instance
from tests.cube.easy.conftest import KEY


def web(kind, *counters):
    """A master whose `seen` is of a kind."""
    made = Instance("web")
    http = made.cube_create("http", dimensions=("method", "path", "status"))
    getattr(http, f"register_{kind}")("seen")
    for name in counters:
        http.register_counter(name)
    return made


def change(easy, master):
    """Count by `seen` as a counter and as a HyperLogLog, and by counters that there are and that are new."""
    seen, others = easy.counter("http", "seen"), easy.counter("http", "others")
    seen.incrby(KEY, 5)
    others.incrby(KEY, 1)
    master.calibrate(web("hll", "others", "new"))
    easy.hll("http", "seen").add(KEY, "a")
    easy.counter("http", "new").incrby(KEY, 3)
    others.incrby(KEY, 10)


def told(frame):
    totals = {metric.name: frame.cube("http").totals[metric] for metric in frame.cube("http").metrics}
    return {name: round(value.estimate()) if hasattr(value, "estimate") else value for name, value in totals.items()}


def test_the_frame_has_the_former_metric_and_the_next_one_the_new(sink, clock):
    master = web("counter", "others")
    easy = Easy(master, sink=sink, clock=clock)
    change(easy, master)
    easy.collect()
    easy.collect()
    assert [told(frame) for frame in sink.frames] == [
        {"seen": 5, "others": 1}, {"seen": 1, "others": 10, "new": 3}]
    assert easy.stats()["dropped"] == easy.stats()["refused"] == 0


def test_so_it_is_for_frames_of_all_since_the_start(sink, clock):
    master = web("counter", "others")
    easy = Easy(master, output="cumulative", sink=sink, clock=clock)
    change(easy, master)
    easy.collect()
    easy.collect()
    assert [told(frame) for frame in sink.frames] == [
        {"seen": 5, "others": 1}, {"seen": 1, "others": 11, "new": 3}]


def test_the_end_hands_over_both(sink, clock):
    master = web("counter", "others")
    easy = Easy(master, sink=sink, clock=clock)
    with easy:
        change(easy, master)
    assert (sink.sum("others"), sink.frames[0].cube("http").totals["seen"]) == (11, 5)
    assert told(sink.frames[-1])["new"] == 3


@pytest.mark.parametrize("output", ["delta", "cumulative"])
def test_without_frames_the_metric_begins_anew_and_the_others_go_on(clock, caplog, output):
    master = web("counter", "others")
    easy = Easy(master, output=output, clock=clock)
    change(easy, master)
    easy.snapshot()
    assert told(easy.snapshot()) == {"seen": 1, "others": 11, "new": 3}
    assert easy.stats()["dropped"] == 1
    assert "seen is a counter" in caplog.text
    easy.counter("http", "new").incrby(KEY)
    assert told(easy.snapshot()) == {"seen": 1, "others": 11, "new": 4}


def test_a_sum_over_threads_stays_one_where_a_metric_beside_it_changes(sink, clock):
    def gauged(kind):
        made = web(kind)
        made.cube("http").register_gauge("open", merge="sum")
        return made

    master = gauged("counter")
    easy = Easy(master, output="cumulative", sink=sink, clock=clock)
    seen, open_now = easy.counter("http", "seen"), easy.gauge("http", "open")
    seen.incrby(KEY)
    open_now.set(KEY, 3)
    easy.collect()
    master.calibrate(gauged("hll"))
    easy.hll("http", "seen").add(KEY, "a")
    open_now.set(KEY, 4)
    for _ in range(3):
        easy.collect()
    assert [frame.cube("http").get(KEY)["open"] for frame in sink.frames] == [3, 3, 4, 4]


def test_a_counter_that_becomes_a_gauge_takes_no_counts_into_it(sink, clock):
    """Both can be set."""
    master = web("counter")
    easy = Easy(master, sink=sink, clock=clock)
    seen = easy.counter("http", "seen")
    seen.set(KEY, 5)
    master.calibrate(web("gauge"))
    easy.gauge("http", "seen").set(KEY, 0.5)
    assert seen.set(KEY, 6) is False
    easy.collect()
    easy.collect()
    assert [frame.cube("http").get(KEY)["seen"] for frame in sink.frames] == [5, 0.5]
