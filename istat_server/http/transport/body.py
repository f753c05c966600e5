"""A request's body as it comes: within a time, at a least speed, and each piece of it granted before it is kept.

It stands where gevent's reader of bodies has the connection's file. Knows the socket's clock, and no HTTP.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from istat.errors import BadQuery

BODY_SECONDS = 60.0     # from the first byte of a body that is waited for to its last
SILENT_SECONDS = 10.0   # between two bytes of it
# What has to come on average once SILENT_SECONDS are over [bytes a second]: a modem of 1991 is quicker.
LEAST_SPEED = 1024
# Bodies up to this are not counted. [bytes]
UNCOUNTED_BYTES = 64 * 1024
# A piece that is granted and read at once; hundreds may have come while the hub looked elsewhere, and each is read
# before its connection has to wait for a turn. [bytes]
PIECE_BYTES = 16 * 1024


class Owner(Protocol):
    """Whose body it is."""

    def stay(self) -> None:
        """Let others have their turn, if it is theirs: a piece was read, and the next one may have come already."""

    def grant(self, size: int) -> None:
        """So many bytes more will be kept; an exception refuses them."""

    def came_whole(self) -> None:
        """Nothing more of the body is waited for."""

    def came_no_more(self) -> None:
        """The connection has ended before the body did."""

    def came_late(self) -> None:
        """It takes too long; no more of it will be read."""


class Body:
    """Reads a body, and only that, whatever gevent's reader asks for."""

    def __init__(self, file: Any, sock: Any, length: int, owner: Owner) -> None:
        self._file = file
        self._socket = sock
        self._length = length
        self._owner = owner
        self._began = 0.0
        self._came = 0
        self._granted = UNCOUNTED_BYTES

    def read(self, size: int) -> bytes:
        """So many bytes, fewer at the end of the connection. BadQuery (408) when they take too long."""
        piece = self._some(size)
        if len(piece) == size or not piece:
            return piece
        came = bytearray(piece)
        while len(came) < size:
            piece = self._some(size - len(came))
            if not piece:
                break
            came += piece
        return bytes(came)

    def readline(self, size: int) -> bytes:
        """A line, of at most so many bytes. BadQuery (408) when it takes too long."""
        came = bytearray()
        while len(came) < size and not came.endswith(b"\n"):
            piece = self._some(size - len(came), line=True)
            if not piece:
                break
            came += piece
        return bytes(came)

    def _some(self, most: int, line: bool = False) -> bytes:
        """What is there of it, or comes next; as a line, not beyond its end. Nothing once it is whole: whoever throws
        the rest away does not know of pieces that came before an exception."""
        most = min(most, self._length - self._came)
        if not most:
            return b""
        if not self._began:
            self._began = time.monotonic()
            self._socket.settimeout(SILENT_SECONDS)
        try:
            if line:
                most = min(most, len(self._file.peek(1).partition(b"\n")[0]) + 1)
            piece: bytes = self._file.read1(min(most, PIECE_BYTES))
        except TimeoutError:
            raise self._late() from None
        if not piece:
            self._owner.came_no_more()
        self._came += len(piece)
        if self._came > self._granted:
            self._owner.grant(self._came - self._granted)
            self._granted = self._came
        if self._came == self._length:
            self._owner.came_whole()
            return piece
        self._owner.stay()
        took = time.monotonic() - self._began
        if took > SILENT_SECONDS and (took > BODY_SECONDS or self._came < took * LEAST_SPEED):
            raise self._late()
        return piece

    def _late(self) -> BadQuery:
        self._owner.came_late()
        return BadQuery(f"the body came too slowly: it has {BODY_SECONDS:g} s, and {LEAST_SPEED} bytes a second at "
                        "least", 408)
