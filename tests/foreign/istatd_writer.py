"""A store as istatd writes it, made from the byte layout alone (part 6 of its behaviour): shares no code with ours.

`Ring` is one file in memory with istatd's update algorithm (6.6): buckets merge or, with flag 1, replace; the ring
overwrites what is older than its capacity; indexes divide towards zero as the original does.
"""

from __future__ import annotations

import struct
from pathlib import Path

MAGIC = bytes.fromhex("697374617464 20 342e30 0a00 f5140700".replace(" ", ""))
PAGE = 8192
SLOTS = PAGE // 32


def f32(value: float) -> float:
    found: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return found


class Ring:
    """One level of one counter."""

    def __init__(self, interval: int, samples: int, created: int, flags: int = 0, version: int = 8,
                 fixed_count: int = 0) -> None:
        self.interval, self.flags, self.version, self.fixed_count = interval, flags, version, fixed_count
        self.pages = max(2, -(-samples // SLOTS))
        self.created = created - created % interval
        self.first = self.last = self.last_time = 0
        self.sums = [0.0, 0.0, 0]
        self.slots: dict[int, list[float]] = {}         # slot -> time sum min max count sumsq

    @property
    def capacity(self) -> int:
        return self.pages * SLOTS

    def put(self, time: int, total: float, sumsq: float, low: float, high: float, count: int) -> bool:
        """What `StatFile::updateBucket` does; whether it was taken."""
        start = time - time % self.interval
        index = int((time - self.created) / self.interval)          # towards zero
        if index > self.last:
            self.last, self.last_time = index, start
            self.first = max(self.first, self.last - self.capacity + 1)
        if index <= self.last - self.capacity:
            return False
        self.first = min(self.first, index)
        slot = index % self.capacity
        old = self.slots.get(slot)
        if old is None or old[0] != start or self.flags & 1:
            new = [start, total, f32(low), f32(high), count, f32(sumsq)]
        else:
            new = [start, old[1] + total, min(old[2], f32(low)), max(old[3], f32(high)), old[4] + count,
                   f32(old[5] + sumsq)]
        if self.flags & 4:
            new[4] = self.fixed_count
        self.slots[slot] = new
        self.sums = [self.sums[0] + total, self.sums[1] + sumsq, self.sums[2] + count]
        return True

    def sample(self, time: int, value: float) -> bool:
        return self.put(time, value, value * value, value, value, 1)

    def buckets(self) -> dict[int, list[float]]:
        """What istatd would answer: time -> sum min max count sumsq, of slots that hold their own index (6.5)."""
        found = {(int(slot[0]) - self.created) // self.interval: (number, slot) for number, slot in self.slots.items()}
        return {int(slot[0]): slot[1:] for index, (number, slot) in found.items()
                if index % self.capacity == number and self.last - self.capacity < index <= self.last}

    def encode(self) -> bytes:
        head = MAGIC + struct.pack("<iiiii", {4: 440, 5: 440, 6: 456, 7: 456, 8: 464}[self.version], self.interval,
                                   self.flags, self.version, 4) + b"\0" * 4
        head += struct.pack("<qqqqq", PAGE, self.pages, self.first, self.last, self.last_time)
        head += struct.pack("<ddqqq", *self.sums, self.created, self.created)
        head += b"\0" * 64 + b"/var/db/istatd/x".ljust(256, b"\0")
        if self.version >= 6:
            head += struct.pack("<dQ", 0.9, 86400)
        if self.version >= 8:
            head += struct.pack("<q", self.fixed_count)
        body = bytearray(PAGE * self.pages)
        for number, slot in self.slots.items():
            time, total, low, high, count, sumsq = slot
            at = 32 * number
            body[at : at + 32] = struct.pack("<qdffif", int(time), total, low, high, int(count), sumsq)
        return head.ljust(PAGE, b"\0") + bytes(body)


class Counter:
    """All levels of one counter, fed as the daemon feeds them."""

    LEVELS = (("10s", 10, 360), ("5m", 300, 1024), ("1h", 3600, 1024))

    def __init__(self, created: int, event: bool = False, version: int = 8,
                 levels: tuple[tuple[str, int, int], ...] = LEVELS) -> None:
        self.event = event
        self.rings = {name: Ring(interval, samples, created, (1 if at == 0 else 4) if event else 0, version,
                                 interval // levels[0][1] if event and at else 0)
                      for at, (name, interval, samples) in enumerate(levels)}
        self.levels = levels
        self.totals: dict[int, float] = {}

    def add(self, time: int, value: float) -> None:
        if self.event:
            fine = self.levels[0][1]
            self.totals[time - time % fine] = self.totals.get(time - time % fine, 0.0) + value
        else:
            for ring in self.rings.values():
                ring.sample(time, value)

    def collate(self) -> None:
        """Event totals as rates; every fine bucket between the first and the last one reaches the coarse levels."""
        fine = self.levels[0][1]
        for time in range(min(self.totals), max(self.totals) + fine, fine):
            rate = self.totals.get(time, 0.0) / fine
            for ring in self.rings.values():
                if time in self.totals or ring.interval != fine:
                    ring.sample(time, rate)

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if self.event and self.totals:
            self.collate()
        for name, ring in self.rings.items():
            (folder / name).write_bytes(ring.encode())
