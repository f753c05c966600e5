"""Bytes of senders to the store, and what the store leaves to be told: metadata, and lines that it refused.

Knows no sockets and no engine. Every listener of the line protocol feeds one Intake, in the hub.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from istat.declared.lines import BEGINS
from istat_server.mistakes import Mistakes
from istat_server.roster import Sender
from istat_server.store.interface import METADATA, Accepted, Left

# A line in which a sender may give itself a name.
NAME_IN_IT = b"hostname"
NAMING = re.compile(rb"^#[^\n]*" + NAME_IN_IT + rb"[^\n]*\n", re.MULTILINE)


class Keeper(Protocol):
    """What the intake wants of a store (store.interface.Store)."""

    @property
    def refusing(self) -> str:
        """Why samples are not taken now, or ""."""

    def accept(self, view: memoryview, start: int, end: int) -> Accepted:
        """Take whole lines."""


class LineTee(Protocol):
    """Who is given what comes as lines, besides the store: the forwarder."""

    def lines(self, view: memoryview, start: int, end: int, whole: bool) -> None:
        """Whole lines that the store took notice of; `whole`: it has left none of them. Must not wait."""

    def told(self, sender: Sender) -> None:
        """A sender has told something of itself."""


class Intake:
    """The way in for lines, whatever socket and protocol they came by: a wire.protocol.Sink."""

    def __init__(self, store: Keeper, mistakes: Mistakes) -> None:
        self._store = store
        self._mistakes = mistakes
        # Told of all lines that were taken notice of, refused ones too: the exporter, where there is one.
        self.watcher: Callable[[memoryview, Sender], None] | None = None
        # Given all lines that the store took, or alone refused, where the server forwards.
        self.tee: LineTee | None = None
        # Given `NAME JSON` of what senders declare of metrics.
        self.declared: Callable[[bytes, Sender], None] = _nowhere

    def feed(self, view: memoryview, start: int, end: int, sender: Sender) -> int:
        """Take the whole lines of view[start:end]; how many bytes those were. Those of a sender that is on the
        blacklist, or says a name on it, are dropped from there on; its transport sees that, and counts it."""
        return (self._feed_checked if sender.doubtful else self._feed)(view, start, end, sender)

    def _feed(self, view: memoryview, start: int, end: int, sender: Sender) -> int:
        take = self._refuse if self._store.refusing else self._take
        used = take(view, start, end, sender)
        if self.watcher is not None:
            self.watcher(view[start:start + used], sender)
        return used

    def _feed_checked(self, view: memoryview, start: int, end: int, sender: Sender) -> int:
        """The same, name by name: what stands before one is taken or not by the names before it. A UDP sender may be
        another one by now, so its names count although it is barred."""
        text = bytes(view[start:end])
        whole = text.rfind(b"\n") + 1
        at = 0
        # Most have none, which is found out ten times as fast so.
        for named in NAMING.finditer(text, 0, whole) if NAME_IN_IT in text else ():
            if not sender.barred:
                self._feed(view, start + at, start + named.start(), sender)
            if not sender.barred or sender.transport == "udp":
                self._feed(view, start + named.start(), start + named.end(), sender)
            at = named.end()
        if at < whole and not sender.barred:
            self._feed(view, start + at, start + whole, sender)
        return whole

    def _take(self, view: memoryview, start: int, end: int, sender: Sender) -> int:
        used, left = self._store.accept(view, start, end)
        if self.tee is not None and used:
            self.tee.lines(view, start, start + used, not left)
        self.tell(left, sender)
        return used

    def tell(self, left: Sequence[Left], sender: Sender) -> None:
        """What the store has left of a sender's lines: metadata to remember, mistakes to tell."""
        for kind, line, times in left:
            if kind == METADATA:
                self.meta(line, sender)
            elif line:
                self._mistakes.show(kind, line, sender)     # the store has counted it
            else:
                self._mistakes.blame(kind, b"", sender, times)

    def refuse(self, kind: str, text: bytes, sender: Sender) -> None:
        """See wire.protocol.Sink.refuse."""
        self._mistakes.note(kind, text, sender)

    def _refuse(self, view: memoryview, start: int, end: int, sender: Sender) -> int:
        text = bytes(view[start:end])
        text = text[:text.rfind(b"\n") + 1]
        count = text.count(b"\n") - text.count(b"\n#") - text.startswith(b"#")    # metadata are no samples
        self._mistakes.add("store_refuses", count)
        if count:
            first = next(line for line in text.split(b"\n") if not line.startswith(b"#"))
            self._mistakes.blame("store_refuses", first, sender, count)
        return len(text)

    def meta(self, line: bytes, sender: Sender, by: Sender | None = None) -> None:
        """`#key value`, split at the first space only. by: who tells this of the sender, where it is another one."""
        if line.startswith(BEGINS):
            self.declared(line[len(BEGINS):], by or sender)
            return
        key, space, value = line[1:].partition(b" ")
        if not space or not sender.meta(key.strip(), value.strip()):
            self._mistakes.note("bad_metadata", line, by or sender)
        elif self.tee is not None and by is None and not sender.barred:
            self.tee.told(sender)


def _nowhere(text: bytes, sender: Sender) -> None:
    """Nobody keeps what is declared."""
