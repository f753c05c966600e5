"""Deterministic automata for name patterns: made here, run by the kernel `search` in a time that is the name's length.

Making one is bounded, and refused beyond. Besides the automaton a pattern tells what its names begin with and which
literals are in all of them, so that few names need be looked at.
"""
from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

from istat.errors import BadQuery

PATTERN_ROOM = 1000         # [bytes] longest pattern
MOST_STATES = 2000
# Steps of making an automaton: some 50 ms of an interpreter that others wait for.
MOST_WORK = 100_000


class Automaton(NamedTuple):
    """What the kernel's Pattern is made of; docs of the fields are there."""

    classes: bytes
    moves: bytes
    accepts: bytes
    prefix: bytes
    literals: tuple[bytes, ...]


class Places(NamedTuple):
    """A non-deterministic automaton: its state is a set of places, as bits of an integer; no bit at all is failure."""

    first: int
    steps: Callable[[int], list[int]]       # from a set: the set after a byte of each class
    all_fit: Callable[[int], bool]          # whether everything that may follow fits
    ends: Callable[[int], bool]             # whether the name may end here


def determine(classes: bytes, places_of: Places, prefix: bytes, literals: Iterable[bytes]) -> Automaton:
    """The deterministic automaton of this one. BadQuery when it would be too large."""
    numbers = {0: 0, places_of.first: 2}
    order, rows = [places_of.first], []
    if places_of.all_fit(places_of.first):
        order, numbers[places_of.first] = [], 1
    work = 0
    for places in order:
        row = []
        for reached in places_of.steps(places):
            if reached not in numbers:
                if places_of.all_fit(reached):
                    numbers[reached] = 1
                else:
                    numbers[reached] = len(order) + 2
                    order.append(reached)
            row.append(numbers[reached])
        rows.append(row)
        work += len(row) + places.bit_count()
        if len(order) > MOST_STATES or work > MOST_WORK:
            raise BadQuery("this pattern needs too many states; a simpler one may say the same")
    width = max(classes) + 1
    if not order:
        rows.append([1] * width)
    every = [0] * width + [1] * width + [state for row in rows for state in row]
    accepts = bytes([0, 1, *map(places_of.ends, order)]) if order else b"\0\1\1"
    return Automaton(classes, struct.pack(f"<{len(every)}H", *every), accepts, prefix, tuple(literals))


def classes_of(sets: Iterable[int]) -> tuple[bytes, list[int]]:
    """The classes of bytes that no set (bits of an integer) tells apart, and one byte of each."""
    known: dict[tuple[int, ...], int] = {}
    sets = list(sets)
    classes, examples = bytearray(256), []
    for byte in range(256):
        key = tuple(number for number, members in enumerate(sets) if members >> byte & 1)
        if key not in known:
            known[key] = len(known)
            examples.append(byte)
        classes[byte] = known[key]
    return bytes(classes), examples


def check_pattern(pattern: bytes) -> bytes:
    """The pattern. BadQuery when it is longer than PATTERN_ROOM."""
    if len(pattern) > PATTERN_ROOM:
        raise BadQuery(f"a pattern has at most {PATTERN_ROOM} bytes")
    return pattern
