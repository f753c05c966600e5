"""Batches that are acknowledged: messages of both sides to frames and back, as docs/protocols/batches.md has them.

A connection to the stat port whose first line is MAGIC goes on in frames. What a message means is `receiving`'s
business on one side and the forwarder's on the other. Knows no sockets, no store, and of lines only their line feeds.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from istat.errors import BadBatch
from istat.kernels import lines
from istat.wire.framing import Run, Taken

#: The first line of a connection. To an original istatd it is metadata of the sender, which it never answers.
MAGIC = b"#istat-batches 1\n"
# Lines of one batch [bytes], and how many: the hub takes them in one turn, some 0.5 ms; new names are learnt before.
MOST_TEXT = 65536
MOST_LINES = 4096
# What one origin tells of itself at once [bytes]: a receiver keeps 32 keys of some hundred bytes.
MOST_META = 16384
# And in how many lines: twice the keys of which it keeps something; each line costs a receiver some microseconds.
MOST_META_LINES = 64
# What may be sent and not answered yet: at 100 ms to and fro that is 10 MB/s of one sender.
MOST_UNDER_WAY = 16
MOST_UNDER_WAY_BYTES = 1 << 20
# Checksums are made of so many bytes at a time: for more zlib lets go of the interpreter, and getting it back from the
# journal's threads costs more than the checksum.
CRC_BYTES = 5120
SENDER_BYTES = 16           # of a sender's id
MOST_WORDS = 1000           # [bytes] of a host's name, a token, a code or a sentence
MOST_NUMBER = 1 << 63       # sequences, epochs and clocks are less, as in the journal
MOST_INTERVAL = 1 << 31     # [s] intervals are less, as in the journal
# Length of what follows it and its kind [bytes], kind, CRC-32 of these two and what follows.
HEADER = struct.Struct("<IBI")
_COVERED = struct.Struct("<IB")
_BATCH = struct.Struct("<QQII")         # sequence, clock, interval, lines
_ACK = struct.Struct("<QI")             # sequence, refused lines
_ACK_FRAME = struct.Struct("<IBIQI")    # the same with its header
_NUMBER = struct.Struct("<Q")
_SIZE = struct.Struct("<H")             # of words behind it [bytes]
_META = re.compile(rb"(?:#[^\n]*\n){1,%d}" % MOST_META_LINES)
#: The longest frame [bytes]: lines, and more room before them than any message takes.
MOST_FRAME = HEADER.size + MOST_TEXT + 4096


@dataclass(frozen=True, slots=True)
class Hello:
    """The sender's first message: who it is (16 bytes that it keeps), which life of its spool (sequences begin anew in
    each), what its machine is called, and what lets it in (`samples-token`; "" for nothing)."""

    sender: bytes
    epoch: int
    host: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to Hello: the last sequence of this sender and epoch that the receiver has and keeps; 0 for none."""

    last: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to what is refused for good: nothing is taken of this connection. `code` is one of docs/protocols/
    batches.md, the sentence is for people."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Lines:
    """A batch. `sequence` from 1 on; `clock` is the time of lines without one [Unix s]; `interval` is what lines of
    seven words cover [s], 0: they are samples; `count` how many line feeds the text has, which ends with one. At most
    MOST_TEXT bytes and MOST_LINES lines."""

    sequence: int
    clock: int
    interval: int
    count: int
    text: bytes


class Ack(NamedTuple):
    """The batch of this sequence is in the receiver's journal, but for so many of its lines that were refused."""

    sequence: int
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Later:
    """The batch of this sequence was not taken, nor is any behind it on this connection; it may be sent again on
    another one, or elsewhere."""

    sequence: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Meta:
    """What one origin tells of itself: 1 to MOST_META_LINES lines `#key value`. `origin` is a host's name; "" is the
    sender itself."""

    origin: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """Is somebody there? Answered by Pong, at once."""


@dataclass(frozen=True, slots=True)
class Pong:
    """Somebody is there."""


Message = Hello | Welcome | Refusal | Lines | Ack | Later | Meta | Ping | Pong


# -- writing


def encode(message: Message) -> bytes:
    """The frame of a message. ValueError when it cannot be one: a number or a text beyond its bound, lines that are
    not `count`."""
    kind = _KINDS[type(message)]
    try:
        body = _BODIES[kind](message)
        _DECODERS[kind](memoryview(body))
    except (struct.error, BadBatch) as error:
        raise ValueError(f"{type(message).__name__} cannot be sent: {error}") from error
    return HEADER.pack(len(body), kind, zlib.crc32(body, zlib.crc32(_COVERED.pack(len(body), kind)))) + body


def encode_ack(sequence: int, refused: int) -> bytes:
    """The same as encode(Ack(sequence, refused)), of a sequence that was decoded: there is one for each batch."""
    body = _ACK.pack(sequence, refused)
    return _ACK_FRAME.pack(_ACK.size, _ACK_KIND, zlib.crc32(body, _ACK_BEGIN), sequence, refused)


def _words(text: str) -> bytes:
    data = text.encode()
    return _SIZE.pack(len(data)) + data


def _hello_body(message: Hello) -> bytes:
    if len(message.sender) != SENDER_BYTES:
        raise BadBatch(f"a sender's id has {SENDER_BYTES} bytes, not {len(message.sender)}")
    return message.sender + _NUMBER.pack(message.epoch) + _words(message.host) + _words(message.token)


def _lines_body(message: Lines) -> bytes:
    return _BATCH.pack(message.sequence, message.clock, message.interval, message.count) + message.text


# -- reading


def decode(view: memoryview | bytes) -> Message:
    """The message of one whole frame, whose checksum a BatchFraming has seen to. BadBatch when it is malformed, or of
    a kind that is not known."""
    frame = memoryview(view)
    _length, kind, _crc = HEADER.unpack_from(frame)
    reader = _DECODERS.get(kind)
    if reader is None:
        raise BadBatch(f"a frame of the kind {kind}, which a newer istatd may know")
    try:
        return reader(frame[HEADER.size:])
    except (struct.error, UnicodeDecodeError) as error:
        raise BadBatch(f"a frame of the kind {kind} that is cut short, or is no text: {error}") from error


def _bounded(number: int, most: int, what: str) -> int:
    if number >= most:
        raise BadBatch(f"{what} that is too large: {number}")
    return number


def _take_words(body: memoryview, at: int) -> tuple[str, int]:
    """A text of at most MOST_WORDS bytes, and the place behind it."""
    (size,) = _SIZE.unpack_from(body, at)
    at += _SIZE.size
    if size > MOST_WORDS or size > len(body) - at:
        raise BadBatch(f"a text of {size} bytes, where {min(MOST_WORDS, len(body) - at)} can be")
    return str(body[at:at + size], "utf-8"), at + size


def _ended(message: Message, body: memoryview, at: int) -> Message:
    if at != len(body):
        raise BadBatch(f"a frame with {len(body) - at} bytes too many")
    return message


def _read_hello(body: memoryview) -> Message:
    (epoch,) = _NUMBER.unpack_from(body, SENDER_BYTES)
    host, at = _take_words(body, SENDER_BYTES + _NUMBER.size)
    token, at = _take_words(body, at)
    hello = Hello(bytes(body[:SENDER_BYTES]), _bounded(epoch, MOST_NUMBER, "an epoch"), host, token)
    return _ended(hello, body, at)


def _read_welcome(body: memoryview) -> Message:
    (last,) = _NUMBER.unpack_from(body)
    return _ended(Welcome(_bounded(last, MOST_NUMBER, "a sequence")), body, _NUMBER.size)


def _read_refusal(body: memoryview) -> Message:
    code, at = _take_words(body, 0)
    sentence, at = _take_words(body, at)
    return _ended(Refusal(code, sentence), body, at)


def _sequence(number: int) -> int:
    if not number:
        raise BadBatch("a sequence 0: they begin with 1")
    return _bounded(number, MOST_NUMBER, "a sequence")


def _read_lines(body: memoryview) -> Message:
    sequence, clock, interval, count = _BATCH.unpack_from(body)
    text = bytes(body[_BATCH.size:])
    _check_text(text, MOST_TEXT)
    found = lines.count_lines(text)
    if found != count or count > MOST_LINES:
        raise BadBatch(f"a batch of {found} lines that are told to be {count}; it has {MOST_LINES} at most")
    if not (0 < sequence < MOST_NUMBER and clock < MOST_NUMBER and interval < MOST_INTERVAL):
        raise BadBatch(f"a batch whose sequence, clock or interval cannot be: {sequence}, {clock}, {interval}")
    return Lines(sequence, clock, interval, count, text)


def _check_text(text: bytes, most: int) -> None:
    if len(text) > most or not text.endswith(b"\n"):
        raise BadBatch(f"a text is 1 to {most} bytes of whole lines; this one has {len(text)}")


def _read_ack(body: memoryview) -> Message:
    sequence, refused = _ACK.unpack_from(body)
    return _ended(Ack(_sequence(sequence), refused), body, _ACK.size)


def _read_later(body: memoryview) -> Message:
    (sequence,) = _NUMBER.unpack_from(body)
    sentence, at = _take_words(body, _NUMBER.size)
    return _ended(Later(_sequence(sequence), sentence), body, at)


def _read_meta(body: memoryview) -> Message:
    origin, at = _take_words(body, 0)
    text = bytes(body[at:])
    _check_text(text, MOST_META)
    if not _META.fullmatch(text):
        raise BadBatch(f"what an origin tells is 1 to {MOST_META_LINES} lines that begin with #")
    return Meta(origin, text)


_KINDS: Mapping[type, int] = {Hello: 1, Welcome: 2, Refusal: 3, Lines: 4, Ack: 5, Later: 6, Meta: 7, Ping: 8, Pong: 9}
_ACK_KIND = _KINDS[Ack]
_ACK_BEGIN = zlib.crc32(_COVERED.pack(_ACK.size, _ACK_KIND))      # checksum of the header's part of it
_BODIES: Mapping[int, Callable[[Any], bytes]] = {
    1: _hello_body, 2: lambda told: _NUMBER.pack(told.last), 3: lambda told: _words(told.code) + _words(told.sentence),
    4: _lines_body, 5: lambda told: _ACK.pack(told.sequence, told.refused),
    6: lambda told: _NUMBER.pack(told.sequence) + _words(told.sentence),
    7: lambda told: _words(told.origin) + told.text, 8: lambda _: b"", 9: lambda _: b"",
}
_DECODERS: Mapping[int, Callable[[memoryview], Message]] = {
    1: _read_hello, 2: _read_welcome, 3: _read_refusal, 4: _read_lines, 5: _read_ack, 6: _read_later, 7: _read_meta,
    8: lambda body: _ended(Ping(), body, 0), 9: lambda body: _ended(Pong(), body, 0),
}


class BatchFraming:
    """The framing of one stream of frames (wire.framing.Framing). BadBatch from `take` ends the stream: what follows a
    frame whose length or checksum is wrong cannot be found."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b""        # an unfinished frame: shorter than MOST_FRAME

    @property
    def held(self) -> int:
        """See Framing.held."""
        return len(self._tail)

    def take(self, buffer: bytearray, end: int) -> Taken:
        """See Framing.take. BadBatch where a frame is too long or damaged; those before it are not told then."""
        if self._tail:
            buffer[:len(self._tail)] = self._tail
        at = 0
        with memoryview(buffer) as view:
            while end - at >= HEADER.size:
                size = frame_size(view, at)
                if size > end - at:
                    break
                _check(view[at:at + size])
                at += size
            self._tail = bytes(view[at:end])
        run: Run = (0, at)
        return ([run] if at else (), ())

    def finish(self) -> bytes:
        """See Framing.finish."""
        tail, self._tail = self._tail, b""
        return tail


def frame_size(view: memoryview, at: int) -> int:
    """How long the frame is that begins there with at least its header [bytes]. BadBatch when no frame is."""
    length, _kind, _crc = HEADER.unpack_from(view, at)
    size: int = HEADER.size + length
    if size > MOST_FRAME:
        raise BadBatch(f"a frame of {size} bytes, where {MOST_FRAME} are the most")
    return size


def _check(frame: memoryview) -> None:
    length, kind, crc = HEADER.unpack_from(frame)
    found = zlib.crc32(_COVERED.pack(length, kind))
    for at in range(HEADER.size, len(frame), CRC_BYTES):
        found = zlib.crc32(frame[at:at + CRC_BYTES], found)
    if found != crc:
        raise BadBatch("a frame whose checksum is wrong")
