"""Another store's journal in a running engine: the same ids, names and rows, and what of it is put down otherwise."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.kernels.python.ingest import records
from istat.kernels.unknown import UnknownRecord
from tests.kernels.ingest.engines import LINES, NOW, TWIN, again_of, engine_of, feed, rows

STORE = bytes(range(16))
DAY = [NOW - 864000, NOW - 32313600]


def empty(kernels):
    engine = kernels.engine.Engine([10, 300], 7)
    engine.set_limits(NOW, NOW + 60, NOW + 10, DAY)
    return engine


def follow(engine, payload):
    return engine.replay(payload, journal=True, follow=True)


@given(st.lists(LINES, max_size=20), st.lists(st.sampled_from("durg"), max_size=5))
def test_both_builds_follow_to_the_same(native, lines, changes):
    source = engine_of(TWIN)
    feed(source, b"".join(lines))
    source.take_leftovers()
    for number, what in enumerate(changes):
        live = [id for id in range(5) if source.counters.has(id)]
        if what == "d" and live:
            source.delete(live[0], 100 + number)
        elif what == "u" and source.deleted:
            source.undelete(min(source.deleted))
        elif what == "r" and live:
            source.rename(live[-1], b"moved%d" % number)
        elif what == "g":
            source.gone(number, 2 if number < 3 else 1)
    source.unlearn_moved()
    payload = source.take_journal()
    results = []
    for build in (native, TWIN):
        engine = empty(build)
        follow(engine, payload)
        journal = engine.take_journal()
        again = again_of(build, journal)
        assert again.dump_names() == engine.dump_names()
        results.append((engine.dump_names(), engine.take_followed(), journal, engine.take_names(), dict(engine.deleted),
                        [rows(engine, id) for id in range(5)], [rows(again, id) for id in range(5)]))
    assert results[0] == results[1]
    assert results[0][5] == results[0][6]


def test_what_happened_is_told_in_order(kernels):
    source = engine_of(kernels)
    source.delete(0, 77)
    source.delete(1, 78)
    source.undelete(0)
    source.gone(2, 2)
    source.gone(1, 1)
    engine = empty(kernels)
    follow(engine, source.take_journal())
    assert engine.take_followed() == [
        (records.DELETE, 0, 77), (records.DELETE, 1, 78), (records.UNDELETE, 0, 77), (records.GONE, 2, 2),
        (records.TOMBSTONE, 1, 78)]
    assert engine.take_followed() == []


def test_what_is_gone_there_stays_deleted_here(kernels):
    """Its rows may be in our files yet, and nobody would leave them out any more."""
    source = engine_of(kernels)
    source.delete(1, 77)
    source.delete(3, 78)
    source.gone(0, 5)
    engine = empty(kernels)
    follow(engine, source.take_journal())
    for one in (engine, again_of(kernels, engine.take_journal()), again_of(kernels, engine.take_names())):
        assert [one.is_gone(id) for id in range(5)] == [True, False, True, False, True]
        assert one.deleted == {1: 77, 3: 78}
    engine.gone(1, 1)               # our files are clean of it
    assert engine.is_gone(1) and engine.deleted == {3: 78}


def test_names_that_come_back_lead_to_their_new_counters(kernels):
    """The master forgets routes to what was deleted without a record of it."""
    source = engine_of(kernels)
    frames = [source.take_journal()]
    feed(source, b"foo.bar 1325394000 5\n")
    source.delete(0, 77)
    feed(source, b"foo.bar 1325394000 6\n")
    assert [code for code, _line in source.take_leftovers()]
    source.add_route(b"foo.bar", [source.add_counter(b"foo.bar", False)])
    feed(source, b"foo.bar 1325394000 6\n")
    frames.append(source.take_journal())
    source.rename(5, b"other")
    source.unlearn_moved()
    frames.append(source.take_journal())
    source.add_route(b"foo.bar", [source.add_counter(b"foo.bar", False)])
    feed(source, b"foo.bar 1325394000 7\n")
    frames.append(source.take_journal())
    engine = empty(kernels)
    for frame in frames:
        follow(engine, frame)
    assert [rows(engine, id) for id in range(7)] == [rows(source, id) for id in range(7)]
    assert [rows(engine, id)[0][2] for id in (0, 5, 6)] == [5.0, 6.0, 7.0]
    assert engine.dump_names() == source.dump_names()


def test_a_position_is_kept_with_what_it_is_of(kernels):
    engine = engine_of(kernels)
    feed(engine, b"foo.bar 1325394000 5\n")
    engine.put_position(STORE, 9, 12, 4711, 0xFFFFFFFF)
    payload = engine.take_journal()
    again = empty(kernels)
    again.replay(payload)
    assert again.take_position() == (STORE, 9, 12, 4711, 0xFFFFFFFF)
    assert again.take_position() is None
    again = empty(kernels)
    again.replay(payload, journal=True)
    assert again.take_journal() == payload
    again = empty(kernels)          # of another store's journal it is no matter of ours
    follow(again, payload)
    assert again.take_position() is None
    assert again.take_journal() + records.put_position(STORE, 9, 12, 4711, 0xFFFFFFFF) == payload


@pytest.mark.parametrize("position", [(b"s" * 15, 1, 1, 1, 1), (STORE, 1 << 63, 1, 1, 1), (STORE, -1, 1, 1, 1),
                                      (STORE, 1, 1 << 63, 1, 1), (STORE, 1, 1, 1 << 63, 1), (STORE, 1, 1, 1, 1 << 32)])
def test_a_position_that_is_none(kernels, position):
    engine = engine_of(kernels)
    with pytest.raises(ValueError, match="a position is"):
        engine.put_position(*position)
    store, *numbers = position
    if min(numbers) >= 0:
        payload = b"".join(map(records.put_varint, numbers)) + store
        with pytest.raises(ValueError, match="byte 0"):
            engine.replay(records.put_escape(records.POSITION, payload))


def test_nothing_is_taken_of_a_payload_that_cannot_be_read(kernels):
    source = engine_of(kernels)
    feed(source, b"foo.bar 1325394000 5\n")
    payload = source.take_journal()
    for bad, error in ((records.put_escape(99, b"new"), UnknownRecord), (b"\x0f\x00", ValueError)):
        engine = empty(kernels)
        with pytest.raises(error, match=f"at byte {len(payload)} of"):
            follow(engine, payload + bad)
        assert (len(engine.counters), engine.take_journal(), engine.take_names()) == (0, b"", b"")
        follow(engine, payload)     # and it goes on
        assert rows(engine, 0) == rows(source, 0)
