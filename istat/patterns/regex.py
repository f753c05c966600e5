"""Regular expressions over names, without those that only backtracking can do: no references, no look-around.

A parser of plain Python makes a tree, the tree positions (each a set of bytes, or the beginning or end of the name),
and positions an automaton. docs/formats/http-api.md says what may be written. Knows no names and no store.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from istat.errors import BadQuery
from istat.kernels import search
from istat.patterns.automata import Automaton, Places, check_pattern, classes_of, determine

if TYPE_CHECKING:
    from istat.kernels.python.search import Pattern

MOST_POSITIONS = 500        # after repeats are written out
MOST_NESTED = 30            # brackets
ANY = (1 << 256) - 1
BEGIN, END = 1 << 256, 1 << 257


def _bytes(text: bytes) -> int:
    return sum(1 << byte for byte in set(text))


_DIGITS = _bytes(b"0123456789")
_WORD = _DIGITS | _bytes(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_SPACE = _bytes(b" \t\n\r\f\v")
_CLASSES = {b"d": _DIGITS, b"D": ANY ^ _DIGITS, b"w": _WORD, b"W": ANY ^ _WORD, b"s": _SPACE, b"S": ANY ^ _SPACE}


@dataclass(frozen=True)
class One:
    """One byte of a set, or the beginning or the end."""

    members: int


@dataclass(frozen=True)
class Sequence:
    """One part after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of the parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """A part so many times; `most` None: without end."""

    part: Node
    least: int
    most: int | None


Node = One | Sequence | Choice | Repeat


class _Parser:
    def __init__(self, text: bytes) -> None:
        self._text, self._at, self._depth = text, 0, 0

    def all(self) -> Node:
        node = self._choice()
        if self._at < len(self._text):
            raise self._wrong("a ) without its (")
        return node

    def _wrong(self, what: str) -> BadQuery:
        return BadQuery(f"regular expression, character {self._at + 1}: {what}")

    def _next(self) -> bytes:
        return self._text[self._at:self._at + 1]

    def _take(self, wanted: bytes = b"") -> bytes:
        """The next byte; or, where one is wanted, that one or nothing."""
        sign = self._next()
        if wanted and sign != wanted:
            return b""
        self._at += 1
        return sign

    def _choice(self) -> Node:
        parts = [self._sequence()]
        while self._take(b"|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._next() not in (b"", b"|", b")"):
            parts.append(self._repeated(self._atom()))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _atom(self) -> Node:
        sign = self._take()
        if sign == b"(":
            return self._group()
        if sign == b"[":
            return One(self._members())
        if sign == b"\\":
            return One(self._escape())
        if sign in (b"*", b"+", b"?", b"{"):
            raise self._wrong(f"nothing to repeat before {sign.decode()} (as itself: \\{sign.decode()})")
        return One({b".": ANY, b"^": BEGIN, b"$": END}.get(sign) or 1 << sign[0])

    def _group(self) -> Node:
        if self._take(b"?") and not self._take(b":"):
            raise self._wrong("of the groups with (? only (?: is known")
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise self._wrong(f"more than {MOST_NESTED} brackets in each other")
        node = self._choice()
        if not self._take(b")"):
            raise self._wrong("a ( without its )")
        self._depth -= 1
        return node

    def _escape(self) -> int:
        sign = self._take()
        if sign in _CLASSES:
            return _CLASSES[sign]
        if not sign or sign.isalnum() or sign[0] > 126:
            raise self._wrong(f"\\{sign.decode('ascii', 'replace')} is not known")
        return 1 << sign[0]

    def _members(self) -> int:
        negated = bool(self._take(b"^"))
        members, first = 0, True
        while first or self._next() != b"]":
            first = False
            low = self._member()
            if self._next() == b"-" and self._text[self._at + 1:self._at + 2] not in (b"]", b""):
                self._take()
                high = self._member()
                if low.bit_count() != 1 or high.bit_count() != 1 or low > high:
                    raise self._wrong("a range in [ ] goes from one character to a later one")
                low = (high << 1) - low
            members |= low
        self._take()
        return ANY ^ members if negated else members

    def _member(self) -> int:
        sign = self._take()
        if not sign:
            raise self._wrong("a [ without its ]")
        return self._escape() if sign == b"\\" else 1 << sign[0]

    def _repeated(self, node: Node) -> Node:
        sign = self._next()
        if sign not in (b"*", b"+", b"?", b"{"):
            return node
        if node in (One(BEGIN), One(END)):
            raise self._wrong("^ and $ cannot be repeated")
        self._take()
        least, most = {b"*": (0, None), b"+": (1, None), b"?": (0, 1)}.get(sign) or self._bounds()
        self._take(b"?")        # as few as possible: the same names
        if self._next() in (b"*", b"+", b"?", b"{"):
            raise self._wrong("a repeat of a repeat needs brackets")
        return Repeat(node, least, most)

    def _bounds(self) -> tuple[int, int | None]:
        end = self._text.find(b"}", self._at)
        low, comma, high = self._text[self._at:max(end, self._at)].partition(b",")
        if end < 0 or not low.isdigit() or (high and not high.isdigit()) or len(low + high) > 6:
            raise self._wrong("repeats are {m}, {m,} or {m,n} (as itself: \\{)")
        self._at = end + 1
        least, most = int(low), int(high) if high else None if comma else int(low)
        if most is not None and most < least:
            raise self._wrong("a repeat goes from few to many")
        return least, most


def _size(node: Node) -> int:
    """How many positions a tree becomes."""
    if isinstance(node, One):
        return 1
    if isinstance(node, Repeat):
        return _size(node.part) * max(1, node.least + 1 if node.most is None else node.most)
    return sum(map(_size, node.parts))


@dataclass(frozen=True)
class _Part:
    """A part of the tree as positions: whether it can be empty, where it begins and ends (bits)."""

    empty: bool
    first: int
    last: int


@dataclass
class _Positions:
    """The bytes of each position, and which ones can follow it (bits)."""

    members: list[int] = field(default_factory=list)
    follow: list[int] = field(default_factory=list)

    def add(self, node: Node) -> _Part:
        if isinstance(node, One):
            self.members.append(node.members)
            self.follow.append(0)
            bit = 1 << len(self.members) - 1
            return _Part(False, bit, bit)
        if isinstance(node, Choice):
            parts = [self.add(part) for part in node.parts]
            empty, first, last = any(part.empty for part in parts), 0, 0
            for part in parts:
                first, last = first | part.first, last | part.last
            return _Part(empty, first, last)
        if isinstance(node, Sequence):
            made = _Part(True, 0, 0)
            for one in node.parts:
                made = self._behind(made, self.add(one))
            return made
        return self._repeat(node)

    def _repeat(self, node: Repeat) -> _Part:
        made = _Part(True, 0, 0)
        for _ in range(node.least):
            made = self._behind(made, self.add(node.part))
        if node.most is None:
            again = self.add(node.part)
            self._lead(again.last, again.first)
            return self._behind(made, _Part(True, again.first, again.last))
        for _ in range(node.most - node.least):
            again = self.add(node.part)
            made = self._behind(made, _Part(True, again.first, again.last))
        return made

    def _behind(self, left: _Part, right: _Part) -> _Part:
        self._lead(left.last, right.first)
        return _Part(left.empty and right.empty, left.first | (right.first if left.empty else 0),
                     right.last | (left.last if right.empty else 0))

    def _lead(self, last: int, first: int) -> None:
        for at in _bits(last):
            self.follow[at] |= first


def _bits(number: int) -> list[int]:
    found = []
    while number:
        low = number & -number
        found.append(low.bit_length() - 1)
        number ^= low
    return found


def _runs(node: Node) -> list[int | None]:
    """The bytes that are in every name in this order, None where others may be between; BEGIN for the beginning."""
    if isinstance(node, One):
        single = node.members == BEGIN or (node.members < BEGIN and node.members.bit_count() == 1)
        return [BEGIN if node.members == BEGIN else node.members.bit_length() - 1] if single else [None]
    if isinstance(node, Sequence):
        return [sign for part in node.parts for sign in _runs(part)]
    if isinstance(node, Repeat) and node.least:
        return [None, *_runs(node.part), None] if node.least != node.most else _runs(node.part) * node.least
    return [None]


def _known(node: Node) -> tuple[bytes, list[bytes]]:
    """What all names begin with, and the literals that all hold."""
    runs: list[bytes] = [b""]
    signs = _runs(node)
    anchored = signs[:1] == [BEGIN]
    for sign in signs[anchored:]:
        if sign is None or sign == BEGIN:
            runs.append(b"")
        else:
            runs[-1] += bytes([sign])
    prefix = runs.pop(0) if anchored else b""
    return prefix, [run for run in runs if run]


def regex_automaton(pattern: bytes) -> Automaton:
    """An expression that is found anywhere in a name, unless ^ or $ holds it. BadQuery when it cannot be read or is
    too much."""
    return tree_automaton(_Parser(check_pattern(pattern)).all())


def tree_automaton(tree: Node) -> Automaton:
    """The automaton of a tree, however that was written. BadQuery when it is too much."""
    if _size(tree) > MOST_POSITIONS:
        raise BadQuery(f"this regular expression has more than {MOST_POSITIONS} positions when its repeats are "
                       f"written out")
    positions = _Positions()
    whole = positions.add(tree)
    classes, examples = classes_of({members for members in positions.members if members < BEGIN})
    on = {byte: sum(1 << at for at, members in enumerate(positions.members) if members >> byte & 1)
          for byte in (*examples, 256, 257)}
    alive = 1 << len(positions.members)     # in every state, so that none but failure is 0
    again = any(whole.first & on[byte] for byte in (*examples, 257))     # whether it can begin later

    def ahead(places: int) -> int:
        reached = whole.first
        for at in _bits(places & ~alive):
            reached |= positions.follow[at]
        return reached

    def steps(places: int) -> list[int]:
        reached = ahead(places)
        return [reached & on[byte] | alive if again or reached & on[byte] else 0 for byte in examples]

    found: Callable[[int], bool] = lambda places: bool(places & whole.last) or whole.empty    # noqa: E731
    places_of = Places(whole.first & on[256] | alive, steps, found, lambda places: found(ahead(places) & on[257]))
    return determine(classes, places_of, *_known(tree))


@lru_cache(maxsize=256)
def regex(pattern: bytes) -> Pattern:
    """A regular expression, ready for the kernel. BadQuery as in `regex_automaton`."""
    return search.Pattern(*regex_automaton(pattern))
