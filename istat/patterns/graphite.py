"""Graphite's globs as automata: `*` is any run without dots, `?` one character but a dot, `[a-z]` and `[!a-z]` one of
these or none of these, `{a,b}` one or the other (also in each other). A dot fits only where one is written.

Made of the same tree as regular expressions. Knows no store.
"""
from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from istat.errors import BadQuery
from istat.kernels import search
from istat.patterns.automata import Automaton, check_pattern
from istat.patterns.regex import ANY, BEGIN, END, MOST_NESTED, Choice, Node, One, Repeat, Sequence, tree_automaton

if TYPE_CHECKING:
    from istat.kernels.python.search import Pattern

NO_DOT = ANY ^ 1 << ord(".")


class _Parser:
    """One pattern; `_at` is where reading goes on."""

    def __init__(self, text: bytes) -> None:
        self._text, self._at, self._depth = text, 0, 0

    def all(self) -> Node:
        return Sequence((One(BEGIN), self._parts(b""), One(END)))

    def _parts(self, ends: bytes) -> Node:
        """What comes before one of these signs, or the end."""
        parts: list[Node] = []
        while self._at < len(self._text) and self._text[self._at] not in ends:
            parts.append(self._one())
        return Sequence(tuple(parts))

    def _one(self) -> Node:
        sign = self._text[self._at]
        self._at += 1
        if sign == ord("*"):
            while self._text[self._at:self._at + 1] == b"*":        # the same names, in fewer places
                self._at += 1
            return Repeat(One(NO_DOT), 0, None)
        if sign == ord("?"):
            return One(NO_DOT)
        if sign == ord("["):
            return One(self._members())
        return self._choice() if sign == ord("{") else One(1 << sign)

    def _choice(self) -> Node:
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise BadQuery(f"more than {MOST_NESTED} braces in each other")
        parts = [self._parts(b",}")]
        while self._text[self._at:self._at + 1] == b",":
            self._at += 1
            parts.append(self._parts(b",}"))
        if self._at >= len(self._text):
            raise BadQuery("a { without its }")
        self._at += 1
        self._depth -= 1
        return Choice(tuple(parts))

    def _members(self) -> int:
        negated = self._text[self._at:self._at + 1] == b"!"
        self._at += negated
        end = self._text.find(b"]", self._at + 1)       # a ] that is first is itself
        if end < 0:
            raise BadQuery("a [ without its ]")
        inner, self._at, members, at = self._text[self._at:end], end + 1, 0, 0
        while at < len(inner):
            low = high = inner[at]
            if inner[at + 1:at + 2] == b"-" and at + 2 < len(inner):
                high = inner[at + 2]
                at += 2
            if low > high:
                raise BadQuery("a range in [ ] goes from one character to a later one")
            members |= (1 << high + 1) - (1 << low)
            at += 1
        return NO_DOT & (ANY ^ members if negated else members)


def graphite_automaton(pattern: bytes) -> Automaton:
    """A glob of Graphite's; an empty one fits nothing. BadQuery for one that cannot be read or is too much."""
    return tree_automaton(_Parser(check_pattern(pattern)).all() if pattern else One(0))


@lru_cache(maxsize=256)
def graphite(pattern: bytes) -> Pattern:
    """A glob of Graphite's, ready for the kernel. BadQuery as in `graphite_automaton`."""
    return search.Pattern(*graphite_automaton(pattern))
