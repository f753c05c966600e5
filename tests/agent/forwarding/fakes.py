"""A forwarder that remembers, with no spool and no targets."""

from __future__ import annotations

from collections.abc import Mapping

from istat.spool.frames import Mark


class FakeForwarder:
    """See istat_agent.forwarding.intake.Way."""

    id = b"own spool of us!"
    coarsens = False

    def __init__(self) -> None:
        self.refusing = ""
        self.full = False       # the disk takes nothing, which nobody has seen yet
        self.text = b""
        self.waiting = b""      # what of it may wait in memory
        self.frames: list[tuple[bytes, int, int, int, Mark | None]] = []
        self.told: dict[str, bytes] = {}
        self.ticks = 0
        self._marks: dict[tuple[bytes, int], int] = {}

    def lines(self, text: bytes, waits: bool = False) -> None:
        self.text += text
        self.waiting += text if waits else b""

    def take(self, text: bytes, clock: int, count: int, interval: int = 0, mark: Mark | None = None) -> int:
        if self.full and mark is not None:
            return 0
        self.frames.append((text, clock, count, interval, mark))
        if mark is not None:
            self._marks[mark[0], mark[1]] = mark[2]
        return len(self.frames)

    def marks(self) -> Mapping[tuple[bytes, int], int]:
        return self._marks

    def meta(self, origin: str, text: bytes) -> None:
        self.told[origin] = self.told.get(origin, b"") + text

    def tick(self) -> None:
        self.ticks += 1

    def totals(self) -> Mapping[str, float]:
        return {"forward.lines": 3.0, "forward.waiting": 2.0, "forward.lost.age": 1.0}

    def start(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Nothing to do."""
