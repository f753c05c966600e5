"""The segment that a spool writes to: frames are appended, whole or not at all. Knows no cursors.

A frame that cannot be written, since the disk is full, leaves nothing behind: the segment ends where it ended before.
"""
from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from istat.access import ondisk
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat.spool.frames import Header, header_bytes
from istat.spool.segments import Segment, path_of


class Writer:
    """An open segment. OSError as of the system's calls."""

    def __init__(self, folder: Path, header: Header) -> None:
        """Makes the segment, in place of one of that name, in which there is no frame."""
        data = header_bytes(header)
        path = path_of(folder, header.first)
        self._handle = ownfiles.descriptor(path, os.O_WRONLY, Use.WRITTEN, ondisk.private)
        self.segment = Segment(path, header, len(data), 0)
        self._broken = False
        try:
            self.write(data)
        except OSError:
            os.close(self._handle)
            with contextlib.suppress(OSError):      # one without frames is no harm
                path.unlink()
            raise

    def write(self, data: bytes) -> int:
        """Append; where it began. OSError when it was not written, or not whole: then nothing of it is there."""
        at = self.segment.size
        if self._broken:
            raise OSError(errno.EIO, "the end of this segment is damaged")
        try:
            done = os.pwrite(self._handle, data, at)
            while done < len(data):
                done += os.pwrite(self._handle, data[done:], at + done)
        except OSError:
            self._cut(at)
            raise
        self.segment.size = at + len(data)
        return at

    def _cut(self, at: int) -> None:
        try:
            os.ftruncate(self._handle, at)
        except OSError:     # a reader steps over what is there
            self._broken = True

    @property
    def broken(self) -> bool:
        """Whether nothing more can be written to this one."""
        return self._broken

    def duplicate(self) -> int:
        """A descriptor of its own, for a thread that syncs."""
        return os.dup(self._handle)

    def end(self) -> int:
        """The descriptor, which is somebody else's to sync and to close from now on."""
        return self._handle
