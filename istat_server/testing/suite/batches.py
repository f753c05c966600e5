"""Batches of pre-aggregated rows: to which level they go, what is refused, and that a retry counts once."""

from __future__ import annotations

import math

import pytest

from istat.buckets import Bucket
from istat_server.store.interface import Batch, Capability, Fields, Mark, Question
from istat_server.testing.suite.opened import NOW, Opened, T, close_to


class Batches:
    """What a batch becomes."""

    def test_plain_rows_are_as_lines(self, opened: Opened) -> None:
        opened.batch(("g", T, Bucket.of(5, 7)), ("*e", T + 3, Bucket.of(10)), ("x^a^b", T, Bucket.of(1)))
        opened.feed(f"g {T + 1} 10\n*e {T} 20\n")
        for _ in range(2):
            close_to(opened.one("g", 0, T, T + 10), [(T, Bucket.of(5, 7, 10))])
            close_to(opened.one("e", 0, T, T + 10), [(T, Bucket.of(3))])
            close_to(opened.one("x.b", 0, T, T + 10), [(T, Bucket.of(1))])
            opened.rest()
        assert opened.store.totals().samples == 6

    @pytest.mark.parametrize(("interval", "level"), [(1, 0), (10, 0), (11, 1), (300, 1), (301, 2), (3600, 2)])
    def test_rows_go_to_the_finest_level_that_is_no_finer(self, opened: Opened, interval: int, level: int) -> None:
        opened.batch(("g", T + 20, Bucket.of(1, 3)), ("*e", T + 20, Bucket(1, 3600, 0, 3600, 3600)), interval=interval)
        for _ in range(2):
            for at, step in enumerate((10, 300, 3600)):
                rows, rates = (opened.one(name, at, T, T + step * 3) for name in ("g", "e"))
                if at < level:
                    assert rows == [] == rates
                    continue
                start = T + 20 - (T + 20) % step
                close_to(rows, [(start, Bucket.of(1, 3))])
                assert [(row[0], row[1]) for row in rates] == [(start, step // 10)]
                assert rates[0][2] == pytest.approx(360)
            opened.rest()

    def test_a_coarse_row_is_answered_by_a_coarse_level(self, opened: Opened) -> None:
        opened.batch(("g", T, Bucket.of(1, 3)), interval=300)
        for _ in range(2):
            ((level, rows),) = opened.store.read(Question(opened.ids("g"), T, T + 300, 0))
            assert level == 1
            close_to(rows.rows(), [(T, Bucket.of(1, 3))])
            opened.rest()

    def test_refused_rows_make_no_counters(self, opened: Opened) -> None:
        one = Bucket.of(1)
        opened.batch(("old", 5, one), ("soon", NOW + 61, one), ("odd", T, Bucket(2, 100, 0, 1, 2)),
                     ("nan", T, Bucket(1, math.nan, 0, 1, 1)), ("less", T, Bucket(-1, 1, 0, 1, 1)), ("old", 7, one))
        assert opened.store.count() == 0
        opened.batch(("wide", T, Bucket.of(1)), interval=3601)
        assert opened.store.count() == 0
        refused = {kind: count for kind, count in opened.store.totals().refused.items() if count}
        assert refused == {"from_past": 2, "from_future": 1, "rejected": 1, "not_finite": 1, "bad_number": 1,
                           "too_coarse": 1}
        opened.batch(("old", 5, Bucket.of(1)), ("old", T, Bucket.of(2)), ("x^fast^slow", NOW - 86401, Bucket.of(1)),
                     ("x^fast^slow", NOW - 86401, Bucket.of(1)))
        assert opened.matching("*") >= {"old", "x.slow"}
        close_to(opened.one("old", 0, T, T + 10), [(T, Bucket.of(2))])
        assert opened.store.totals().refused["from_past"] in (3, 5)     # with rules, x.fast refuses two

    def test_bad_rows_are_refused_one_by_one(self, opened: Opened) -> None:
        accepted = opened.batch(
            ("g", T, Bucket.of(1)), ("*", T, Bucket.of(1)), ("g", NOW + 61, Bucket.of(1)), ("g", 1, Bucket.of(1)),
            ("g", T, Bucket(2, 5.0, 0.0, 10.0, 20.0)), ("n" * 1001, T, Bucket.of(1)))
        refused = opened.store.totals().refused
        for kind in ("no_name", "from_future", "from_past", "rejected", "name_too_long"):
            assert refused[kind] == 1, kind
        assert {"no_name", "name_too_long"} <= {left.kind for left in accepted.left}
        opened.batch(("g", T, Bucket.of(1)), interval=7200)
        assert opened.store.totals().refused["too_coarse"] == 1
        accepted = opened.batch(("g", T, Bucket(1, math.nan, 0.0, 1.0, 1.0)), ("g", T, Bucket(-1, 1.0, 0.0, 1.0, 1.0)),
                                ("g", T, Bucket(0, 0.0, 0.0, math.inf, -math.inf)))
        assert sorted(left.kind for left in accepted.left) == ["bad_number", "not_finite", "not_finite"]
        close_to(opened.one("g", 0, T, T + 10), [(T, Bucket.of(1))])

    def test_columns_of_several_lengths_are_no_batch(self, opened: Opened) -> None:
        with pytest.raises(ValueError):
            opened.store.accept_batch(Batch([b"g"], [T, T], Fields([1], [1.0], [0.0], [1.0], [1.0])))

    def test_a_batch_that_is_sent_again_counts_once(self, opened: Opened) -> None:
        opened.wants(Capability.BATCH_MARKS)
        row = ("g", T, Bucket.of(1))
        for mark in (Mark(b"a", 1, 5), Mark(b"a", 1, 5), Mark(b"a", 1, 4), Mark(b"a", 1, 6), Mark(b"a", 2, 1),
                     Mark(b"b", 1, 1), Mark(b"b", 1, 1)):
            opened.batch(row, mark=mark)
            opened.rest()
        opened.batch(row)
        opened.batch(row)
        close_to(opened.one("g", 0, T, T + 10), [(T, Bucket.of(*[1.0] * 6))])
