"""Lines to rows: worked examples, and kernel = twin on arbitrary bytes split at arbitrary points."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from istat.kernels import implementation

TWIN = implementation("python")
NOW = 1325395000
ALL = (0, 1 << 40)


def engine_of(build, routes=((b"foo.bar", (0,)), (b"*ev", (1,)), (b"c^x^y", (2, 3)), (b"agg.x", (4,)))):
    engine = build.engine.Engine([10, 300], 7)
    for name, event in ((b"foo.bar", False), (b"ev", True), (b"c.x", False), (b"c.y", True), (b"agg.x", False)):
        engine.add_counter(name, event)
    for wire, ids in routes:
        engine.add_route(wire, ids)
    engine.set_limits(NOW, NOW + 60, NOW + 10, [NOW - 864000, NOW - 32313600])
    return engine


def feed(engine, text):
    assert engine.feed(text, 0, len(text)) == text.rfind(b"\n") + 1


def rows(engine, id, level=0):
    (found,) = engine.collect([id], level, *ALL)
    return found.rows()


def test_worked_example_of_the_specification(kernels):
    engine = engine_of(kernels)
    feed(engine, b"foo.bar 1325394000 5\r\nfoo.bar 1325394000 7.25\nfoo.bar 1325394030 1e3\n"
                 b"agg.x 1325394000 10 34 2 5 3\nq 1 2 3\nbad abc\nunfinished 1")
    assert rows(engine, 0) == [(1325394000, 2, 12.25, 2.53125, 5.0, 7.25), (1325394030, 1, 1000.0, 0.0, 1000.0, 1000.0)]
    assert rows(engine, 4) == [(1325394000, 3, 10.0, 34 - 100 / 3, 2.0, 5.0)]
    tally = engine.tally()
    assert (tally["bad_fields"], tally["bad_number"], tally["samples"]) == (1, 1, 4)
    assert [line for _code, line in engine.take_leftovers()] == [b"q 1 2 3", b"bad abc"]
    assert not engine.take_leftovers()


def test_events_add_and_a_caret_name_feeds_each_counter_by_its_own_kind(kernels):
    engine = engine_of(kernels)
    feed(engine, b"*ev 1325394000 10\n*ev 1325394005 20\nc^x^y 1325394000 3\nc^x^y 1325394000 4\n")
    assert rows(engine, 1) == [(1325394000, 1, 30.0, 0.0, 30.0, 30.0)]
    assert rows(engine, 2) == [(1325394000, 2, 7.0, 0.5, 3.0, 4.0)]
    assert rows(engine, 3) == [(1325394000, 1, 7.0, 0.0, 7.0, 7.0)]


def test_limits_of_time_by_kind_and_level(kernels):
    engine = engine_of(kernels)
    feed(engine, b"foo.bar %d 1\nfoo.bar %d 1\n*ev %d 1\n*ev %d 1\n" % (NOW + 60, NOW + 61, NOW + 10, NOW + 11))
    assert engine.tally()["from_future"] == 2
    feed(engine, b"foo.bar %d 2\nfoo.bar 0 1\nfoo.bar -5 1\n" % (NOW - 864001))
    assert engine.tally()["from_past"] == 2
    assert rows(engine, 0, level=1) == [(1324530900, 1, 2.0, 0.0, 2.0, 2.0)]


def test_invalid_pre_aggregated_gauges_are_rejected(kernels):
    engine = engine_of(kernels)
    feed(engine, b"agg.x 1325394000 10 34 5 2 3\nagg.x 1325394000 10 34 2 5 0\nagg.x 1325394000 100 34 2 5 3\n")
    assert engine.tally()["rejected"] == 3
    assert rows(engine, 4) == []


def test_new_names_are_left_over_in_order(kernels):
    engine = engine_of(kernels)
    feed(engine, b"new 1\n#key value\nnew2 2\n@ reserved\n")
    codes = TWIN.lines.CODES
    assert list(engine.take_leftovers()) == [
        (codes["UNKNOWN"], b"new 1"), (codes["META"], b"#key value"), (codes["UNKNOWN"], b"new2 2"),
        (codes["RESERVED"], b"@ reserved")]


def test_routes_need_known_counters(kernels):
    engine = engine_of(kernels)
    with pytest.raises(ValueError, match="known counter"):
        engine.add_route(b"x", (99,))
    with pytest.raises(ValueError, match="exists"):
        engine.add_counter(b"ev", True)
    assert engine.route(b"c^x^y") == (2, 3)
    assert engine.route(b"nothing") is None


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


LINES = st.sampled_from([
    b"foo.bar 5\n", b"foo.bar 1325394000 5.25\n", b"foo.bar 1325394011 -1e-3\n", b"*ev 3\n", b"*ev 1325394000 4\n",
    b"c^x^y 1325394990 0.1\n", b"agg.x 1325394000 10 34 2 5 3\n", b"agg.x 7 7 7 7 7 7\n", b"new.one 1\n", b"\n",
    b"\r\n", b"# a b\n", b"@\n", b"x\n", b" foo.bar  1 \n", b"foo.bar\t1325394000\t2\t\r\n",
    b"foo.bar 1325390000 nan\n",
    b"foo.bar 1325300000 123456789012345678\n", b"foo.bar 9999999999 1\n", b"foo.bar 1e3 1\n", b"foo.bar 1.\n",
    b"foo.bar 1320000000 8\n", b"foo.bar 1325394000 0.30000000000000004\n", b"foo.bar  -.5e1\n"])


@given(st.lists(st.one_of(LINES, st.binary(max_size=30)), max_size=30).map(b"".join), st.lists(st.integers(0, 900)))
def test_kernel_is_twin_however_the_bytes_are_split(native, text, cuts):
    ours, twin = engine_of(native), engine_of(TWIN)
    feed(twin, text)
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    begin = 0
    for end in bounds:                       # a reader keeps what is no whole line yet, as listeners do
        begin += ours.feed(text, begin, end)
    assert begin == text.rfind(b"\n") + 1
    assert ours.tally() == twin.tally()
    assert [rows(ours, id, level) for level in (0, 1) for id in range(5)] == [
        rows(twin, id, level) for level in (0, 1) for id in range(5)]
    assert ours.take_journal() == twin.take_journal()
    assert list(ours.take_leftovers()) == list(twin.take_leftovers())


@settings(deadline=None)
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


def test_the_greatest_id_is_refused_not_wrapped_to_0(native):
    head = native.head.Head(10)
    with pytest.raises(MemoryError):
        head.add(0xFFFFFFFF, False, 10, 1, 1.0, 0.0, 1.0, 1.0)


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


def again_of(kernels, records):
    engine = kernels.engine.Engine([10, 300], 7)
    engine.set_limits(NOW, NOW + 60, NOW + 10, [NOW - 864000, NOW - 32313600])
    engine.replay(records)
    return engine


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


CHANGES = st.one_of(
    LINES, st.tuples(st.just("delete"), st.integers(0, 8), st.integers(0, 300)),
    st.tuples(st.just("undelete"), st.integers(0, 8)), st.tuples(st.just("gone"), st.integers(0, 8), st.integers(0, 3)),
    st.tuples(st.just("rename"), st.integers(0, 8), st.sampled_from([b"foo.bar", b"ev", b"c.x", b"n", b""])),
    st.tuples(st.just("sweep_routes"), st.integers(0, 8), st.integers(0, 8)))


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
def two_ladders(build):
    engine = build.engine.Engine([10, 300], 7)
    engine.add_policy(5, [1, 60, 3600])
    engine.set_limits(NOW, NOW + 60, NOW + 10, [NOW - 864000, NOW - 32313600])
    engine.set_limits(NOW, NOW + 60, NOW + 1, [NOW - 100, NOW - 1000, NOW - 10000], 5)
    for name, policy in ((b"slow", None), (b"fast", 5), (b"ev", 5)):
        engine.add_route(name, (engine.add_counter(name, name == b"ev", policy),))
    return engine


def held(engine, id, policy, levels):
    return [engine.collect([id], level, *ALL, policy)[0].rows() for level in range(levels)]


def test_counters_have_the_levels_and_limits_of_their_policy(kernels):
    engine = two_ladders(kernels)
    for age in (0, 101, 1001, 10001):
        feed(engine, b"".join(b"%s %d 3\n" % (name, NOW - age) for name in (b"slow", b"fast", b"ev")))
    feed(engine, b"ev %d 3\nfast %d 3\n" % (NOW + 2, NOW + 2))
    seen = [[row[0] for row in rows] for rows in held(engine, 0, 0, 2)]
    assert seen == [[NOW, NOW - 110, NOW - 1010, NOW - 10010], []]
    times = [[NOW, NOW + 2], [(NOW - 101) // 60 * 60], [(NOW - 1001) // 3600 * 3600]]
    assert [[row[0] for row in rows] for rows in held(engine, 1, 5, 3)] == times
    assert [[row[0] for row in rows] for rows in held(engine, 2, 5, 3)] == [times[0][:1], *times[1:]]
    assert held(engine, 1, 0, 2) == [[], []]
    assert (engine.tally()["from_past"], engine.tally()["from_future"]) == (2, 1)
    assert [engine.policy(id) for id in range(3)] == [0, 5, 5]
    frozen = engine.freeze()
    assert {number: [head and len(head) for head in heads] for number, heads in frozen.items()} == {
        0: [4, None], 5: [3, 2, 2]}
    assert [len(head) for head in engine.heads] == [0] * 5


def test_a_policy_comes_back_from_the_journal_and_from_the_names(kernels):
    engine = two_ladders(kernels)
    engine.set_policy(0, 5)
    engine.set_policy(2, 0)
    for records in (engine.take_journal(), engine.take_names(), engine.dump_names()):
        again = kernels.engine.Engine([10, 300], 7)
        again.add_policy(5, [1, 60, 3600])
        again.replay(records)
        assert [again.policy(id) for id in range(3)] == [5, 5, 0]
        heir = kernels.engine.Engine([10], 7, 9)
        heir.add_policy(8, [60])
        heir.alias_policy(5, 8)
        heir.replay(records)
        assert [heir.policy(id) for id in range(3)] == [8, 8, 9]
        without = kernels.engine.Engine([10], 7, 0)
        without.replay(records)
        assert [without.policy(id) for id in range(3)] == [0, 0, 0]


def test_a_new_policy_takes_samples_at_once_and_leaves_what_was_there(kernels):
    engine = two_ladders(kernels)
    feed(engine, b"slow 1\n")
    engine.set_policy(0, 5)
    feed(engine, b"slow 2\n")
    assert [row[2] for rows in held(engine, 0, 0, 2) for row in rows] == [1]
    assert [row[2] for rows in held(engine, 0, 5, 3) for row in rows] == [2]


def test_what_an_engine_refuses_of_policies(kernels):
    engine = two_ladders(kernels)
    with pytest.raises(ValueError, match="1 to 16 levels"):
        engine.add_policy(6, [])
    with pytest.raises(ValueError, match="1 to 16 levels"):
        kernels.engine.Engine(range(1, 18))
    with pytest.raises(ValueError, match="no room"):
        engine.add_policy(5, [10])
    with pytest.raises(ValueError, match="there is a policy 5"):
        engine.alias_policy(5, 0)
    with pytest.raises(KeyError):
        engine.alias_policy(6, 7)
    for id, number, error in ((3, 5, IndexError), (0, 77, KeyError)):
        with pytest.raises(error):
            engine.set_policy(id, number)
    with pytest.raises(KeyError):
        engine.add_counter(b"x", False, 77)
    assert len(engine.counters) == 3
    for level in (-1, 3):
        with pytest.raises(IndexError):
            engine.collect([0], level, 0, 1, 5)
    for number in range(100, 162):
        engine.add_policy(number, [10])
    with pytest.raises(ValueError, match="no room"):
        engine.add_policy(99, [10])


def test_memory_does_not_grow_from_cut_to_cut(kernels):
    engine = engine_of(kernels)
    held = []
    for _ in range(60):
        feed(engine, b"foo.bar 5\nfoo.bar %d 6\n" % (NOW - 10))
        engine.freeze()
        engine.take_journal()
        held.append(engine.memory())
    assert max(held[1:]) == held[1]
