"""When counters were last heard, kept over restarts; and which have been silent for longer than their data are kept.

The engine notes the day at the first sample after each cut, 2 bytes a counter. The file HEARD has them as of once a day
and of the end, so that after a crash a counter may seem a day more silent than it was; that day is waited for.
Format: docs/formats/journal.md. Belongs to the hub, but for what `save` does in a thread.
"""
from __future__ import annotations

import logging
import zlib
from typing import TYPE_CHECKING

from istat.clock import Clock, ClockWatch
from istat.errors import StoreCorrupt
from istat_server.store.files import journal
from istat_server.store.files.livefiles import LiveFiles
from istat_server.store.levels.policies import EXPIRE_GRACE, longest
from istat_server.store.pool import Pool, Work

if TYPE_CHECKING:
    from istat.kernels.python.ingest.engine import Engine

log = logging.getLogger(__name__)

NAME = "HEARD"
DAY = 86_400                # [s]
SAVE_SECONDS = float(DAY)   # between two writings of the file
PASS_SECONDS = 3600.0       # between two looks at all counters
AT_ONCE = 200_000           # counters looked at in one tick: a fraction of a millisecond
FRAME_COUNTERS = 1 << 20
LEVEL = 1                   # of zlib: most counters were heard on the same day, so anything packs it well


class Idling:
    """Finds counters whose data are past all retention."""

    def __init__(self, engine: Engine, files: LiveFiles, clock: Clock, background: Pool, watch: ClockWatch) -> None:
        self._engine, self._files, self._clock, self._background = engine, files, clock, background
        self._path, self._uuid, self._watch = files.folder / NAME, files.uuid, watch
        self._work: Work | None = None
        self._save_at = clock.monotonic() + SAVE_SECONDS
        self._pass_at = clock.monotonic()
        self._next: int | None = None       # the next id of the pass under way

    def load(self) -> None:
        """What the file says, for the counters of the names files; the others, and all where it cannot be read, count
        as heard now. To be called before the journal is replayed."""
        today = min(int(max(self._watch.believed(), self._clock.now(), 0)) // DAY, 0xFFFF)
        count = len(self._engine.counters)
        for first in range(0, count, FRAME_COUNTERS):
            self._engine.set_heard(first, today.to_bytes(2, "little") * min(FRAME_COUNTERS, count - first))
        try:
            days = self._read()
        except FileNotFoundError:
            return
        except (OSError, StoreCorrupt, zlib.error) as error:
            log.error("%s: %s; all counters count as heard today", self._path, error)
            return
        self._engine.set_heard(0, days[:2 * count])

    def _read(self) -> bytes:
        damage = journal.Damage()
        parts = []
        for _clock, payload in journal.read_segment(self._path, damage):
            unpacker = zlib.decompressobj()
            parts.append(unpacker.decompress(payload, 2 * FRAME_COUNTERS))
        if damage.notes:
            raise StoreCorrupt("; ".join(damage.notes))
        return b"".join(parts)

    def save(self) -> None:
        """Write the file, and wait for it. OSError when it cannot be written."""
        self._write(self._copies())

    def _copies(self) -> list[bytes]:
        count = len(self._engine.counters)
        return [self._engine.heard(first, FRAME_COUNTERS) for first in range(0, count, FRAME_COUNTERS)]

    def _write(self, copies: list[bytes]) -> None:
        payloads = [zlib.compress(days, LEVEL) for days in copies]
        journal.write_whole(self._path, journal.KIND_HEARD, 0, self._uuid, payloads)

    def _try_write(self, copies: list[bytes]) -> None:
        try:
            self._write(copies)
        except OSError as error:
            log.error("%s cannot be written, to be tried again tomorrow: %s", self._path, error)

    def tick(self) -> list[int]:
        """Counters that are to be forgotten now; writes the file when it is time."""
        now = self._clock.monotonic()
        if self._work is not None and self._work.ready():
            work, self._work = self._work, None
            work.get()
        if now >= self._save_at and self._work is None:
            self._save_at = now + SAVE_SECONDS
            self._work = self._background.spawn(self._try_write, self._copies())
        if self._next is None and now >= self._pass_at:
            self._pass_at, self._next = now + PASS_SECONDS, 0
        if self._next is None or self._watch.doubt():
            return []
        first, self._next = self._next, self._next + AT_ONCE
        if self._next >= len(self._engine.counters):
            self._next = None
        found = [id for policy, keep in longest(self._files.manifest).items()
                 for id in self._engine.idle(policy, self._before(keep), first, AT_ONCE)]
        return sorted(found)

    def _before(self, keep: int) -> int:
        """Counters last heard before this day have no data: neither did they on the day after, see above."""
        return max(0, int(self._clock.now() - keep - EXPIRE_GRACE) // DAY - 1)

    def finish(self) -> None:
        """Wait for the writing under way."""
        work, self._work = self._work, None
        if work is not None:
            work.get()
