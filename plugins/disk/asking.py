"""Asks file systems for their space, each in a thread of its own: one that does not answer (its server is away, its
disk fails) holds up none of the others. Knows nothing of counters.

A thread cannot be ended: one that waits for such a file system is left waiting, and nobody else is sent after it.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

PATIENCE = 5.0  # seconds for all of them together; one that works answers within milliseconds


@dataclass(frozen=True)
class Answer:
    """Of the file system `key`: its mount point, and what statvfs(3) said of it; None where it cannot be looked at."""

    key: str
    mount: str
    space: os.statvfs_result | None


class Asking:
    """Remembers who has not answered yet."""

    def __init__(self, statvfs: Callable[[str], os.statvfs_result], patience: float = PATIENCE) -> None:
        self._statvfs, self._patience = statvfs, patience
        self._waiting: dict[str, threading.Thread] = {}

    def answers(self, mounts: Mapping[str, Sequence[str]]) -> Iterator[Answer]:
        """Ask all at once; the answers as they come. `mounts`: file system -> its mount points, the best one first."""
        self._waiting = {key: thread for key, thread in self._waiting.items() if thread.is_alive()}
        found: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        asked = [key for key in mounts if key not in self._waiting]
        for key in asked:
            thread = threading.Thread(target=self._ask, args=(key, mounts[key], found.put), daemon=True)
            self._waiting[key] = thread
            thread.start()
        until = time.monotonic() + self._patience
        for _ in asked:
            try:
                answer = found.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return
            del self._waiting[answer.key]
            yield answer

    def silent(self, mounts: Mapping[str, Sequence[str]]) -> list[str]:
        """Those of `mounts` that have not answered."""
        return [key for key in mounts if key in self._waiting]

    def _ask(self, key: str, mounts: Sequence[str], put: Callable[[Answer], None]) -> None:
        mount, space = mounts[0], None
        try:
            # A container has single files of its host mounted into it (/etc/hosts): they are nobody's disk.
            mount = next(one for one in mounts if os.path.isdir(one) or not os.path.exists(one))
            space = self._statvfs(mount)
        except (OSError, StopIteration):  # unmounted meanwhile, or a folder above it is closed to us
            space = None
        put(Answer(key, mount, space))
