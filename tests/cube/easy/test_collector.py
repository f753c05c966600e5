"""A collector adds each frame once, whoever sends it and however often."""
from __future__ import annotations

import random

import pytest

from istat.cube import Collector, Easy, FormatError, Instance, SchemaMismatch
from istat.errors import CubeError
from tests.cube.easy.conftest import KEY, S


def frame_of(requests, sequence=0, id=None, delta=True, t0=1000, t1=1010):
    """A frame of a sender, as it comes."""
    instance = Instance("web", delta=delta)
    http = instance.cube_create("http", dimensions=("method", "path", "status"))
    http.register_counter("requests").incrby(KEY, requests)
    if id is not None:
        instance.identify(id)
    instance.sequence, instance.t0, instance.t1 = sequence, t0 * S, t1 * S
    return instance.serialize()


A, B = b"a" * 16, b"b" * 16


@pytest.fixture
def collector(sink, clock):
    return Collector("web1", sink=sink, clock=clock)


def test_frames_of_several_senders_make_one_under_an_identity_of_its_own(collector, sink, clock):
    assert collector.merge_bytes(frame_of(1, 0, A)) is True
    assert collector.merge_bytes(frame_of(2, 0, B, t0=995)) is True
    clock.advance(10)
    collector.collect()
    collector.merge_bytes(frame_of(4, 1, A, t0=1010, t1=1020))
    collector.collect()
    assert [frame.cube("http").totals["requests"] for frame in sink.frames] == [3, 4]
    assert [(frame.name, frame.sequence, frame.t0, frame.t1) for frame in sink.frames] == [
        ("web1", 0, 995 * S, 1010 * S), ("web1", 1, 1010 * S, 1020 * S)]
    assert sink.frames[0].id == sink.frames[1].id
    assert sink.frames[0].id not in (A, B)


def test_without_a_sink_it_is_all_since_the_start_however_often_it_is_asked(clock):
    collector = Collector("web1", clock=clock)
    for sequence in range(3):
        collector.merge_bytes(frame_of(1, sequence, A, t0=1000 + 10 * sequence, t1=1010 + 10 * sequence))
        collector.snapshot()
        collector.collect()
    snapshot = collector.snapshot()
    assert (snapshot.cube("http").totals["requests"], snapshot.t0, snapshot.t1) == (3, 1000 * S, 1030 * S)


def test_a_frame_that_comes_twice_or_late_counts_once(collector, sink):
    taken = [collector.merge_bytes(frame_of(1, sequence, A)) for sequence in (0, 2, 2, 1, 0, 1)]
    assert taken == [True, True, False, True, False, False]
    collector.collect()
    assert collector.merge_bytes(frame_of(1, 1, A)) is False, "also in a later interval"
    collector.collect()
    assert sink.sum() == 3
    stats = collector.stats()
    assert (stats["merged"], stats["duplicates"], stats["sources"]) == (3, 4, 1)


def test_frames_below_the_window_are_refused_as_nobody_knows_whether_they_came(collector):
    collector.merge_bytes(frame_of(1, 5000, A))
    assert collector.merge_bytes(frame_of(1, 904, A)) is False
    assert collector.merge_bytes(frame_of(1, 905, A)) is True
    assert collector.stats()["too_old"] == 1


def test_of_senders_that_send_all_since_their_start_the_newest_frame_counts(sink, clock):
    collector = Collector("web1", output="cumulative", sink=sink, clock=clock)
    for requests, sequence, id in ((1, 0, A), (10, 0, B), (3, 2, A), (2, 1, A), (3, 2, A)):
        collector.merge_bytes(frame_of(requests, sequence, id, delta=False))
    collector.collect()
    collector.merge_bytes(frame_of(15, 1, B, delta=False))
    collector.collect()
    assert [frame.cube("http").totals["requests"] for frame in sink.frames] == [13, 18]
    assert [frame.delta for frame in sink.frames] == [False, False]


def test_a_sender_that_is_forgotten_still_counts(sink, clock):
    collector = Collector("web1", output="cumulative", sink=sink, clock=clock, most_sources=1, silence=60)
    collector.merge_bytes(frame_of(5, 0, A, delta=False))
    with pytest.raises(CubeError, match="senders"):
        collector.merge_bytes(frame_of(7, 0, B, delta=False))
    clock.advance(60)
    collector.merge_bytes(frame_of(7, 0, B, delta=False))
    collector.collect()
    assert sink.sum() == 12
    assert (collector.stats()["sources"], collector.stats()["refused"]) == (1, 1)


@pytest.mark.parametrize("output", ["delta", "cumulative"])
def test_intervals_and_all_since_a_start_are_not_mixed(sink, clock, output):
    collector = Collector("web1", output=output, sink=sink, clock=clock)
    with pytest.raises(CubeError, match="cannot be added"):
        collector.merge_bytes(frame_of(1, delta=output != "delta"))
    assert collector.stats()["refused"] == 1
    collector.collect()
    assert sink.frames[0].cubes == ()


@pytest.mark.parametrize("output", ["delta", "cumulative"])
def test_what_is_refused_changes_nothing_and_may_come_again(sink, clock, output):
    collector = Collector("web1", output=output, sink=sink, clock=clock)
    delta = output == "delta"
    collector.merge_bytes(frame_of(1, 0, A, delta))
    other = Instance("web", delta=delta)
    other.cube_create("http", dimensions=("method", "path", "status")).register_gauge("requests")
    with pytest.raises(SchemaMismatch, match="requests"):
        collector.merge_bytes(other.serialize())
    good = frame_of(2, 0, B, delta)
    with pytest.raises(FormatError):
        collector.merge_bytes(good[:-9])
    assert collector.merge_bytes(good) is True
    collector.collect()
    assert sink.sum() == 3
    assert collector.stats()["refused"] == 2


def test_processes_to_a_collector_through_a_network_that_repeats_and_swaps_frames(master, sink, clock):
    """At least once, in any order: sums are exact all the same."""
    draw, wire = random.Random(7), []
    for _ in range(3):
        easy = Easy(master, sink=lambda frame: wire.append(frame.serialize(compress=True)), clock=clock)
        requests = easy.counter("http", "requests")
        for n in range(10):
            requests.incrby(KEY, n)
            easy.collect()
    wire += draw.sample(wire, 20)
    draw.shuffle(wire)
    collector = Collector("web1", sink=sink, clock=clock)
    assert sum(map(collector.merge_bytes, wire)) == 30
    collector.collect()
    assert sink.sum() == 3 * 45
    server = Collector("all", clock=clock)
    assert [server.merge(frame) for frame in sink.frames * 2] == [True, False]
    assert server.snapshot().cube("http").totals["requests"] == 3 * 45


def test_a_frame_may_not_be_changed_by_the_collector(collector):
    instance = Instance.deserialize(frame_of(5, 0, A))
    before = instance.serialize()
    collector.merge(instance)
    collector.merge_bytes(frame_of(5, 1, A))
    assert instance.serialize() == before


def test_what_is_no_instance_is_told_where_to_go(collector):
    with pytest.raises(TypeError, match="not bytes: merge_bytes takes"):
        collector.merge(b"frame")
    assert repr(collector).endswith("delta, not started, 0 frames merged>")
