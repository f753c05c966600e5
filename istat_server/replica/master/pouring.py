"""A file on its way to a replica: read in threads, a piece at a time, so that nobody else waits for the disk.

Knows a descriptor and a part of its bytes; HTTP asks for one piece after the other.
"""
from __future__ import annotations

import logging
import os
import re

import gevent

from istat.errors import BadQuery
from istat.pagecache import ownfiles
from istat_server.store.pool import Delivering

log = logging.getLogger(__name__)

# Read and handed over at once [bytes]: some 0.3 ms of a thread's time.
PIECE = 1 << 20
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")


class Pouring:
    """The bytes from `at` to `end` of a descriptor, which is closed at the end, or by `close`."""

    def __init__(self, handle: int, at: int, end: int) -> None:
        self._handle, self._at, self._end = handle, at, end

    def __iter__(self) -> Pouring:
        return self

    def __next__(self) -> bytes:
        """The next piece. A file that became shorter, or cannot be read, ends early: whoever reads misses the rest."""
        wanted = min(PIECE, self._end - self._at)
        data: bytes = b""
        if wanted > 0:
            try:
                data = Delivering(gevent.get_hub().threadpool).apply(
                    ownfiles.read_once, (self._handle, self._at, wanted))
            except OSError as error:
                log.warning("a file cannot be given to a replica: %s", error)
        if not data:
            self.close()
            raise StopIteration
        self._at += len(data)
        return data

    def close(self) -> None:
        """Let go of the file; HTTP calls it whatever became of the answer."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def part_of(header: str, size: int) -> tuple[int, int] | None:
    """(begin, end) that a Range header asks for of a file of `size` bytes; None: all of it. BadQuery (416) when there
    is nothing of it; other forms of ranges mean nothing, as HTTP has it."""
    match = _RANGE.fullmatch(header)
    if match is None:
        return None
    begin = int(match[1])
    end = min(int(match[2]) + 1, size) if match[2] else size
    if begin >= size or end <= begin:
        raise BadQuery(f"the file has {size} bytes, and none from {begin} on", 416)
    return begin, end
