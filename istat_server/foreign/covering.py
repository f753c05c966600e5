"""Which archive counts for a time, where a file keeps the same values at several resolutions, as whisper and RRD do.

The finest one that reaches back to a time counts for it. Where it holds nothing, the next coarser one that does
counts: a file that was filled afterwards, or that got a finer archive later, has times that only a coarse archive
holds. A bucket in whose middle the finer archive begins is not cut in two: it comes whole from the coarser one, if that
has it.

Pure arithmetic over starts of buckets, which are multiples of their steps. Knows no format.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")
EVER = 1 << 62                  # beyond all times [s]


@dataclass(frozen=True)
class Resolution(Generic[Value]):
    """One archive: what it holds by start, `step` seconds each; what is before `reach` is left over of an older lap."""

    step: int
    reach: int
    values: Mapping[int, Value]


def cover(archives: Sequence[Resolution[Value]]) -> list[dict[int, Value]]:
    """Of each archive what counts. Finest archives come first."""
    kept: list[dict[int, Value]] = []
    begins = EVER               # where the finer archives begin
    for archive in archives:
        step, mine = archive.step, {}
        held = _starts(kept, step)
        for start, value in archive.values.items():
            if start < archive.reach:
                continue
            if start not in held:
                mine[start] = value
            elif start < begins:
                mine[start] = value
                _drop(kept, start, start + step)
        kept.append(mine)
        begins = min(begins, archive.reach)
    return kept


def _starts(kept: Iterable[Iterable[int]], step: int) -> set[int]:
    """The buckets of a step that hold something of what is kept."""
    return {start - start % step for starts in kept for start in starts}


def _drop(kept: list[dict[int, Value]], start: int, end: int) -> None:
    for mine in kept:
        for one in [one for one in mine if start <= one < end]:
            del mine[one]


def missing(starts: Iterable[int], step: int, kept: Sequence[tuple[int, Mapping[int, object]]]) -> int:
    """How many buckets of a step lie where nothing is kept. `kept`: step -> what counts, as `cover` says."""
    finer = _starts([mine for its, mine in kept if its <= step], step)
    coarser = [(its, mine) for its, mine in kept if its > step]
    return sum(start not in finer and not any(start - start % its in mine for its, mine in coarser)
               for start in starts)
