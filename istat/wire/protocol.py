"""What a protocol is: how its messages are found in a stream, and how they become lines of ours.

A transport (a daemon's: connections, datagrams) reads bytes and knows no protocol; a protocol knows no socket. It is
told its sink, which is the server's intake, and gives it lines (docs/formats/lines.md) as often as it likes.
`LINES` in `istat.wire.lines` is our own; `EachLine` makes one of a function that translates one line.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from istat.errors import BadLine, BadName
from istat.wire.framing import Framing, LineFraming


class Datagrams(enum.Enum):
    """How the messages of a protocol stand in datagrams."""

    LINES = "lines"  # whole lines; what follows the last line feed is refused
    MENDED = "mended"  # lines, of which the last may lack its line feed: it is given one
    WHOLE = "whole"  # each datagram is fed by itself, as it came


class Feeder(Protocol):
    """What takes the messages of one connection, or of one datagram socket."""

    def feed(self, view: memoryview, start: int, end: int, sender: Any) -> int:
        """Take the whole messages of view[start:end]; how many bytes those were.

        `view` is good during the call only, and holds at most some 16 KiB unless one message is longer. `sender` is the
        transport's; it goes on to the sink as it is. To be done in some milliseconds: the hub waits.
        """


class Sink(Feeder, Protocol):
    """Where a protocol's samples go: `feed` takes whole lines of ours."""

    def refuse(self, kind: str, text: bytes, sender: Any) -> None:
        """Count something that a sender did wrong, and perhaps log its text. `kind` is one of the server's kinds of
        mistakes; `bad_message` is for messages that could not be read."""


class WireProtocol(Protocol):
    """A protocol. One object serves all sockets, so what belongs to a connection is in its feeder and framing.

    `name` is for people: "lines", "graphite".
    """

    @property
    def name(self) -> str: ...

    @property
    def datagrams(self) -> Datagrams:
        """How its messages stand in datagrams, if it is used over any."""

    def framing(self, limit: int) -> Framing:
        """The framing of a new stream; messages of more than `limit` bytes are left out."""

    def feeder(self, sink: Sink) -> Feeder:
        """What takes the messages of a new connection, or of a datagram socket that begins to be read."""


class EachLine:
    """A protocol of lines that mean something by themselves, each of which becomes some lines of ours."""

    def __init__(
        self, name: str, translate: Callable[[bytes], bytes], datagrams: Datagrams = Datagrams.MENDED
    ) -> None:
        """translate: from one line, without its LF, to lines of ours with theirs, or b"". ValueError, BadLine
        or BadName for what cannot be read: it is counted as the sender's mistake."""
        self.name = name
        self.datagrams = datagrams
        self._translate = translate

    def framing(self, limit: int) -> Framing:
        """See WireProtocol.framing."""
        return LineFraming(limit)

    def feeder(self, sink: Sink) -> Feeder:
        """See WireProtocol.feeder."""
        return _Translating(self._translate, sink)


class _Translating:
    """The feeder of EachLine."""

    def __init__(self, translate: Callable[[bytes], bytes], sink: Sink) -> None:
        self._translate = translate
        self._sink = sink

    def feed(self, view: memoryview, start: int, end: int, sender: Any) -> int:
        """See Feeder.feed."""
        text = bytes(view[start:end])
        lines = text.split(b"\n")
        rest = lines.pop()
        found: list[bytes] = []
        try:
            for line in lines:
                found += self._lines_of(line, sender)
        finally:    # a fault of the function's own costs the lines from there on, not those before
            whole = b"".join(found)
            if whole:
                self._sink.feed(memoryview(whole), 0, len(whole), sender)
        return len(text) - len(rest)

    def _lines_of(self, line: bytes, sender: Any) -> Iterator[bytes]:
        """Our lines for one of theirs. TypeError for what is none."""
        try:
            ours = self._translate(line)
        except (ValueError, BadLine, BadName):
            self._sink.refuse("bad_message", line, sender)
            return
        if not isinstance(ours, bytes) or (ours and not ours.endswith(b"\n")):
            raise TypeError(f"translate gives {ours!r:.80}, which is no line of ours with its line feed")
        yield ours
