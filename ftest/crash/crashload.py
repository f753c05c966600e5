"""A stream of samples for crash tests, and what a store must hold of it: plain Python, nothing of istatd's.

A stream goes over one connection, so what a store holds after a crash is a beginning of it: `Reference.take` adds
line by line. Sums are kept exactly, in units of 1/SCALE, so that a bound on the store's sums can be checked.
"""
from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

LADDER = "10s:4h,1m:12h,10m:4d"
# The same for all that is compared. The first takes over all files as they are; the second lets what is derived for
# good be written anew in the background.
OTHER_LADDERS = ("10s:4h,1m:12h,10m:5d", "10s:4h,1m:12h,10m:4d,20m:8d")
LEVELS = ((10, 4 * 3600), (60, 12 * 3600), (600, 4 * 86400))     # interval, keep [s]
NOW = 1325395200                # a whole number of hours
SEQUENCE = "seq"                # the gauge whose value is the number of its line
EVERY = 8                       # ... which is every so many lines
GAUGES = ("tick^host.a^", "gauge.one", "gauge.two^host.a^host.b", "mean")
EVENTS = ("*hits^host.a^", "*sent")
# Values of gauges are whole multiples of 1/SCALE: exact in a double, but their sums are not.
SCALE = 1 << 40
# |sum - exact sum| <= samples * sum of |values| / SUM_BOUND: one rounding for each addition.
SUM_BOUND = 1 << 52


@dataclass(frozen=True)
class Line:
    """One sample as it is sent: the `number`-th of its stream."""

    number: int
    wire: str
    time: int
    value: float

    @property
    def text(self) -> bytes:
        """With its end."""
        return f"{self.wire} {self.time} {self.value!r}\n".encode()


@functools.lru_cache(maxsize=10_000)
def counters_of(wire: str) -> tuple[str, ...]:
    """The counters that a caret name feeds."""
    base, *carets = wire.lstrip("*").split("^")
    return tuple(f"{base}.{caret}" if caret else base for caret in carets) or (base,)


EVENT_COUNTERS = {name for wire in EVENTS for name in counters_of(wire)}


class Stream:
    """Endless lines; which ones depends on the seed and on the clocks given."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.number = 0

    def lines(self, now: int, fresh: list[str], count: int) -> list[Line]:
        """The next lines of a server whose clock stands at `now`; `fresh` are names of this life."""
        made = []
        for _ in range(count):
            self.number += 1
            if self.number % EVERY == 0:
                made.append(Line(self.number, SEQUENCE, now, float(self.number)))
            else:
                made.append(self._line(now, fresh))
        return made

    def _line(self, now: int, fresh: list[str]) -> Line:
        rng = self.random
        event = rng.random() < 0.25
        wire = rng.choice(EVENTS if event else [*GAUGES, *fresh])
        value = float(rng.randint(1, 50)) if event else rng.randint(-10 ** 15, 10 ** 15) / SCALE
        return Line(self.number, wire, now - self._age(event), value)

    def _age(self, event: bool) -> int:
        """Mostly of now; some late, some too late for the finest level or for all. Away from the edges [s]."""
        rng, ((_, fine), (_, middle), (_, last)) = self.random, LEVELS
        chance = rng.random()
        if chance < 0.7:
            return rng.randint(0, 900)
        if chance < 0.85 or event:
            return rng.randint(900, fine - 700)
        if chance < 0.92:
            return rng.randint(fine + 60, middle - 700)
        if chance < 0.97:
            return rng.randint(middle + 700, last - 700)
        return rng.randint(last + 1300, last + 86400)


@dataclass
class Cell:
    """One bucket of a gauge, or the total of an event counter in one finest bucket (`total`)."""

    count: int = 0
    total: int = 0          # [1/SCALE]
    size: int = 0           # sum of |values| [1/SCALE]
    least: float = float("inf")
    most: float = float("-inf")

    def add(self, value: float) -> None:
        """Take a sample."""
        self.count += 1
        exact = int(value * SCALE)
        self.total += exact
        self.size += abs(exact)
        self.least, self.most = min(self.least, value), max(self.most, value)


class Reference:
    """What the store must hold."""

    def __init__(self) -> None:
        self.lines = 0                                      # taken
        self.gauges: tuple[dict[str, dict[int, Cell]], ...] = ({}, {}, {})      # per level, counter and bucket
        self.events: dict[str, dict[int, Cell]] = {}        # the finest level
        self.deleted: dict[str, list[dict[int, Cell]]] = {}     # what deleted gauges had, per level

    def take(self, line: Line, now: int) -> None:
        """Add the next line, of a server whose clock stands at `now`."""
        self.lines += 1
        level = level_of(line, now)
        if level is None:
            return
        for name in counters_of(line.wire):
            if line.wire.startswith("*"):
                cells = self.events.setdefault(name, {})
                cells.setdefault(line.time - line.time % LEVELS[0][0], Cell()).add(line.value)
                continue
            for at in range(level, len(LEVELS)):
                bucket = line.time - line.time % LEVELS[at][0]
                self.gauges[at].setdefault(name, {}).setdefault(bucket, Cell()).add(line.value)

    def names(self) -> list[str]:
        """All counters."""
        return [*self.gauges[-1], *self.events]

    def forget(self, oldest: int) -> None:
        """Drop what no level needs any more, so that long tests stay quick."""
        for cells in [*(found for level in self.gauges for found in level.values()), *self.events.values()]:
            for time in [time for time in cells if time < oldest]:
                del cells[time]

    def weight(self, start: int) -> tuple[int, int]:
        """Samples of gauges, and the total of events, at the coarsest level from `start` on."""
        gauges = sum(cell.count for found in self.gauges[-1].values() for time, cell in found.items() if time >= start)
        return gauges, sum(cell.total // SCALE for found in self.events.values() for time, cell in found.items()
                               if time >= start)


def level_of(line: Line, now: int) -> int | None:
    """The finest level that takes a line of a server whose clock stands at `now`; None where it is too old for all."""
    return next((at for at, (_, keep) in enumerate(LEVELS) if now - line.time <= keep), None)


def weight_of(line: Line, now: int, start: int) -> tuple[int, int]:
    """What a line adds to Reference.weight."""
    if level_of(line, now) is None or line.time < start:
        return 0, 0
    counters = len(counters_of(line.wire))
    return (0, counters * int(line.value)) if line.wire.startswith("*") else (counters, 0)


Bucket = tuple[int, float, float, float]        # count, least, most, sum
Answer = dict[str, dict[int, Bucket]]           # per counter and time


def differences(reference: Reference, level: int, start: int, end: int, answer: Answer,
                names: Iterable[str]) -> Iterator[str]:
    """What an answer has wrong in start <= time < end, in sentences."""
    for name in names:
        found = answer.get(name, {})
        if name in reference.events:
            yield from _event(name, level, start, end, found, reference.events[name])
        else:
            yield from _gauge(name, level, start, end, found, reference.gauges[level].get(name, {}))


Ask = Callable[[int, int, list[str]], Answer]   # level, start, names; up to now and somewhat beyond


def compare(reference: Reference, now: int, ask: Ask) -> tuple[int, list[str]]:
    """All buckets of all levels: how many there are, and what is wrong with them."""
    lives = [name for name in reference.names() if name.startswith("life.")]
    names = [name for name in reference.names() if name not in lives[:-20]]
    compared, wrong = 0, []
    for level in range(len(LEVELS)):
        start = first_bucket(now, level)
        answer = ask(level, start, names)
        wrong += differences(reference, level, start, now + 600, answer, names)
        compared += sum(len(found) for found in answer.values())
    return compared, wrong


def first_bucket(now: int, level: int) -> int:
    """The oldest bucket of a level that is wholly kept."""
    interval, keep = LEVELS[level]
    start = now - keep + interval
    return start - start % interval


def find_end(reference: Reference, lines: Sequence[tuple[Line, int]], now: int,
             ask: Ask) -> tuple[int, tuple[int, int]]:
    """How many of `lines` (each with the clock of the server that took it) are there beyond the reference, which takes
    them; and by how many samples of gauges, and events, that is wrong."""
    start = first_bucket(now, len(LEVELS) - 1)
    names = dict.fromkeys([*(name for line, _ in lines for name in counters_of(line.wire)), *reference.names()])
    had = reference.weight(start)
    found = measure(ask(len(LEVELS) - 1, start, list(names)))
    gauges, events = found[0] - had[0], found[1] - had[1]
    taken = 0
    for line, clock in lines:
        if gauges <= 0 and events <= 0:
            break
        reference.take(line, clock)
        count, total = weight_of(line, clock, start)
        gauges, events, taken = gauges - count, events - total, taken + 1
    return taken, (gauges, events)


def measure(answer: Answer) -> tuple[int, int]:
    """As Reference.weight."""
    gauges = events = 0
    for name, found in answer.items():
        if name in EVENT_COUNTERS:
            events += round(sum(bucket[3] for bucket in found.values()) * LEVELS[0][0])
        else:
            gauges += sum(bucket[0] for bucket in found.values())
    return gauges, events


def _gauge(name: str, level: int, start: int, end: int, found: dict[int, Bucket],
           cells: dict[int, Cell]) -> Iterator[str]:
    wanted = {time: cell for time, cell in cells.items() if start <= time < end}
    for time in sorted(set(wanted) | set(found)):
        if time not in wanted or time not in found:
            yield f"{name} level {level} {time}: {found.get(time)}, not {wanted.get(time)}"
            continue
        cell, (count, least, most, total) = wanted[time], found[time]
        if (count, least, most) != (cell.count, cell.least, cell.most):
            yield f"{name} level {level} {time}: {(count, least, most)}, not {(cell.count, cell.least, cell.most)}"
        elif abs(int(total * SCALE) - cell.total) * SUM_BOUND > cell.count * cell.size + SUM_BOUND:
            yield f"{name} level {level} {time}: sum {total!r}, not {cell.total / SCALE!r}"


def _event(name: str, level: int, start: int, end: int, found: dict[int, Bucket],
           cells: dict[int, Cell]) -> Iterator[str]:
    """Rates of the finest buckets, reduced. Their totals are whole numbers, so rates are exact."""
    fine, interval = LEVELS[0][0], LEVELS[level][0]
    rates: dict[int, list[float]] = {}
    for time, cell in cells.items():
        if start <= time - time % interval < end:
            rates.setdefault(time - time % interval, []).append(cell.total // SCALE / fine)
    for time in sorted(set(rates) | set(found)):
        least, most, total = found.get(time, (0, 0.0, 0.0, 0.0))[1:]
        wanted = rates.get(time, [0.0])
        lowest = min(wanted) if len(wanted) == interval // fine else 0.0
        if (least, most) != (lowest, max(wanted)) or abs(total - sum(wanted)) > 1e-12 * sum(wanted):
            yield f"{name} level {level} {time}: {(least, most, total)}, not {(lowest, max(wanted), sum(wanted))}"
