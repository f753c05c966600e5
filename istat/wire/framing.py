"""Bytes of a stream to whole messages, without a socket: what is read goes in, runs of whole messages come out.

A framing has one stream's unfinished message and nothing else. The bytes themselves lie in a buffer that many streams
share, one at a time: whoever reads puts new bytes behind room for the unfinished message (`held`), and gets back where
in that buffer whole messages are. It knows no protocol: what a message means is none of its business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

#: (start, end) of whole messages in the buffer, one behind the other.
Run = tuple[int, int]
#: Runs of whole messages; the beginnings of messages that were too long, and are left out.
Taken = tuple[Sequence[Run], Sequence[bytes]]

_NONE: tuple[()] = ()


class Framing(Protocol):
    """The framing of one stream. What it holds is bounded by the longest message that it lets through."""

    @property
    def held(self) -> int:
        """How many bytes of an unfinished message there are: as much room goes before the next bytes."""

    def take(self, buffer: bytearray, end: int) -> Taken:
        """buffer[held:end] was read: put what is held in front of it, and say where whole messages are.

        The runs are good until the buffer is used again. What is unfinished behind them is held.
        """

    def finish(self) -> bytes:
        """The stream has ended: the message that it has left unfinished, b"" when there is none."""


class LineFraming:
    """Messages are lines, each ended by a line feed that is part of it.

    A line of more than `limit` bytes (its line feed not counted) is left out, whole, however its bytes come in.
    """

    __slots__ = ("_limit", "_skipping", "_tail")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tail = b""  # an unfinished line: at most `limit` bytes, no line feed among them
        self._skipping = False  # inside a line that is too long

    @property
    def held(self) -> int:
        """See Framing.held."""
        return len(self._tail)

    def take(self, buffer: bytearray, end: int) -> Taken:
        """See Framing.take."""
        held = len(self._tail)
        if held:
            buffer[:held] = self._tail
        if self._skipping or end > self._limit:
            return self._take_long(buffer, held, end)
        whole = buffer.rfind(b"\n", held, end) + 1
        self._tail = bytes(buffer[whole:end])
        return ([(0, whole)], _NONE) if whole else (_NONE, _NONE)

    def finish(self) -> bytes:
        """See Framing.finish."""
        tail, self._tail = self._tail, b""
        return tail

    def _take_long(self, buffer: bytearray, held: int, end: int) -> Taken:
        """As `take`, where a line may be too long: looks backwards from where a line must have ended, at few bytes."""
        run = 0
        if self._skipping:
            run = buffer.find(b"\n", held, end) + 1
            if not run:
                return _NONE, _NONE
            self._skipping = False
        runs: list[Run] = []
        lost: list[bytes] = []
        at = run
        while end - at > self._limit:
            good = buffer.rfind(b"\n", at, at + self._limit + 1) + 1
            if good:
                at = good
                continue
            if at > run:
                runs.append((run, at))
            over = buffer.find(b"\n", at + self._limit, end) + 1
            lost.append(bytes(buffer[at : over - 1 if over else end]))
            self._skipping = not over
            at = run = over or end
        whole = buffer.rfind(b"\n", at, end) + 1 or at
        if whole > run:
            runs.append((run, whole))
        self._tail = bytes(buffer[whole:end])
        return runs, lost
