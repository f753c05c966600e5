"""A store under test: what the suite wants to have, and short ways to ask. Knows the interface only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from istat.buckets import Bucket
from istat.clock import FakeClock
from istat.retention import Ladder, Rule, Rules
from istat_server.store.interface import (
    Accepted,
    Batch,
    Capability,
    Fields,
    Id,
    Mark,
    NamePattern,
    Question,
    Store,
    Syntax,
)

T = 1325394000  # aligned to an hour
NOW = T + 3600  # where the clock of a store under test stands
LADDER = Ladder.parse("10s:1d,5m:10d,1h:100d")
RULES = Rules(LADDER, (Rule.parse("db.** = 1m:10d,1h:20d"), Rule.parse("*.fast = 1s:1h,1m:1d")))


def nothing() -> None:
    """No rest to bring anything to."""


@dataclass
class Opened:
    """A store with RULES (LADDER where it has no rules) whose clock stands at NOW.

    `rest` brings all that it holds to where it stays (a flush, a compaction), after which all answers must be the same;
    it is called several times.
    """

    store: Store
    clock: FakeClock
    rest: Callable[[], None] = nothing

    def wants(self, capability: Capability) -> None:
        """Skip the test when the store cannot do this."""
        if capability not in self.store.capabilities:
            pytest.skip(f"this store does not have the capability {capability.value!r}")

    def feed(self, text: str) -> Accepted:
        """Lines, all of them whole."""
        data = text.encode()
        self.store.tick()       # it looks at its clock
        accepted = self.store.accept(memoryview(data), 0, len(data))
        assert accepted.used == len(data)
        return accepted

    def batch(self, *rows: tuple[str, int, Bucket], interval: int = 0, mark: Mark | None = None) -> Accepted:
        """Rows of (wire name, time, bucket)."""
        buckets = [bucket for _name, _time, bucket in rows]
        fields = Fields([one.count for one in buckets], [one.sum for one in buckets], [one.m2 for one in buckets],
                        [one.min for one in buckets], [one.max for one in buckets])
        self.store.tick()
        accepted = self.store.accept_batch(
            Batch([name.encode() for name, _time, _bucket in rows], [row[1] for row in rows], fields, interval, mark))
        assert accepted.used == len(rows)
        return accepted

    def id(self, name: str) -> Id:
        """Of the counter of this name."""
        counter = self.store.find(name.encode())
        assert counter is not None, name
        return counter.id

    def ids(self, *names: str) -> list[Id]:
        """Of these counters."""
        return [self.id(name) for name in names]

    def one(self, name: str, level: int, start: int, end: int) -> list[tuple[Any, ...]]:
        """The rows of one counter, of this level and no other."""
        (answer,) = self.store.read(Question([self.id(name)], start, end, level, exact=True))
        assert answer.level == level
        return answer.rows.rows()

    def matching(self, text: str, syntax: Syntax = Syntax.GLOB) -> set[str]:
        """The names that fit, which are few."""
        page = self.store.match(NamePattern(syntax, text.encode()), 1000)
        assert not page.token
        return {counter.name for counter in page.items}


def close_to(rows: Sequence[tuple[Any, ...]], wanted: list[tuple[int, Bucket]]) -> None:
    """Times, counts, min and max are exact; sums and M2 within the bound that the store documents."""
    assert [(row[0], row[1], row[4], row[5]) for row in rows] == [(t, b.count, b.min, b.max) for t, b in wanted]
    for row, (_, bucket) in zip(rows, wanted, strict=True):
        assert row[2] == pytest.approx(bucket.sum, rel=1e-12, abs=1e-9)
        assert row[3] == pytest.approx(bucket.m2, rel=1e-6, abs=1e-9 * (1 + bucket.sumsq))
