"""The file `journal/safe-end`: how far the journal has been synced, so that the loss of its end is noticed.

What is noted was synced before, so that neither a kill nor a power cut can leave less than what it says; that it is
behind, torn or missing is no fault. Format: docs/formats/journal.md. Knows one small file, and nothing of frames.
"""
from __future__ import annotations

import logging
import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use

log = logging.getLogger(__name__)

NAME = "safe-end"
MAGIC = b"ISTATEND"
VERSION = 1
# magic, version, 0, segment, bytes, store UUID; then the CRC of these bytes.
_RECORD = struct.Struct("<8sHHQQ16s")
_CRC = struct.Struct("<I")


class End(NamedTuple):
    """A segment and how many of its bytes were synced."""

    segment: int
    bytes: int


def read(folder: Path, uuid: bytes) -> End | None:
    """What is noted in a folder of segments, or None: it cannot be read, or is of another store or version."""
    try:
        data = ownfiles.content(folder / NAME, Use.SMALL)
    except OSError:
        return None
    if len(data) < _RECORD.size + _CRC.size or _CRC.unpack_from(data, _RECORD.size)[0] != zlib.crc32(
            data[:_RECORD.size]):
        return None
    magic, version, _zero, segment, size, store = _RECORD.unpack_from(data)
    return End(segment, size) if (magic, version, store) == (MAGIC, VERSION, uuid) else None


def forget(folder: Path) -> None:
    """Nothing is known of the end any more."""
    (folder / NAME).unlink(missing_ok=True)


class SafeEnd:
    """The file, being written. It is replaced in place, 48 bytes in one sector; a torn one says nothing."""

    def __init__(self, folder: Path, uuid: bytes) -> None:
        self._path, self._uuid = folder / NAME, uuid
        self._file = -1
        self._segment = 0           # that the disk surely knows of
        self._told = False

    def note(self, segment: int, size: int, last: bool = False) -> None:
        """So many bytes of a segment have been synced. It need not be on the disk at once, but for the first of each
        segment and for the last of all. What fails is told once: the journal goes on without."""
        record = _RECORD.pack(MAGIC, VERSION, 0, segment, size, self._uuid)
        try:
            if self._file < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
                self._file = ownfiles.descriptor(self._path, flags, Use.SMALL)
            os.pwrite(self._file, record + _CRC.pack(zlib.crc32(record)), 0)
            if last or segment != self._segment:
                os.fdatasync(self._file)
                self._segment = segment
        except OSError as error:
            if not self._told:
                log.warning("%s cannot be written, so that the loss of the journal's end would go unnoticed: %s",
                            self._path, error.strerror)
            self._told = True

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
