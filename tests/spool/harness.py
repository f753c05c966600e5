"""Spools for tests: opened, killed, drained."""
from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from istat.clock import Clock, FakeClock
from istat.spool.cursors import Cursor
from istat.spool.frames import Mark
from istat.spool.spool import Limits, Spool

NOW = 1325395000
GROUP = "a:8111 | b:8111"


def open_spool(folder: Path, clock: Clock | None = None, limits: Limits | None = None,
               known: Callable[[Mark], bool] | None = None, groups: tuple[str, ...] = (GROUP,)) -> Spool:
    """A spool with its groups."""
    spool = Spool.open(folder, limits or Limits(), clock or FakeClock(NOW), known)
    for group in groups:
        spool.group(group)
    spool.keep(groups)
    return spool


def kill(spool: Spool) -> None:
    """Let go of the folder as the end of a process does: nothing is written any more."""
    spool._syncer.close()
    spool._slots.close()
    for segment in spool._shelf.segments:
        segment.close()
    for cursor in spool._cursors.values():
        cursor._file.close()
    if spool._appending.writer is not None:
        os.close(spool._appending.writer.end())


def put(spool: Spool, *numbers: int, lines: int = 1, mark: Mark | None = None) -> list[int]:
    """One frame for each number, of so many lines that tell it. The sequences."""
    return [spool.append(b"a %d\n" % number * lines, NOW, lines, mark=mark) for number in numbers]


def number_of(text: bytes) -> int:
    """What `put` put into a frame."""
    return int(text.split()[1])


def drain(spool: Spool, cursor: Cursor, member: str = "a", most: int = 1 << 30) -> list[int]:
    """Send and acknowledge what there is; the numbers."""
    got: list[int] = []
    while len(got) < most and (frame := cursor.read(spool.last)) is not None:
        cursor.sending(member, frame.sequence)
        got.append(number_of(frame.text))
        cursor.done(member, frame.sequence)
    return got


def lost(spool: Spool) -> dict[str, int]:
    """Lines that are lost, by reason."""
    counted: dict[str, int] = spool.status()["spool_lost"]      # type: ignore[assignment]
    return {reason: lines for reason, lines in counted.items() if lines}


class Disk:
    """`left`: how many bytes it takes yet; None: any number."""

    def __init__(self) -> None:
        self.left: int | None = None
        self._pwrite = os.pwrite

    def pwrite(self, handle: int, data: bytes, at: int) -> int:
        """As os.pwrite, where there is room: in files that have it already there always is."""
        over = at + len(data) - os.fstat(handle).st_size
        if self.left is None or over <= 0:
            return self._pwrite(handle, data, at)
        if self.left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = self._pwrite(handle, data[:self.left], at)
        self.left -= done
        return done
