"""Whisper files, Graphite's: one per counter, a few archives of one value a step in each.

Reading takes no byte for granted and never writes. Points that whisper's own reader serves are all that counts: see
covering.py for which archive they come from. Carbon's files of tagged series are below `_tagged`.
"""
from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from istat.errors import IstatError
from istat.kernels import columns
from istat.pagecache import ownfiles
from istat_server.foreign.covering import Resolution, cover, missing
from istat_server.foreign.source import Found, Tree, parts_of
from istat_server.store.levels.placing import Archive
from istat_server.store.offline.appending import Series

SUFFIX = ".wsp"
HEAD = struct.Struct("!2LfL")       # aggregation, longest retention, xFilesFactor, archives
INFO = struct.Struct("!3L")         # offset, seconds per point, points
POINT = struct.Struct("!Ld")        # time, value
TAGGED = b"_tagged"
HASHED = ("is of a tagged series, whose name is not in the file: carbon has hashed it. Let carbon write names "
          "(TAG_HASH_FILENAMES = False), or name this file by --rename")
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
    odd: tuple[int, ...] = ()       # times of points that are infinite or no number


@dataclass(frozen=True)
class Whisper:
    """One file. `rings`: finest first."""

    aggregation: int
    rings: tuple[Ring, ...]

    def newest(self, now: int) -> int:
        """The time of the newest point that is not in the future; 0 when there is none."""
        return max((time for ring in self.rings for times in (ring.points, ring.odd) for time in times if time <= now),
                   default=0)

    def reaches(self, now: int) -> list[int]:
        """The oldest time that each archive has a slot for, as of the newest point: older points are left over."""
        newest = self.newest(now)
        return [newest - newest % ring.step - ring.step * (ring.slots - 1) for ring in self.rings]

    def covered(self, now: int) -> list[dict[int, float]]:
        """Of each archive the points that count."""
        return cover([Resolution(ring.step, reach, ring.points)
                      for ring, reach in zip(self.rings, self.reaches(now), strict=True)])

    def archives(self, event: bool, now: int) -> tuple[Archive, ...]:
        """Rows, as `store.levels.placing` takes them.

        A point of a sum counts as so many values as finest steps are in it.
        `event`: points are totals of events; the rows are rates.
        """
        made = []
        for ring, points in zip(self.rings, self.covered(now), strict=True):
            rows: columns.Columns = columns.Columns()
            count = ring.step // self.rings[0].step if self.aggregation == SUM and not event else 1
            for time, value in sorted(points.items()):
                total = value / ring.step if event else value
                rows.append(time, count, total, 0.0, total / count, total / count)
            made.append(Archive(ring.step, rows, apart=True))
        return tuple(made)

    def not_finite(self, now: int) -> int:
        """How many points are infinite or no number, where no other archive has one that is."""
        kept = [(ring.step, points) for ring, points in zip(self.rings, self.covered(now), strict=True)]
        return sum(missing((time for time in ring.odd if time >= reach), ring.step, kept)
                   for ring, reach in zip(self.rings, self.reaches(now), strict=True))


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
        rings.append(_ring(data[offset : offset + slots * POINT.size], step, slots))
    if max(ring.step * ring.slots for ring in rings) != longest or any(
            coarser.step <= finer.step for finer, coarser in zip(rings, rings[1:])):
        raise WhisperError("is no whisper file")
    return Whisper(aggregation, tuple(rings))


def _ring(data: bytes, step: int, slots: int) -> Ring:
    """Those points that stand in the slot of their time, as whisper's own reader asks for."""
    base = POINT.unpack_from(data)[0]
    if base == 0:
        return Ring(step, slots, {})
    found = {time: value for number, (time, value) in enumerate(POINT.iter_unpack(data))
             if time > 0 and time % step == 0 and (time - base) // step % slots == number}
    odd = tuple(time for time, value in found.items() if not math.isfinite(value))
    for time in odd:
        del found[time]
    return Ring(step, slots, found, odd)


@dataclass
class WhisperTree(Tree):
    """A tree of whisper files, or one file."""

    event: bool = False         # points are totals of events
    now: int = 0                # Unix seconds

    kind = "whisper"
    suffixes = (SUFFIX,)

    def series(self, after: str) -> Iterator[Series]:
        """See Source.series. A counter's mark is its file."""
        seen = parts_of(after)
        for found in self.files(seen[:-1], self.problems):
            if found.after(seen) or not after:
                made = self._series(found)
                if made is not None:
                    yield made
            self.done += found.size

    def _series(self, found: Found) -> Series | None:
        parts = found.parts if self.naming.renamed(found.mark) else _untagged(found.parts)
        if not parts:
            self.problems.add("name_unknown", f"{found.path}: {HASHED}")
            return None
        try:
            made = self._read(found)
        except WhisperError as error:
            self.problems.add("damaged", f"{found.path}: {error}")
        except OSError as error:
            self.problems.add("unreadable", f"{found.path}: {error.strerror}")
        else:
            odd = made.not_finite(self.now)
            if odd:
                self.problems.add("not_finite", f"{found.path}: {odd} values that are infinite or no number", odd)
            archives = made.archives(self.event, self.now)
            return self.naming.series(parts, found.mark, self.event, archives, found.mark, SUFFIX)
        return None

    def _read(self, found: Found) -> Whisper:
        if found.size > MOST_FILE:
            raise WhisperError(f"is larger than {MOST_FILE >> 20} MiB")
        return read(ownfiles.content(found.path))


def _untagged(parts: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The path of a file of carbon's tagged series as that of its name: `_tagged/HEX/HEX/NAME.wsp`, where HEX is the
    beginning of NAME's hash and its dots are spelled _DOT_. () where there is the hash only."""
    if len(parts) < 4 or parts[-4] != TAGGED:
        return parts
    folder, stem = b"".join(parts[-3:-1]), parts[-1].removesuffix(SUFFIX.encode())
    name = stem.replace(b"_DOT_", b".")
    if b";" not in name or not hashlib.sha256(name).hexdigest().encode().startswith(folder):
        return ()
    return (name + SUFFIX.encode(),)
