"""Lines to rows: worked examples, and kernel = twin on arbitrary bytes split at arbitrary points."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.ingest.engines import LINES, NOW, TWIN, engine_of, feed, rows


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


def test_a_line_whose_sample_is_refused_is_left_over_once_and_counted_for_each_counter(kernels):
    engine = engine_of(kernels)
    refused = [b"foo.bar %d 1" % (NOW + 61), b"c^x^y 5 1", b"agg.x 1325394000 10 34 5 2 3", b"  foo.bar  5 1"]
    feed(engine, b"".join(line + b"\nfoo.bar 1325394000 1\n" for line in refused))
    codes = TWIN.lines.CODES
    assert list(engine.take_leftovers()) == list(zip(
        [codes[name] for name in ("FROM_FUTURE", "FROM_PAST", "REJECTED", "FROM_PAST")], refused, strict=True))
    tally = engine.tally()
    assert (tally["from_future"], tally["from_past"], tally["rejected"]) == (1, 3, 1)
    assert (tally["lines"], tally["samples"]) == (8, 4), "they could be read"
    assert engine.take_untold() == {}


def test_an_event_may_refuse_what_a_gauge_of_the_same_line_takes(kernels):
    engine = engine_of(kernels)
    feed(engine, b"c^x^y %d 1\n" % (NOW + 30))
    assert list(engine.take_leftovers()) == [(TWIN.lines.CODES["FROM_FUTURE"], b"c^x^y %d 1" % (NOW + 30))]
    assert (engine.tally()["from_future"], engine.tally()["samples"], engine.tally()["journalled"]) == (1, 1, 1)


def test_of_many_bad_lines_some_are_kept_and_the_others_counted(kernels):
    engine = engine_of(kernels)
    feed(engine, b"x\n" * 30 + b"foo.bar 5 1\n" * 10 + b"x\n" * 3 + b"new 1\n")
    codes = TWIN.lines.CODES
    left = [code for code, _line in engine.take_leftovers()]
    assert left == [codes["BAD_FIELDS"]] * 30 + [codes["FROM_PAST"]] * 2 + [codes["UNKNOWN"]]
    assert engine.take_untold() == {codes["FROM_PAST"]: 8, codes["BAD_FIELDS"]: 3}
    assert engine.take_untold() == {}
    feed(engine, b"x\n")
    assert len(engine.take_leftovers()) == 1


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
    assert ours.take_untold() == twin.take_untold()


def test_the_greatest_id_is_refused_not_wrapped_to_0(native):
    head = native.head.Head(10)
    with pytest.raises(MemoryError):
        head.add(0xFFFFFFFF, False, 10, 1, 1.0, 0.0, 1.0, 1.0)


def test_memory_does_not_grow_from_cut_to_cut(kernels):
    engine = engine_of(kernels)
    held = []
    for _ in range(60):
        feed(engine, b"foo.bar 5\nfoo.bar %d 6\n" % (NOW - 10))
        engine.freeze()
        engine.take_journal()
        held.append(engine.memory())
    assert max(held[1:]) == held[1]


TIMES = st.sampled_from([None, NOW, NOW + 10, NOW + 11, NOW + 60, NOW + 61, NOW - 864000, NOW - 864001,
                         NOW - 32313601, 0, -5])
VALUES = st.sampled_from([(1, 5.0, 5.0, 5.0), (3, 10.0, 2.0, 5.0), (0, 1.0, 1.0, 1.0), (3, 60.0, 1.0, 3.0),
                          (1, 2.0, 5.0, 1.0)])


def two_policies(build):
    engine = engine_of(build)
    engine.add_policy(9, [60, 3600])
    engine.set_limits(NOW, NOW + 60, NOW + 60, [NOW - 7200, NOW - 90000], 9)
    engine.add_counter(b"short", False, 9)
    engine.add_counter(b"short.events", True, 9)
    return engine


def test_what_a_sample_would_be_refused_as_is_known_before_there_is_a_counter(kernels):
    engine = two_policies(kernels)
    gauge, event, other = (False, None), (True, None), (False, 9)
    one = (1, 5.0, 5.0, 5.0)
    assert engine.foresee((None, *one), 0, [gauge, event, other]) == ["", "", ""]
    assert engine.foresee((NOW + 61, *one), 0, [gauge, other]) == ["from_future", "from_future"]
    assert engine.foresee((NOW + 11, *one), 0, [gauge, event]) == ["", "from_future"]
    assert engine.foresee((NOW - 90001, *one), 0, [gauge, other]) == ["", "from_past"]
    assert engine.foresee((NOW, 3, 60.0, 1.0, 3.0), 0, [gauge, event]) == ["rejected", ""]
    assert engine.foresee((NOW, *one), 301, [gauge, other]) == ["too_coarse", ""]
    assert engine.foresee((NOW, *one), 0, []) == []
    assert engine.tally() == two_policies(kernels).tally()
    with pytest.raises(KeyError):
        engine.foresee((NOW, *one), 0, [(False, 77)])


@given(TIMES, VALUES, st.sampled_from([0, 10, 60, 300, 301, 4000]), st.sampled_from([0, 1, 5, 6]))
def test_what_is_foreseen_is_what_happens(native, time, values, interval, id):
    foreseen = []
    for build in (native, TWIN):
        engine = two_policies(build)
        engine.add_route(b"one", (id,))
        (kind,) = engine.foresee((time, *values), interval, [(engine.is_event(id), engine.policy(id))])
        foreseen.append(kind)
        count, total, low, high = values
        made = build.columns.Columns.from_rows([(NOW if time is None else time, count, total, 0.0, low, high)])
        assert engine.feed_rows([b"one"], made, interval) == []
        happened = {name for name, count in engine.tally().items() if count}
        assert happened == ({kind} if kind else {"samples", "journalled"})
    assert foreseen[0] == foreseen[1]


def test_a_bad_line_is_bad_whether_its_name_is_known_or_not(kernels):
    engine = engine_of(kernels)
    engine.refuse_nan = True
    feed(engine, b"foo.bar nan\nnew nan\nnew inf\n")
    assert [code for code, _line in engine.take_leftovers()] == [TWIN.lines.CODES["NOT_FINITE"]] * 3
    assert (engine.tally()["not_finite"], engine.tally()["unknown"]) == (3, 0)


def test_times_with_a_fraction_are_cut_by_the_quick_way_too(kernels):
    engine = engine_of(kernels)
    feed(engine, b"foo.bar 1325393999.99999 1\nfoo.bar 1325394000.9 2\nfoo.bar 1325394009.9999999999 3\n")
    assert [row[:3] for row in rows(engine, 0)] == [(1325393990, 1, 1.0), (1325394000, 2, 5.0)]


def test_some_lines_tell_whether_there_are_new_names(kernels):
    engine = engine_of(kernels)
    known, new = b"foo.bar 1\n" * 50, b"".join(b"new.%d 1\n" % i for i in range(50))
    before = engine.tally()
    for seed in (0, 5, (1 << 64) - 1):
        assert engine.new_among(known, 20, seed) == 0
        assert engine.new_among(new, 20, seed) == 20
        assert 10 < engine.new_among(known + new, 100, seed) < 90
        assert engine.new_among(b" foo\n\n", 9, seed) == engine.new_among(b"", 9, seed) == 0
        assert engine.new_among(new, 0, seed) == 0
    assert engine.tally() == before and engine.take_leftovers() in ((), [])


@given(text=st.lists(LINES, max_size=30).map(b"".join) | st.binary(max_size=60), seed=st.integers(0, (1 << 64) - 1))
def test_both_builds_look_at_the_same_lines(native, text, seed):
    assert engine_of(TWIN).new_among(text, 12, seed) == engine_of(native).new_among(text, 12, seed)
