"""Frames that wait in memory: acknowledged soon they are never written; nothing goes to two targets, whatever is
killed, and what is missing then was in memory alone."""
from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat.spool.spool import Limits, Spool
from istat.wire.lines import Sample, parse_line
from tests.spool.harness import GROUP, NOW, drain, kill, lost, number_of, open_spool, put
from tests.spool.test_sums import Targets

WAIT = 10.0
LIMITS = Limits(wait=WAIT)


class Disk:
    """Counts what is written. `left`: how many writes there are until the process is killed; None: it is not."""

    def __init__(self) -> None:
        self.writes = 0
        self.left: int | None = None
        self._pwrite = os.pwrite

    def pwrite(self, handle: int, data: bytes, at: int) -> int:
        if self.left is not None:
            if self.left == 0:
                raise Killed
            self.left -= 1
        self.writes += 1
        return self._pwrite(handle, data, at)


class Killed(BaseException):
    """The process has ended."""


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk()
    monkeypatch.setattr(os, "pwrite", disk.pwrite)
    yield disk


def offer(spool: Spool, *numbers: int) -> list[int]:
    """Frames that may wait; the sequences."""
    return [spool.append(b"a %d\n" % number, NOW, 1, waits=True) for number in numbers]


def opened(folder: Path, clock: FakeClock, groups: tuple[str, ...] = (GROUP,)) -> Spool:
    return open_spool(folder, clock, LIMITS, groups=groups)


def send(spool: Spool, member: str, group: str = GROUP) -> list[int]:
    """Send what there is, without an answer; the numbers."""
    cursor, sent = spool.group(group), []
    while (frame := cursor.read(spool.last)) is not None:
        cursor.sending(member, frame.sequence)
        sent.append(number_of(frame.text))
    return sent


def test_what_is_acknowledged_soon_is_never_written(tmp_path: Path, disk: Disk) -> None:
    clock = FakeClock(NOW)
    spool = opened(tmp_path, clock)
    spool.tick()
    before, at_first = disk.writes, {path: path.read_bytes() for path in tmp_path.iterdir()}
    for number in range(170):
        offer(spool, number)
        assert drain(spool, spool.group(GROUP)) == [number]
        clock.advance(WAIT)
        spool.tick()
    assert disk.writes == before, "for less than TIME_SECONDS nothing is written"
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == at_first
    clock.advance(600)
    spool.tick()
    assert disk.writes == before + 2, "the cursor, then the time"
    kill(spool)
    spool = opened(tmp_path, clock)
    offer(spool, 1000)
    assert drain(spool, spool.group(GROUP)) == [1000] and lost(spool) == {}
    spool.close()
    assert spool.lost()["disk"]["frames"] == 0


def test_what_nobody_takes_is_written_once_an_interval(tmp_path: Path, disk: Disk) -> None:
    clock = FakeClock(NOW)
    spool = opened(tmp_path, clock)
    spool.tick()
    writes = []
    for number in range(0, 30, 3):
        offer(spool, number, number + 1, number + 2)
        at_first = disk.writes
        for _ in range(10):
            clock.advance(1)
            spool.tick()
        writes.append(disk.writes - at_first)
    assert writes[1:] == [4] * 9, "three frames at once, and how many came"
    kill(spool)
    spool = opened(tmp_path, clock)
    assert drain(spool, spool.group(GROUP)) == list(range(30)) and lost(spool) == {}
    spool.close()


def test_what_waits_goes_with_a_kill_and_its_sequences_are_given_to_nothing_else(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    spool = opened(tmp_path, clock)
    given = offer(spool, 1, 2, 3)
    assert drain(spool, spool.group(GROUP), most=2) == [1, 2]
    kill(spool)
    spool = opened(tmp_path, clock)
    assert min(offer(spool, 4)) > max(given)
    assert drain(spool, spool.group(GROUP)) == [4] and lost(spool) == {}
    spool.close()
    spool = opened(tmp_path, clock)
    assert drain(spool, spool.group(GROUP)) == [] and spool.lost()["disk"]["lines"] == 0
    spool.close()


def test_a_clean_end_writes_what_waits(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    spool = opened(tmp_path, clock)
    offer(spool, 1, 2, 3)
    assert drain(spool, spool.group(GROUP), most=1) == [1]
    spool.close()
    spool = opened(tmp_path, clock)
    assert drain(spool, spool.group(GROUP)) == [2, 3] and lost(spool) == {}
    spool.close()


def test_what_was_sent_out_of_memory_goes_to_no_other_target_after_a_kill(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    spool = opened(tmp_path, clock)
    offer(spool, 1, 2)
    assert send(spool, "a:8111") == [1, 2]
    offer(spool, 3)
    clock.advance(WAIT)
    spool.tick()
    kill(spool)
    spool = opened(tmp_path, clock)
    cursor = spool.group(GROUP)
    assert [number_of(frame.text) for frame in cursor.again(1, 9)] == [1, 2] and cursor.members() == ["a:8111"]
    assert drain(spool, cursor, "b:8111") == [3] and lost(spool) == {}
    spool.close()


@pytest.mark.parametrize("writes", range(5))
def test_a_kill_between_the_cursor_and_the_frames(tmp_path: Path, disk: Disk, writes: int) -> None:
    """What was sent to one target is in doubt there, or gone."""
    clock = FakeClock(NOW)
    spool = opened(tmp_path, clock)
    spool.tick()
    offer(spool, 1, 2)
    sent = spool.group(GROUP)
    frame = sent.read(spool.last)
    assert frame is not None
    sent.sending("a:8111", frame.sequence)
    clock.advance(WAIT)
    disk.left = writes
    with pytest.raises(Killed):
        spool.tick()
    disk.left = None
    kill(spool)
    spool = opened(tmp_path, clock)
    cursor = spool.group(GROUP)
    assert drain(spool, cursor, "b:8111") == ([2] if writes == 4 else [])
    again = [number_of(frame.text) for frame in cursor.again(1, 9)]
    assert (again, lost(spool)) in (([], {}), ([], {"disk": 1}), ([1], {}))
    spool.close()


def test_a_batch_that_is_acknowledged_is_written_at_once_and_what_waits_before_it(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    spool = opened(tmp_path, clock)
    offer(spool, 1)
    assert drain(spool, spool.group(GROUP)) == [1]
    offer(spool, 2)
    assert spool.append(b"a 3\n", NOW, 1, mark=(b"s", 1, 7)) == spool.written == spool.last
    offer(spool, 4)
    kill(spool)
    spool = opened(tmp_path, clock)
    assert spool.marks() == {(b"s", 1): 7} and drain(spool, spool.group(GROUP)) == [2, 3] and lost(spool) == {}
    spool.close()


def test_for_a_group_that_is_away_it_is_written_and_for_the_other_nothing_is(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    spool = opened(tmp_path, clock, ("near", "far"))
    for number in range(20):
        offer(spool, number)
        assert drain(spool, spool.group("near")) == [number]
        clock.advance(WAIT)
        spool.tick()
    offer(spool, 20)
    kill(spool)
    spool = opened(tmp_path, clock, ("near", "far"))
    assert drain(spool, spool.group("near")) == [] and drain(spool, spool.group("far")) == list(range(20))
    assert lost(spool) == {}
    spool.close()


def test_what_is_given_up_while_it_waits_stands_at_the_end_once(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    spool = opened(tmp_path, clock)
    offer(spool, 1, 2, 3)
    cursor = spool.group(GROUP)
    assert send(spool, "a:8111") == [1, 2, 3]
    cursor.done("a:8111", 1)
    assert cursor.give_up("a:8111") == (2, 2)
    kill(spool)
    spool = opened(tmp_path, clock)
    assert drain(spool, spool.group(GROUP), "b:8111") == [2, 3] and lost(spool) == {}
    spool.close()


@pytest.mark.parametrize("writes", range(6))
def test_a_kill_while_something_is_given_up_loses_nothing_that_was_written(tmp_path: Path, disk: Disk,
                                                                          writes: int) -> None:
    clock = FakeClock(NOW)
    spool = opened(tmp_path, clock)
    spool.append(b"a 1\n", NOW, 1)
    cursor = spool.group(GROUP)
    assert send(spool, "a:8111") == [1]
    offer(spool, 2)
    disk.left = writes
    try:
        cursor.give_up("a:8111")
    except Killed:
        disk.left = None
    kill(spool)
    disk.left = None
    spool = opened(tmp_path, clock)
    cursor = spool.group(GROUP)
    there = [number_of(frame.text) for frame in cursor.again(1, 9)] + drain(spool, cursor, "b:8111")
    assert there in ([1], [1, 2], [2, 1]) and lost(spool) == {}
    spool.close()


def test_too_much_for_memory_is_written_at_once(tmp_path: Path) -> None:
    spool = opened(tmp_path, FakeClock(NOW))
    for number in range(40):
        assert spool.append(b"a %d\n" % number + b"a 1\n" * 15_000, NOW, 15_001, waits=True)
        assert int(str(spool.status()["spool_memory"])) <= 1 << 19
    assert drain(spool, spool.group(GROUP)) == list(range(40))
    spool.close()


def test_a_spool_that_a_journal_stands_behind_lets_nothing_wait(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, limits=LIMITS, known=lambda mark: True)
    assert offer(spool, 1) == [spool.written]
    spool.close()


class Trial:
    """A spool of which some frames may wait, whose process is killed at any of its writes."""

    groups = ("a | b", "c")

    def __init__(self, folder: Path, seed: int, disk: Disk, most_bytes: int) -> None:
        self.folder, self.rng, self.disk, self.most_bytes = folder, random.Random(seed), disk, most_bytes
        self.clock = FakeClock(NOW)
        self.there: Mapping[str, Targets] = {group: Targets(group) for group in self.groups}
        self.came: set[int] = set()
        self.may_miss: set[int] = set()         # they were in memory alone at a kill, or never quite came
        self.waiting: dict[int, int] = {}       # sequence -> number
        self.number = 0
        self.spool = self._open()

    def _open(self) -> Spool:
        return open_spool(self.folder, self.clock, self.limits, groups=self.groups)

    @property
    def limits(self) -> Limits:
        return Limits(self.most_bytes, wait=WAIT)

    def step(self) -> None:
        try:
            self.rng.choices([self.come, self.send, self.settle, self.give_up, self.end, self.tick],
                             [8, 8, 2, 1, 1, 3])[0]()
        except Killed:
            self.killed()
            return
        if self.disk.left is None and self.rng.random() < 0.05:
            self.disk.left = self.rng.randrange(12)

    def come(self) -> None:
        for _ in range(self.rng.randrange(1, 6)):
            self.number += 1
            self.came.add(self.number)
            self.may_miss.add(self.number)          # until it is known what became of it
            text = self.text()
            waits = self.rng.random() < 0.7
            sequence = self.spool.append(text, int(self.clock.now()), text.count(b"\n"), waits=waits)
            self.waiting[sequence] = self.number
            if self.spool.written >= sequence:
                self.written()

    def text(self) -> bytes:
        """Lines that tell the number."""
        return b"a %d " % self.number + b"x" * self.rng.choice([0, 0, 9_000, 60_000]) + b"\n"

    def written(self) -> None:
        """What is in the file outlives a kill."""
        for sequence in [one for one in self.waiting if one <= self.spool.written]:
            self.may_miss.discard(self.waiting.pop(sequence))

    def tick(self) -> None:
        self.clock.advance(self.rng.choice([0.1, 1.0, WAIT]))
        self.spool.tick()
        self.written()

    def send(self) -> None:
        group = self.rng.choice(self.groups)
        there, cursor = self.there[group], self.spool.group(group)
        member = self.rng.choice(there.members)
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
        group = self.rng.choice(self.groups)
        there, cursor = self.there[group], self.spool.group(group)
        for member in there.members:
            cursor.done(member, there.last[member])
            for first, last in cursor.doubts(member):
                for frame in cursor.again(first, last):
                    there.take(member, frame.sequence, frame.text)
            cursor.done(member, there.last[member])

    def give_up(self) -> None:
        group = self.rng.choice(self.groups)
        there, cursor = self.there[group], self.spool.group(group)
        member = self.rng.choice(there.members)
        cursor.done(member, there.last[member])
        cursor.give_up(member)
        self.written()

    def end(self) -> None:
        self.disk.left = None
        if self.rng.random() < 0.7:
            self.killed()
            return
        self.spool.close()
        for number in self.waiting.values():
            self.may_miss.discard(number)
        self.waiting.clear()
        self.spool = self._open()

    def killed(self) -> None:
        self.disk.left = None
        self.waiting.clear()
        kill(self.spool)
        self.spool = self._open()

    def finish(self, group: str) -> None:
        """All that can still arrive does; what is missing is counted, or may be missing."""
        cursor, there = self.spool.group(group), self.there[group]
        for member in cursor.members():
            cursor.done(member, there.last[member])
            cursor.give_up(member)
        there.last[there.members[0]] = 0        # one that was never there
        while (frame := cursor.read(self.spool.last)) is not None:
            cursor.sending(there.members[0], frame.sequence)
            there.take(there.members[0], frame.sequence, frame.text)
            cursor.done(there.members[0], frame.sequence)
        assert cursor.behind == (0, 0, 0.0)
        assert len(there.frames) == len(set(there.frames)), "nothing arrives twice"
        missing = self.came - set(there.frames)
        assert len(missing - self.may_miss) <= self.spool.lost()["bytes"]["frames"]
        assert len(missing - self.may_miss) <= cursor.lost.frames <= len(missing)
        assert self.spool._shelf.lost.frames == 0


class CoarserTargets(Targets):
    """`arrived`: how many samples of each frame."""

    def __init__(self, group: str) -> None:
        super().__init__(group)
        self.arrived: Counter[int] = Counter()

    def take(self, member: str, sequence: int, text: bytes) -> None:
        if sequence > self.last[member]:
            self.last[member] = sequence
            for line in text.splitlines():
                sample = parse_line(line)
                assert isinstance(sample, Sample)
                self.arrived[int(sample.name[1:])] += sample.count


class CoarserTrial(Trial):
    """Its oldest lines are merged meanwhile: each frame has samples of a counter of its own."""

    def __init__(self, folder: Path, seed: int, disk: Disk, most_bytes: int) -> None:
        self.counts: dict[int, int] = {}
        super().__init__(folder, seed, disk, most_bytes)
        self.there = self.targets = {group: CoarserTargets(group) for group in self.groups}

    @property
    def limits(self) -> Limits:
        return Limits(self.most_bytes, wait=WAIT, coarsen=True)

    def text(self) -> bytes:
        self.counts[self.number] = count = self.rng.choice([1, 300, 5_000])
        return b"n%d 1\n" % self.number * count

    def tick(self) -> None:
        super().tick()
        for _ in range(self.rng.randrange(20)):
            self.spool.coarsen()

    def finish(self, group: str) -> None:
        """See Trial.finish. What arrived did so whole, however it was merged."""
        cursor, there = self.spool.group(group), self.targets[group]
        for member in cursor.members():
            cursor.done(member, there.last[member])
            cursor.give_up(member)
        there.last[there.members[0]] = 0
        while (frame := cursor.read(self.spool.last)) is not None:
            cursor.sending(there.members[0], frame.sequence)
            there.take(there.members[0], frame.sequence, frame.text)
            cursor.done(there.members[0], frame.sequence)
        assert {number: self.counts[number] for number in there.arrived} == dict(there.arrived)
        missing = self.came - set(there.arrived)
        lines = sum(self.counts[number] for number in missing - self.may_miss)
        assert lines <= self.spool.lost()["bytes"]["lines"], "what there was no time for to merge is counted"
        assert lines <= cursor.lost.lines <= sum(self.counts[number] for number in missing)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_arrives_twice_of_a_spool_that_becomes_coarser(tmp_path: Path, disk: Disk, seed: int) -> None:
    trial = CoarserTrial(tmp_path, seed, disk, 1 << 20)
    for _ in range(150):
        trial.step()
    disk.left = None
    for group in trial.groups:
        trial.finish(group)
    trial.spool.close()


@pytest.mark.parametrize("most_bytes", [1 << 30, 700 << 10])
@pytest.mark.parametrize("seed", range(15))
def test_nothing_arrives_twice_and_only_what_was_in_memory_alone_is_missing(tmp_path: Path, disk: Disk, seed: int,
                                                                            most_bytes: int) -> None:
    trial = Trial(tmp_path, seed, disk, most_bytes)
    for _ in range(150):
        trial.step()
    disk.left = None
    for group in trial.groups:
        trial.finish(group)
    trial.spool.close()


@pytest.mark.parametrize("written", [True, False])
def test_a_damaged_identity_costs_nothing_where_all_was_sent_out_of_memory(tmp_path: Path, written: bool) -> None:
    """Only the cursor knows how many sequences were given; what comes next must be behind them."""
    spool = open_spool(tmp_path, limits=Limits(wait=10.0))
    cursor = spool.group(GROUP)
    if written:
        put(spool, 1)
        assert drain(spool, cursor) == [1]
    spool._shelf.last = 5_000_000       # some years later
    assert spool.append(b"a 2\n", NOW, 1, waits=True) and drain(spool, cursor) == [2]
    spool.close()
    (tmp_path / "identity").write_bytes(bytes(1024))
    spool = open_spool(tmp_path, limits=Limits(wait=10.0))
    (sequence,) = put(spool, 3)
    assert sequence > 5_000_001 and drain(spool, spool.group(GROUP)) == [3] and lost(spool) == {}
    spool.close()
    again = open_spool(tmp_path, limits=Limits(wait=10.0))
    assert again.last == sequence and again.group(GROUP).behind == (0, 0, 0.0)
    again.close()
