"""What any store must do for queries: the contract that `query` and `http` are written against.

Knows no files, no sockets and no engine. `tests/store/test_contract.py` runs against every implementation.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from istat.retention import Ladder

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns


class Kind(enum.Enum):
    """How a counter's samples are to be read; fixed when the counter is first seen."""

    GAUGE = "gauge"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Counter:
    """One counter. `name` is the stored (munged) name, ASCII; `id` is dense and never reused."""

    id: int
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Deleted:
    """A counter that was deleted: when, Unix seconds (or a little more: no two deletes have one number), and why that
    cannot be undone; an empty `problem`: it can."""

    counter: Counter
    number: int
    problem: str


@dataclass(frozen=True, slots=True)
class Child:
    """One component below a prefix: its full name, its counter if it has data, whether names go on below."""

    label: str
    name: str
    counter: Counter | None
    branches: bool


class Store(Protocol):
    """A store as queries see it. Names are bytes on the way in; limits are at least 1."""

    @property
    def ladder(self) -> Ladder:
        """The retention levels, finest first, of counters that no rule is for."""

    def ladder_of(self, id: int) -> Ladder:
        """The retention levels of one counter. IndexError or KeyError when there is none."""

    def may_miss(self, id: int, level: int, start: int, end: int) -> bool:
        """Whether coarser levels may have buckets of counters with this one's levels at times where this level has
        none, as after an import or a change of retention. Cheap, so that all else costs nothing."""

    def find(self, name: bytes) -> Counter | None:
        """The counter of this name in any spelling (a leading `*` is dropped, the rest munged)."""

    def counter(self, id: int) -> Counter:
        """The counter of an id. IndexError or KeyError when there is none."""

    def count(self) -> int:
        """How many counters there are."""

    def match(self, pattern: bytes, limit: int, after: int = -1, regex: bool = False) -> list[Counter]:
        """At most `limit` counters with ids above `after` whose whole name fits, by id.

        `*` is any run of characters, `?` any run of characters but dots. `regex`: names in which a regular expression
        (istat/patterns/regex.py) is found instead. Long lists are asked for in pages. BadQuery for what is too much.
        """

    def search(self, words: list[bytes], limit: int) -> list[Counter]:
        """At most `limit` counters whose name holds all the words, shorter names first, then by name."""

    def children(self, prefix: bytes) -> list[Child]:
        """The components that follow a dotted prefix, by label; the empty prefix gives the first ones."""

    def select(self, ids: Sequence[int], level: int, start: int, end: int) -> list[Columns]:
        """Per id the final buckets of a level with start <= time < end, in order of time.

        All these counters have the same levels; `start` and `end` are multiples of the level's interval.
        Gaps are absent. Event rows are rates per second: count 1 at the finest level, interval / finest
        interval above. What was acknowledged is included. Blocks the greenlet, not the hub. The result is
        the caller's: no one else changes it.
        """

    def delete(self, ids: Sequence[int]) -> int:
        """Delete counters: nobody finds them any more; how many were there. Blocks the greenlet until it is written.

        A sample of such a name makes a new counter.
        """

    def undelete(self, ids: Sequence[int]) -> list[Deleted]:
        """Let deleted counters be found again; gives those that cannot be. Blocks the greenlet."""

    def deleted(self, pattern: bytes, limit: int) -> list[Deleted]:
        """Deleted counters that fit a pattern as in `match`, the last deleted first; without those gone for good.

        Blocks the greenlet.
        """

    def deleted_called(self, names: Collection[bytes]) -> list[Deleted]:
        """The last deleted counter of each of these (stored) names, where there is one. Blocks the greenlet."""

    def rename(self, pairs: Sequence[tuple[int, bytes]]) -> None:
        """Give counters other (stored) names, all or none. BadQuery (409) when one is taken or cannot be.

        A sample of the old name makes a new counter. Blocks the greenlet until it is written.
        """

    def rename_problems(self, pairs: Sequence[tuple[int, bytes]]) -> Iterator[str]:
        """A sentence for each thing that `rename` would refuse."""

    def confirm_clock(self) -> str:
        """An operator's word that the clock is right: what is old by it may go. What was doubted, or ""."""

    def status(self) -> dict[str, object]:
        """Figures about the store, for `/api/v1/status`: whatever JSON can hold."""
