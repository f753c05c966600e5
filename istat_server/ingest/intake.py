"""Bytes of senders to the engine, and what the engine leaves over: new names, metadata, bad lines.

Knows no sockets. Every listener of the line protocol feeds one Intake, in the hub.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from istat.kernels import lines
from istat_server.mistakes import Mistakes
from istat_server.roster import Sender
from istat_server.store.names.catalogue import Learned

if TYPE_CHECKING:
    from istat.kernels.python.ingest.engine import Engine

KIND_OF = {code: name.lower() for name, code in lines.CODES.items()}
META, UNKNOWN = lines.CODES["META"], lines.CODES["UNKNOWN"]


class Keeper(Protocol):
    """What the intake wants of the store."""

    engine: Engine

    @property
    def refusing(self) -> str:
        """Why samples are not taken now, or ""."""

    def learn(self, wire: bytes) -> Learned:
        """Give a wire name its route."""

    def after_feed(self) -> None:
        """Called after every portion: hands the journal over, waits when too much is under way."""


class Intake:
    """The way in for lines, whatever socket they came by."""

    def __init__(self, store: Keeper, mistakes: Mistakes) -> None:
        self._store = store
        self._engine = store.engine
        self._mistakes = mistakes

    def feed(self, view: memoryview, start: int, end: int, sender: Sender) -> int:
        """Take the whole lines of view[start:end]; how many bytes those were."""
        if self._store.refusing:
            return self._refuse(view, start, end)
        used = self._engine.feed(view, start, end)
        left = self._engine.take_leftovers()
        if left:
            self._handle(left, sender)
        self._store.after_feed()
        return used

    def _refuse(self, view: memoryview, start: int, end: int) -> int:
        text = bytes(view[start:end])
        self._mistakes.add("store_refuses", text.count(b"\n"))
        return text.rfind(b"\n") + 1

    def _handle(self, left: Sequence[tuple[int, bytes]], sender: Sender) -> None:
        again: list[bytes] = []
        for code, line in left:
            if code == UNKNOWN:
                self._name(line, again, sender)
            elif code == META:
                self._meta(line, sender)
            else:
                self._mistakes.show(KIND_OF[code], line, sender)
        if again:
            again.append(b"")
            text = b"\n".join(again)
            self._engine.feed(text, 0, len(text))
            self._engine.take_leftovers()       # all their names are known and all of them were good lines

    def _name(self, line: bytes, again: list[bytes], sender: Sender) -> None:
        learned = self._store.learn(line.split(None, 1)[0])
        if learned is Learned.KNOWN:
            again.append(line)
        elif learned is not Learned.NOTHING:
            self._mistakes.note(learned.value, line, sender)

    def _meta(self, line: bytes, sender: Sender) -> None:
        """`#key value`, split at the first space only."""
        key, space, value = line[1:].partition(b" ")
        if not space or not sender.meta(key.strip(), value.strip()):
            self._mistakes.note("bad_metadata", line, sender)
