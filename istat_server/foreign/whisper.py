"""Whisper files, Graphite's: one per counter, a few archives of one value a step in each.

The finest archive that reaches back to a time counts for it. Reading takes no byte for granted and never writes.
"""
from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from istat.errors import IstatError
from istat.kernels import columns
from istat_server.foreign.source import Found, Tree, parts_of
from istat_server.store.levels.placing import Archive
from istat_server.store.offline.appending import Series

SUFFIX = ".wsp"
HEAD = struct.Struct("!2LfL")       # aggregation, longest retention, xFilesFactor, archives
INFO = struct.Struct("!3L")         # offset, seconds per point, points
POINT = struct.Struct("!Ld")        # time, value
SUM = 2                             # the aggregation whose coarser points hold totals
AGGREGATIONS = range(1, 9)
MOST_ARCHIVES = 64
MOST_FILE = 1 << 30                 # bounds what a strange file costs [bytes]


class WhisperError(IstatError):
    """A file is no whisper file, or is damaged."""

    exit_code = 95


@dataclass(frozen=True)
class Ring:
    """One archive: its points by time, `step` seconds each; it reaches back `step` * `slots` seconds."""

    step: int
    slots: int
    points: dict[int, float]


@dataclass(frozen=True)
class Whisper:
    """One file. `rings`: finest first."""

    aggregation: int
    rings: tuple[Ring, ...]

    @property
    def newest(self) -> int:
        """The time of the newest point of all; 0 when there is none."""
        return max((max(ring.points, default=0) for ring in self.rings), default=0)

    def starts(self) -> list[int]:
        """The time from which on each archive counts: what is older belongs to the coarser ones.

        An archive's beginning is moved up to a step of the next coarser one, whose bucket is not cut in two.
        """
        found = []
        for ring, coarser in zip(self.rings, (*self.rings[1:], None)):
            reach = self.newest - self.newest % ring.step - ring.step * (ring.slots - 1)
            step = coarser.step if coarser else ring.step
            found.append(-(-reach // step) * step if coarser else reach)
        return found

    def archives(self, event: bool) -> tuple[Archive, ...]:
        """Rows, as `store.levels.placing` takes them.

        A point of a sum counts as so many values as finest steps are in it.
        `event`: points are totals of events; the rows are rates.
        """
        until = 1 << 62
        made = []
        for ring, start in zip(self.rings, self.starts()):
            rows: columns.Columns = columns.Columns()
            count = ring.step // self.rings[0].step if self.aggregation == SUM and not event else 1
            for time, value in sorted(ring.points.items()):
                if start <= time < until:
                    total = value / ring.step if event else value
                    rows.append(time, count, total, 0.0, total / count, total / count)
            made.append(Archive(ring.step, rows, apart=True))
            until = min(until, start)
        return tuple(made)


def read(data: bytes) -> Whisper:
    """The file that bytes are. WhisperError when they are none."""
    if len(data) < HEAD.size:
        raise WhisperError("is shorter than its header")
    aggregation, longest, _share, count = HEAD.unpack_from(data)
    if aggregation not in AGGREGATIONS or not 1 <= count <= MOST_ARCHIVES:
        raise WhisperError("is no whisper file")
    if len(data) < HEAD.size + count * INFO.size:
        raise WhisperError("is shorter than its header")
    rings = []
    for number in range(count):
        offset, step, slots = INFO.unpack_from(data, HEAD.size + number * INFO.size)
        if step < 1 or slots < 1 or offset < HEAD.size + count * INFO.size:
            raise WhisperError("is no whisper file")
        if offset + slots * POINT.size > len(data):
            raise WhisperError(f"has {len(data)} bytes, at least {offset + slots * POINT.size} expected")
        rings.append(Ring(step, slots, _points(data[offset : offset + slots * POINT.size], step, slots)))
    if max(ring.step * ring.slots for ring in rings) != longest or any(
            coarser.step <= finer.step for finer, coarser in zip(rings, rings[1:])):
        raise WhisperError("is no whisper file")
    return Whisper(aggregation, tuple(rings))


def _points(data: bytes, step: int, slots: int) -> dict[int, float]:
    """Those points that stand in the slot of their time, as whisper's own reader asks for."""
    base = POINT.unpack_from(data)[0]
    if base == 0:
        return {}
    return {time: value for number, (time, value) in enumerate(POINT.iter_unpack(data))
            if time > 0 and time % step == 0 and (time - base) // step % slots == number and math.isfinite(value)}


@dataclass
class WhisperTree(Tree):
    """A tree of whisper files, or one file."""

    event: bool = False         # points are totals of events

    kind = "whisper"

    def wanted(self, found: Found) -> bool:
        """See Tree.wanted."""
        return found.path.name.endswith(SUFFIX)

    def series(self, after: str) -> Iterator[Series]:
        """See Source.series. A counter's mark is its file."""
        seen = parts_of(after)
        for found in self.files(seen[:-1], self.problems):
            if found.after(seen) or not after:
                made = self._read(found)
                if made is not None:
                    archives = made.archives(self.event)
                    yield Series(self.naming.name(found.parts, SUFFIX), self.event, archives, found.mark)
            self.done += found.size

    def _read(self, found: Found) -> Whisper | None:
        try:
            if found.size > MOST_FILE:
                raise WhisperError(f"is larger than {MOST_FILE >> 20} MiB")
            return read(found.path.read_bytes())
        except WhisperError as error:
            self.problems.add("damaged", f"{found.path}: {error}")
        except OSError as error:
            self.problems.add("unreadable", f"{found.path}: {error.strerror}")
        return None
