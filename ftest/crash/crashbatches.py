"""A sender of batches with marks, and of pins, inside a server that is killed; and what a store must hold of them.

The sender numbers its batches. It writes down each before it gives it to the store and after it was answered, goes on
in its next life where the last one ended, with the batch that was not answered, and now and then sends an old one
again. So each batch must be in the store once, but for the last one, which may be in it or not. `Sender` runs in the
server; the rest is the harness's.
"""
from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from istat.errors import StoreError
from istat_server.store.files import journal, manifest
from istat_server.store.files.manifest import Manifest
from istat_server.store.interface import Batch, Fields, Mark
from istat_server.store.statstore import StatStore

VARIABLE = "ISTAT_CRASH_BATCHES"        # where the sender writes down what it does
SENDER = b"crash"
COUNTER = "batch.total"
NAMES = (b"batch.total", b"*batch.hits", b"batch.wide^a^b")
ROW = "t"                               # what a line begins with: tried,
ANSWERED = "a"                          # answered
AT_ONCE = 3                             # batches in a tick, at most
PIN_SECONDS = 100_000


class Sent(NamedTuple):
    """A batch: its number, the time of its rows, and their interval."""

    number: int
    time: int
    interval: int


def read(notes: Path) -> tuple[list[Sent], Sent | None]:
    """The batches that were answered, and the one that was tried and was not."""
    answered: list[Sent] = []
    waiting: Sent | None = None
    for line in notes.read_text().splitlines() if notes.exists() else ():
        what, *numbers = line.split()
        if what == ROW:
            waiting = Sent(*map(int, numbers))
        elif waiting is not None:
            answered.append(waiting)
            waiting = None
    return answered, waiting


def paused(notes: Path) -> Path:
    """While there is such a file, nothing is sent."""
    return notes.with_suffix(".pause")


class Sender:
    """Sends some batches at each tick of a store."""

    def __init__(self, notes: Path) -> None:
        answered, self._waiting = read(notes)
        self._number = len(answered)
        self._random = random.Random(self._number)
        self._pause = paused(notes)
        self._notes = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tick(self, store: StatStore, now: int) -> None:
        """In the hub of the server."""
        if self._pause.exists():
            return
        rng = self._random
        for _ in range(rng.randrange(AT_ONCE + 1)):
            self._send(store, now)
        if rng.random() < 0.05:
            store.pinning.pin(f"pin{rng.randrange(3)}", None, now + PIN_SECONDS)
        elif rng.random() < 0.05:
            store.pinning.unpin(f"pin{rng.randrange(3)}")

    def _send(self, store: StatStore, now: int) -> None:
        if self._waiting is None:
            self._waiting = Sent(self._number + 1, now - self._random.randrange(600), self._random.choice([0, 10, 60]))
            self._note(ROW, *self._waiting)
        try:
            store.accept_batch(batch(self._waiting))
        except StoreError:
            return          # not answered: it is sent again
        self._number, self._waiting = self._waiting.number, None
        self._note(ANSWERED)
        if self._random.random() < 0.2:         # the answer was lost, say
            store.accept_batch(batch(Sent(self._random.randint(1, self._number), now, 0)))

    def _note(self, what: str, *numbers: int) -> None:
        os.write(self._notes, f"{' '.join([what, *map(str, numbers)])}\n".encode())


def batch(sent: Sent) -> Batch:
    """Its rows: one sample of each counter."""
    count = len(NAMES)
    return Batch(NAMES, [sent.time] * count, Fields([1] * count, [1.0] * count, [0.0] * count, [1.0] * count,
                                                    [1.0] * count), sent.interval, Mark(SENDER, 1, sent.number))


def check_counts(notes: Path, start: int, counted: Callable[[str], int]) -> int:
    """Each batch from `start` on, by the time of its rows, is there once; how many. `counted`: samples of a counter."""
    answered, waiting = read(notes)
    wanted = sum(sent.time >= start for sent in answered)
    more = int(waiting is not None and waiting.time >= start)
    found = counted(COUNTER)
    assert wanted <= found <= wanted + more, f"{found} batches, not {wanted} (and {more} that was not answered)"
    return wanted


def check_marks(notes: Path, store: StatStore, start: int, counted: Callable[[str], int], all_of_it: bool) -> int:
    """A mark is there with all rows of its batch, after a power cut too; how many. `all_of_it`: and with all before."""
    answered, waiting = read(notes)
    sent = [*answered, *([waiting] if waiting else [])]
    last = next(number for number in range(len(sent), -1, -1) if not number or store.marks.taken(b"crash", 1, number))
    wanted = sum(one.time >= start for one in sent[:last])
    found = counted(COUNTER)
    good = found == wanted if all_of_it else found <= wanted
    assert good, f"{found} batches, and the mark of the {last}th, with which there should be {wanted}"
    return found


def check_pins(store: Path, state: Manifest) -> int:
    """All that pins hold is there; how many they are."""
    for pin in state.pins:
        for path in pin.files:
            assert (store / path).exists(), f"the pin {pin.name} holds {path}, which is gone"
        segments = journal.segment_numbers(store / "journal")
        missing = set(range(pin.position.segment, state.replay_from)) - set(segments)
        assert not missing, f"the pin {pin.name} holds the segments {sorted(missing)}, which are gone"
    return len(state.pins)


def state_of(store: Path) -> Manifest:
    """The MANIFEST of a store that nobody has open."""
    state, _problem = manifest.load(store)
    assert state is not None
    return state
