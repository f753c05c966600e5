"""Easy: what threads count comes out in frames, once, whatever happens in between."""
from __future__ import annotations

import gc
import threading

import pytest

from istat.cube import Easy, Instance
from istat.errors import CubeError
from tests.cube.easy.conftest import KEY, S, in_threads

# What is written, and what comes out.


def test_each_kind_of_metric_is_written_by_any_thread_and_comes_out_in_one_frame(easy, sink, clock):
    requests, open_now = easy.counter("http", "requests"), easy.gauge("http", "open")
    latency, clients = easy.histogram("http", "latency"), easy.hll("http", "clients")

    def work():
        for n in range(100):
            assert requests.incrby(KEY) is True
            assert open_now.set(KEY, 7) is True
            assert latency.record(KEY, n, count=2) is True
            clients.add(KEY, f"client {n}")

    in_threads(3, work)
    clock.advance(10)
    assert easy.collect() is True
    frame, = sink.frames
    cell, = frame.cube("http").cells()
    assert (cell.key, cell["requests"], cell["open"]) == (KEY, 300, 7.0)
    assert (cell["latency"].count, cell["latency"].max) == (600, 99)
    assert cell["clients"].estimate() == pytest.approx(100, rel=0.05)


def test_batches_go_to_the_threads_instance(easy, sink):
    http = easy.cube("http")
    requests, latency = http.counter("requests"), http.histogram("latency")
    rows = http.update({"method": ["GET", "PUT", "GET"], "path": "/", "status": [200, 500, 200]},
                       {requests: 1, latency: [10, 20, 30], "clients": ["a", "b", "c"]})
    assert rows == 3
    assert requests.incrby_many({"method": ["GET", "PUT"], "path": ["/", "/"], "status": [200, 500]}, [5, 6]) == 2
    assert latency.record_many([["GET"], ["/"], [200]], [40], [2]) == 1
    easy.collect()
    cells = {cell.key: cell for cell in sink.frames[0].cube("http").cells()}
    assert {key[0]: cell["requests"] for key, cell in cells.items()} == {"GET": 7, "PUT": 7}
    assert cells[KEY]["latency"].sum == 10 + 30 + 80


def test_a_delta_frame_has_its_interval_alone_and_a_number(easy, sink, clock):
    requests = easy.counter("http", "requests")
    for n in (1, 2, 3):
        requests.incrby(KEY, n)
        clock.advance(10)
        easy.collect()
    assert [frame.cube("http").totals["requests"] for frame in sink.frames] == [1, 2, 3]
    assert [frame.sequence for frame in sink.frames] == [0, 1, 2]
    assert [(frame.t0, frame.t1) for frame in sink.frames] == [
        (1000 * S, 1010 * S), (1010 * S, 1020 * S), (1020 * S, 1030 * S)]
    assert {frame.id for frame in sink.frames} == {sink.frames[0].id}
    assert all(frame.delta for frame in sink.frames)


def test_a_cumulative_frame_has_all_since_the_start(master, sink, clock):
    easy = Easy(master, output="cumulative", sink=sink, clock=clock)
    requests = easy.counter("http", "requests")
    for n in (1, 2, 3):
        requests.incrby(KEY, n)
        clock.advance(10)
        easy.collect()
    assert [frame.cube("http").totals["requests"] for frame in sink.frames] == [1, 3, 6]
    assert [(frame.t0, frame.t1, frame.sequence, frame.delta) for frame in sink.frames] == [
        (1000 * S, 1010 * S, 0, False), (1000 * S, 1020 * S, 1, False), (1000 * S, 1030 * S, 2, False)]


def test_an_interval_without_updates_gives_an_empty_frame(easy, sink, clock):
    """So that its receiver can tell it from a program that does not run."""
    clock.advance(10)
    easy.collect()
    assert [len(frame.cube("http")) for frame in sink.frames] == [0]


def test_a_machine_that_slept_gives_one_frame_of_the_true_interval(easy, sink, clock):
    requests = easy.counter("http", "requests")
    requests.incrby(KEY)
    clock.set(4604.0)
    easy.collect()
    requests.incrby(KEY)
    clock.advance(6)
    easy.collect()
    assert [(frame.t0, frame.t1) for frame in sink.frames] == [(1000 * S, 4600 * S), (4600 * S, 4610 * S)]


def test_the_last_gauge_wins_over_earlier_intervals_also_when_the_clock_is_set_back(master, sink, clock):
    easy = Easy(master, output="cumulative", sink=sink, clock=clock)
    open_now = easy.gauge("http", "open")
    for value in (5, 3, 4):
        open_now.set(KEY, value)
        easy.collect()
        clock.set(clock.now() - 100)
    assert [frame.cube("http").get(KEY)["open"] for frame in sink.frames] == [5.0, 3.0, 4.0]


def test_gauges_that_are_summed_have_the_last_value_of_each_thread_that_lives(sink, clock):
    """In frames of all since the start; in those of an interval, of the threads that set them in it."""
    master = Instance("web")
    pool = master.cube_create("pool", dimensions=("name",))
    pool.register_gauge("open", merge="sum")
    pool.register_gauge("most", merge="max")
    easy = Easy(master, output="cumulative", sink=sink, clock=clock)
    open_now, most = easy.gauge("pool", "open"), easy.gauge("pool", "most")
    steps = [threading.Barrier(2) for _ in range(4)]

    def other():
        open_now.set(("a",), 100)
        most.set(("a",), 3)
        steps[0].wait()
        steps[1].wait()
        open_now.set(("a",), 200)
        steps[2].wait()
        steps[3].wait()

    thread = threading.Thread(target=other)
    thread.start()
    open_now.set(("a",), 1)
    most.set(("a",), 5)
    steps[0].wait()
    easy.collect()
    open_now.set(("a",), 2)
    easy.collect()
    steps[1].wait()
    steps[2].wait()
    easy.collect()
    steps[3].wait()
    thread.join()
    gc.collect()
    easy.collect()
    easy.collect()
    cells = [frame.cube("pool").get(("a",)) for frame in sink.frames]
    assert [cell["open"] for cell in cells] == [101, 102, 202, 2, 2]
    assert [cell["most"] for cell in cells] == [5] * 5


# Threads.


def test_a_thread_that_has_ended_is_counted_once_more_and_then_forgotten(easy, sink):
    requests = easy.counter("http", "requests")
    in_threads(3, lambda: requests.incrby(KEY))
    requests.incrby(KEY)
    gc.collect()
    assert easy.stats()["threads"] == 4
    easy.collect()
    assert easy.stats()["threads"] == 1
    easy.collect()
    assert [frame.cube("http").totals["requests"] for frame in sink.frames] == [4, 0]


def test_a_write_in_a_signal_handler_or_finalizer_in_the_midst_of_another_counts_too(easy, sink):
    """It does so through the key, which runs code of the program's own here."""
    requests = easy.counter("http", "requests")

    class Status(int):
        def __index__(self):
            requests.incrby(("inner", "/", 1))
            return 200

        __int__ = __index__

    class Path(str):
        def __del__(self):
            requests.incrby(("finalizer", "/", 1))

    requests.incrby(("GET", Path("/"), Status(200)))
    easy.collect()
    assert sink.sum() >= 2
    assert easy.stats()["failed"] == 0


# Its schema.


def test_metrics_that_the_master_gets_later_are_there_at_once(easy, master, sink, clock):
    requests = easy.counter("http", "requests")
    requests.incrby(KEY)
    master.cube("http").register_counter("errors")
    master.cube_create("mail", dimensions=("to",)).register_counter("sent")
    errors, sent = easy.counter("http", "errors"), easy.counter("mail", "sent")
    errors.incrby(KEY, 2)
    sent.incrby(("a",), 3)
    in_threads(1, lambda: errors.incrby(KEY, 10))
    easy.collect()
    errors.incrby(KEY, 4)
    requests.incrby(KEY)
    easy.collect()
    assert [frame.cube("http").totals["errors"] for frame in sink.frames] == [12, 4]
    assert sink.frames[0].cube("mail").totals["sent"] == 3
    assert sink.sum() == 2


def other_master(**counters):
    """One that has these counters in its cube alone."""
    made = Instance("web")
    http = made.cube_create("http", dimensions=("method", "path", "status"))
    for name, dtype in counters.items():
        http.register_counter(name, dtype)
    return made


def test_a_metric_that_the_master_has_no_more_takes_no_writes_until_it_is_there_again(easy, master, sink, clock):
    latency, requests = easy.histogram("http", "latency"), easy.counter("http", "requests")
    latency.record(KEY, 5)
    with_all = master.fork()
    master.calibrate(other_master(requests=int))
    assert latency.record(KEY, 6) is True, "its thread has not heard of it"
    easy.collect()
    assert sink.frames[0].cube("http").totals["latency"].count == 2
    assert latency.record(KEY, 7, count=2) is False
    assert requests.incrby(KEY) is True
    assert easy.stats()["refused"] == 1
    easy.collect()
    assert [metric.name for metric in sink.frames[1].cube("http").metrics] == ["requests"]
    master.calibrate(with_all)
    easy.collect()
    assert latency.record(KEY, 8) is True
    easy.collect()
    assert sink.frames[-1].cube("http").totals["latency"].count == 1


def test_a_metric_that_becomes_another_one_begins_anew(master, sink, clock):
    easy = Easy(master, output="cumulative", sink=sink, clock=clock)
    requests = easy.counter("http", "requests")
    requests.incrby(KEY, 5)
    easy.collect()
    master.calibrate(other_master(requests=float))
    requests.incrby(KEY, 7)
    easy.collect()
    assert requests.incrby(KEY, 0.5) is True
    easy.collect()
    assert [frame.cube("http").totals["requests"] for frame in sink.frames] == [5, 12, 0.5]


def test_what_a_thread_counted_by_a_former_metric_and_does_not_fit_is_told(easy, master, sink, caplog):
    """Of a thread that was so busy that it is taken only after the change."""
    requests = easy.counter("http", "requests")
    requests.incrby(KEY, 5)
    master.calibrate(other_master(requests=float))
    easy._total = easy._empty()
    easy.collect()
    assert easy.stats()["dropped"] == 1
    assert "requests" in caplog.text
    requests.incrby(KEY, 0.5)
    easy.collect()
    assert [frame.cube("http").totals["requests"] for frame in sink.frames] == [0, 0.5]


def test_what_there_is_not_is_told(easy):
    with pytest.raises(CubeError, match="no cube 'mail'"):
        easy.cube("mail")
    with pytest.raises(CubeError, match="no metric 'sent'; it has: requests"):
        easy.counter("http", "sent")
    with pytest.raises(TypeError, match="is a counter, not a histogram"):
        easy.histogram("http", "requests")


def test_cubes_of_one_name_are_told_apart_by_their_tags(sink, clock):
    master = Instance("web")
    for host in "ab":
        master.cube_create("http", dimensions=("path",), shared={"host": host}).register_counter("requests")
    easy = Easy(master, sink=sink, clock=clock)
    with pytest.raises(CubeError, match="several"):
        easy.cube("http")
    easy.cube("http", {"host": "b"}).counter("requests").incrby(("/",))
    easy.collect()
    cubes = {cube.shared["host"]: cube.totals["requests"] for cube in sink.frames[0].cubes}
    assert cubes == {"a": 0, "b": 1}


def test_a_key_by_names(easy):
    http = easy.cube("http")
    assert http.key(status=200, path="/", method="GET") == KEY
    with pytest.raises(ValueError, match="dimensions of 'http' are method, path, status"):
        http.key(path="/")


def test_wrong_values_raise_where_they_are_written(easy, sink):
    requests, latency = easy.counter("http", "requests"), easy.histogram("http", "latency")
    for write in (lambda: requests.incrby(KEY, "many"), lambda: latency.record("no key", 1),
                  lambda: requests.incrby(("GET", "/"))):
        with pytest.raises((TypeError, ValueError)):
            write()
    requests.incrby(KEY)
    easy.collect()
    assert sink.sum() == 1


def test_wrong_arguments_are_told(master):
    with pytest.raises(ValueError, match="delta, cumulative"):
        Easy(master, output="both")
    with pytest.raises(ValueError, match="number of seconds"):
        Easy(master, interval=0)
    with pytest.raises(TypeError, match="number of seconds, not '10'"):
        Easy(master, interval="10")
    with pytest.raises(TypeError, match="sink"):
        Easy(master, sink="/var/spool")
    with pytest.raises(TypeError, match="Instance"):
        Easy({"http": ()})


def test_it_tells_what_it_is(master):
    easy = Easy(master, interval=2, output="cumulative")
    assert repr(easy) == f"<Easy {master.name}: cumulative, not started>"
    with easy:
        assert repr(easy) == f"<Easy {master.name}: cumulative, every 2 s>"
