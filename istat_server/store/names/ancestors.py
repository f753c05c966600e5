"""What is to be done about the ancestors of counters at a start and now and then; `lineage` says which they are.

A route has the ancestors of its counters in it, so that the loop of samples knows nothing of this, and neither does the
replay of a journal. The MANIFEST says what routes were made with; where it is to be otherwise they are forgotten once,
and learnt anew. Belongs to the hub.
"""
from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from istat.errors import StoreError
from istat.kernels.python.ingest.records import MOST_RUN, UNLEARNT, put_change
from istat_server.store.files.livefiles import LiveFiles
from istat_server.store.files.manifest import UNSETTLED, Lineage
from istat_server.store.pool import Pool, Work

if TYPE_CHECKING:
    from istat.kernels.python.ingest.engine import Engine
    from istat_server.store.names.catalogue import Catalogue

log = logging.getLogger(__name__)

PAUSE = 1200                # ticks between two tries to note something: about a minute
LOOKED_AT_ONCE = 100        # idle counters that are looked at for others below them in one tick: a few milliseconds


def settle(engine: Engine, files: LiveFiles, flush: Callable[[], None], lineage: Lineage) -> None:
    """Have all routes learnt anew if they were made with other ancestors. Until the MANIFEST says that this is done,
    each start does it anew."""
    if files.manifest.lineage == lineage:
        return
    routes = len(engine.routes)
    for first in range(0, routes, MOST_RUN):
        engine.replay(put_change(UNLEARNT, first, min(MOST_RUN, routes - first)), journal=True)
    if routes:
        log.info("what samples feed is found out anew, with rollup = %d and make-parents = %s", lineage.rollup,
                 str(lineage.parents).lower())
        flush()
    files.commit(lambda state: replace(state, lineage=lineage, revision=state.revision + 1), ())


class Elders:
    """What is to be done about ancestors now and then."""

    def __init__(self, engine: Engine, files: LiveFiles, catalogue: Catalogue, background: Pool,
                 lineage: Lineage) -> None:
        self._engine, self._files, self._catalogue, self._background = engine, files, catalogue, background
        self._parents, self._noted = lineage.parents, False
        self._noting: Work | None = None
        self._pause = 0             # ticks until it is tried to be noted
        self._waiting: deque[tuple[int, bytes]] = deque()       # idle ones, and the days they had been heard

    def tick(self, idle: Sequence[int]) -> Sequence[int]:
        """Those of counters found idle, now or before, that may go, ascending: with `make-parents` one that has others
        below it stays."""
        self._note_lone()
        return self._may_go(idle) if self._parents else idle

    def _note_lone(self) -> None:
        """Where ancestors had no room, the next start is to look for it anew."""
        if not self._catalogue.lone or self._noted:
            return
        self._pause = max(0, self._pause - 1)
        if self._noting is None and not self._pause:
            self._pause = PAUSE
            self._noting = self._background.spawn(self._note)
        if self._noting is not None and self._noting.ready():
            self.finish()

    def _note(self) -> bool:
        """Whether it is in the MANIFEST now. In a thread."""
        told = "there are max-counters counters: some are fed without their ancestors, until there is room at a start"
        try:
            self._files.commit(lambda state: replace(state, lineage=UNSETTLED), ())
        except (OSError, StoreError) as error:
            log.warning("%s; that cannot be noted, and is tried again: %s", told, error)
            return False
        log.warning("%s", told)
        return True

    def finish(self) -> None:
        """Wait for what is being noted."""
        work, self._noting = self._noting, None
        if work is not None:
            self._noted = work.get()

    def _may_go(self, idle: Sequence[int]) -> Sequence[int]:
        heard, counters = self._engine.heard, self._engine.counters
        self._waiting.extend((id, heard(id, 1)) for id in idle)
        found = [self._waiting.popleft() for _ in range(min(LOOKED_AT_ONCE, len(self._waiting)))]
        # Who was deleted or heard meanwhile is no matter of ours any more.
        days = dict(found)
        still = [id for id, day in found if counters.has(id) and heard(id, 1) == day]
        stay = {id for id in still if self._catalogue.has_below(counters.name(id))}
        for id in stay:
            self._engine.touch(id)
        # While they were looked at others had their turn, too.
        return sorted(id for id in still if id not in stay and counters.has(id) and heard(id, 1) == days[id])
