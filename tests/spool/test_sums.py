"""Whatever happens but a power cut: for each group, what came is what arrived and what is counted as lost."""
from __future__ import annotations

import random
from pathlib import Path

import pytest

from istat.spool.cursors import Cursor
from istat.spool.losses import REASONS
from istat.spool.spool import Limits, Spool
from tests.spool.harness import kill, number_of, open_spool

GROUPS = ("a | b", "c")
LIMITS = Limits(bytes=700 << 10)


class Targets:
    """The members of one group: each takes growing sequences, and nothing twice."""

    def __init__(self, group: str) -> None:
        self.members = group.split(" | ")
        self.last = dict.fromkeys(self.members, 0)
        self.frames: list[int] = []
        self.lines = 0

    def take(self, member: str, sequence: int, text: bytes) -> None:
        if sequence > self.last[member]:
            self.last[member] = sequence
            self.frames.append(number_of(text))
            self.lines += text.count(b"\n")


class Trial:
    """A spool to which everything happens at random."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng = folder, random.Random(seed)
        self.there = {group: Targets(group) for group in GROUPS}
        self.frames = self.lines = 0
        self.spool = self._open()

    def _open(self) -> Spool:
        return open_spool(self.folder, limits=LIMITS, groups=GROUPS)

    def step(self) -> None:
        steps = [self.come, self.send, self.settle, self.give_up, self.end, self.spool.tick]
        self.rng.choices(steps, [8, 8, 2, 1, 1, 1])[0]()

    def come(self) -> None:
        for _ in range(self.rng.randrange(1, 6)):
            self.frames += 1
            count = self.rng.randrange(1, 5)
            text = b"a %d " % self.frames + b"x" * self.rng.choice([0, 0, 9_000, 60_000]) + b"\n" * count
            assert self.spool.append(text, 5, count)
            self.lines += count

    def _one(self) -> tuple[Cursor, Targets, str]:
        group = self.rng.choice(GROUPS)
        there = self.there[group]
        return self.spool.group(group), there, self.rng.choice(there.members)

    def send(self) -> None:
        cursor, there, member = self._one()
        if cursor.doubts(member):
            return
        for _ in range(self.rng.randrange(1, 17)):
            frame = cursor.read(self.spool.last)
            if frame is None or frame.sequence <= there.last[member]:
                return
            cursor.sending(member, frame.sequence)
            if self.rng.random() < 0.1:
                return
            there.take(member, frame.sequence, frame.text)
            if self.rng.random() < 0.8:
                cursor.done(member, frame.sequence)

    def settle(self) -> None:
        cursor, there, member = self._one()
        cursor.done(member, there.last[member])
        for first, last in cursor.doubts(member):
            for frame in cursor.again(first, last):
                there.take(member, frame.sequence, frame.text)
        cursor.done(member, there.last[member])

    def give_up(self) -> None:
        cursor, there, member = self._one()
        cursor.done(member, there.last[member])
        cursor.give_up(member)

    def end(self) -> None:
        kill(self.spool) if self.rng.random() < 0.7 else self.spool.close()
        if self.rng.random() < 0.6:
            self.flip()
        self.spool = self._open()

    def flip(self) -> None:
        """A few bytes of some segment are others; often of the end of the newest one."""
        paths = sorted(self.folder.glob("*.spool"))
        if not paths:
            return
        path = self.rng.choice([*paths, paths[-1]])
        data = bytearray(path.read_bytes())
        begin = self.rng.choice([0, max(0, len(data) - 300)])
        for _ in range(self.rng.randrange(1, 5)):
            data[self.rng.randrange(begin, len(data))] ^= self.rng.randrange(1, 256)
        path.write_bytes(data)

    def finish(self, group: str) -> None:
        """All that can still arrive does."""
        cursor, there = self.spool.group(group), self.there[group]
        for member in cursor.members():
            cursor.done(member, there.last[member])
            cursor.give_up(member)
        assert cursor.members() == []
        member = there.members[0]
        there.last[member] = 0      # one that was never there
        while (frame := cursor.read(self.spool.last)) is not None:
            cursor.sending(member, frame.sequence)
            there.take(member, frame.sequence, frame.text)
            cursor.done(member, frame.sequence)
        assert cursor.behind == (0, 0, 0.0)
        assert len(there.frames) == len(set(there.frames))
        assert (len(there.frames) + cursor.lost.frames, there.lines + cursor.lost.lines) == (
            self.frames, self.lines)


@pytest.mark.parametrize("seed", range(30))
def test_what_came_arrived_or_is_counted_as_lost(tmp_path: Path, seed: int) -> None:
    trial = Trial(tmp_path, seed)
    for _ in range(120):
        trial.step()
    for group in GROUPS:
        trial.finish(group)
    told = trial.spool.lost()
    assert {reason for reason in REASONS if told[reason]["lines"]} <= {"bytes", "damaged"}
    trial.spool.close()
