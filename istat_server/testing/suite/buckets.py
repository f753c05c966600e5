"""What buckets samples become, at every level: the arithmetic that all stores have in common."""

from __future__ import annotations

import math
import random

import pytest

from istat.buckets import Bucket
from istat_server.store.interface import Capability, Question
from istat_server.testing.suite.opened import LADDER, NOW, Opened, T, close_to


class Buckets:
    """Final rows of levels."""

    def test_gauges_at_every_level(self, opened: Opened) -> None:
        opened.feed(f"g {T} 5\ng {T + 2} 7.25\ng {T + 30} 1000\n")
        for _ in range(2):
            close_to(opened.one("g", 0, T, T + 60), [(T, Bucket.of(5, 7.25)), (T + 30, Bucket.of(1000))])
            close_to(opened.one("g", 1, T, T + 300), [(T, Bucket.of(5, 7.25, 1000))])
            close_to(opened.one("g", 2, T - 3600, T + 3600), [(T, Bucket.of(5, 7.25, 1000))])
            opened.rest()

    def test_events_at_every_level(self, opened: Opened) -> None:
        opened.feed("".join(f"*e {T + k} 10\n" for k in (0, 1, 2)))
        opened.feed("".join(f"*e {T + k} 100\n" for k in (60, 120, 180)))
        rates = Bucket.of(3, 10, 10, 10)
        for _ in range(2):
            close_to(
                opened.one("e", 0, T, T + 300),
                [(T + k, Bucket.of(rate)) for k, rate in ((0, 3), (60, 10), (120, 10), (180, 10))],
            )
            close_to(opened.one("e", 1, T, T + 300), [(T, rates.merge(Bucket(26)))])
            close_to(opened.one("e", 2, T, T + 3600), [(T, rates.merge(Bucket(356)))])
            opened.rest()

    def test_the_range_is_half_open(self, opened: Opened) -> None:
        opened.feed(f"g {T} 1\ng {T + 10} 2\ng {T + 20} 3\n")
        assert [row[0] for row in opened.one("g", 0, T + 10, T + 20)] == [T + 10]
        assert opened.one("g", 0, T + 30, T + 40) == []
        assert opened.one("g", 0, T + 10, T + 10) == []

    def test_late_and_repeated_samples_merge(self, opened: Opened) -> None:
        opened.feed(f"g {T + 300} 1\ng {T} 2\ng {T + 300} 3\n*e {T + 300} 10\n*e {T} 20\n")
        opened.rest()
        opened.feed(f"g {T} 4\ng {T + 600} 5\ng {T + 305} 9\n*e {T + 300} 30\n")
        for _ in range(2):
            close_to(
                opened.one("g", 0, T, T + 900),
                [(T, Bucket.of(2, 4)), (T + 300, Bucket.of(1, 3, 9)), (T + 600, Bucket.of(5))],
            )
            close_to(opened.one("e", 0, T, T + 900), [(T, Bucket.of(2)), (T + 300, Bucket.of(4))])
            close_to(opened.one("g", 2, T, T + 3600), [(T, Bucket.of(2, 4, 1, 3, 9, 5))])
            opened.rest()

    def test_samples_too_old_for_the_finest_level_go_to_a_coarser_one(self, opened: Opened) -> None:
        old, older = T - 3 * 86400, T - 20 * 86400
        opened.feed(f"g {old + 7} 1\ng {old + 290} 3\ng {older + 5} 9\n*e {old + 7} 300\n")
        for _ in range(2):
            assert opened.one("g", 0, T - 86400, T + 60) == []
            close_to(opened.one("g", 1, old - old % 300, old - old % 300 + 300), [(old, Bucket.of(1, 3))])
            close_to(opened.one("g", 2, older, older + 3600), [(older, Bucket.of(9))])
            coarse = opened.one("e", 1, old, old + 300)
            assert [(row[0], row[1]) for row in coarse] == [(old, 30)]
            assert coarse[0][2] == pytest.approx(30)
            opened.rest()

    def test_coarser_levels_hold_what_came_directly_to_finer_ones(self, opened: Opened) -> None:
        old = T - 3 * 86400
        opened.feed(f"g {old + 7} 1\ng {old + 310} 3\n")
        for _ in range(2):
            close_to(opened.one("g", 2, old, old + 3600), [(old, Bucket.of(1, 3))])
            opened.rest()

    def test_samples_outside_all_time_are_refused(self, opened: Opened) -> None:
        now = NOW
        opened.feed(f"g {now + 61} 1\n*e {now + 11} 1\ng {T - 200 * 86400} 1\n")
        opened.feed(f"g {now + 60} 2\n*e {now + 10} 20\n")
        close_to(opened.one("g", 0, T, now + 600), [(now + 60, Bucket.of(2))])
        close_to(opened.one("e", 0, T, now + 600), [(now + 10, Bucket.of(2))])
        assert opened.one("g", 2, T - 210 * 86400 - T % 3600, T) == []

    def test_samples_without_a_time_are_of_now(self, opened: Opened) -> None:
        opened.feed("g 5\n")
        close_to(opened.one("g", 0, T, T + 7200), [(T + 3600, Bucket.of(5))])

    def test_pre_aggregated_samples(self, opened: Opened) -> None:
        opened.feed(f"g {T} 12.25 77.5625 5 7.25 2\n*e {T} 30 1 2 3 4\n")
        opened.feed(f"g {T} 12 100 50 70 2\ng {T} 12 100 1 2 0\n")  # an average below min; no samples
        opened.feed(f"g {T} 10\n")
        close_to(opened.one("g", 0, T, T + 10), [(T, Bucket.of(5, 7.25, 10))])
        close_to(opened.one("e", 0, T, T + 10), [(T, Bucket.of(3))])

    def test_several_counters_in_the_order_asked(self, opened: Opened) -> None:
        opened.feed(f"a {T} 1\nb {T} 2\nc {T} 3\n")
        question = Question(opened.ids("c", "a", "b"), T, T + 10, 0)
        for _ in range(2):
            assert [answer.rows.row(0)[2] for answer in opened.store.read(question)] == [3, 1, 2]
            opened.rest()

    def test_the_first_rule_that_fits_gives_a_counter_its_levels(self, opened: Opened) -> None:
        opened.wants(Capability.RULES)
        opened.feed(f"db.a.fast {T} 1\nweb.fast {T} 1\nweb {T} 1\nDB/x {T} 1\n")
        found = {}
        for name in ("db.a.fast", "web.fast", "web", "db_x"):
            counter = opened.store.find(name.encode())
            assert counter is not None
            found[name] = opened.store.ladder_of(counter.id).text
        assert found == {"db.a.fast": "1m:10d,1h:20d", "web.fast": "1s:1h,1m:1d", "web": LADDER.text,
                         "db_x": LADDER.text}
        assert opened.store.ladder == LADDER

    def test_every_counter_is_bucketed_by_its_own_levels(self, opened: Opened) -> None:
        opened.wants(Capability.RULES)
        lines = "".join(f"{name} {T + k} {v}\n" for k, v in ((0, 6), (7, 60), (61, 600)) for name in
                        ("g", "db.g", "g.fast", "*e", "*db.e", "*e.fast", "g^x.fast^db^"))
        opened.feed(lines)
        for _ in range(2):
            close_to(opened.one("db.g", 0, T, T + 120), [(T, Bucket.of(6, 60)), (T + 60, Bucket.of(600))])
            close_to(opened.one("db.e", 0, T, T + 120), [(T, Bucket.of(1.1)), (T + 60, Bucket.of(10))])
            close_to(opened.one("g.fast", 0, T, T + 9), [(T, Bucket.of(6)), (T + 7, Bucket.of(60))])
            close_to(opened.one("e.fast", 0, T, T + 9), [(T, Bucket.of(6)), (T + 7, Bucket.of(60))])
            close_to(opened.one("g.x.fast", 0, T, T + 9), [(T, Bucket.of(6)), (T + 7, Bucket.of(60))])
            close_to(opened.one("g.fast", 1, T, T + 60), [(T, Bucket.of(6, 60))])
            close_to(opened.one("db.g", 1, T, T + 3600), [(T, Bucket.of(6, 60, 600))])
            rates = opened.one("db.e", 1, T, T + 3600)
            assert [(row[0], row[1]) for row in rates] == [(T, 60)] and rates[0][2] == pytest.approx(11.1)
            close_to(opened.one("g", 0, T, T + 20), [(T, Bucket.of(6, 60, 6, 60))])
            opened.rest()

    def test_how_old_and_how_new_samples_may_be_is_by_their_own_levels(self, opened: Opened) -> None:
        opened.wants(Capability.RULES)
        now = NOW
        for name in ("g", "db.g", "g.fast"):
            opened.feed("".join(f"{name} {now - age} 1\n" for age in (1800, 7200, 2 * 86400, 15 * 86400, 50 * 86400)))
            opened.feed(f"*{name}.e {now + 11} 10\n".replace("g.fast.e", "e.fast"))
        counts = {}
        for name, levels in (("g", 3), ("db.g", 2), ("g.fast", 2)):
            counts[name] = [sum(row[1] for row in opened.one(name, level, 0, now + 86400)) for level in range(levels)]
        assert counts == {"g": [2, 3, 5], "db.g": [3, 4], "g.fast": [1, 2]}
        assert opened.matching("*e*") & {"g.e", "db.g.e", "e.fast"} == {"db.g.e"}
        assert opened.one("db.g.e", 0, now, now + 60)

    def test_an_answer_belongs_to_the_caller(self, opened: Opened) -> None:
        opened.feed(f"a {T} 1\n")
        ((_level, rows),) = opened.store.read(Question(opened.ids("a"), T, T + 10, 0))
        rows.append(0, 1, 0, 0, 0, 0)
        opened.feed(f"a {T} 5\n")
        assert len(rows) == 2
        close_to(opened.one("a", 0, T, T + 10), [(T, Bucket.of(1, 5))])

    def test_a_random_stream_gives_the_buckets_of_plain_arithmetic(self, opened: Opened) -> None:
        chance = random.Random(7)
        gauges: dict[int, list[float]] = {}
        totals: dict[int, float] = {}
        for _ in range(12):
            lines = []
            for _ in range(40):
                time, value = T + chance.randrange(3600), round(chance.uniform(-50, 50), 2)
                lines.append(f"g {time} {value}\n*e {time} {abs(value)}\n")
                start = time - time % 10
                gauges.setdefault(start, []).append(value)
                totals[start] = totals.get(start, 0.0) + abs(value)
            opened.feed("".join(lines))
            if chance.random() < 0.4:
                opened.rest()
        fine = [(start, Bucket.of(*found)) for start, found in sorted(gauges.items())]
        close_to(opened.one("g", 0, T, T + 3600), fine)
        for level, interval in ((1, 300), (2, 3600)):
            groups: dict[int, Bucket] = {}
            for start, bucket in fine:
                at = start - start % interval
                groups[at] = groups.get(at, Bucket()).merge(bucket)
            close_to(opened.one("g", level, T, T + 3600), sorted(groups.items()))
        rows = opened.one("e", 2, T, T + 3600)
        assert rows[0][1] == 360
        assert rows[0][2] * 10 == pytest.approx(math.fsum(totals.values()))
        assert rows[0][5] == pytest.approx(max(totals.values()) / 10)
