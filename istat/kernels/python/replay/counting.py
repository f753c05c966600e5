"""What was replayed, counted by group: groups are numbers below 8, one byte for each reference. The specification: the
native build gives the same numbers."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

GROUPS = 8
MOST_DEPTH = 1 << 22        # rows of a histogram end here


def counts(missed: bytes | bytearray, groups: bytes | bytearray) -> list[int]:
    """How many references of each group missed: 8 numbers. ValueError when there are not as many groups as flags, or a
    group is none."""
    _check(len(missed), groups)
    found = [0] * GROUPS
    for flag, group in zip(missed, groups):
        if flag:
            found[group] += 1
    return found


def histogram(depths: Sequence[int], groups: bytes | bytearray, most: int) -> array[int]:
    """How many references of each group have each depth from 0 to `most`: a row of most + 1 64-bit numbers for each of
    8 groups, one after the other. Deeper ones count as `most`. ValueError when `most` is negative or large, a depth is
    negative, a group is none, or there are not as many groups as depths."""
    _check(len(depths), groups)
    if not 0 <= most <= MOST_DEPTH:
        raise ValueError(f"depths are counted up to {MOST_DEPTH}")
    found = array("q", bytes(8 * GROUPS * (most + 1)))
    for depth, group in zip(depths, groups):
        if depth < 0:
            raise ValueError("a depth is 0 or more")
        found[group * (most + 1) + min(depth, most)] += 1
    return found


def _check(references: int, groups: bytes | bytearray) -> None:
    if references != len(groups):
        raise ValueError("there is not one group for each reference")
    if groups and max(groups) >= GROUPS:
        raise ValueError(f"groups are numbers below {GROUPS}")
