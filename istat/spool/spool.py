"""The spool of a program: lines come in as frames, and stay until every group of targets has had them.

Knows no sockets. `append` writes at once (write(2)); a thread of the spool's own syncs.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from istat.clock import Clock
from istat.spool.cursors import Cursor
from istat.spool.frames import Mark


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a spool keeps of what was not acknowledged: bytes on the disk, and for how long [s]."""

    bytes: int = 1 << 30
    age: int = 3 * 86_400


@dataclass(frozen=True, slots=True)
class Loss:
    """Lines that a group never gets: why (`bytes`, `age`, `damaged`, `disk`), which sequences, and when they came
    [Unix s]."""

    group: str
    reason: str
    first: int
    last: int
    lines: int
    begin: int
    end: int


class Spool:
    """A folder of frames and cursors. One process has it open at a time."""

    id: bytes           # 16 bytes: the sender's, and
    epoch: int          # its epoch
    last: int           # the last sequence that was given, 0: none yet
    written: int        # the last one that is in the file, so that it outlives the process

    @classmethod
    def open(cls, folder: Path, limits: Limits, clock: Clock, known: Callable[[Mark], bool] | None = None) -> Self:
        """Take a folder into use; it is made if it is missing. `known`: whether the store's journal has a batch; the
        spool is cut at the first frame whose batch it has not. None: the spool is the journal, and keeps marks.

        SpoolError: another process has it, no permission, a newer format.
        """
        raise NotImplementedError

    @property
    def refusing(self) -> str:
        """Why nothing should be taken for the spool now, in a sentence; "": nothing is wrong."""
        raise NotImplementedError

    def append(self, text: bytes, clock: int, count: int, interval: int = 0, mark: Mark | None = None) -> int:
        """The sequence of a new frame: whole lines, at most MOST_TEXT bytes. It is in the file when this returns
        (`written`), or in memory while the disk is full; or lost and counted when there is too much of that."""
        raise NotImplementedError

    def knows(self, mark: Mark) -> bool:
        """Whether this batch, or a later one of its sender and epoch, is in the spool or was. Where there is `known`,
        the store answers that."""
        raise NotImplementedError

    def marks(self) -> dict[tuple[bytes, int], int]:
        """The last sequence of each (sender, epoch)."""
        raise NotImplementedError

    def group(self, name: str) -> Cursor:
        """The cursor of a group, the same one each time. One that was not there begins with what other groups have
        not had yet."""
        raise NotImplementedError

    def keep(self, names: Iterable[str]) -> None:
        """Forget the cursors of all other groups."""
        raise NotImplementedError

    def tick(self) -> None:
        """Let go of what is done, too much or too old; have synced what waits. To be called every second or so."""
        raise NotImplementedError

    def losses(self) -> list[Loss]:
        """What was lost, the newest last; bounded. `status` has the sums."""
        raise NotImplementedError

    def status(self) -> dict[str, object]:
        """Bytes, segments, sums of losses by reason, and what is wrong."""
        raise NotImplementedError

    def close(self) -> None:
        """Sync, and let go of the folder."""
        raise NotImplementedError
