"""Tombstones: deleted counters in the order of their deletes, 12 bytes each, so that nobody has to look through all.

Knows ids and numbers of deletes; knows no names and opens no files. What they are for: `deletes`. Belongs to the hub.
"""
from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from istat_server.store.files.manifest import FileEntry


class Tombstones:
    """Ids by the number of their delete, ascending; several ids may have one number."""

    def __init__(self, deleted: Mapping[int, int]) -> None:
        """deleted: id -> number."""
        ordered = sorted(deleted.items(), key=lambda pair: pair[1])
        self.numbers = array("Q", (number for _id, number in ordered))
        self.ids = array("I", (id for id, _number in ordered))

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, number: int, ids: Collection[int]) -> None:
        """More of them. The number is not lower than any there."""
        self.ids.extend(ids)
        self.numbers.extend([number] * len(ids))

    def up_to(self, number: int) -> int:
        """How many have this number or a lower one; they come first."""
        return bisect_right(self.numbers, number)

    def drop_first(self, count: int) -> None:
        """Forget those that come first."""
        del self.ids[:count], self.numbers[:count]

    def remove(self, undone: Mapping[int, int]) -> None:
        """Forget these: id -> number."""
        at = 0
        ids, numbers = array("I"), array("Q")
        for begin in self._places(undone):
            ids += self.ids[at:begin]
            numbers += self.numbers[at:begin]
            at = begin + 1
        self.ids, self.numbers = ids + self.ids[at:], numbers + self.numbers[at:]

    def _places(self, undone: Mapping[int, int]) -> Iterable[int]:
        for number in sorted(set(undone.values())):
            group = range(bisect_left(self.numbers, number), bisect_right(self.numbers, number))
            yield from (at for at in group if self.ids[at] in undone)

    def newest_first(self, portion: int, behind: tuple[int, int] | None = None) -> Iterator[list[int]]:
        """All ids, the last deleted first, those of one delete ascending, about a portion at a time; those `behind` a
        number and an id only.

        Between two portions some may go and others come: what comes is not given.
        """
        end = len(self)
        if behind is not None:
            number, last = behind
            ids = self._ids_of(number)
            yield from _split(ids[bisect_right(ids, last):], portion)
            end = bisect_left(self.numbers, number)
        while end:
            number = self.numbers[max(0, end - portion)]
            newer = bisect_right(self.numbers, number)
            found = zip(self.numbers[newer:end], self.ids[newer:end], strict=True)
            ids = [id for _number, id in sorted(found, key=lambda pair: (-pair[0], pair[1]))]
            # A delete of a million counters comes in portions as well.
            yield from _split(ids + self._ids_of(number), portion)
            end = bisect_left(self.numbers, number)

    def _ids_of(self, number: int) -> list[int]:
        return sorted(self.ids[bisect_left(self.numbers, number):bisect_right(self.numbers, number)])


def _split(ids: list[int], portion: int) -> Iterator[list[int]]:
    """Portions, of which the last may be half as large again."""
    at = 0
    while len(ids) - at > portion + portion // 2:
        yield ids[at:at + portion]
        at += portion
    yield ids[at:]


@dataclass(frozen=True)
class Due:
    """Deleted counters whose rows new files leave out: `ids`, by the `numbers` of their deletes, ascending.

    `cutoff`: what a file without any of them is clean up to; `counters`: how many there are beside them.
    """

    cutoff: int = 0
    numbers: Sequence[int] = ()
    ids: Sequence[int] = ()
    counters: int = 0

    @property
    def last(self) -> int:
        """The number of the last of these deletes; 0 when there are none."""
        return self.numbers[-1] if self.numbers else 0

    def share(self, entry: FileEntry) -> float:
        """Which part of the counters that may have rows in a file is deleted."""
        deleted = len(self.numbers) - bisect_right(self.numbers, entry.cleaned)
        return deleted / (deleted + self.counters) if deleted else 0.0


NOTHING_DUE = Due()
