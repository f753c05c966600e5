"""Rows, intervals and marks: both builds take the same, and what they journal is replayed as it came."""
from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.kernels.unknown import UnknownRecord
from tests.kernels.ingest.engines import NOW, TWIN, engine_of, feed, rows

BAD_NUMBER, NOT_FINITE, UNKNOWN = 5, 6, 7
T = NOW - 1000 - (NOW - 1000) % 300
ROW = st.tuples(st.integers(NOW - 400_000, NOW + 30), st.sampled_from([1, 1, 3, 0, -1, 1 << 62]),
                st.sampled_from([5.0, 7.5, -1.0, math.inf]), st.sampled_from([0.0, 2.0, -1.0, math.nan]),
                st.sampled_from([1.0, 5.0]), st.sampled_from([5.0, 9.0]))
NAME = st.sampled_from([b"foo.bar", b"*ev", b"c^x^y", b"agg.x", b"new"])


def columns_of(build, made):
    return build.columns.Columns.from_rows(made)


def again_of(build, payload, **options):
    """A second engine of the same names, and what it replayed."""
    engine = engine_of(build)
    engine.take_journal()
    engine.take_names()
    assert engine.replay(payload, **options) > 0
    return engine


def test_rows_go_to_the_finest_level_that_is_no_finer_than_they_are(kernels):
    engine = engine_of(kernels)
    made = columns_of(kernels, [(T, 30, 60.0, 1.0, 1.0, 3.0), (T + 3, 1, 9.0, 0.0, 9.0, 9.0)])
    for interval in (0, 1, 10):
        assert engine.feed_rows([b"foo.bar", b"*ev"], made, interval) == []
    assert [len(rows(engine, id, 0)) for id in (0, 1)] == [1, 1]
    for interval in (11, 300):
        assert engine.feed_rows([b"foo.bar", b"*ev"], made, interval) == []
    assert rows(engine, 0, 1) == [(T, 60, 120.0, 2.0, 1.0, 3.0)]
    assert rows(engine, 1, 1) == [(T, 1, 18.0, 0.0, 18.0, 18.0)]
    before = engine.tally()
    assert engine.feed_rows([b"foo.bar", b"*ev"], made, 301) == []
    assert engine.tally()["too_coarse"] - before["too_coarse"] == 2
    assert engine.tally()["samples"] == before["samples"]


def test_bad_rows_are_told_and_the_others_taken(kernels):
    engine = engine_of(kernels)
    names = [b"new", b"foo.bar", b"foo.bar", b"foo.bar"]
    made = columns_of(kernels, [(T, 1, 1.0, 0.0, 1.0, 1.0), (T, 1, math.nan, 0.0, 1.0, 1.0),
                                (T, -1, 1.0, 0.0, 1.0, 1.0), (T, 2, 8.0, -4.0, 3.0, 5.0)])
    assert engine.feed_rows(names, made) == [(UNKNOWN, 0), (NOT_FINITE, 1), (BAD_NUMBER, 2)]
    assert rows(engine, 0) == [(T, 2, 8.0, 0.0, 3.0, 5.0)]
    assert [engine.tally()[kind] for kind in ("unknown", "not_finite", "bad_number")] == [1, 1, 1]
    engine.add_route(b"new", (4,))
    assert engine.feed_rows(names, made, 0, [0]) == []
    assert rows(engine, 4) == [(T, 1, 1.0, 0.0, 1.0, 1.0)]
    many = columns_of(kernels, [(T, 1, math.inf, 0.0, 1.0, 1.0)] * 50)
    assert len(engine.feed_rows([b"foo.bar"] * 50, many)) == 32
    for names, interval in (([b"foo.bar"], 0), ([b"foo.bar"] * 50, -1), ([b"foo.bar"] * 50, 1 << 31)):
        with pytest.raises(ValueError):
            engine.feed_rows(names, many, interval)


def test_what_leads_to_a_deleted_counter_is_unknown(kernels):
    engine = engine_of(kernels)
    engine.delete(0, 1)
    made = columns_of(kernels, [(T, 1, 1.0, 0.0, 1.0, 1.0)])
    assert engine.feed_rows([b"foo.bar"], made) == [(UNKNOWN, 0)]
    engine.add_route(b"foo.bar", (engine.add_counter(b"foo.bar", False),))
    assert engine.feed_rows([b"foo.bar"], made) == []


def test_lines_after_rows_are_samples_again_after_a_replay_too(kernels):
    engine = engine_of(kernels)
    engine.take_journal()
    made = columns_of(kernels, [(T, 30, 60.0, 1.0, 1.0, 3.0)])
    feed(engine, b"foo.bar %d 1\n" % T)
    engine.feed_rows([b"foo.bar"], made, 60)
    feed(engine, b"foo.bar %d 2\n" % T)
    engine.put_mark(b"web1", 7, 9)
    payload = engine.take_journal()
    assert engine.take_marks() == []
    again = again_of(kernels, payload)
    assert [rows(again, 0, level) for level in (0, 1)] == [rows(engine, 0, level) for level in (0, 1)]
    assert rows(again, 0) == [(T, 2, 3.0, 0.5, 1.0, 2.0)]
    assert again.take_marks() == [(b"web1", 7, 9)]
    assert (again.take_marks(), again.take_journal(), again.take_names()) == ([], b"", b"")


def test_a_replay_can_journal_what_it_applies(kernels):
    """As a replica does: its journal alone makes the same engine, and names no sample that was refused."""
    engine = kernels.engine.Engine([10, 300], 7)
    engine.set_limits(NOW, NOW + 60, NOW + 10, [NOW - 864000, NOW - 32313600])
    engine.add_route(b"foo.bar", (engine.add_counter(b"foo.bar", False),))
    feed(engine, b"foo.bar %d 1\nfoo.bar %d 2\n" % (T, T + 10))
    engine.feed_rows([b"foo.bar"], columns_of(kernels, [(T, 30, 60.0, 1.0, 1.0, 3.0)]), 60)
    engine.put_mark(b"web1", 7, 9)
    engine.delete(0, 3)
    first = engine.take_journal()
    copies = []
    for limit in (0, T + 10):
        copy = kernels.engine.Engine([10, 300], 7)
        copy.set_limits(NOW, NOW + 60, NOW + 10, [limit, limit])
        records = copy.replay(first, journal=True)
        assert records > 8
        copies.append(copy.take_journal())
        assert copy.take_journal() == b""
        third = kernels.engine.Engine([10, 300], 7)
        third.set_limits(NOW, NOW + 60, NOW + 10, [0, 0])
        third.replay(copies[-1])
        assert [rows(third, 0, level) for level in (0, 1)] == [rows(copy, 0, level) for level in (0, 1)]
        assert third.dump_names() == copy.dump_names()
        assert third.take_marks() == [(b"web1", 7, 9)]
    assert len(copies[1]) < len(copies[0]) == len(first)


def test_a_mark_has_a_sender_and_two_numbers(kernels):
    engine = engine_of(kernels)
    for sender, epoch, sequence in ((b"", 0, 0), (b"a" * 256, 0, 0), (b"a", -1, 0), (b"a", 0, 1 << 63)):
        with pytest.raises(ValueError, match="a mark is a sender"):
            engine.put_mark(sender, epoch, sequence)
    engine.put_mark(b"a" * 255, (1 << 63) - 1, (1 << 63) - 1)


def test_what_a_newer_one_wrote_is_no_damage(kernels):
    engine = engine_of(kernels)
    for payload, what in ((b"\x0f\x09", "change 9 at byte 0 of 2"), (b"\x0f\x08\x4d\x01x", "escape 77 at byte 0 of 5"),
                          (b"\x01\x00" + b"\0" * 8 + b"\x0f\xff", "change 255 at byte 10 of 12")):
        with pytest.raises(UnknownRecord, match=what):
            engine.replay(payload)
    for payload in (b"\x0f\x00", b"\x0f\x08\x4d\x02x", b"\x0f\x08\x01\x02\x01\x01", b"\x0f\x08\x02\x02\x01\x01"):
        with pytest.raises(ValueError, match="malformed") as told:
            engine.replay(payload)
        assert not isinstance(told.value, UnknownRecord)


@given(st.lists(st.tuples(NAME, ROW), max_size=12), st.sampled_from([0, 1, 10, 60, 300, 301]), st.booleans())
def test_both_builds_take_the_same(native, made, interval, journal):
    found = []
    for build in (native, TWIN):
        engine = engine_of(build)
        names = [name for name, _row in made]
        table = columns_of(build, [(t, n, s, m, low, high) for _name, (t, n, s, m, low, high) in made])
        left = engine.feed_rows(names, table, interval)
        feed(engine, b"foo.bar %d 1\n" % T)
        payload = engine.take_journal()
        again = engine_of(build, ())
        again.take_journal()
        replayed = build.engine.Engine([10, 300], 7)
        replayed.set_limits(NOW, NOW + 60, NOW + 10, [NOW - 864000, NOW - 32313600])
        count = replayed.replay(payload, journal=journal)
        found.append((left, engine.tally(), payload, count, replayed.take_journal(),
                      [rows(replayed, id, level) for id in range(5) for level in (0, 1)]))
        assert found[-1][-1] == [rows(engine, id, level) for id in range(5) for level in (0, 1)]
    assert found[0] == found[1]
