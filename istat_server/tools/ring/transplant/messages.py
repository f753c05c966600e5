"""The messages of a transplant, to and from bytes. Knows no files and no sockets. docs/formats/transplant.md.

    message = u32 length (big-endian), then: path, start, end, count, count * 32 bytes of buckets as in a ring file
    start, end, count = varint: 7 bits a byte, low ones first, the high bit says that more follow
    path = varint length, then a varint for each byte
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from istat.errors import IstatError
from istat_server.foreign.ring import SLOT, Bucket

LENGTH = struct.Struct(">I")
MOST_MESSAGE = 64 << 20     # [bytes]
MOST_PATH = 4096            # [bytes]
MOST_VARINT = 9             # bytes: 63 bits
AROUND = LENGTH.size + 2 * MOST_PATH + 4 * MOST_VARINT     # of a message, besides its buckets [bytes]


class TransplantError(IstatError):
    """The other side of a transplant says what it must not."""

    exit_code = 99


class Message(NamedTuple):
    """Buckets of a file, from `start` on and before `end` [Unix seconds]."""

    path: bytes
    start: int
    end: int
    slots: bytes = b""

    def buckets(self) -> Iterator[Bucket]:
        """The buckets, as they came."""
        return map(Bucket._make, SLOT.iter_unpack(self.slots))


def slots(buckets: Iterable[Bucket]) -> bytes:
    """Buckets as a message has them."""
    return b"".join(SLOT.pack(*bucket) for bucket in buckets)


def varint(number: int) -> bytes:
    """A whole number that is not negative."""
    if not 0 <= number < 1 << 7 * MOST_VARINT:
        raise ValueError(f"{number} is no number of a message")
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def string(text: bytes) -> bytes:
    """Bytes without zeros among them."""
    if len(text) > MOST_PATH or 0 in text:
        raise ValueError("no text of a message")
    return varint(len(text)) + b"".join(map(varint, text))


def encode(message: Message) -> bytes:
    """A message with its length. ValueError when it does not fit."""
    body = (string(message.path) + varint(message.start) + varint(message.end)
            + varint(len(message.slots) // SLOT.size) + message.slots)
    if len(body) > MOST_MESSAGE:
        raise ValueError(f"a message of {len(body):,} bytes")
    return LENGTH.pack(len(body)) + body


def decode(body: bytes) -> Message:
    """The message of what stands behind its length. TransplantError."""
    path, at = _string(body)
    start, at = _varint(body, at)
    end, at = _varint(body, at)
    count, at = _varint(body, at)
    if count * SLOT.size != len(body) - at:
        raise TransplantError(f"a message says that it has {count} buckets, and has {len(body) - at} bytes for them")
    return Message(path, start, end, body[at:])


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """A number, and where what follows it begins."""
    number = 0
    for place, byte in enumerate(body[at : at + MOST_VARINT]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, at + place + 1
    raise TransplantError("a message ends in a number, or has one that is too large")


def _string(body: bytes) -> tuple[bytes, int]:
    length, at = _varint(body, 0)
    if length > MOST_PATH:
        raise TransplantError(f"a message has a path of {length} bytes")
    made = bytearray()
    for _ in range(length):
        byte, at = _varint(body, at)
        if not 0 < byte < 256:
            raise TransplantError("a message has a path with a byte that is none")
        made.append(byte)
    return bytes(made), at
