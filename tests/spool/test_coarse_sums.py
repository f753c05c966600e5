"""Whatever happens to a spool that becomes coarser, but a power cut: for each group, of each counter and hour, what
came is what arrived; where bytes changed, frames and lines that came are those that arrived or are counted as lost."""
from __future__ import annotations

import random
from pathlib import Path

import pytest

from istat.spool.cursors import Cursor
from istat.spool.frames import Frame
from istat.spool.spool import Limits
from tests.spool.coarse import Source, finish, ledger_of
from tests.spool.harness import kill

GROUPS = ("a | b", "c")
LIMITS = Limits(bytes=2 << 20, age=6 * 3600, coarsen=True)
# [bytes] From here on it has the time that it needs, as from 60 frames on there could be too much.
NEARLY_FULL = LIMITS.bytes - (320 << 10)


class Targets:
    """The members of one group: each takes growing sequences, and nothing twice."""

    def __init__(self, group: str) -> None:
        self.members = group.split(" | ")
        self.last = dict.fromkeys(self.members, 0)
        self.frames: list[Frame] = []
        self.stood = [0, 0]                 # for so many frames and lines

    def take(self, cursor: Cursor, member: str, frame: Frame) -> None:
        """A frame that is in doubt there comes."""
        if frame.sequence > self.last[member]:
            self.last[member] = frame.sequence
            self.frames.append(frame)
            (entry,) = [one for one in cursor._state.members[member] if one.sequence == frame.sequence]
            self.stood[0], self.stood[1] = self.stood[0] + entry.frames, self.stood[1] + entry.holds


class Trial:
    """Steps at random."""

    def __init__(self, folder: Path, seed: int, damages: bool) -> None:
        self.rng, self.damages = random.Random(seed), damages
        self.source = Source(folder, seed, counters=120, limits=LIMITS, groups=GROUPS)
        self.there = {group: Targets(group) for group in GROUPS}

    def step(self) -> None:
        self.rng.choices([self.come, self.send, self.settle, self.give_up, self.end, self.work],
                         [10, 4, 2, 1, 1, 6])[0]()

    def come(self) -> None:
        whole = self.rng.random() < 0.7 or self.source.spool._shelf.size > NEARLY_FULL
        self.source.come(self.rng.randrange(1, 60), seconds=self.rng.choice([10, 10, 30]), whole=whole)

    def work(self) -> None:
        """A little of what makes it coarser."""
        for _ in range(self.rng.randrange(20)):
            self.source.spool.coarsen()

    def one(self) -> tuple[Cursor, Targets, str]:
        group = self.rng.choice(GROUPS)
        there = self.there[group]
        return self.source.spool.group(group), there, self.rng.choice(there.members)

    def send(self) -> None:
        cursor, there, member = self.one()
        if cursor.doubts(member):
            return
        for _ in range(self.rng.choice([3, 30, 100])):
            frame = cursor.read(self.source.spool.last)
            if frame is None or frame.sequence <= there.last[member]:
                return
            cursor.sending(member, frame.sequence)
            if self.rng.random() < 0.05:
                return
            there.take(cursor, member, frame)
            if self.rng.random() < 0.8:
                cursor.done(member, frame.sequence)

    def settle(self) -> None:
        cursor, there, member = self.one()
        cursor.done(member, there.last[member])
        for first, last in cursor.doubts(member):
            for frame in cursor.again(first, last):
                there.take(cursor, member, frame)
        cursor.done(member, there.last[member])

    def give_up(self) -> None:
        cursor, there, member = self.one()
        cursor.done(member, there.last[member])
        cursor.give_up(member)

    def end(self) -> None:
        kill(self.source.spool) if self.rng.random() < 0.7 else self.source.spool.close()
        if self.damages and self.rng.random() < 0.6:
            self.flip()
        self.source.spool = self.source.open()

    def flip(self) -> None:
        paths = sorted(self.source.folder.glob("*.spool"))
        if not paths:
            return
        path = self.rng.choice([*paths, paths[-1]])
        data = bytearray(path.read_bytes())
        for _ in range(self.rng.randrange(1, 4)):
            data[self.rng.randrange(len(data))] ^= self.rng.randrange(1, 256)
        path.write_bytes(data)

    def drain(self, group: str) -> None:
        """All that can still arrive does."""
        cursor, there = self.source.spool.group(group), self.there[group]
        for member in cursor.members():
            cursor.done(member, there.last[member])
            cursor.give_up(member)
        member = there.members[0]
        there.last[member] = 0      # one that was never there
        while (frame := cursor.read(self.source.spool.last)) is not None:
            cursor.sending(member, frame.sequence)
            there.take(cursor, member, frame)
            cursor.done(member, frame.sequence)
        assert cursor.behind == (0, 0, 0.0)


@pytest.mark.parametrize("seed", range(8))
def test_each_hour_is_what_came(tmp_path: Path, seed: int) -> None:
    trial = Trial(tmp_path, seed, damages=False)
    for _ in range(60):
        trial.step()
    finish(trial.source.spool)
    for group in GROUPS:
        trial.drain(group)
        assert ledger_of(trial.there[group].frames).hours == trial.source.ledger.hours
        assert not trial.source.spool.group(group).lost.lines
    assert not trial.source.spool.lost()["bytes"]["frames"]
    trial.source.spool.close()


@pytest.mark.parametrize("seed", range(8))
def test_what_came_arrived_or_is_counted_as_lost(tmp_path: Path, seed: int) -> None:
    trial = Trial(tmp_path, seed, damages=True)
    for _ in range(60):
        trial.step()
    for group in GROUPS:
        trial.drain(group)
        lost = trial.source.spool.group(group).lost
        frames, lines = trial.there[group].stood
        assert (frames + lost.frames, lines + lost.lines) == (trial.source.frames, trial.source.lines)
    trial.source.spool.close()
