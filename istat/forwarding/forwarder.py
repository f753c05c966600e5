"""All that is forwarded: the spool, and a group of targets for each entry of `forward`. One for a daemon.

Whoever takes samples gives them here: `lines` for those that nobody has marked, `take` for a batch or a whole frame. On
a server a frame is sent only once `release` says that the journal has it. Belongs to the hub; knows no daemon.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent

from istat.clock import Clock
from istat.declared.told import MOST_NAMES, Told, parted
from istat.forwarding.counts import Counts
from istat.forwarding.group import Group
from istat.forwarding.member import Means
from istat.forwarding.origins import Origins
from istat.kernels import lines as kernel
from istat.spool.frames import Mark
from istat.spool.spool import Limits, Spool
from istat.wire.batches import MOST_LINES, MOST_TEXT, Hello

if TYPE_CHECKING:
    import ssl  # 5 MB of memory, which only who forwards by TLS needs

# How often the spool and the groups look after themselves [s]; the spool's own bounds want no more.
CHORES_SECONDS = 1.0
# How long an end waits for targets that acknowledge [s]: what they do not is sent again after the next start.
LAST_SECONDS = 2.0
LAST_LOOK = 0.02        # between two looks at whether they have [s]


@dataclass(frozen=True)
class Introduction:
    """Who we are: the name that targets show for us, and our version."""

    host: str
    version: str


class Forwarder:
    """The spool and the groups. `start`, and in the end `stop`, which closes the spool: a Service of the server."""

    name = "forwarding"

    def __init__(self, values: Mapping[str, Any], folder: Path, clock: Clock, who: Introduction,
                 context: ssl.SSLContext | None = None, known: Callable[[Mark], bool] | None = None,
                 wait: float = 0.0) -> None:
        """Open the spool in a folder, which is made where it is missing. SpoolError when that cannot be.

        values: with the settings of `istat.forwarding.options`. context: of `istat.daemon.tls.client_context`, where
        forward-tls is set. known: whether the store has a batch; the spool is cut at the first that it has not, and
        frames wait for `release`. None: the spool is the journal, and frames are sent at once. wait: how long lines
        that may wait do so in memory before they are written [s]; where the spool is the journal.
        """
        self._clock = clock
        self._counts, self._origins, self._declared = Counts(), Origins(), Told()
        self._spool = Spool.open(folder, Limits(values["spool-bytes"], int(values["spool-age"]), wait,
                                               coarsen=known is None), clock, known)
        self._held = known is not None
        self._released = self._spool.last       # what is there after a start is in the journal
        hello = Hello(self._spool.id, self._spool.epoch, who.host, values["forward-token"])
        means = Means(hello, who.version, context, clock, self._counts, self._origins, self._declared, self._limit,
                      lambda: self.last)
        self._groups = [Group(targets, self._spool.group(str(targets)), means, values["forward-doubt"])
                        for targets in values["forward"]]
        # Only then, as a group that is new begins with what those that go have not had.
        self._spool.keep([str(targets) for targets in values["forward"]])
        self._parts: list[bytes] = []       # lines that no frame has yet, all of `_second`
        self._size = self._count = 0
        self._may_wait = True               # all of them
        self._second = int(clock.now())
        self._chores_at = clock.monotonic()
        self._over = False

    @property
    def id(self) -> bytes:
        """Our sender id, 16 bytes: a server that is greeted by its own forwards to itself."""
        return self._spool.id

    @property
    def refusing(self) -> str:
        """Why nothing should be taken that is only kept here, in a sentence; "": nothing is wrong."""
        return self._spool.refusing

    def start(self) -> None:
        """Begin to send."""
        for group in self._groups:
            group.start()

    def stop(self, whole: bool = True) -> None:
        """Write what is held, give the targets a moment to acknowledge what may be sent, and close the spool. `whole`:
        the store has all that was taken."""
        if self._over:
            return
        self._over = True
        self._write_lines()
        until = self._clock.monotonic() + LAST_SECONDS
        while self._clock.monotonic() < until and any(group.connected and group.behind[0] for group in self._groups):
            gevent.sleep(LAST_LOOK)
        for group in self._groups:
            group.stop()
        self._spool.close(whole)

    @property
    def coarsens(self) -> bool:
        """Whether `tick` has lines to merge that wait in the spool: a little at a time."""
        return self._spool.coarsens

    def settle(self, seconds: float) -> None:
        """Wait until those targets that can be reached have what was taken by now, so long at most."""
        self._write_lines()
        last, until = self._spool.last, self._clock.monotonic() + seconds
        while self._clock.monotonic() < until and any(
                group.connected and group.oldest <= last for group in self._groups):
            gevent.sleep(LAST_LOOK)

    # -- what comes

    def lines(self, text: bytes, waits: bool = False) -> None:
        """Take whole sample lines, of any size, that nobody has marked. Those without time are of the last tick, as
        the store has them. They are in the spool within 100 ms, when `tick` is called as often as that. `waits`: they
        are sent as soon, and may be in memory for the time that was given, so that a kill takes them."""
        count = kernel.count_lines(text)
        if self._size + len(text) > MOST_TEXT or self._count + count > MOST_LINES:
            self._write_lines()
        self._may_wait = waits and (self._may_wait or not self._parts)
        while len(text) > MOST_TEXT or count > MOST_LINES:
            text = self._cut(text)
            count = kernel.count_lines(text)
        if text:
            self._parts.append(text)
            self._size, self._count = self._size + len(text), self._count + count

    def _cut(self, text: bytes) -> bytes:
        """Write the first lines of what is too long for a frame; the rest. A line that is too long for any is lost."""
        end = text.rfind(b"\n", 0, MOST_TEXT) + 1
        if text.count(b"\n", 0, end) > MOST_LINES:      # short ones
            end = sum(map(len, text.split(b"\n", MOST_LINES)[:MOST_LINES])) + MOST_LINES
        if end:
            self._append(text[:end])
            return text[end:]
        self._counts.lost["too_long"] += 1
        return text[text.index(b"\n") + 1:]

    def take(self, text: bytes, clock: int, count: int, interval: int = 0, mark: Mark | None = None) -> int:
        """Write a frame at once; its sequence. At most 64 KiB of whole sample lines; `clock` [Unix seconds] is the time
        of those without one, `interval` [s] that of 7-token lines, 0: they are samples. A full disk is handled inside,
        and counted, but for a frame with a mark where the spool is the journal: 0, it is not taken."""
        self._write_lines()     # what came before it stands before it
        return self._appended(text, clock, count, interval, mark)

    def knows(self, mark: Mark) -> bool:
        """Whether this batch has been taken, or a later one of its sender: where the spool is the journal."""
        return self._spool.knows(mark)

    def marks(self) -> Mapping[tuple[bytes, int], int]:
        """By sender and epoch the last sequence of those that sent batches: where the spool is the journal."""
        return self._spool.marks()

    def meta(self, origin: str, text: bytes) -> None:
        """What a sender of this name tells of itself, `#key value` lines: told to the targets, again at each
        connection. Bounded; the longest silent is forgotten. What is declared of metrics among it (`#metric`) is
        nobody's in particular, and told once whoever declares it."""
        metrics, text = parted(text)
        # Others leave room for our own.
        declared = self._declared.take(metrics, MOST_NAMES // 2 if origin else MOST_NAMES)
        for group in self._groups if declared else ():
            group.declared(declared)
        if text and self._origins.take(origin, text):
            for group in self._groups:
                group.news(origin)

    def undeclare(self, name: bytes) -> None:
        """Nobody declares this metric any more (NAME as it was told): others have its room."""
        self._declared.drop(name)

    # -- what goes

    @property
    def last(self) -> int:
        """The last sequence that was given."""
        return self._spool.last

    def release(self, sequence: int) -> None:
        """All frames up to this one may be sent. Of no meaning where the spool is the journal."""
        if sequence > self._released:
            self._released = sequence
            self._spool.release(sequence)
            self._wake()

    def tick(self) -> None:
        """To be called about every 50 ms, before the store's: what `lines` took goes into the spool, which keeps its
        bounds."""
        self._write_lines()
        self._second = int(self._clock.now())
        now = self._clock.monotonic()
        if now - self._chores_at >= CHORES_SECONDS:
            self._chores_at = now
            self._spool.tick()
            for group in self._groups:
                group.tick()
        self._spool.coarsen()

    def _write_lines(self) -> None:
        if self._parts:
            text, self._parts, self._size, self._count = b"".join(self._parts), [], 0, 0
            self._append(text)

    def _append(self, text: bytes) -> None:
        self._appended(text, self._second, kernel.count_lines(text), 0, None, self._may_wait)

    def _appended(self, text: bytes, clock: int, count: int, interval: int, mark: Mark | None,
                  waits: bool = False) -> int:
        sequence = self._spool.append(text, clock, count, interval, mark, waits)
        if not sequence and mark is not None and not self._held:
            return 0
        self._counts.lines += count
        if not self._held:
            self._wake()
        return sequence

    def _limit(self) -> int:
        return self._released if self._held else self._spool.last

    def _wake(self) -> None:
        for group in self._groups:
            group.wake()

    # -- what is told

    def totals(self) -> Mapping[str, float]:
        """Values of the metrics `forward.*` by name, totals since the start and present values."""
        spool = self._spool.status()
        found = self._counts.values()
        lost: Any = spool["spool_lost"]
        for kind, lines in lost.items():
            found[f"forward.lost.{kind}"] = lines
        behind = [group.behind for group in self._groups]
        found.update({"forward.waiting": max((lines for _, lines, _ in behind), default=0),
                      "forward.lag": max((seconds for _, _, seconds in behind), default=0),
                      "forward.connected": sum(group.connected for group in self._groups),
                      "forward.coarsened": self._spool.coarsened,
                      "forward.spool.bytes": float(str(spool["spool_bytes"]))})
        return found

    def status(self) -> dict[str, object]:
        """What /api/v1/status has under `forward`: the spool, and each group with its targets."""
        return {"groups": [group.status() for group in self._groups], "totals": dict(self.totals()),
                **self._spool.status()}
