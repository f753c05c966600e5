"""A small value in a file of its own that is written often, in place, and is there whole after a kill or a full disk.

The file has two slots, written in turn; the newer one that is whole counts. Both have their place on the disk from the
begin, so that writing needs no more of it. Format: docs/formats/spool.md.
"""
from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from istat.access import ondisk
from istat.errors import SpoolError
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use

VERSION = 1
# magic; version; 0; length of the value; generation. Then the value, and the CRC of all that.
_HEAD = struct.Struct("<8sHHIQ")
_CRC = struct.Struct("<I")


class Slots:
    """The file, held open. OSError as of the system's calls."""

    def __init__(self, path: Path, magic: bytes, room: int) -> None:
        """`room`: of one slot, the head and the checksum included [bytes]."""
        self.path = path
        self._magic, self._room = magic, room
        self._generation = 0
        try:
            self.handle = ownfiles.descriptor(path, os.O_RDWR, Use.SMALL, ondisk.plain)
            self.fresh = False
        except FileNotFoundError:
            self.handle = ownfiles.descriptor(path, os.O_RDWR, Use.SMALL, ondisk.private)
            self.fresh = True
        if os.fstat(self.handle).st_size < 2 * room:
            self._fill()

    def _fill(self) -> None:
        """Take up the place of both slots. What a kill left of a new file is no value either."""
        try:
            if os.pwrite(self.handle, bytes(2 * self._room), 0) < 2 * self._room:
                os.pwrite(self.handle, bytes(1), 2 * self._room - 1)    # says why
        except OSError:
            os.close(self.handle)
            if self.fresh:
                self.path.unlink()
            raise

    def read(self) -> bytes | None:
        """The value; None: there is none that is whole. SpoolError when a newer istatd wrote it."""
        data = os.pread(self.handle, 2 * self._room, 0)
        found = [one for one in (self._slot(data[:self._room]), self._slot(data[self._room:])) if one is not None]
        if not found:
            return None
        self._generation, value = max(found)
        return value

    def _slot(self, data: bytes) -> tuple[int, bytes] | None:
        if len(data) < _HEAD.size + _CRC.size:
            return None
        magic, version, _zero, length, generation = _HEAD.unpack_from(data)
        end = _HEAD.size + length
        if magic != self._magic or end + _CRC.size > len(data) or _CRC.unpack_from(data, end)[0] != zlib.crc32(
                data[:end]):
            return None
        if version != VERSION:
            raise SpoolError(f"{self.path} has version {version} and this istatd reads {VERSION}: start the newer "
                             f"istatd that wrote it, or move the spool away")
        return generation, data[_HEAD.size:end]

    def write(self, value: bytes) -> None:
        """Put another value in its place. ValueError when there is no room for it."""
        if _HEAD.size + len(value) + _CRC.size > self._room:
            raise ValueError(f"{len(value)} bytes are too many for {self.path.name}")
        self._generation += 1
        data = _HEAD.pack(self._magic, VERSION, 0, len(value), self._generation) + value
        os.pwrite(self.handle, data + _CRC.pack(zlib.crc32(data)), self._generation % 2 * self._room)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.handle)
