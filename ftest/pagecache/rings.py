"""A store of ring files, small: a file for each counter and level, written in place, as istatd has them. What ours is
compared with: its answers, and what its writes do to the page cache. Slots are istatd's; nothing else is."""
from __future__ import annotations

import os
from pathlib import Path

from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat.retention import Ladder, Level
from istat_server.foreign.ring import SLOT

HEADER = 4096       # bytes before the first slot, as in istatd's files
# time, count, sum, min, max of a bucket.
Bucket = tuple[int, int, float, float, float]


class Rings:
    """Samples wait in memory until `flush`. Only gauges."""

    def __init__(self, folder: Path, ladder: Ladder, full: bool = False) -> None:
        """`full`: a new file has all its blocks on the disk, as one that has gone round; else it is sparse."""
        self._folder, self._ladder, self._full = folder, ladder, full
        self._waiting: dict[tuple[str, str], dict[int, Bucket]] = {}
        folder.mkdir()

    def put(self, name: str, when: int, value: float) -> None:
        for level in self._ladder.levels:
            waiting = self._waiting.setdefault((name, level.name), {})
            time = when - when % level.interval
            before = waiting.get(time)
            waiting[time] = _sum(before, (time, 1, value, value, value))

    def flush(self) -> None:
        """Each file is opened, written in place and closed, once."""
        for level in self._ladder.levels:
            for (name, of), buckets in self._waiting.items():
                if of == level.name and buckets:
                    self._write(self.path(name, level), level, buckets)
        self._waiting.clear()

    def path(self, name: str, level: Level) -> Path:
        return self._folder / f"{name}.{level.name}"

    def _write(self, path: Path, level: Level, buckets: dict[int, Bucket]) -> None:
        new = not path.exists()
        handle = ownfiles.descriptor(path, os.O_RDWR | os.O_CREAT, Use.PARTS)
        try:
            if new:
                _make(handle, HEADER + _capacity(level) * SLOT.size, self._full)
            for time, bucket in sorted(buckets.items()):
                at = _place(level, time)
                held = _bucket(os.pread(handle, SLOT.size, at))
                if held is None or held[0] < time:
                    held = None
                elif held[0] > time:        # the ring has gone on: too old
                    continue
                _, count, total, low, high = _sum(held, bucket)
                os.pwrite(handle, SLOT.pack(time, total, low, high, count, 0.0), at)
            os.pwrite(handle, max(buckets).to_bytes(8, "little"), 0)
        finally:
            os.close(handle)

    def read(self, name: str, level: int, start: int, end: int) -> list[Bucket]:
        """The buckets with start <= time < end."""
        of = self._ladder.levels[level]
        path = self.path(name, of)
        if not path.exists():
            return []
        with open(path, "rb") as file:
            data = file.read()
        found = (_bucket(data[at:at + SLOT.size]) for at in range(HEADER, len(data), SLOT.size))
        return sorted(one for one in found if one is not None and start <= one[0] < end)

    def delete(self, name: str) -> None:
        for level in self._ladder.levels:
            self.path(name, level).unlink(missing_ok=True)


def _make(handle: int, size: int, full: bool) -> None:
    if full:
        os.pwrite(handle, bytes(size), 0)
        ownfiles.put_away(handle)
    else:
        os.ftruncate(handle, size)


def _capacity(level: Level) -> int:
    return level.keep // level.interval


def _place(level: Level, time: int) -> int:
    return HEADER + time // level.interval % _capacity(level) * SLOT.size


def _bucket(slot: bytes) -> Bucket | None:
    if len(slot) < SLOT.size:
        return None
    time, total, low, high, count, _sumsq = SLOT.unpack(slot)
    return (time, count, total, low, high) if time else None


def _sum(one: Bucket | None, other: Bucket) -> Bucket:
    if one is None:
        return other
    return (one[0], one[1] + other[1], one[2] + other[2], min(one[3], other[3]), max(one[4], other[4]))
