"""Marks of what runs now: which foreign plugin is read or loaded, in a small mapped file that a crash leaves behind.

Setting a mark is a write to memory. Whoever begins next finds in `left` what ran when the process before ended without
clearing its marks, and in `stood_still` whether it was the watchdog that ended it. Format: docs/formats/marks.md. Knows
no collector: a mark is a plugin's origin.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from istat.access import guarded
from istat.kernels.python.watchdog import ANEW, HEADER, SLOT, STILL

log = logging.getLogger(__name__)

MAGIC, VERSION = b"istatMRK", 1
HEAD = struct.Struct("<8sHHI")  # magic, version, slots, process id
SLOTS = 80  # of plugins at once: there are 64 threads for readings
BYTES = HEADER + SLOTS * SLOT
ENTRY = struct.Struct("<BBHI")  # of a slot: whether it runs, length of the name, 0, checksum of the name
NAME_BYTES = SLOT - ENTRY.size  # of a name; what is longer is cut, and stands for all that begin so
NUMBER = struct.Struct("<I")


def key(origin: str) -> str:
    """As much of an origin as a mark can hold."""
    return os.fsencode(origin)[:NAME_BYTES].decode("utf-8", "replace")


class Marks:
    """The marks of this process."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor`: an open file that is ours alone from now on; what is no file of marks is begun anew."""
        self.descriptor = descriptor
        size = os.fstat(descriptor).st_size
        if size != BYTES:
            os.ftruncate(descriptor, BYTES)
        self.memory = mmap.mmap(descriptor, BYTES)
        self._free = list(range(SLOTS))
        self._lock = threading.Lock()
        known = self.memory[:HEAD.size - NUMBER.size] == HEAD.pack(MAGIC, VERSION, SLOTS, 0)[:-NUMBER.size]
        self.left: tuple[str, ...] = tuple(dict.fromkeys(self._marked())) if known else ()
        self.stood_still = known and self.memory[STILL] == 1
        # How often in a row the agent was executed anew.
        self.anew: int = NUMBER.unpack_from(self.memory, ANEW)[0] if self.stood_still else 0
        self.memory[HEADER:] = bytes(BYTES - HEADER)
        self.memory[:HEADER] = HEAD.pack(MAGIC, VERSION, SLOTS, os.getpid()).ljust(HEADER, b"\0")
        NUMBER.pack_into(self.memory, ANEW, self.anew)

    def _marked(self) -> Iterator[str]:
        for at in range(HEADER, BYTES, SLOT):
            runs, length, _, checksum = ENTRY.unpack_from(self.memory, at)
            name = self.memory[at + ENTRY.size:at + ENTRY.size + length]
            if runs == 1 and length <= NAME_BYTES and zlib.crc32(name) == checksum:
                yield name.decode("utf-8", "replace")

    @contextmanager
    def running(self, origin: str) -> Iterator[None]:
        """In the `with`, code of this plugin runs in this process. From any thread."""
        with self._lock:
            slot = self._free.pop() if self._free else None
        if slot is None:  # more than there are threads for: they run without
            yield
            return
        at = HEADER + slot * SLOT
        name = key(origin).encode()[:NAME_BYTES]
        self.memory[at + ENTRY.size:at + ENTRY.size + len(name)] = name
        ENTRY.pack_into(self.memory, at, 0, len(name), 0, zlib.crc32(name))
        self.memory[at] = 1  # last, so that no half of it is ever taken for a mark
        try:
            yield
        finally:
            self.memory[at] = 0
            with self._lock:
                self._free.append(slot)

    def steady(self) -> None:
        """It goes well: the next time that it stands still is the first one."""
        NUMBER.pack_into(self.memory, ANEW, 0)

    def clear(self) -> None:
        """The process ends as it should: what still runs is no crash."""
        self.memory[HEADER:] = bytes(BYTES - HEADER)

    def close(self) -> None:
        """Clear, and let go of the file."""
        self.clear()
        self.memory.close()
        os.close(self.descriptor)


def open_marks(folder: str, kept: int | None = None) -> Marks:
    """The marks in the runtime folder, or where there is none in memory alone. `kept`: the descriptor that an agent
    which was executed anew has handed on."""
    if kept is not None:
        os.set_inheritable(kept, False)
        return Marks(kept)
    if folder:
        path = os.path.join(folder, "marks")
        try:
            descriptor = guarded.open_file(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # another agent runs with the same folder
                os.close(descriptor)
                raise
            return Marks(descriptor)
        except OSError as error:
            log.warning("what runs is not marked in %s, so that a crash cannot be told of a plugin: %s", path,
                        error.strerror)
    return Marks(os.memfd_create("istat-marks", os.MFD_CLOEXEC))
