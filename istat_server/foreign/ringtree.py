"""An istatd store: a folder per counter with a ring file per level in it (part 6.8 of istatd's behaviour)."""
from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from istat_server.foreign import ring
from istat_server.foreign.source import Found, Tree, parts_of, walk
from istat_server.store.levels.placing import Archive
from istat_server.store.offline.appending import Series


@dataclass
class RingTree(Tree):
    """A tree of ring files, or the folder of one counter."""

    now: int = 0                # Unix seconds

    kind = "istatd"

    def series(self, after: str) -> Iterator[Series]:
        """See Source.series. A counter's mark is its folder."""
        seen = parts_of(after)
        for parts, files in groupby(walk(self.root, self.problems, seen), lambda found: found.parts[:-1]):
            levels = list(files)
            if not after or parts > seen:
                made = self._counter(parts, levels)
                if made is not None:
                    yield made
            self.done += sum(level.size for level in levels)

    def _counter(self, parts: tuple[bytes, ...], files: list[Found]) -> Series | None:
        rings = [read for read in map(self._read, files) if read is not None]
        for trailing in [one for one in rings if one.trailing]:
            self.problems.add("seasonal")
            rings.remove(trailing)
        if not rings:
            return None
        rings.sort(key=lambda one: one.header.interval)
        event, finest = rings[0].event, rings[0].header.interval
        archives = []
        for one in rings:
            if one.event != event:
                self.problems.add("other_kind", f"{self.root}/{os.fsdecode(b'/'.join(parts))}: levels of both kinds")
            else:
                archives.append(Archive(one.header.interval, one.rows(self.now, finest)))
                odd = one.not_finite(self.now, finest)
                if odd:
                    self.problems.add("not_finite", f"{self.root}/{os.fsdecode(b'/'.join(parts))}: {odd} buckets with "
                                                    f"infinite values or none", odd)
        origin = os.fsdecode(b"/".join(parts))
        return self.naming.series(parts, origin, event, tuple(archives), origin)

    def _read(self, found: Found) -> ring.Ring | None:
        try:
            return ring.read(found.path)
        except ring.RingError as error:
            self.problems.add("damaged", f"{found.path}: {error}")
        except OSError as error:
            self.problems.add("unreadable", f"{found.path}: {error.strerror}")
        return None
