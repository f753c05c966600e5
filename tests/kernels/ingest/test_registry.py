"""Counters and routes: deletes, renames, what is gone, when they were heard; kernel = twin whatever is done."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.ingest.engines import LINES, NOW, TWIN, again_of, engine_of, feed, rows

CHANGES = st.one_of(
    LINES, st.tuples(st.just("delete"), st.integers(0, 8), st.integers(0, 300)),
    st.tuples(st.just("undelete"), st.integers(0, 8)), st.tuples(st.just("gone"), st.integers(0, 8), st.integers(0, 3)),
    st.tuples(st.just("rename"), st.integers(0, 8), st.sampled_from([b"foo.bar", b"ev", b"c.x", b"n", b""])),
    st.tuples(st.just("sweep_routes"), st.integers(0, 8), st.integers(0, 8)))


def test_routes_need_known_counters(kernels):
    engine = engine_of(kernels)
    with pytest.raises(ValueError, match="known counter"):
        engine.add_route(b"x", (99,))
    with pytest.raises(ValueError, match="exists"):
        engine.add_counter(b"ev", True)
    assert engine.route(b"c^x^y") == (2, 3)
    assert engine.route(b"nothing") is None


def test_a_deleted_counter_is_found_no_more_and_its_name_learnt_anew(kernels):
    engine = engine_of(kernels)
    feed(engine, b"foo.bar 1325394000 5\nc^x^y 1325394000 1\n")
    engine.delete(0, 77)
    engine.delete(2, 78)
    assert engine.counters.find(b"foo.bar") == -1
    assert engine.deleted == {0: 77, 2: 78}
    feed(engine, b"foo.bar 1325394010 6\nc^x^y 1325394010 2\nfoo.bar bad\n")
    unknown = TWIN.lines.CODES["UNKNOWN"]
    assert [code for code, _line in engine.take_leftovers()] == [unknown, unknown, TWIN.lines.CODES["BAD_NUMBER"]]
    assert (engine.route(b"foo.bar"), engine.route(b"c^x^y")) == (None, None)
    assert rows(engine, 3) == [(1325394000, 1, 1.0, 0.0, 1.0, 1.0)]       # no half of a sample was taken
    new = engine.add_counter(b"foo.bar", False)
    engine.add_route(b"foo.bar", (new,))
    feed(engine, b"foo.bar 1325394010 6\n")
    feed(engine, b"foo.bar 1325394020 7\n")
    assert (new, len(rows(engine, new)), len(rows(engine, 0))) == (5, 2, 1)
    with pytest.raises(ValueError, match="cannot be called"):
        engine.undelete(0)
    engine.undelete(2)
    with pytest.raises(ValueError, match="not deleted"):
        engine.undelete(2)
    with pytest.raises(ValueError, match="no name"):
        engine.delete(0, 79)
    assert engine.deleted == {0: 77}


def test_a_renamed_counter_keeps_its_data_and_its_old_name_means_a_new_one(kernels):
    engine = engine_of(kernels)
    feed(engine, b"foo.bar 1325394000 5\n*ev 1325394000 5\n")
    engine.rename(0, b"foo.baz")
    with pytest.raises(ValueError, match="cannot be called"):
        engine.rename(1, b"foo.baz")
    assert engine.unlearn_moved() == 1
    assert engine.unlearn_moved() == 0
    feed(engine, b"foo.bar 1325394000 5\n*ev 1325394000 5\nfoo.bar 1325394000 5\n")
    assert [line for _code, line in engine.take_leftovers()] == [b"foo.bar 1325394000 5"] * 2
    assert engine.counters.find(b"foo.baz") == 0
    engine.add_route(b"foo.baz", (0,))
    engine.add_route(b"foo.bar", (engine.add_counter(b"foo.bar", False),))
    feed(engine, b"foo.bar 1325394000 1\nfoo.baz 1325394000 2\nfoo.bar 1325394000 3\n")
    assert rows(engine, 0) == [(1325394000, 2, 7.0, 4.5, 2.0, 5.0)]
    assert rows(engine, 5) == [(1325394000, 2, 4.0, 2.0, 1.0, 3.0)]


def test_runs_of_counters_that_are_gone_take_a_few_bytes(kernels):
    engine = kernels.engine.Engine([10, 300], 7)
    for number in range(1000):
        name = b"n%d" % number
        engine.add_route(name, (engine.add_counter(name, False),))
    engine.gone(0, 999)
    assert engine.sweep_routes(0, 10_000) == 999
    records = engine.dump_names()
    assert len(records) < 40
    assert again_of(kernels, records).dump_names() == records
    with pytest.raises(ValueError, match="no 2 counters"):
        engine.gone(999, 2)


def test_what_is_gone_gives_its_memory_back(kernels):
    engine = kernels.engine.Engine([10, 300], 7)
    for number in range(50_000):
        name = b"some.longer.name.of.a.counter.%d" % number
        engine.add_route(name, (engine.add_counter(name, number == 7),))
    before = engine.memory()
    engine.delete(50, 1)
    engine.undelete(50)
    for first in range(100, 49_900, 100):
        engine.gone(first, 100)
    engine.sweep_routes(0, 1 << 30)
    assert engine.counters.name(5000) == b"some.longer.name.of.a.counter.5000"
    assert engine.counters.forget_skipped(0, 100_000) == 0      # a segment may go by their order
    assert len(kernels.search.build(engine.counters, 0, 50_000)) == 200
    assert engine.counters.forget_skipped(0, 100_000) == 49_800
    assert engine.counters.forget_skipped(0, 100_000) == 0
    engine.give_back()
    assert engine.memory() < before / (2 if "native" in repr(kernels) else 1)
    assert (engine.counters.name(5000), engine.is_gone(5000), engine.is_gone(50)) == (b"", True, False)
    with pytest.raises(ValueError, match="cannot be called"):
        engine.counters.relist(5000, b"x")
    assert engine.counters.find(b"some.longer.name.of.a.counter.7") == 7
    assert [engine.is_event(7), engine.route(b"some.longer.name.of.a.counter.7")] == [True, (7,)]
    engine.set_limits(NOW, NOW + 60, NOW + 10, [0, 0])
    feed(engine, b"some.longer.name.of.a.counter.5000 1\nsome.longer.name.of.a.counter.49999 1\n 1 2\n")
    assert len(rows(engine, 49_999)) == 1
    assert rows(engine, 0) == []
    again = kernels.engine.Engine([10, 300], 7)
    again.replay(engine.dump_names())
    assert again.dump_names() == engine.dump_names()
    parts = [engine.dump_names(first, 0, 7000, 0) for first in range(0, 50_000, 7000)]
    parts += [engine.dump_names(0, first, 0, 7000) for first in range(0, 50_000, 7000)]
    third = kernels.engine.Engine([10, 300], 7)
    for part in parts:
        third.replay(part)
    assert third.dump_names() == engine.dump_names()


def test_when_counters_were_heard(kernels):
    engine = engine_of(kernels)
    day = NOW // 86_400
    assert engine.heard(0, 9) == bytes(10)
    feed(engine, b"foo.bar 1325394000 5\n*ev 1 1\n")      # the second is too old
    assert engine.heard(0, 2) == day.to_bytes(2, "little") + bytes(2)
    assert engine.idle(0, day, 0, 99) == [1, 2, 3, 4]
    engine.delete(2, 5)
    engine.touch(3)
    assert engine.idle(0, day, 0, 99) == [1, 4]
    assert engine.idle(0, day, 2, 2) == []
    engine.set_heard(3, b"\1\0\2\0")
    assert engine.idle(0, 2, 0, 99) == [1, 3]
    engine.set_limits(NOW - 86_400, NOW, NOW, [0, 0])      # a clock that went back makes nobody more silent
    feed(engine, b"foo.bar 5\n")
    assert engine.heard(0, 1) == day.to_bytes(2, "little")
    for first, days in ((0, b"1"), (4, b"1234")):
        with pytest.raises(ValueError, match="not so many"):
            engine.set_heard(first, days)
    with pytest.raises(IndexError):
        engine.touch(5)


@given(st.lists(CHANGES, max_size=30))
def test_kernel_is_twin_whatever_is_changed_and_replay_gives_it_again(native, steps):
    engines = engine_of(native), engine_of(TWIN)
    for step in steps:
        for engine in engines:
            if isinstance(step, bytes):
                feed(engine, step)
                for code, line in engine.take_leftovers():
                    wire = line.split()[0] if code == TWIN.lines.CODES["UNKNOWN"] else b""
                    if wire and engine.route(wire) is None:
                        id = engine.counters.find(wire.lstrip(b"*"))
                        engine.add_route(wire, (engine.add_counter(wire.lstrip(b"*"), False) if id < 0 else id,))
                        feed(engine, line + b"\n")
        if not isinstance(step, bytes):
            answers = []
            for engine in engines:
                try:
                    answers.append(getattr(engine, step[0])(*step[1:]))
                except ValueError as error:
                    answers.append(str(error))
                engine.unlearn_moved()
            assert answers[0] == answers[1]
    ours, twin = engines
    journal = ours.take_journal()
    assert journal == twin.take_journal()
    assert (ours.dump_names(), ours.deleted) == (twin.dump_names(), twin.deleted)
    for build in (native, TWIN):
        again = again_of(build, journal)
        assert again_of(build, again.dump_names()).dump_names() == again.dump_names()
        assert [again.counters.find(b"foo.bar"), again.deleted] == [twin.counters.find(b"foo.bar"), twin.deleted]
        assert [rows(again, id) for id in range(len(again.counters))] == [
            rows(twin, id) for id in range(len(twin.counters))]
