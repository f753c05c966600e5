"""Name patterns as deterministic automata: globs here, regular expressions in istat/regex.py. Knows no store.

An automaton is run by the kernel `search` in a time that is the name's length, whatever the pattern; making it is
bounded, and refused beyond. Besides the automaton a pattern tells what its names begin with and which literals are
in all of them, so that few names need be looked at.
"""
from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from istat.errors import BadQuery
from istat.kernels import search

if TYPE_CHECKING:
    from istat.kernels.python.search import Pattern

PATTERN_ROOM = 1000         # [bytes] longest pattern
MOST_STATES = 2000
# Steps of making an automaton: some 50 ms of an interpreter that others wait for.
MOST_WORK = 100_000
STAR, QUESTION, DOT = b"*?."
_WILD = re.compile(rb"[*?]+")


class Automaton(NamedTuple):
    """What the kernel's Pattern is made of; docs of the fields are there."""

    classes: bytes
    moves: bytes
    accepts: bytes
    prefix: bytes
    literals: tuple[bytes, ...]


class Rules(NamedTuple):
    """A non-deterministic automaton: its state is a set of places, as bits of an integer; no bit at all is failure."""

    first: int
    steps: Callable[[int], list[int]]       # from a set: the set after a byte of each class
    all_fit: Callable[[int], bool]          # whether everything that may follow fits
    ends: Callable[[int], bool]             # whether the name may end here


def determine(classes: bytes, rules: Rules, prefix: bytes, literals: Iterable[bytes]) -> Automaton:
    """The deterministic automaton of these rules. BadQuery when it would be too large."""
    numbers = {0: 0, rules.first: 2}
    order, rows = [rules.first], []
    if rules.all_fit(rules.first):
        order, numbers[rules.first] = [], 1
    work = 0
    for places in order:
        row = []
        for reached in rules.steps(places):
            if reached not in numbers:
                if rules.all_fit(reached):
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
    accepts = bytes([0, 1, *map(rules.ends, order)]) if order else b"\0\1\1"
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


def glob_automaton(pattern: bytes) -> Automaton:
    """`*` is any run of bytes, `?` any run without dots, all else itself; an empty pattern fits nothing. BadQuery when
    it is too long or too much.

    A place is how much of the pattern is used up. At the last star that was reached all earlier places are given up:
    whatever fits from them fits from there.
    """
    signs = _WILD.sub(lambda run: b"*" if b"*" in run[0] else b"?", check_pattern(pattern))
    stars = sum(1 << at for at, sign in enumerate(signs) if sign == STAR)
    runs = stars | sum(1 << at for at, sign in enumerate(signs) if sign == QUESTION)
    letters = sorted({*signs, DOT} - {STAR, QUESTION})
    here = dict.fromkeys(letters, 0)
    for at, sign in enumerate(signs):
        here[sign] = here.get(sign, 0) | 1 << at
    here[STAR] = here[QUESTION] = 0
    examples = [STAR, *letters]         # a star in a name is a byte like all that are not in the pattern
    classes = bytes(letters.index(byte) + 1 if byte in here and byte in letters else 0 for byte in range(256))

    def settle(places: int) -> int:
        places |= (places & runs) << 1
        last = (places & stars).bit_length() - 1
        return places >> last << last if last > 0 else places

    def step(places: int, byte: int) -> int:
        stay = places & (stars if byte == DOT else runs)
        return settle(stay | (places & here.get(byte, 0)) << 1)

    whole = 1 << len(signs)
    endless = whole >> 1 if signs.endswith(b"*") else 0
    rules = Rules(settle(1) if signs else 0, lambda places: [step(places, byte) for byte in examples],
                  lambda places: bool(places & endless), lambda places: bool(places & whole))
    prefix, *literals = _WILD.split(signs)
    return determine(classes, rules, prefix, filter(None, literals))


@lru_cache(maxsize=256)
def glob(pattern: bytes) -> Pattern:
    """A glob, ready for the kernel. BadQuery as in `glob_automaton`."""
    return search.Pattern(*glob_automaton(pattern))
