"""A thread that brings to the disk what a spool has written, so that nobody else waits for it. Knows no format."""
from __future__ import annotations

import logging
import os
import queue
import threading
from pathlib import Path

from istat.access import ondisk
from istat.pagecache import ownfiles

log = logging.getLogger(__name__)

END_SECONDS = 20.0      # that an end waits for the disk: below what a service manager's watchdog waits


class Ticket:
    """What became of something that was handed over: `over`, and `failed` if it is not on the disk."""

    __slots__ = ("failed", "over")

    def __init__(self) -> None:
        self.over = self.failed = False


class Syncer:
    """Syncs descriptors that are handed over, and closes them. `failed`: that something could not be synced."""

    def __init__(self, folder: Path) -> None:
        self.failed = ""
        self._folder = folder
        self._queue: queue.SimpleQueue[tuple[list[int], bool, bool, Ticket] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def hand_over(self, handles: list[int], finished: bool = False, folder: bool = False) -> Ticket:
        """Sync these soon, and close them. `finished`: nothing more is written to them, so their pages can go.
        `folder`: what was made and removed in it is synced as well. When that is done its ticket says so."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="spool-sync", daemon=True)
            self._thread.start()
        ticket = Ticket()
        self._queue.put((handles, finished, folder, ticket))
        return ticket

    @property
    def behind(self) -> bool:
        """Whether it has not begun with all that it was given."""
        return not self._queue.empty()

    def close(self, timeout: float = END_SECONDS) -> bool:
        """Wait until all is synced, at most so many seconds; whether it is."""
        if self._thread is None:
            return True
        self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive() and not self.failed

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            handles, finished, folder, ticket = item
            done = [self._sync(handle, finished) for handle in handles]
            if folder:
                done.append(self._sync_folder())
            ticket.failed = not all(done)
            ticket.over = True

    def _sync(self, handle: int, finished: bool) -> bool:
        try:
            if finished:
                ownfiles.put_away(handle)
            else:
                os.fdatasync(handle)
            self.failed = ""
            return True
        except OSError as error:
            self._tell(error)
            return False
        finally:
            os.close(handle)

    def _sync_folder(self) -> bool:
        try:
            ondisk.sync_folder(self._folder)
            return True
        except OSError as error:
            self._tell(error)
            return False

    def _tell(self, error: OSError) -> None:
        if not self.failed:
            log.warning("what is in the spool %s cannot be brought safely to the disk: %s", self._folder,
                        error.strerror)
        self.failed = f"{self._folder} cannot be synced: {error.strerror}"
