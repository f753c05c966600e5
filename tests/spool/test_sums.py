"""Whatever happens but a power cut: for each group, what came is what arrived and what is counted as lost."""
from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from istat.spool.cursors import Cursor
from istat.spool.frames import Mark
from istat.spool.losses import REASONS
from istat.spool.spool import Limits, Spool
from tests.spool.harness import Disk, kill, number_of, open_spool

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

    known: Callable[[Mark], bool] | None = None

    def __init__(self, folder: Path, seed: int, disk: Disk | None = None) -> None:
        self.disk = disk
        self.folder, self.rng = folder, random.Random(seed)
        self.there = {group: Targets(group) for group in GROUPS}
        self.frames = self.lines = 0
        self.spool = self._open()

    def _open(self) -> Spool:
        return open_spool(self.folder, limits=LIMITS, groups=GROUPS, known=self.known)

    @property
    def limit(self) -> int:
        """Up to which sequence frames may be sent."""
        return self.spool.last

    def step(self) -> None:
        steps = [self.come, self.send, self.settle, self.give_up, self.end, self.spool.tick]
        if self.disk is not None and self.rng.random() < 0.1:
            self.disk.left = None if self.disk.left is not None else self.rng.choice([0, 10_000, 200_000])
        self.rng.choices(steps, [8, 8, 2, 1, 1, 1])[0]()

    def come(self) -> None:
        for _ in range(self.rng.randrange(1, 6)):
            self.frames += 1
            count = self.rng.randrange(1, 5)
            text = b"a %d " % self.frames + b"x" * self.rng.choice([0, 0, 9_000, 60_000]) + b"\n" * count
            self.put(text, count)
            self.lines += count

    def put(self, text: bytes, count: int) -> None:
        assert self.spool.append(text, 5, count) or self.disk is not None

    def _one(self) -> tuple[Cursor, Targets, str]:
        group = self.rng.choice(GROUPS)
        there = self.there[group]
        return self.spool.group(group), there, self.rng.choice(there.members)

    def send(self) -> None:
        cursor, there, member = self._one()
        if cursor.doubts(member):
            return
        for _ in range(self.rng.randrange(1, 17)):
            frame = cursor.read(self.limit)
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
        kill(self.spool) if self.rng.random() < 0.7 else self.close()
        if self.rng.random() < 0.6:
            self.flip()
        self.spool = self._open()

    def close(self) -> None:
        self.spool.close()

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
        never = self.spool._shelf.lost      # for want of room, before any group saw it
        assert (len(there.frames) + cursor.lost.frames + never.frames,
                there.lines + cursor.lost.lines + never.lines) == (self.frames, self.lines)


class ServerTrial(Trial):
    """The spool of a server: frames are sent when the store's journal has them, and what came as a batch and is not in
    it after a kill is sent again by its sender."""

    def __init__(self, folder: Path, seed: int, disk: Disk | None = None) -> None:
        self.journaled = 0                      # sequence
        self.mark = self.marked = 0             # the last batch, and the last one that the journal has
        self.batches: list[tuple[int, bytes, int]] = []     # that are not acknowledged
        super().__init__(folder, seed, disk)

    def known(self, mark: Mark) -> bool:
        return mark[2] <= self.marked

    @property
    def limit(self) -> int:
        return self.journaled

    def put(self, text: bytes, count: int) -> None:
        if self.rng.random() < 0.5:
            self.mark += 1
            self.batches.append((self.mark, text, count))
            self.spool.append(text, 5, count, mark=(b"sender", 1, self.mark))
        else:
            self.spool.append(text, 5, count)
        if self.rng.random() < 0.6:
            self.write()

    def write(self) -> None:
        """The journal gets it all."""
        self.journaled, self.marked = self.spool.last, self.mark
        self.batches.clear()
        self.spool.release(self.journaled)

    def close(self) -> None:
        self.write()
        self.spool.close()

    def end(self) -> None:
        super().end()
        self.journaled = self.spool.last
        for number, text, count in self.batches:
            self.spool.append(text, 5, count, mark=(b"sender", 1, number))
        self.write()


# A server's full disk is left out: a batch that is lost for want of memory and sent again after a kill is both.
@pytest.mark.parametrize(("kind", "full"), [(Trial, False), (Trial, True), (ServerTrial, False)])
@pytest.mark.parametrize("seed", range(15))
def test_what_came_arrived_or_is_counted_as_lost(tmp_path: Path, seed: int, full: bool, kind: type[Trial],
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk() if full else None
    if disk is not None:
        monkeypatch.setattr(os, "pwrite", disk.pwrite)
    trial = kind(tmp_path, seed, disk)
    for _ in range(120):
        trial.step()
    if disk is not None:
        disk.left = None
    trial.spool.tick()
    for group in GROUPS:
        trial.finish(group)
    told = trial.spool.lost()
    assert {reason for reason in REASONS if told[reason]["lines"]} <= {
        "bytes", "damaged", *(["disk"] if full else []), *(["unknown"] if kind is ServerTrial else [])}
    trial.spool.close()
