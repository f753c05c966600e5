"""Any order of coming in, sending, acknowledging, refusing, giving up, ending and being killed: a target that knows the
sequences it has gets each line once, as istatd's receivers do."""
from __future__ import annotations

import random
from pathlib import Path

import pytest

from istat.spool.cursors import Cursor
from istat.spool.spool import Limits, Spool
from tests.spool.harness import GROUP, kill, lost, number_of, open_spool

MEMBERS = ("a", "b")


class Receivers:
    """What the two members of a group have taken, as their stores do: nothing below the last sequence."""

    def __init__(self) -> None:
        self.last = dict.fromkeys(MEMBERS, 0)
        self.got: list[int] = []

    def take(self, member: str, sequence: int, text: bytes) -> None:
        if sequence > self.last[member]:
            self.last[member] = sequence
            self.got.append(number_of(text))


class Sender:
    """A forwarder that does what it may, at random: one of the members is in use."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng, self.there = folder, rng, Receivers()
        self.number = 0
        self.spool = self._open()

    def _open(self) -> Spool:
        return open_spool(self.folder, limits=Limits(bytes=4 << 20))

    @property
    def cursor(self) -> Cursor:
        return self.spool.group(GROUP)

    def step(self) -> None:
        self.rng.choices([self.come, self.send, self.settle, self.refuse, self.end, self.spool.tick],
                         [6, 6, 2, 1, 1, 1])[0]()

    def come(self) -> None:
        for _ in range(self.rng.randrange(1, 5)):
            self.number += 1
            text = b"a %d\n" % self.number + b"x" * self.rng.choice([0, 0, 60_000])
            assert self.spool.append(text, 5, 1)

    def send(self) -> None:
        """Frames are sent; each arrives or not, and what arrived is acknowledged or not."""
        member = self.rng.choice(MEMBERS)
        if self.cursor.doubts(member):
            return
        for _ in range(self.rng.randrange(1, 17)):
            frame = self.cursor.read(self.spool.last)
            if frame is None or frame.sequence <= self.there.last[member]:
                return
            self.cursor.sending(member, frame.sequence)
            if self.rng.random() < 0.2:
                return
            self.there.take(member, frame.sequence, frame.text)
            if self.rng.random() < 0.8:
                self.cursor.done(member, frame.sequence)

    def settle(self) -> None:
        """A member that is connected to anew: WELCOME, and what it has not is sent again."""
        for member in self.cursor.members():
            self.cursor.done(member, self.there.last[member])
            for first, last in self.cursor.doubts(member):
                for frame in self.cursor.again(first, last):
                    self.there.take(member, frame.sequence, frame.text)
            self.cursor.done(member, self.there.last[member])

    def refuse(self) -> None:
        """A member takes nothing: what is in doubt there after WELCOME goes elsewhere."""
        for member in self.cursor.members():
            self.cursor.done(member, self.there.last[member])
            self.cursor.give_up(member)

    def end(self) -> None:
        kill(self.spool) if self.rng.random() < 0.7 else self.spool.close()
        self.spool = self._open()

    def finish(self) -> None:
        self.settle()
        while (frame := self.cursor.read(self.spool.last)) is not None:
            self.cursor.sending("a", frame.sequence)
            self.there.take("a", frame.sequence, frame.text)
            self.cursor.done("a", frame.sequence)
        assert self.cursor.behind == (0, 0, 0.0)
        self.spool.close()


@pytest.mark.parametrize("seed", range(12))
def test_each_line_arrives_once(tmp_path: Path, seed: int) -> None:
    sender = Sender(tmp_path, random.Random(seed))
    for _ in range(150):
        sender.step()
    assert lost(sender.spool) == {}
    sender.finish()
    assert sorted(sender.there.got) == list(range(1, sender.number + 1))
