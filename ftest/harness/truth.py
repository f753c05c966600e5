"""What counters must hold in the end: plain Python over the samples that were sent, and the comparison with a server.

Values are whole numbers, so that sums are exact in whatever order they are added. It knows nothing of connections.
"""
from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ftest.harness.serverprocess import ServerProcess

INTERVAL = 10           # the finest level [s]
COLUMNS = ("count", "sum", "min", "max")
SHOWN = 20              # differences that a failure prints


@dataclass
class Cell:
    """One bucket of one counter. Of an event counter only `sum` counts: all events of the bucket."""

    count: int = 0
    sum: int = 0
    min: int = 1 << 60
    max: int = -(1 << 60)

    def add(self, count: int, total: int, least: int, most: int) -> None:
        """Take a sample, or several at once."""
        self.count += count
        self.sum += total
        self.min, self.max = min(self.min, least), max(self.max, most)


@dataclass(frozen=True)
class Sample:
    """One line: `time` [s] None is the clock of its batch. `parts` are the values that it has together."""

    wire: str
    time: int | None
    parts: tuple[int, ...]

    @property
    def line(self) -> bytes:
        """As it is sent."""
        stamp = "" if self.time is None else f" {self.time}"
        if len(self.parts) == 1:
            return f"{self.wire}{stamp} {self.parts[0]}\n".encode()
        squares = sum(part * part for part in self.parts)
        return (f"{self.wire}{stamp} {sum(self.parts)} {squares} {min(self.parts)} {max(self.parts)} "
                f"{len(self.parts)}\n").encode()


def counters_of(wire: str) -> list[str]:
    """The counters that a caret name feeds, without its star."""
    base, *carets = wire.removeprefix("*").split("^")
    return [f"{base}.{caret}" if caret else base for caret in carets] or [base]


@dataclass
class Truth:
    """All samples that count, by counter and finest bucket. Several threads may add."""

    gauges: dict[str, dict[int, Cell]] = field(default_factory=dict)
    events: dict[str, dict[int, Cell]] = field(default_factory=dict)
    samples: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, sample: Sample, clock: int) -> None:
        """Take a sample that came in a batch of this clock [s]."""
        kind = self.events if sample.wire.startswith("*") else self.gauges
        bucket = (clock if sample.time is None else sample.time) // INTERVAL * INTERVAL
        with self._lock:
            self.samples += 1
            for name in counters_of(sample.wire):
                cell = kind.setdefault(name, {}).setdefault(bucket, Cell())
                cell.add(len(sample.parts), sum(sample.parts), min(sample.parts), max(sample.parts))

    def differences(self, *servers: ServerProcess) -> list[str]:
        """What servers have otherwise, a line each; nothing when all is there once. Of several, taken together."""
        found: list[str] = []
        with self._lock:
            for name, cells in self.gauges.items():
                rows = _together([ask(server, name, min(cells), max(cells)) for server in servers])
                right = {at: (cell.count, cell.sum, cell.min, cell.max) for at, cell in cells.items()}
                found += _compare(name, rows, right)
            for name, cells in self.events.items():
                rows = _together([ask(server, name, min(cells), max(cells)) for server in servers])
                sums = {at: (round(row[1] * INTERVAL, 6),) for at, row in rows.items() if row[1]}
                found += _compare(name, sums, {at: (cell.sum,) for at, cell in cells.items()})
        return found

    def check(self, *servers: ServerProcess, seconds: float = 60.0) -> None:
        """Wait until servers have all of it, together; AssertionError with the differences where they have not in time,
        or have more."""
        assert self.samples, "nothing was sent"
        last: list[str] = []

        def same() -> bool:
            last[:] = self.differences(*servers)
            return not last

        try:
            servers[0].wait_until(same, "it has what was acknowledged", seconds)
        except AssertionError:
            raise AssertionError(f"{len(last)} buckets differ:\n" + "\n".join(last[:SHOWN]) +
                                 f"\n{servers[0].log()[-6000:]}") from None


def ask(server: ServerProcess, name: str, first: int, last: int) -> dict[int, tuple[float, ...]]:
    """Bucket -> count, sum, min, max of a counter, from the finest level; empty ones left out."""
    answer = server.post("/api/v1/series", {"names": [name], "from": first - INTERVAL, "to": last + 2 * INTERVAL,
                                            "points": 4000, "columns": list(COLUMNS)})
    if not answer["series"]:
        return {}
    assert answer["interval"] == INTERVAL, answer["interval"]
    columns = [answer["series"][0][column] for column in COLUMNS]
    return {answer["start"] + at * INTERVAL: row for at, row in enumerate(zip(*columns, strict=True)) if row[0]}


def _together(answers: Sequence[dict[int, tuple[float, ...]]]) -> dict[int, tuple[float, ...]]:
    """Buckets of several servers as if of one."""
    made: dict[int, tuple[float, ...]] = {}
    for answer in answers:
        for at, row in answer.items():
            count, total, least, most = made.get(at, (0, 0, math.inf, -math.inf))
            made[at] = (count + row[0], total + row[1], min(least, row[2]), max(most, row[3]))
    return made


def _compare(name: str, rows: Mapping[int, tuple[float, ...]], right: Mapping[int, tuple[float, ...]]) -> list[str]:
    return [f"{name} {at}: is {rows.get(at)}, should be {right.get(at)}"
            for at in sorted(rows.keys() | right.keys()) if rows.get(at) != right.get(at)]
