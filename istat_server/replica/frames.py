"""Bytes of a master's journal to frames: the segments' format (docs/formats/journal.md), as it comes in pieces.

Knows no sockets and no store. Where bytes that have come cannot be a frame, the reader of a file would look for the
next good one; we do not, as what is left out would be missing for good.
"""
from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from istat_server.replica.refusals import CopyNeeded
from istat_server.store.files.journal import FRAME_BYTES, HEADER_BYTES, MAX_PAYLOAD
from istat_server.store.positions import Position

_FRAME = struct.Struct("<IIqI")         # salt, length, clock, CRC
_SUMMED = struct.Struct("<Iq")
_SALT = struct.Struct("<I")
SALT_AT = 12            # of a segment's header [bytes]
MOST_CLOCK = 1 << 40    # [Unix s] no clock of a server is there, whatever a frame says


class Frames:
    """The frames behind one position, in order. `wanted` is where the next bytes are to come from."""

    def __init__(self, position: Position) -> None:
        self._at = position         # behind the last whole frame
        self._waiting = bytearray()
        self.wanted = position

    def take(self, data: bytes, following: Position) -> Iterator[tuple[int, memoryview, Position]]:
        """(clock, payload, position behind it) of each frame that is whole with these bytes, which were wanted; what
        comes after them is at `following`. All must be taken before the next call.

        CopyNeeded when they are none: the journal is damaged there, or they were on the way.
        """
        self._waiting += data
        if not self._at.offset:
            if len(self._waiting) < HEADER_BYTES and following.segment == self._at.segment:
                self.wanted = following
                return
            self._begin(following)
        used = 0
        view = memoryview(bytes(self._waiting))
        while (frame := self._frame(view, used)) is not None:
            clock, payload = frame
            used += FRAME_BYTES + len(payload)
            self._at = Position(self._at.store, following.epoch, self._at.segment,
                                self._at.offset + FRAME_BYTES + len(payload), self._at.salt)
            yield clock, payload, self._at
        del self._waiting[:used]
        if following.segment != self._at.segment:       # what is no whole frame at the end is a torn tail
            self._at = following
            self._waiting.clear()
        self.wanted = following

    def _begin(self, following: Position) -> None:
        """Step over the header of a segment. One without a whole header has no frames."""
        if len(self._waiting) < HEADER_BYTES:
            self._waiting.clear()
            return
        (salt,) = _SALT.unpack_from(self._waiting, SALT_AT)
        del self._waiting[:HEADER_BYTES]
        self._at = Position(self._at.store, following.epoch, self._at.segment, HEADER_BYTES, salt)

    def _frame(self, view: memoryview, at: int) -> tuple[int, memoryview] | None:
        """The frame that begins at a place; None when it is not whole yet."""
        if len(view) - at < FRAME_BYTES:
            return None
        salt, length, clock, crc = _FRAME.unpack_from(view, at)
        if salt != self._at.salt or length > MAX_PAYLOAD:
            raise self._damaged()
        begin = at + FRAME_BYTES
        if len(view) - begin < length:
            return None
        payload = view[begin:begin + length]
        if zlib.crc32(payload, zlib.crc32(_SUMMED.pack(length, clock))) != crc or not 0 <= clock < MOST_CLOCK:
            raise self._damaged()
        return clock, payload

    def _damaged(self) -> CopyNeeded:
        return CopyNeeded(f"the master's journal is damaged in segment {self._at.segment} behind byte "
                          f"{self._at.offset}, or was on the way")
