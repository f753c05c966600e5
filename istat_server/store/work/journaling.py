"""Writes the journal: frames are handed over, and two threads of its own write and sync them.

What `append` was given is in the file by write(2) as soon as the thread gets to it and survives the process;
fdatasync is done `sync_seconds` after it was read. A failed write is tried again every second, and until it succeeds
`error` tells why; a failed fdatasync is never repeated on the same segment: `needs_cut` asks for a new one. It knows
threads and segments (`journal`), and nothing of what is in a frame.
"""
from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat_server.store import ondisk
from istat_server.store.files.journal import (
    FRAME_BYTES,
    HEADER_BYTES,
    KIND_JOURNAL,
    frame_header,
    header_bytes,
    segment_path,
)
from istat_server.store.files.reserve import FULL
from istat_server.store.files.safeend import SafeEnd

log = logging.getLogger(__name__)

# Frames waiting for the writer above this make `crowded` true [bytes].
MAX_PENDING = 32 << 20
RETRY_SECONDS = 1.0
# From reading a sample to writing it, at most [s]: it counts in `sync_seconds`.
HAND_OVER = 0.1


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
        self._safe_end = number, 0
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

    def skip_to(self, number: int) -> bool:
        """What waits to be written before segment `number` begins is not needed any more: it is in files. Whether
        there were frames, which whoever reads the journal misses."""
        missed = False
        with self._wake:
            if number in self._queue:
                while self._queue[0] != number:
                    missed |= not isinstance(self._queue.popleft(), int)
                    self._done += 1
                self._pending = sum(len(item[1]) for item in self._queue if not isinstance(item, int))
        return missed

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
    def safe_end(self) -> tuple[int, int]:
        """A segment, and its bytes up to the end of a frame: these are synced, and the segments before it are."""
        with self._wake:
            return self._safe_end

    @property
    def handed(self) -> int:
        """Frames and cuts that were handed over so far."""
        return self._handed

    @property
    def done(self) -> int:
        """Of these, those that are written, or not needed any more: they are in files."""
        return self._done

    def misses(self, handed: int) -> bool:
        """Whether some of the first so many frames and cuts are not written, and cannot be now."""
        return self.error is not None and self._done < handed

    @property
    def pending(self) -> int:
        """Bytes handed over and not written yet."""
        return self._pending

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes that are synced, since the start; and how many will be when all that was handed over is."""
        with self._wake:
            return self.synced, self.written + self._pending + FRAME_BYTES * len(self._queue)

    @property
    def full(self) -> bool:
        """Whether it cannot be written because there is no room on the disk."""
        error = self.error
        return error is not None and error.errno in FULL

    @property
    def crowded(self) -> bool:
        """Whether so much waits that no more should be handed over for now."""
        return self._pending > MAX_PENDING

    def status(self) -> dict[str, object]:
        """What is written, and what is not yet."""
        return {"journal_segment": self.number, "journal_bytes": self.written, "journal_pending": self.pending,
                "unsynced_seconds": self.unsynced_seconds}

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
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        path = segment_path(self._folder, number)
        handle = ownfiles.descriptor(path, flags, Use.WRITTEN)
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
        size = FRAME_BYTES + len(payload)
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
            if self._sync(ended):
                ownfiles.let_go(ended)
            self._failed.discard(ended)
            os.close(ended)
        if covered == self.synced:      # nothing but ends of segments
            with self._wake:
                self._safe_end = max(self._safe_end, (end[0], 0))
        elif not self.needs_cut and self._sync(handle):
            with self._wake:
                self.synced = covered
                self.unsynced_since = None if self.written == covered else began
                self._safe_end = end
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
