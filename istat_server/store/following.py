"""Another store's journal comes in: its frames are taken as they are, into the engine and this store's own journal.

Ids and routes are the other's, whose records came in the same order; so a store that follows makes none itself. Of
what it has of the other the position says where that ends. It is journalled with each frame, and the MANIFEST of a cut
has it: rows and position are there together or not at all, whatever ends the process when. Exact is this:

* A frame has the clock by which its samples were taken, and is taken by it, however late.
* Names, renames, policies, deletes and marks are taken as they came. Counters that were idle are gone when they are
  there. One that was deleted is gone there once its rows are in no file there; here it is once they are in none of
  ours, which are others. Until then it stays deleted, and rows are let go of only when nobody can undo that there any
  more (`Deletes.ceiling`).
* Files are our own business: flushes, merges, derived levels and expiry, which goes by the clock of the last frame.

Knows the engine, and neither where frames come from nor who wants to have them. Belongs to the hub.
"""
from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from istat.errors import StoreError
from istat.kernels.unknown import UnknownRecord
from istat_server.store.files.journal import VERSION, Damage
from istat_server.store.levels.limits import Limits
from istat_server.store.names.deletes import Deletes
from istat_server.store.positions import Follows, Position
from istat_server.store.versions import NewerFormat
from istat_server.store.work.marks import Marks

if TYPE_CHECKING:
    from istat.kernels.python.ingest.engine import Engine

log = logging.getLogger(__name__)


class Diverged(StoreError):
    """What is in this store and what the other's journal tells do not fit: it wants a copy anew."""


class Following:
    """What one store has of another's journal; all stays as it was where it follows none."""

    def __init__(self, engine: Engine, limits: Limits, marks: Marks, deletes: Deletes, follows: Follows | None,
                 hand_over: Callable[[], None], keep_bounds: Callable[[], None]) -> None:
        """`hand_over`: the journal what the engine has for it; `keep_bounds`: of what waits, which may take a while."""
        self._hand_over, self._keep_bounds = hand_over, keep_bounds
        self._engine, self._limits, self._marks, self._deletes = engine, limits, marks, deletes
        self._follows = follows
        self.position = None if follows is None else follows.position
        self.master = ""        # where it is asked, for people
        self.clock = 0          # of the last frame that was taken [Unix s]; 0: none yet

    @property
    def read_only(self) -> str:
        """Why nothing is taken but by `apply`, or ""."""
        if self._follows is None:
            return ""
        return f"this server is a replica{f' of {self.master}' if self.master else ''}: send and change there"

    @property
    def revision(self) -> int:
        """Of the master's store, as of when it was copied."""
        return 0 if self._follows is None else self._follows.revision

    @property
    def active(self) -> bool:
        """Whether this store follows another."""
        return self._follows is not None

    def replayed(self, damage: Damage) -> None:
        """Our own journal was read: it may know a later position than the MANIFEST."""
        found = self._engine.take_position()
        if self._follows is None or not self._follows.position.known:
            return      # what a MANIFEST says to be unknown, as after a repair, no record makes known again
        if found is not None:
            store, *numbers = found
            self.position = Position(store.hex(), *numbers)
        if damage.skipped_bytes or (self.position is not None and self.position.store != self._follows.position.store):
            self.lose("damage in our journal has taken rows away")

    def lose(self, why: str) -> None:
        """From now on it is not known what this store has of the other's journal, after a restart neither."""
        log.error("this replica cannot go on with its master's journal: %s; it makes a copy anew", why)
        if self._follows is not None:
            self.position = self._follows.position.lost()

    def apply(self, payload: bytes | memoryview, clock: int, position: Position) -> None:
        """Take a frame of that clock [Unix s], at whose end the position is; it is one of our own journal, too. May
        block the greenlet until less is to be written.

        NewerFormat when a newer istatd wrote it: nothing is taken. Diverged when it cannot be of the store that this
        one is a copy of.
        """
        if self.position is None or not self.position.known:
            raise Diverged("this store follows no other")
        self._hand_over()
        self._take(payload, clock, position)
        self._hand_over()
        self._keep_bounds()

    def _take(self, payload: bytes | memoryview, clock: int, position: Position) -> None:
        self._limits.set(clock)
        try:
            self._engine.replay(payload, journal=True, follow=True)
        except UnknownRecord as error:
            raise NewerFormat("the journal of the master", f"{VERSION} with the record {error}", VERSION) from error
        except ValueError as error:
            self._engine.take_journal()     # a part of a frame, without a position
            self.lose(str(error))
            raise Diverged(f"segment {position.segment} of the master's journal before byte {position.offset}: "
                           f"{error}") from error
        self._engine.put_position(bytes.fromhex(position.store), position.epoch, position.segment, position.offset,
                                  position.salt)
        self._marks.note(self._engine.take_marks())
        self._deletes.followed(self._engine.take_followed())
        self.position, self.clock = position, clock

    def at_cut(self) -> Follows | None:
        """What the MANIFEST is to say of files that have all that was taken so far."""
        if self._follows is None or self.position is None:
            return None
        return Follows(self.position, self._follows.revision)

    def end(self) -> None:
        """This store follows no other any more: it makes ids and routes of its own, and decides about deletes."""
        self._follows = self.position = None
        self._deletes.ceiling = None
