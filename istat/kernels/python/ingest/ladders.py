"""Policies with their ladders: the heads of each level, and what times its samples may have: the specification.

The lowest floor of an engine. Knows no names, counters or records. The native build of the same name does the same.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from istat.kernels.python.columns import Columns
from istat.kernels.python.ingest.head import Frozen, Head

MOST_LEVELS = 16        # of one ladder
MOST_POLICIES = 64      # with heads at one time


class Ladder:
    """The levels of one policy, finest first: their heads, and the times that they take."""

    def __init__(self, policy: int, intervals: Sequence[int]) -> None:
        self.policy = policy
        self.heads = [Head(interval) for interval in intervals]
        self.oldest = [0] * len(intervals)
        self.newest_event = 0


class Ladders:
    """Heads by policy and level. `intervals` and `policy` are those of the default ladder, whose slot is 0."""

    def __init__(self, intervals: Sequence[int], key: int = 0, policy: int = 0) -> None:
        self.heads: list[Head] = []             # of all policies, in the order in which these were added
        self._ladders: list[Ladder] = []
        self._slots: dict[int, int] = {}        # number of a policy -> index in _ladders
        self._now = self._newest_gauge = 0
        self._today = 0                         # the day of `now`, since 1970
        self.add_policy(policy, intervals)

    def add_policy(self, number: int, intervals: Sequence[int]) -> None:
        """A ladder that counters may be given. ValueError when there are too many levels or ladders, or the
        number is taken."""
        if not 1 <= len(intervals) <= MOST_LEVELS:
            raise ValueError(f"an engine has 1 to {MOST_LEVELS} levels, not {len(intervals)}")
        if number in self._slots or len(self._ladders) == MOST_POLICIES:
            raise ValueError(f"there is no room for a policy {number}")
        self._slots[number] = len(self._ladders)
        self._ladders.append(Ladder(number, intervals))
        self.heads += self._ladders[-1].heads

    def alias_policy(self, number: int, heir: int) -> None:
        """Counters recorded with policy `number` are of policy `heir`, which exists. ValueError when `number` is
        taken."""
        if number in self._slots:
            raise ValueError(f"there is a policy {number}")
        self._slots[number] = self._slots[heir]

    def set_now(self, now: int) -> int:
        """The time of samples without one, from now on; what it was. What times are accepted stays as it is."""
        before, self._now = self._now, now
        return before

    def set_limits(self, now: int, newest_gauge: int, newest_event: int, oldest: Sequence[int],
                   policy: int | None = None) -> None:
        """The time of samples without one, and the times accepted: `oldest` per level, finest first [s].

        `newest_event` and `oldest` are of one policy (None: the default).
        """
        self._now, self._newest_gauge = now, newest_gauge
        self._today = min(max(now // 86400, 0), 0xFFFF)
        ladder = self._ladders[0 if policy is None else self._slots[policy]]
        ladder.newest_event = newest_event
        ladder.oldest = [max(time, 0) for time in oldest]

    def freeze(self) -> dict[int, list[Frozen | None]]:
        """By the number of a policy: [Frozen head or None] per level; the heads are empty afterwards."""
        return {ladder.policy: [head.freeze() for head in ladder.heads] for ladder in self._ladders}

    def collect(self, ids: Iterable[int], level: int, start: int, end: int, policy: int | None = None) -> list[Columns]:
        """[Columns] per id: partial rows in a policy's memory with start <= time < end, in order of arrival."""
        heads = self._ladders[0 if policy is None else self._slots[policy]].heads
        if not 0 <= level < len(heads):
            raise IndexError(f"policy {policy} has no level {level}")
        head = heads[level]
        found = []
        for id in ids:
            rows = Columns()
            head.collect(id, start, end, rows)
            found.append(rows)
        return found

    def memory(self) -> int:
        """Bytes held by rows."""
        return sum(head.memory() for head in self.heads)
