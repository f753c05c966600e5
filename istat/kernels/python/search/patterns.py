"""Compiled patterns: deterministic automata, run in a time that is the name's length: the specification.

What an automaton is made of and what it accepts is specification; that it is deterministic, with prefix and literals
told beside it, is how names are found quickly. The native build of the same name does the same. Knows no name table,
and nothing of how patterns are written: istat/patterns/ makes automata.
"""
from __future__ import annotations

import struct
from collections.abc import Iterable


class Pattern:
    """A compiled pattern: a deterministic automaton, and what its names must begin with and contain.

    classes: 256 bytes, the class of each byte. moves: little-endian 16-bit states, a row of classes for each
    state; state 0 fails, 1 accepts whatever follows, 2 is the first. accepts: a byte for each state. ValueError
    when that does not fit together.
    """

    def __init__(self, classes: bytes, moves: bytes, accepts: bytes, prefix: bytes = b"",
                 literals: Iterable[bytes] = ()) -> None:
        if len(classes) != 256 or len(accepts) < 3:
            raise ValueError("a pattern has 256 classes and at least 3 states")
        self._classes, self._accepts, self._width = classes, accepts, max(classes) + 1
        if len(moves) != 2 * len(accepts) * self._width:
            raise ValueError(f"{len(accepts)} states of {self._width} classes are not {len(moves)} bytes")
        self._moves: tuple[int, ...] = struct.unpack(f"<{len(moves) // 2}H", moves)
        if max(self._moves) >= len(accepts):
            raise ValueError(f"there is no state {max(self._moves)}")
        self.prefix, self.literals = prefix, tuple(literals)

    def fits(self, name: bytes) -> bool:
        """Whether the whole name fits."""
        state = 2
        for byte in name:
            state = self._moves[state * self._width + self._classes[byte]]
            if state < 2:
                return state == 1
        return bool(self._accepts[state])
