"""Lines come in: what is taken, what is left to be told, what is counted; and which level answers for late ones."""

from __future__ import annotations

import pytest

from istat.buckets import Bucket
from istat_server.store.interface import METADATA, Capability, Function, Kind, Left, Question
from istat_server.testing.suite.opened import NOW, Opened, T, close_to


class Lines:
    """What a store takes."""

    def test_whole_lines_are_taken_of_the_span_that_is_named(self, opened: Opened) -> None:
        text = memoryview(f"before {T} 1\na {T} 1\nb {T} 2\nafter {T} 3\n".encode())
        first, second = f"before {T} 1\n", f"a {T} 1\nb {T} 2"
        accepted = opened.store.accept(text, len(first), len(first) + len(second))
        assert (accepted.used, list(accepted.left)) == (len(f"a {T} 1\n"), [])
        assert opened.matching("*") == {"a"}
        assert opened.store.accept(text, 3, 3).used == 0

    def test_what_a_sender_should_hear_of_is_left(self, opened: Opened) -> None:
        accepted = opened.feed(f"#host web1\na\na b\na inf\n@a 1\n* 1\n^ 1\na {T} 1\n\n" + "n" * 1001 + " 1\n")
        assert set(accepted.left) == {
            Left(METADATA, b"#host web1"), Left("bad_fields", b"a"), Left("bad_number", b"a b"),
            Left("not_finite", b"a inf"), Left("reserved", b"@a 1"), Left("no_name", b"* 1"), Left("no_name", b"^ 1"),
            Left("name_too_long", b"n" * 1001 + b" 1")}

    def test_a_line_whose_sample_is_refused_is_left_once(self, opened: Opened) -> None:
        opened.feed(f"g {T} 1\nh^x^y {T} 1\n")
        old = NOW - 20 * 365 * 86400
        lines = [f"g {NOW + 3600} 1", f"h^x^y {old} 1", f"g {T} 12 100 50 70 2"]
        accepted = opened.feed("".join(f"{line}\n" for line in [*lines, f"g {T} 2"]))
        assert list(accepted.left) == [Left(kind, line.encode()) for kind, line in zip(
            ("from_future", "from_past", "rejected"), lines, strict=True)]
        assert opened.store.totals().refused["from_past"] == 2, "two counters refused it"

    def test_what_is_left_counts_every_line(self, opened: Opened) -> None:
        opened.feed(f"g {T} 1\n")
        accepted = opened.feed("a\n" * 500 + f"g {NOW + 3600} 1\n" * 70)
        assert len(accepted.left) < 100
        counts = {kind: sum(left.times for left in accepted.left if left.kind == kind)
                  for kind in ("bad_fields", "from_future")}
        assert counts == {"bad_fields": 500, "from_future": 70}

    def test_every_refusal_is_counted(self, opened: Opened) -> None:
        opened.feed(f"a\na b\na inf\n@a 1\n* 1\n^ 1\n*^ {T} 1\ng {NOW + 61} 1\ng 5 1\ng {T} 12 100 50 70 2\n")
        opened.feed("a\n" * 500)
        refused = {kind: count for kind, count in opened.store.totals().refused.items() if count}
        assert refused == {"bad_fields": 501, "bad_number": 1, "not_finite": 1, "reserved": 1, "no_name": 3,
                           "from_future": 1, "from_past": 1, "rejected": 1}

    def test_a_refused_sample_makes_no_counter(self, opened: Opened) -> None:
        day, hour = NOW - 86400 * 30, NOW - 3601
        opened.feed(f"ms {NOW * 1000} 1\nold 0 5\norder 5 {NOW}\nimpossible {NOW} 60 14 1 3 3\n*soon {NOW + 11} 1\n"
                    f"squares {NOW} 1 inf 1 1 2\n*old^a^b 5 1\nnothing {NOW} 1 1 1 1 0\n"
                    f"slow.fast {day - 86400 * 80} 1\n")
        assert opened.store.count() == 0 and opened.matching("*") == set()
        refused = {kind: count for kind, count in opened.store.totals().refused.items() if count}
        assert refused == {"from_future": 2, "from_past": 5, "rejected": 2, "not_finite": 1}
        assert opened.store.totals().samples == 0
        opened.feed(f"old 0 5\nold {hour} 5\n*soon {NOW} 1\n")     # known by the second, as if it had been the first
        assert opened.matching("*") == {"old", "soon"}

    def test_of_a_caret_name_only_counters_that_take_the_sample_are_made(self, opened: Opened) -> None:
        opened.wants(Capability.RULES)
        opened.feed(f"x^fast^slow {NOW - 86401} 1\n*e^fast^slow {NOW + 5} 2\n")
        assert opened.matching("*") == {"x.slow", "e.slow"}
        opened.feed(f"x^fast^slow {NOW} 3\n*e^fast^slow {NOW - 1} 4\n")
        assert opened.matching("*") == {"x.slow", "x.fast", "e.slow", "e.fast"}
        for _ in range(2):
            assert sum(row[1] for row in opened.one("x.slow", 1, NOW - 90000, NOW + 300)) == 2
            assert opened.store.counter(opened.id("e.fast")).kind is Kind.EVENT
            opened.rest()

    def test_what_was_taken_is_counted(self, opened: Opened) -> None:
        opened.feed(f"a {T} 1\nb^x^y {T} 1\n*e {T} 1\nbad\n")
        totals = opened.store.totals()
        assert (totals.samples, totals.lines) == (4, 3)
        opened.feed("a 5 1\nnew 5 1\n")        # read, and refused
        assert opened.store.totals().lines == 5


class Answers:
    """Which level answers, and several counters as one."""

    def test_the_level_that_is_asked_for_answers_when_it_misses_nothing(self, opened: Opened) -> None:
        opened.feed(f"g {T + 3} 1\ng {T + 700} 2\n*e {T + 50} 10\n")
        for _ in range(2):
            for level, step in enumerate((10, 300, 3600)):
                answers = opened.store.read(Question(opened.ids("g", "e"), T + 1, T + 701, level))
                assert [answer.level for answer in answers] == [level, level]
                assert [row[0] for row in answers[0].rows.rows()] == sorted({T, T + 700 - 700 % step})
                assert answers[1].rows.row(0)[0] == T + 50 - 50 % step
            opened.rest()

    def test_late_samples_are_answered_by_the_level_that_has_them(self, opened: Opened) -> None:
        late = NOW - 3 * 86400 - NOW % 3600
        opened.feed(f"g {late + 7} 1\ng {late + 310} 3\n")
        for _ in range(2):
            ((level, rows),) = opened.store.read(Question(opened.ids("g"), late, late + 600, 0))
            assert level == 1
            close_to(rows.rows(), [(late, Bucket.of(1)), (late + 300, Bucket.of(3))])
            ((level, rows),) = opened.store.read(Question(opened.ids("g"), late, late + 600, 0, exact=True))
            assert (level, len(rows)) == (0, 0)
            opened.rest()

    def test_what_the_finest_level_keeps_no_more_is_answered_by_a_coarser_one(self, opened: Opened) -> None:
        opened.feed(f"g {T + 7} 1\n*e {T + 7} 10\n")
        opened.rest()
        for days, wanted in ((0, 0), (2, 1), (15, 2)):
            opened.clock.set(NOW + days * 86400)
            answers = opened.store.read(Question(opened.ids("g", "e"), T, T + 3600, 0))
            assert [answer.level for answer in answers] == [wanted, wanted]
            close_to(answers[0].rows.rows(), [(T, Bucket.of(1))])

    def test_gauges_are_combined_from_all_their_samples(self, opened: Opened) -> None:
        opened.feed(f"a {T} 1\na {T + 1} 2\nb {T} 30\nb {T + 10} 40\nc {T + 20} 7\n")
        a, b, c = opened.ids("a", "b", "c")
        for _ in range(2):
            for function in Function:
                question = Question([a, b, c], T, T + 30, 0)
                both, alone, none = opened.store.combine(question, [[a, b], [c], []], function)
                assert (both.level, alone.level, len(none.rows)) == (0, 0, 0)
                wanted = [(T, Bucket.of(1, 2, 30)), (T + 10, Bucket.of(40))]
                told = {"count": 1, "sum": 2, "min": 4, "max": 5}
                for field in function.fields:
                    for row, (time, bucket) in zip(both.rows.rows(), wanted, strict=True):
                        assert row[0] == time
                        assert row[told[field]] == pytest.approx(getattr(bucket, field))
                assert [row[0] for row in alone.rows.rows()] == [T + 20]
            opened.rest()

    def test_events_that_did_not_come_are_zeros_in_what_is_combined(self, opened: Opened) -> None:
        opened.feed(f"*a {T} 10\n*b {T} 20\n*b {T + 10} 50\n")
        ids = opened.ids("a", "b")
        for level, wanted in ((0, [(T, 2, 3.0, 1, 2), (T + 10, 2, 5.0, 0, 5)]), (1, [(T, 60, 8.0, 0, 5)])):
            for function in (Function.AVG, Function.MIN, Function.MAX, Function.SUM):
                (answer,) = opened.store.combine(Question(ids, T, T + 300, level), [ids], function)
                for row, (time, count, total, low, high) in zip(answer.rows.rows(), wanted, strict=True):
                    told = {"count": (row[1], count), "sum": (row[2], pytest.approx(total)), "min": (row[4], low),
                            "max": (row[5], high)}
                    assert row[0] == time
                    assert all(told[field][0] == told[field][1] for field in function.fields)

    def test_what_is_combined_is_of_one_level(self, opened: Opened) -> None:
        late = NOW - 3 * 86400 - NOW % 3600
        opened.feed(f"late {late + 7} 1\nlive {T} 3\n")
        ids = opened.ids("late", "live")
        start = late
        (answer, live) = opened.store.combine(Question(ids, start, T + 300, 0), [ids, ids[1:]], Function.AVG)
        assert (answer.level, live.level) == (1, 0)
        assert [row[:3] for row in answer.rows.rows()] == [(late, 1, 1.0), (T, 1, 3.0)]

    def test_a_group_has_counters_of_the_question(self, opened: Opened) -> None:
        opened.feed(f"a {T} 1\nb {T} 1\n")
        a, b = opened.ids("a", "b")
        with pytest.raises(ValueError):
            opened.store.combine(Question([a], T, T + 10, 0), [[a, b]], Function.SUM)
