"""Whether a spool is made coarser: what does it is loaded only when there is need, as most agents never have any."""
from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from istat.clock import Clock, ClockWatch
from istat.spool.coarsening.choosing import due
from istat.spool.cursors import Cursor
from istat.spool.shelf import Shelf
from istat.spool.syncing import Syncer

if TYPE_CHECKING:
    from istat.spool.coarsening.coarsener import Coarsener


class Coarsening:
    """Of one spool. `look` every second or so, `work` as often as there is time."""

    def __init__(self, shelf: Shelf, syncer: Syncer, cursors: Callable[[], Collection[Cursor]], most: int, age: int,
                 segment_bytes: int, clock: Clock, watch: ClockWatch) -> None:
        """most: bytes that the spool may have. age [s]: what is older is merged into hours. cursors: of all groups."""
        self._shelf, self._syncer, self._cursors = shelf, syncer, cursors
        self._most, self._age, self._segment_bytes, self._clock, self._watch = most, age, segment_bytes, clock, watch
        self._coarsener: Coarsener | None = None
        self._large = shelf.size    # as it was, and has become since

    @property
    def lines(self) -> int:
        """How many lines less there are by it, since the start."""
        return self._coarsener.lines if self._coarsener is not None else 0

    @property
    def busy(self) -> bool:
        """Whether there is something to be done by `work`."""
        return self._coarsener is not None and self._coarsener.busy

    @property
    def most(self) -> int:
        """How many bytes the spool may have now: more where it was larger at the start, as when it may have less than
        before, and some for what comes meanwhile, until it has become smaller or cannot."""
        self._large = max(self._most, min(self._large, self._shelf.size))
        if self._large == self._most or self._coarsener is not None and not self._coarsener.hopes:
            return self._most
        return self._large + 2 * self._segment_bytes

    def look(self) -> None:
        """Begin where there is too much, or what is too old; not for a clock that is in doubt."""
        segments = self._shelf.segments
        old_before = self._watch.believed() - self._age if not self._watch.doubt() else float("-inf")
        if len(segments) < 2:
            return
        if self._coarsener is None:
            if segments[0].ended >= old_before and not due(self._shelf.size, self._most, self._segment_bytes):
                return
            from istat.spool.coarsening.coarsener import Coarsener
            self._coarsener = Coarsener(self._shelf, self._syncer, self._cursors, self._most, self._segment_bytes,
                                        self._clock)
        self._coarsener.look(old_before)

    def work(self) -> None:
        """Go on, for some milliseconds."""
        if self._coarsener is not None:
            self._coarsener.work()

    def close(self) -> None:
        """Let go of all files."""
        if self._coarsener is not None:
            self._coarsener.close()
