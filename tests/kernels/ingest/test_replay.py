"""Records read back: the same engine, an error for damaged bytes, and ids that stay when names are lost."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.ingest.engines import NOW, TWIN, again_of, engine_of, feed, rows


def test_replay_of_names_and_journal_gives_the_same_engine(kernels):
    engine = engine_of(kernels)
    feed(engine, b"foo.bar 1325394000 5\nagg.x 1325394000 10 34 2 5 3\n*ev 1325394000 10\nfoo.bar 1325394001 6\n")
    payload = engine.take_journal()
    again = kernels.engine.Engine([10, 300], 7)
    again.set_limits(NOW, NOW + 60, NOW + 10, [0, 0])
    assert again.replay(payload) == 5 + 4 + 4
    assert [rows(again, id) for id in range(5)] == [rows(engine, id) for id in range(5)]
    assert again.take_names() == engine.take_names() == engine.dump_names()
    assert again.take_journal() == b""


@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 255))
def test_replay_of_damaged_bytes_is_an_error_and_the_same_one(native, noise, at, flip):
    source = engine_of(TWIN)
    feed(source, b"foo.bar 1325394000 5\nagg.x 1325394000 10 34 2 5 3\n*ev 1325394000 10\nfoo.bar 1325394001 6\n")
    source.rename(0, b"moved")
    source.delete(1, 5)
    source.gone(2, 1)
    payload = bytearray(source.take_journal() + noise)
    payload[at % len(payload)] ^= flip
    results = []
    for build in (native, TWIN):
        engine = build.engine.Engine([10, 300], 7)
        engine.set_limits(NOW, NOW + 60, NOW + 10, [0, 0])
        try:
            result = engine.replay(bytes(payload))
        except ValueError as error:
            result = str(error)
        results.append((result, engine.dump_names(), [rows(engine, id) for id in range(len(engine.counters))]))
    assert results[0] == results[1]


@pytest.mark.parametrize("most", [1, 2, 1000])
def test_names_may_be_read_back_in_portions(kernels, most):
    source = kernels.engine.Engine([10, 300], 7)
    for number in range(20):
        source.add_route(b"web.%d" % number, [source.add_counter(b"web.%d" % number, False)])
    source.rename(3, b"moved")
    source.delete(4, 9)
    source.gone(5, 2)
    source.unlearn_moved()
    names = source.dump_names()
    whole, parts = (kernels.engine.Engine([10, 300], 7) for _ in range(2))
    whole.replay(names, True)
    at, calls = 0, 0
    while at < len(names):
        behind = parts.replay_names(names, at, most)
        assert behind > at
        at, calls = behind, calls + 1
    assert at == len(names) and (calls == 1) == (most == 1000)
    assert parts.dump_names() == whole.dump_names()
    assert parts.take_names() == whole.take_names() == b""
    assert parts.replay_names(b"", 0, most) == 0


@given(st.binary(max_size=100), st.integers(0, 300), st.integers(0, 255), st.integers(1, 9))
def test_portions_of_damaged_names_are_an_error_and_the_same_one(native, noise, at, flip, most):
    source = engine_of(TWIN)
    feed(source, b"foo.bar 1325394000 5\nagg.x 1325394000 10 34 2 5 3\n*ev 1325394000 10\n")
    source.rename(0, b"moved")
    payload = bytearray(source.dump_names() + noise)
    payload[at % len(payload)] ^= flip
    results = []
    for build in (native, TWIN):
        engine, place, said = build.engine.Engine([10, 300], 7), 0, ""
        engine.set_limits(NOW, NOW + 60, NOW + 10, [0, 0])
        try:
            while place < len(payload):
                place = engine.replay_names(bytes(payload), place, most)
        except ValueError as error:
            said = str(error)
        results.append((place, said, engine.dump_names()))
    assert results[0] == results[1]


def test_lost_name_records_shift_no_later_id(kernels):
    """A damaged frame takes its names along; what comes after still means the same counters."""
    source = kernels.engine.Engine([10, 300], 7)
    source.set_limits(NOW, NOW + 60, NOW + 10, [0, 0])
    frames = []
    for name in (b"first", b"second", b"third"):
        source.add_route(name, [source.add_counter(name, False)])
        feed(source, name + b" 1325394000 5\n")
        frames.append(source.take_journal())
    feed(source, b"second 1325394000 6\nthird 1325394000 7\n")
    frames.append(source.take_journal())
    again = kernels.engine.Engine([10, 300], 7)
    again.set_limits(NOW, NOW + 60, NOW + 10, [0, 0])
    for frame in (frames[0], frames[2], frames[3]):
        again.replay(frame)
    assert [again.counters.name(id) for id in range(3)] == [b"first", b"istatd.lost.counter.1", b"third"]
    assert (rows(again, 1), rows(again, 2)[0][:3]) == ([], (1325394000, 2, 12.0))
    assert again.route(b"second") is None
    names = again.dump_names()
    third = kernels.engine.Engine([10, 300], 7)
    third.replay(names, True)
    assert third.dump_names() == names


def test_changes_replay_from_the_journal_and_from_what_is_dumped(kernels):
    engine = engine_of(kernels)
    feed(engine, b"foo.bar 1325394000 5\n*ev 1325394000 1\n")
    engine.delete(0, 77)
    assert engine.sweep_routes(0, 99) == 0          # it may come back
    feed(engine, b"foo.bar 1325394010 6\n")
    engine.add_route(b"foo.bar", (engine.add_counter(b"foo.bar", False),))
    feed(engine, b"foo.bar 1325394010 6\n")
    engine.rename(1, b"ev2")
    engine.unlearn_moved()
    engine.delete(2, 78)
    engine.delete(3, 78)
    engine.undelete(3)
    engine.gone(2, 1)
    engine.rename(4, b"c.x")
    engine.unlearn_moved()
    journal = engine.take_journal()
    for records in (journal, engine.dump_names()):
        again = again_of(kernels, records)
        assert again.dump_names() == engine.dump_names()
        assert again.deleted == {0: 77}
        assert again.is_gone(2) and not again.is_gone(0)
        assert [again.counters.find(name) for name in (b"foo.bar", b"ev", b"ev2", b"c.x", b"c.y", b"agg.x")] == [
            5, -1, 1, 4, 3, -1]
        assert again.route(b"foo.bar") == (5,)
    assert [rows(again_of(kernels, journal), id) for id in range(6)] == [rows(engine, id) for id in range(6)]


def test_replay_takes_each_sort_of_route_and_refuses_what_is_no_name(kernels):
    source = kernels.engine.Engine([10], 7)
    for k in range(300):
        source.add_counter(b"c%d" % k, k % 2)
        source.add_route(b"one%d" % k, (k,))
        source.add_route(b"all%d" % k, tuple(range(k + 1)))
    names = source.dump_names()
    again = kernels.engine.Engine([10], 7)
    assert again.replay(names, True) == 900
    assert again.dump_names() == names
    assert (again.route(b"all7"), again.route(b"one7")) == (tuple(range(8)), (7,))
    for bad in (b"\x03" + b"\x80\x80\x04" + b"n" * 65536, b"\x03\x05c", b"\x07\x01" + b"\xff" * 9 + b"\x01\x01r"):
        with pytest.raises(ValueError, match="byte 0"):
            kernels.engine.Engine([10], 7).replay(bad)
