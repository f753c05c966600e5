"""What people change of a store's counters: deletes, their undoing, other names. Each call blocks its greenlet until
the journal has it, and is refused while the store may not be changed. And what they say of its clock.

Knows who carries them out (names/), and no journal.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

from istat.clock import ClockWatch
from istat.errors import StoreError
from istat_server.store.files.livefiles import LiveFiles
from istat_server.store.interface import Deleted
from istat_server.store.names.deletes import Deletes
from istat_server.store.names.renames import Renames
from istat_server.store.pool import Pool

CHANGES_AT_ONCE = 10_000    # counters deleted before others have their turn: some 10 ms


class Changing:
    """The changes of one store."""

    def __init__(self, deletes: Deletes, renames: Renames, files: LiveFiles, watch: ClockWatch, pool: Pool,
                 read_only: Callable[[], str], written: Callable[[], None]) -> None:
        """`written`: waits until the journal has what was changed. `read_only`: why nothing may be, or ""."""
        self._deletes, self._renames, self._read_only, self._written = deletes, renames, read_only, written
        self._files, self._watch, self._pool = files, watch, pool

    def _check(self) -> None:
        if why := self._read_only():
            raise StoreError(why)

    def delete(self, ids: Sequence[int]) -> int:
        """Delete counters; how many were there."""
        self._check()
        done = 0
        for at in range(0, len(ids), CHANGES_AT_ONCE):
            done += self._deletes.delete(ids[at:at + CHANGES_AT_ONCE])
            self._written()
        return done

    def undelete(self, ids: Sequence[int]) -> list[Deleted]:
        """Let deleted counters be found again; those that cannot be."""
        self._check()
        refused: list[Deleted] = []
        for at in range(0, len(ids), CHANGES_AT_ONCE):
            refused += self._deletes.undelete(ids[at:at + CHANGES_AT_ONCE])
            self._written()
        return refused

    def rename(self, pairs: Sequence[tuple[int, bytes]]) -> None:
        """Give counters other names, all or none."""
        self._check()
        self._renames.rename(pairs)
        self._written()

    def confirm_clock(self) -> str:
        """Believe the clock as it is: what is old by it may go. What was doubted, or "". Blocks the greenlet: it is
        written down at once, so that the next start believes it too. StoreError if it cannot be."""
        doubted = self._watch.confirm()
        try:
            self._pool.apply(self._files.commit, (lambda state: state, ()))
        except OSError as error:
            raise StoreError(f"the clock is believed, but a restart will doubt it again: {error}") from error
        return doubted
