"""An intake that keeps what it is fed, and what listeners need around it."""
from __future__ import annotations

import time
from collections.abc import Callable

import gevent

from istat.clock import FakeClock
from istat_server.ingest.pump import Pump
from istat_server.mistakes import Mistakes
from istat_server.roster import Roster, Sender


class FakeIntake:
    """Takes whole lines, as the real one does, and remembers them with their senders."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.senders: list[Sender] = []
        self.feeds = 0

    def feed(self, view: memoryview, start: int, end: int, sender: Sender) -> int:
        self.feeds += 1
        data = bytes(view[start:end])
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].split(b"\n")[:-1]:
            self.lines.append(line)
            self.senders.append(sender)
        return whole


class Bench:
    """An intake with roster, mistakes and a running pump."""

    def __init__(self) -> None:
        self.clock = FakeClock(1_700_000_000)
        self.intake = FakeIntake()
        self.mistakes = Mistakes(self.clock)
        self.roster = Roster(self.clock)
        self.errors: list[BaseException] = []
        self.pump = Pump(lambda where, error: self.errors.append(error))


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Let the hub run until the condition holds; AssertionError when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        gevent.sleep(0.002)
