"""Power cuts: a store made of nothing but what fdatasync and fsync promised, and some of the rest, at random moments.

A server's work on its files is noted (ftest/crash/powercut.py) over some lives, each ended between two operations. Then
stores are made as a disk may hold them after a power cut at random moments, opened and compared: every line up to the
last one in a frame of the journal that a sync has covered is there, nothing is there twice, all is whole. How long a
frame waited for its sync is told, not judged: it is the disk's and the machine's pace. ISTAT_CRASH_SEED repeats the
decisions.
"""
from __future__ import annotations

import copy
import shutil
import struct
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from ftest.crash import crashbatches
from ftest.crash.crashload import (
    LADDER,
    LEVELS,
    SCALE,
    SEQUENCE,
    Answer,
    Cell,
    Line,
    Reference,
    compare,
    find_end,
    first_bucket,
)
from ftest.crash.lives import Feeder, Harness, seed_of
from ftest.crash.powercut import Disk, Fate, Note, Shim, read_notes
from istat.clock import FakeClock
from istat.retention import Ladder
from istat_server.store.files import manifest
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore

pytestmark = pytest.mark.seconds(10)
JOURNAL_SYNC = 0.3      # [s]
AHEAD = 2000            # marked lines that never arrived at a life's end, at most


@dataclass
class Life:
    """One life of the server that was noted. Times are monotonic [s]."""

    began: float
    clock: int
    before: int                         # lines that the lives before it left, of `Recording.lines`
    sent: list[Line]
    marks: list[tuple[float, int]]      # when a line, by number, was seen


class Recording(Harness):
    """Lives under the shim."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.root = folder / "disk"
        self.root.mkdir(parents=True)
        try:
            self.shim = Shim(folder / "shim", self.root)
        except FileNotFoundError as error:
            pytest.skip(f"operations cannot be noted here: {error}")
        super().__init__(folder / "server", seed, store=self.root / "store", journal_sync=JOURNAL_SYNC)
        self.server.environment.update(self.shim.environment)
        self.lines: list[tuple[Line, int]] = []     # that are there, each with the clock of the server that took it
        self.lives: list[Life] = []

    def record(self, lives: int) -> None:
        """So many lives."""
        for number in range(lives):
            began = time.monotonic()
            self.server.options["fake-time"] = self.now
            self.server.start()
            self._believe()
            if self.lives:
                last = self.lives[-1]
                taken = self._take(last.sent, last.clock, 0)
                self.lines += [(line, last.clock) for line in last.sent[:taken]]
            names = [f"life.n{number}.c{at}" for at in range(2)]
            feeder = Feeder(self.server, self.stream, self.now, names, self.random.choice([0.003, 0.01]))
            feeder.start()
            self.server.prepare()
            marks = self._watch(time.monotonic() + self.random.uniform(0.2, 1.5))
            self.shim.say("die 0")
            self._gone()
            feeder.join()
            self.shim.say()
            self.lives.append(Life(began, self.now, len(self.lines), feeder.sent, marks))
            self.now += self.random.randint(300, 3400)
        self.server.let_go()

    def _gone(self) -> None:
        """The server ended at its next operation."""
        process = self.server.process
        assert process is not None and process.stdout is not None
        process.wait(20)
        process.stdout.close()
        self.server.process = None


class Opened:
    """A store opened in this process."""

    def __init__(self, folder: Path, now: int) -> None:
        self.now = now
        self.store = StatStore.open(folder, Ladder.parse(LADDER), FakeClock(now), options=Options(cut_seconds=1e9))

    def ask(self, level: int, start: int, names: list[str]) -> Answer:
        """All buckets of a level."""
        answer: Answer = {}
        for name in names:
            counter = self.store.find(name.encode())
            if counter is not None:
                (found,) = self.store.select([counter.id], level, start, self.now + 600)
                answer[name] = {row[0]: (row[1], row[4], row[5], row[2]) for row in found.rows()}
        return answer


def cut(recording: Recording, where: Path, trials: int) -> dict[str, int]:
    """Power cuts at random moments, in order of time."""
    rng = recording.random
    notes = read_notes(recording.shim.notes)
    points = sorted(rng.randint(1, len(notes)) for _ in range(trials))
    disk, reference, at = Disk(recording.root), Reference(), 0
    promised = Promised([line for one in recording.lives for line in one.sent])
    figures = {"operations": len(notes), "cuts": 0, "compared": 0, "batches": 0, "pins": 0}
    for number, point in enumerate(points):
        for note in notes[at:point]:
            disk.replay(note)
            promised.note(note)
        at = point
        moment = notes[point - 1].time
        life = max((one for one in recording.lives if one.began <= moment), key=lambda one: one.began)
        candidates = [*recording.lines[:life.before], *((line, life.clock) for line in life.sent)]
        safe = _safe(promised.synced, candidates)
        for line, clock in candidates[reference.lines:safe]:
            reference.take(line, clock)
        folder = where / f"cut{number}"
        fate = rng.choice(list(Fate))
        disk.write(folder, fate, rng)
        try:
            figures["pins"] += _pins(folder / "store")
            figures["compared"] += _check(folder / "store", life.clock, reference, candidates, fate)
            figures["batches"] += _batches(recording.notes, folder / "store", life.clock, fate)
        except Exception as error:
            raise AssertionError(f"cut {number} after operation {point} ({notes[point - 1].op} "
                                 f"{notes[point - 1].first[-80:]!r}), {fate}, kept in {folder}: {error}") from error
        figures["cuts"] += 1
        shutil.rmtree(folder)
    return {**figures, "longest_wait_ms": round(1000 * promised.longest)}


def _pins(store: Path) -> int:
    """What pins hold is there; how many they are."""
    if not any((store / name).exists() for name in (manifest.NAME, manifest.PREVIOUS)):
        return 0
    return crashbatches.check_pins(store, crashbatches.state_of(store))


def _batches(sent: Path, store: Path, now: int, fate: Fate) -> int:
    """Batches are there with their marks; how many."""
    if not store.exists():
        return 0
    opened, level = Opened(store, now), len(LEVELS) - 1
    start = first_bucket(now, level)
    try:
        return crashbatches.check_marks(
            sent, opened.store, start,
            lambda name: sum(row[0] for row in opened.ask(level, start, [name]).get(name, {}).values()),
            fate is not Fate.ANY)
    finally:
        opened.store.close()


class Promised:
    """Which lines the journal's syncs have covered, by the notes. A frame holds its samples' values as they are."""

    def __init__(self, sent: list[Line]) -> None:
        self.synced = 0                         # the number of the last line that is safe
        self.longest = 0.0                      # from a write to the end of the sync that covered it [s]
        self._values = [(line.number, struct.pack("<d", line.value)) for line in sent
                        if line.wire == SEQUENCE and line.number > 100]     # smaller ones could be an event's
        self._next = 0
        self._written: dict[int, int] = {}      # per segment's inode the last line in it
        self._waiting: dict[int, float] = {}    # ... and since when something in it waits
        self._begun: dict[int, int] = {}

    def note(self, note: Note) -> None:
        """The next operation."""
        if note.op == "C":                      # inodes are used again
            self._written.pop(note.inode, None)
            self._waiting.pop(note.inode, None)
            if note.first.endswith(b".journal"):
                self._written[note.inode] = 0
        elif note.op == "W" and note.inode in self._written:
            for at in range(self._next, min(self._next + AHEAD, len(self._values))):
                number, value = self._values[at]
                if value in note.first:         # those of a life's end that never arrived are passed over
                    self._written[note.inode], self._next = number, at + 1
            self._waiting.setdefault(note.inode, note.time)
        elif note.op == "S" and note.inode in self._written:
            self._begun[note.inode] = self._written[note.inode]
        elif note.op == "E" and note.inode in self._written and not note.b:
            self.synced = max(self.synced, self._begun.get(note.inode, 0))
            self.longest = max(self.longest, note.time - self._waiting.pop(note.inode, note.time))


def _safe(synced: int, candidates: list[tuple[Line, int]]) -> int:
    """How many of the candidates must be there when line `synced` is safe."""
    return next((at + 1 for at in reversed(range(len(candidates))) if candidates[at][0].number <= synced), 0)


def _check(store: Path, now: int, reference: Reference, candidates: list[tuple[Line, int]], fate: Fate) -> int:
    """Open a store and compare it; how many buckets."""
    if not store.exists():
        assert not reference.lines, "the store is gone"
        return 0
    opened = Opened(store, now)
    try:
        if fate is Fate.ANY:
            return _between(opened, reference, candidates[reference.lines:])
        beyond = copy.deepcopy(reference)
        taken, wrong = find_end(beyond, candidates[reference.lines:], now, opened.ask)
        compared, differ = compare(beyond, now, opened.ask)
        assert wrong == (0, 0), (f"{wrong[0]} samples, and events of {wrong[1]}, too many (or, below 0, missing) after "
                                 f"{taken} lines more than {reference.lines}; {len(differ)} buckets differ:\n"
                                 + "\n".join(differ[:20]))
        assert not differ, f"{len(differ)} buckets differ:\n" + "\n".join(differ[:20])
        return compared
    finally:
        opened.store.close()


def _between(opened: Opened, least: Reference, more: list[tuple[Line, int]]) -> int:
    """What was not synced may be there in any selection: each bucket lies between the least and the most."""
    most = copy.deepcopy(least)
    for line, clock in more:
        most.take(line, clock)
    compared = 0
    for level in range(len(LEVELS)):
        start = first_bucket(opened.now, level)
        names = list(most.gauges[level])
        answer = opened.ask(level, start, names)
        for name in names:
            found = answer.get(name, {})
            low, high = least.gauges[level].get(name, {}), most.gauges[level][name]
            for time_of in {*(when for when in low if when >= start), *found}:
                bucket = found.get(time_of, (0, float("inf"), float("-inf"), 0.0))
                a, b = low.get(time_of, Cell()), high.get(time_of, Cell())
                good = (a.count <= bucket[0] <= b.count and b.least <= bucket[1] <= a.least
                        and a.most <= bucket[2] <= b.most and abs(bucket[3]) * SCALE <= b.size * 2)
                assert good, f"{name} level {level} {time_of}: {bucket}, not between {a} and {b}"
                compared += 1
    return compared


def run(folder: Path, lives: int, trials: int) -> None:
    """Record, then cut."""
    seed = seed_of()
    recording = Recording(folder, seed)
    try:
        recording.record(lives)
        print(cut(recording, folder / "cuts", trials))
        recording.server.assert_no_traceback()
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error
    finally:
        recording.server.let_go()


def test_some_power_cuts(tmp_path: Path) -> None:
    run(tmp_path, 3, 40)


@pytest.mark.slow
def test_two_hundred_power_cuts(tmp_path: Path) -> None:
    run(tmp_path, 12, 200)
