"""The reserve: space on the disk that is given up when the disk is full, so that the store can put itself in order.

A head that is written to files lets the journal's segments go, a MANIFEST lets expired files go; both need a little
room first. The journal itself never gets it: it waits until there is room again. Knows a folder and sizes, no rows.
"""
from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from istat.errors import StoreFull
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat_server.store.ondisk import private

log = logging.getLogger(__name__)

NAME = "reserve"
# A head of a million counters is some 20 MB of files [bytes]; of a small disk it is only this share.
SIZE = 32 << 20
SHARE = 64
FULL = (errno.ENOSPC, errno.EDQUOT)

Result = TypeVar("Result")


def free_bytes(folder: Path) -> int:
    """What may still be written to the disk that a folder is on."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


class Reserve:
    """The file `reserve` of a store. Any thread may use it."""

    def __init__(self, folder: Path) -> None:
        disk = os.statvfs(folder)
        self.size = min(SIZE, disk.f_blocks * disk.f_frsize // SHARE)
        self._folder, self._path = folder, folder / NAME
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self._held = self._path.exists() and self._path.stat().st_size == self.size

    @property
    def held(self) -> int:
        """Bytes that are kept back now."""
        return self.size if self._held else 0

    def room(self) -> bool:
        """Whether the disk has room for more than putting things in order."""
        return self._held or free_bytes(self._folder) >= self.size

    def due(self) -> bool:
        """Whether it should be made (again) and there is space to."""
        return not self._held and free_bytes(self._folder) >= 2 * self.size

    def use(self, work: Callable[[], Result]) -> Result:
        """Do some work; where the disk is full, give the reserve up and do it again."""
        try:
            return work()
        except (OSError, StoreFull) as error:
            if not (isinstance(error, StoreFull) or error.errno in FULL) or not self._give_up():
                raise
            log.warning("%s; %d bytes kept in reserve are given up to put the store in order", error, self.size)
            return work()

    def _give_up(self) -> bool:
        with self._lock:
            held, self._held = self._held, False
            try:
                if held:
                    os.unlink(self._path)
            except OSError as error:
                log.error("%s cannot be given up: %s", self._path, error.strerror)
                return False
            return held

    def make(self) -> None:
        """Take the space. When that fails it is tried another time."""
        with self._lock:
            try:
                handle = ownfiles.descriptor(self._path, os.O_WRONLY, Use.WRITTEN, private)
                try:
                    os.posix_fallocate(handle, 0, max(1, self.size))
                finally:
                    os.close(handle)
            except OSError as error:
                self._tell(f"{self._path} cannot be made: {error.strerror}")
                self._remove_begun()
                return
            self._held = True
            self._told.clear()

    def _remove_begun(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:        # a disk that takes nothing lets nothing go either; it counts for nothing
            self._tell(f"{self._path} cannot be removed: {error.strerror}")

    def _tell(self, problem: str) -> None:
        """Log what goes wrong; once until the reserve is there, since it is tried again every second."""
        if problem not in self._told:
            self._told.add(problem)
            log.error("%s", problem)
