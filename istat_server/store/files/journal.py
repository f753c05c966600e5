"""The journal: segments of frames, written by a thread of their own. Format: docs/formats/journal.md.

A frame is the engine's journal buffer as it stood at one moment; what is in it is the engine's business. This
module knows files, checksums and threads, but no counters. The same format holds the names files.

What `append` was given is in the file by write(2) as soon as the thread gets to it and survives the process;
fdatasync is done `sync_seconds` after it was read. A failed write is tried again every second, and until it succeeds
`error` tells why; a failed fdatasync is never repeated on the same segment: `needs_cut` asks for a new one.
"""
from __future__ import annotations

import errno
import logging
import os
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from istat.errors import StoreCorrupt
from istat_server.store import ondisk
from istat_server.store.files.safeend import SafeEnd
from istat_server.store.versions import NewerFormat

log = logging.getLogger(__name__)

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
# Frames waiting for the writer above this make `crowded` true [bytes].
MAX_PENDING = 32 << 20
RETRY_SECONDS = 1.0
# From reading a sample to writing it, at most [s]: it counts in `sync_seconds`.
HAND_OVER = 0.1


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
    data = path.read_bytes()
    salt = _salt(path, data)
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


def _salt(path: Path, data: bytes) -> int:
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
    with open(aside, "wb", opener=ondisk.private) as file:
        file.write(header_bytes(kind, salt, number, uuid))
        for part in payloads:
            file.write(frame_header(salt, 0, part) + part)
        file.flush()
        os.fdatasync(file.fileno())
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


class Journal:
    """The segment being written, and the two threads that write and sync it."""

    def __init__(self, folder: Path, number: int, uuid: bytes, sync_seconds: float = 1.0,
                 room: Callable[[], bool] = lambda: True) -> None:
        """Opens segment `number`, which must not exist. `room`: whether to go on after the disk was full."""
        self.number = number
        self.written = 0                    # [bytes] in frames, since the start
        self.synced = 0                     # of these, those that fdatasync has covered
        self.error: OSError | None = None
        self.needs_cut = False
        self.unsynced_since: float | None = None    # monotonic time of the oldest byte not synced
        self._folder, self._uuid, self._sync_seconds, self._room = folder, uuid, sync_seconds, room
        self._wake = threading.Condition()
        self._queue: deque[tuple[int, bytes] | int] = deque()
        self._pending = 0
        self._handed = self._done = 0               # frames and cuts, since the start: those that are written too
        self._closing = False
        self._stop_sync = threading.Event()
        self._hurry = threading.Event()             # somebody waits for what is written to be synced
        self._dirty = threading.Event()             # something is written that is not synced
        self._sync_took = 0.0                       # the last time [s]
        self._failed: set[int] = set()              # descriptors whose fdatasync failed: never asked again
        self._ended: deque[int] = deque()         # descriptors of ended segments, to be synced and closed
        self._file, self._salt = self._open(number)
        self._segment, self._end = number, HEADER_BYTES     # up to where all is written
        self._safe = SafeEnd(folder, uuid)
        self._threads = [threading.Thread(target=run, name=name, daemon=True)
                         for name, run in (("journal", self._write_loop), ("journal-sync", self._sync_loop))]
        for thread in self._threads:
            thread.start()

    def append(self, clock: int, payload: bytes) -> None:
        """Hand over a frame: records that belong to the clock `clock` [Unix seconds]."""
        with self._wake:
            self._queue.append((clock, payload))
            self._handed += 1
            self._pending += len(payload)
            self._wake.notify()

    def cut(self) -> int:
        """Start a new segment after all frames handed over so far; its number."""
        with self._wake:
            self.number += 1
            self.needs_cut = False
            self._queue.append(self.number)
            self._handed += 1
            self._wake.notify()
            return self.number

    def skip_to(self, number: int) -> None:
        """What waits to be written before segment `number` begins is not needed any more: it is in files."""
        with self._wake:
            if number in self._queue:
                while self._queue[0] != number:
                    self._queue.popleft()
                    self._done += 1
                self._pending = sum(len(item[1]) for item in self._queue if not isinstance(item, int))

    @property
    def unsynced_seconds(self) -> float:
        """How old the oldest byte is that no fdatasync has covered; 0: all are covered."""
        since = self.unsynced_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def end(self) -> tuple[int, int]:
        """The segment that is written to, and its bytes so far: all that was handed over before is in it or in those
        before it, but for what is pending."""
        with self._wake:
            return self._segment, self._end

    @property
    def handed(self) -> int:
        """Frames and cuts that were handed over so far."""
        return self._handed

    @property
    def pending(self) -> int:
        """Bytes handed over and not written yet."""
        return self._pending

    @property
    def crowded(self) -> bool:
        """Whether so much waits that no more should be handed over for now."""
        return self._pending > MAX_PENDING

    def drain(self, timeout: float) -> bool:
        """Wait until all that was handed over by now is written; False when that did not happen in time. Blocks the
        thread."""
        end = time.monotonic() + timeout
        with self._wake:
            wanted = self._handed
        while time.monotonic() < end:
            with self._wake:
                if self._done >= wanted:
                    return True
            time.sleep(0.001)
        return False

    def sync(self, handed: int, timeout: float) -> bool:
        """Wait until the first so many frames and cuts that were handed over are written and synced; False when that
        did not happen in time, or cannot. Blocks the thread."""
        end = time.monotonic() + timeout
        wanted = None
        while time.monotonic() < end:
            with self._wake:
                if wanted is None and self._done >= handed:
                    wanted = self.written
                if wanted is not None and self.synced >= wanted:
                    return True
                if self.needs_cut or self.error is not None:
                    return False
            self._hurry.set()
            time.sleep(0.001)
        return False

    def close(self, timeout: float = 30.0) -> None:
        """Write and sync what is left, then end both threads."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._threads[0].join(timeout)
        self._stop_sync.set()
        self._hurry.set()
        self._dirty.set()
        self._threads[1].join(timeout)
        self._sync_now()
        if self._sync(self._file):          # its header too, where nothing else was written
            self._safe.note(self._segment, self._end, last=True)
        self._safe.close()
        os.close(self._file)

    # -- in the writing thread

    def _open(self, number: int) -> tuple[int, int]:
        salt = int.from_bytes(os.urandom(4), "little")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        path = segment_path(self._folder, number)
        handle = os.open(path, flags, 0o640)
        try:
            head = header_bytes(KIND_JOURNAL, salt, number, self._uuid)
            if os.write(handle, head) < len(head):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            ondisk.sync_folder(self._folder)
        except OSError:     # it is tried again, and the file must be new then
            os.close(handle)
            path.unlink()
            raise
        return handle, salt

    def _write_loop(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._closing:
                    self._wake.wait()
                if not self._queue:
                    return
                item = self._queue[0]
            done = self._try(item)
            with self._wake:
                if done and self._queue and self._queue[0] is item:     # else it was skipped meanwhile
                    self._queue.popleft()
                    self._done += 1
                    if not isinstance(item, int):
                        self._pending -= len(item[1])
                elif self._closing:
                    return
            if not done:
                time.sleep(RETRY_SECONDS)

    def _try(self, item: tuple[int, bytes] | int) -> bool:
        if self.error is not None and self.error.errno == errno.ENOSPC and not self._room():
            return False
        try:
            if isinstance(item, int):
                self._turn_over(item)
            else:
                self._write(*item)
        except OSError as error:
            if self.error is None:
                log.error("cannot write the journal in %s: %s; trying every second", self._folder, error)
            self.error = error
            return False
        if self.error is not None:
            log.info("the journal can be written again")
            self.error = None
        return True

    def _turn_over(self, number: int) -> None:
        opened = self._open(number)
        with self._wake:
            self._ended.append(self._file)
            self._file, self._salt = opened
            self._segment, self._end = number, HEADER_BYTES

    def _write(self, clock: int, payload: bytes) -> None:
        parts = [memoryview(frame_header(self._salt, clock, payload)), memoryview(payload)]
        size = _FRAME.size + len(payload)
        try:
            while parts:
                done = os.writev(self._file, parts)
                while parts and done >= len(parts[0]):
                    done -= len(parts.pop(0))
                if parts:
                    parts[0] = parts[0][done:]
        except OSError:
            os.lseek(self._file, self._end, os.SEEK_SET)
            os.ftruncate(self._file, self._end)
            raise
        with self._wake:
            self._end += size
            self.written += size
            if self.unsynced_since is None:
                self.unsynced_since = time.monotonic()
            self._dirty.set()

    # -- in the syncing thread

    def _sync_loop(self) -> None:
        while not self._stop_sync.is_set():
            self._dirty.wait()
            wait = self._sync_seconds - HAND_OVER - self._sync_took
            self._hurry.wait(max(self._sync_seconds / 2, wait))
            self._hurry.clear()
            self._sync_now()

    def _sync_now(self) -> None:
        with self._wake:    # all at once, so that nothing in a segment that ends meanwhile is taken for synced
            began = time.monotonic()
            covered, handle, end = self.written, self._file, (self._segment, self._end)
            retired = [*self._ended]
            self._ended.clear()
            self._dirty.clear()
        for ended in retired:
            self._sync(ended)
            self._failed.discard(ended)
            os.close(ended)
        if covered > self.synced and not self.needs_cut and self._sync(handle):
            with self._wake:
                self.synced = covered
                self.unsynced_since = None if self.written == covered else began
            self._safe.note(*end)
        self._sync_took = time.monotonic() - began

    def _sync(self, handle: int) -> bool:
        if handle in self._failed:
            return False
        try:
            os.fdatasync(handle)
        except OSError as error:
            self._failed.add(handle)
            # What the kernel could not write it may have dropped; only a new file can be trusted.
            log.error("fdatasync of the journal failed: %s; starting a new segment", error)
            self.needs_cut = True
            return False
        return True
