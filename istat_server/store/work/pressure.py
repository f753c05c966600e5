"""How much waits to be written: how full the head is, and whether other work lets ingest go first."""
from __future__ import annotations

from typing import TYPE_CHECKING

from istat_server.store.work.flushing import Flushing
from istat_server.store.work.journaling import Journal

if TYPE_CHECKING:
    from istat.kernels.python.ingest.engine import Engine

# A head may grow to this for each counter in it: its open bucket (64 bytes) and a minute of closed rows (24 each), so
# that a cut writes several rows a counter, which is what makes files small, however many counters there are [bytes].
CUT_BYTES_EACH = 200
# Ingest waits for the head that is being written once the next one is this much over its room: two heads are held then.
CROWDED = 1.25


class HeadRoom:
    """The bytes of rows that are in memory only, and how many there may be."""

    def __init__(self, engine: Engine, least: int) -> None:
        """least: room for so many bytes there always is; many counters have more."""
        self._engine, self._least = engine, least

    def used(self) -> int:
        """Bytes of rows."""
        return sum(head.bytes() for head in self._engine.heads)

    def room(self) -> int:
        """Bytes of rows that make a cut due."""
        return max(self._least, CUT_BYTES_EACH * sum(head.heard() for head in self._engine.heads))

    def full(self) -> bool:
        """Whether a cut is due."""
        return self.used() >= self.room()

    def crowded(self) -> bool:
        """Whether ingest has to wait until a head that was cut is written."""
        return self.used() >= CROWDED * self.room()

    def status(self) -> dict[str, int]:
        """What is in memory only."""
        return {"head_bytes": self.used(), "rows_in_memory": sum(len(head) for head in self._engine.heads)}


class Pressure:
    """Whether samples come faster than they are written. May be asked from any thread."""

    def __init__(self, journal: Journal, flushing: Flushing, head: HeadRoom) -> None:
        self._journal, self._flushing, self._head = journal, flushing, head

    def high(self) -> bool:
        """Whether they do."""
        return self._journal.crowded or (self._flushing.holding and self._head.full())

    @property
    def problem(self) -> str:
        """Why no samples are taken for now, or ""."""
        if self._journal.error is not None:
            return f"the journal cannot be written: {self._journal.error}; it goes on by itself once it can be"
        if self._flushing.problem and self._head.full():
            return f"memory is full and cannot be written: {self._flushing.problem}"
        return ""
