"""The journal: segments of frames. Format: docs/formats/journal.md; `work/journaling.py` writes them.

A frame is the engine's journal buffer as it stood at one moment; what is in it is the engine's business. This
module knows files and checksums, but no counters. The same format holds the names files.
"""
from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from istat.errors import StoreCorrupt
from istat.pagecache import ownfiles
from istat_server.store import ondisk
from istat_server.store.versions import NewerFormat

MAGIC = b"ISTATJNL"
VERSION = 2         # 2 has escapes among its records: intervals of rows, marks of batches
READABLE = (1, 2)
# magic, version, kind, salt, segment number, store UUID; then the CRC of these bytes.
_HEADER = struct.Struct("<8sHHIQ16s")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CRC.size
# salt, length of the payload, the clock of its samples, CRC of length + clock + payload.
_FRAME = struct.Struct("<IIqI")
FRAME_BYTES = _FRAME.size
_SUMMED = struct.Struct("<Iq")
KIND_JOURNAL, KIND_NAMES, KIND_HEARD = 0, 1, 2
# A length above this is damage, not a frame: the engine's buffer is handed over long before [bytes].
MAX_PAYLOAD = 256 << 20


@dataclass
class Damage:
    """What a reader had to leave out."""

    torn_bytes: int = 0          # after the last good frame: a write cut short, or damage at the end
    skipped_bytes: int = 0       # between good frames
    lost_bytes: int = 0          # that were synced at the end of the last segment, and are not there
    notes: list[str] = field(default_factory=list)


def segment_path(folder: Path, number: int, suffix: str = "journal") -> Path:
    """Where a segment lies."""
    return folder / f"{number:08d}.{suffix}"


def segment_numbers(folder: Path) -> list[int]:
    """The numbers of the segments in a folder, ascending. Files of any other name (a copy that somebody made) are none
    of ours. OSError when the folder cannot be read."""
    stems = (path.stem for path in folder.glob("*.journal"))
    return sorted(int(stem) for stem in stems if stem.isascii() and stem.isdecimal() and stem == f"{int(stem):08d}")


def header_bytes(kind: int, salt: int, number: int, uuid: bytes) -> bytes:
    """The first bytes of a segment."""
    head = _HEADER.pack(MAGIC, VERSION, kind, salt, number, uuid)
    return head + _CRC.pack(zlib.crc32(head))


def frame_header(salt: int, clock: int, payload: bytes) -> bytes:
    """What stands before a payload."""
    crc = zlib.crc32(payload, zlib.crc32(_SUMMED.pack(len(payload), clock)))
    return _FRAME.pack(salt, len(payload), clock, crc)


def read_segment(path: Path, damage: Damage) -> Iterator[tuple[int, memoryview]]:
    """(clock, payload) of each good frame in order. StoreCorrupt when the header cannot be read.

    A payload is a part of the file's bytes in memory, not a copy.
    After a bad frame the next one whose salt and checksum are right goes on; a flipped length is thus no end.
    """
    data = ownfiles.content(path)
    salt = salt_of(data, path)
    marker = struct.pack("<I", salt)
    view = memoryview(data)
    at = HEADER_BYTES
    while at < len(data):
        frame = _frame_at(view, at, salt)
        if frame is not None:
            clock, payload = frame
            yield clock, payload
            at += _FRAME.size + len(payload)
            continue
        begin, at = at, data.find(marker, at + 1)
        while at >= 0 and _frame_at(view, at, salt) is None:
            at = data.find(marker, at + 1)
        if at < 0:
            damage.torn_bytes += len(data) - begin
            damage.notes.append(f"{path.name}: no whole frame in the {len(data) - begin} bytes after byte {begin}")
            return
        damage.skipped_bytes += at - begin
        damage.notes.append(f"{path.name}: bytes {begin} to {at} are damaged and were left out")


def verify(path: Path) -> None:
    """Read every byte of a file that was written whole, such as one of names, a piece at a time. StoreCorrupt when they
    are not what was written; NewerFormat."""
    with ownfiles.reading(path) as file:
        salt, piece = salt_of(file.read(HEADER_BYTES), path), memoryview(bytearray(ownfiles.PIECE))
        while head := file.read(FRAME_BYTES):
            begin = file.tell() - len(head)
            marker, length, clock, crc = _FRAME.unpack(head) if len(head) == FRAME_BYTES else (0, 0, 0, 0)
            summed, left = zlib.crc32(_SUMMED.pack(length, clock)), length if length <= MAX_PAYLOAD else 0
            while left and (got := file.readinto(piece[:left])):
                summed, left = zlib.crc32(piece[:got], summed), left - got
            if len(head) < FRAME_BYTES or marker != salt or left or summed != crc:
                raise StoreCorrupt(f"{path}: the frame at byte {begin} is not what was written")


def salt_of(data: bytes, path: str | Path) -> int:
    """The salt in the first bytes of a segment. StoreCorrupt, NewerFormat."""
    if len(data) < HEADER_BYTES or _CRC.unpack_from(data, _HEADER.size)[0] != zlib.crc32(data[:_HEADER.size]):
        raise StoreCorrupt(f"{path}: the header of this segment is damaged")
    magic, version, _kind, salt, _number, _uuid = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise StoreCorrupt(f"{path}: this is no journal segment")
    if version not in READABLE:
        raise NewerFormat(path, version, VERSION)
    return int(salt)


def _frame_at(data: memoryview, at: int, salt: int) -> tuple[int, memoryview] | None:
    if at + _FRAME.size > len(data):
        return None
    marker, length, clock, crc = _FRAME.unpack_from(data, at)
    begin = at + _FRAME.size
    if marker != salt or length > MAX_PAYLOAD or begin + length > len(data):
        return None
    payload = data[begin:begin + length]
    if zlib.crc32(payload, zlib.crc32(_SUMMED.pack(length, clock))) != crc:
        return None
    return clock, payload


def write_names(path: Path, number: int, uuid: bytes, records: bytes) -> None:
    """A names file: name records, written aside, synced and renamed."""
    write_whole(path, KIND_NAMES, number, uuid, (records[at:at + MAX_PAYLOAD]
                                                 for at in range(0, len(records), MAX_PAYLOAD)))


def write_whole(path: Path, kind: int, number: int, uuid: bytes, payloads: Iterable[bytes]) -> None:
    """A file of frames, one a payload, written aside, synced and renamed."""
    salt = int.from_bytes(os.urandom(4), "little")
    aside = path.with_suffix(".tmp")
    with ownfiles.writing(aside, ondisk.private) as file:
        file.write(header_bytes(kind, salt, number, uuid))
        for part in payloads:
            file.write(frame_header(salt, 0, part) + part)
        file.flush()
        ownfiles.put_away(file.fileno())
    os.rename(aside, path)
    ondisk.sync_folder(path.parent)


def note_lost(path: Path, safe: int, torn: int, damage: Damage) -> int:
    """What is gone of the first `safe` bytes of a segment that has `torn` bytes behind its last whole frame; noted."""
    lost = max(0, safe - (path.stat().st_size - torn))
    if lost:
        damage.lost_bytes += lost
        damage.notes.append(f"{path.name}: {lost} bytes at its end are gone or damaged that had been safely on the "
                            f"disk")
    return lost
