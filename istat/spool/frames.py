"""What is in a spool, as values and as bytes. Format: docs/formats/spool.md. Knows no files.

Bytes that are read may be damaged: what is not whole and right is answered with None.
"""
from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from istat.errors import SpoolError
from istat.wire.batches import MOST_TEXT

#: Sender (1 to 255 bytes), epoch and sequence of a batch: as the store's journal has it.
Mark = tuple[bytes, int, int]
#: The last sequence of each (sender, epoch).
Marks = Mapping[tuple[bytes, int], int]

MOST_SENDER = 255           # [bytes] as of a mark in the store's journal
MAGIC = b"ISTATSPL"
VERSION = 1
COARSENED = 2           # version of a segment that was written anew

_CRC = struct.Struct("<I")
# salt; length of mark and text; sequence; clock; frames and lines before this one; the only group that it is for, 0:
# all; lines; interval; length of the mark; 1: merged; CRC of mark and text. Then the CRC of these bytes.
_HEAD = struct.Struct("<IIQqQQQIIHHI")
HEAD_BYTES = _HEAD.size + _CRC.size
_MARK = struct.Struct("<QQ")
_STANDS = struct.Struct("<QQ")         # in a mark's place of a merged frame: frames and lines that it stands for
MOST_BODY = _MARK.size + MOST_SENDER + MOST_TEXT
# magic; version; seconds of its buckets, 0: as it came; salt; id of the spool; its epoch; first sequence; frames and
# lines before; when it was made; length of what follows: in version 2 _THROUGH, the marks. Then the CRC of all that.
_HEADER = struct.Struct("<8sHHI16sQQQQqI")
_THROUGH = struct.Struct("<Q")         # the last sequence that this segment takes the place of
_NOTED = struct.Struct("<QQB")      # of a mark in a header: epoch, sequence, length of the sender, which follows
MOST_NUMBER = 1 << 63               # epochs and sequences are below


@dataclass(frozen=True, slots=True)
class Frame:
    """Lines that came at once. `sequence` from 1 on, growing, with gaps; `clock` [Unix s]: the time of lines without
    one; `interval` [s]: what 7-token lines cover, 0: they are samples; `count`: how many lines `text` is; `stands`:
    frames and lines of which a merged one was made, None: it is as it came."""

    sequence: int
    clock: int
    interval: int
    count: int
    text: bytes
    mark: Mark | None = None
    stands: tuple[int, int] | None = None


class Head(NamedTuple):
    """What stands before a frame's mark and text."""

    salt: int
    length: int         # of mark and text [bytes]
    sequence: int
    clock: int
    frames: int         # before this one, since the spool was made
    lines: int          # in these
    only: int           # the group that it is for alone (`group_key`), 0: all
    holds: int          # lines
    interval: int
    mark_length: int
    merged: int         # 1: in the mark's place stands what it was made of
    crc: int            # of mark and text


class Header(NamedTuple):
    """What stands at the begin of a segment."""

    salt: int
    id: bytes
    epoch: int
    first: int          # no frame in it has a lesser sequence
    frames: int         # before its first frame, since the spool was made
    lines: int          # in these
    made: int           # [Unix s]
    marks: Marks
    coarse: int = 0     # seconds of the buckets to which its lines were merged, 0: they are as they came
    through: int = 0    # the last sequence of the segments that it takes the place of, 0: of none


def encode(salt: int, frame: Frame, frames: int, lines: int, only: int = 0) -> tuple[Head, bytes]:
    """A frame's head, and all its bytes. ValueError when something of it does not fit."""
    if len(frame.text) > MOST_TEXT:
        raise ValueError(f"a frame has at most {MOST_TEXT} bytes of lines, not {len(frame.text)}")
    mark = b""
    if frame.stands is not None:
        mark = _packed(_STANDS, *frame.stands)
    elif frame.mark is not None:
        sender, epoch, sequence = frame.mark
        if not 0 < len(sender) <= MOST_SENDER:
            raise ValueError(f"a sender has 1 to {MOST_SENDER} bytes, not {len(sender)}")
        mark = _packed(_MARK, epoch, sequence) + sender
    head = Head(salt, len(mark) + len(frame.text), frame.sequence, frame.clock, frames, lines, only, frame.count,
                frame.interval, len(mark), int(frame.stands is not None), zlib.crc32(frame.text, zlib.crc32(mark)))
    packed = _packed(_HEAD, *head)
    return head, b"".join((packed, _CRC.pack(zlib.crc32(packed)), mark, frame.text))


def _packed(form: struct.Struct, *numbers: int) -> bytes:
    try:
        return form.pack(*numbers)
    except struct.error as error:
        raise ValueError(f"a number of a frame is out of bounds: {error}") from error


def head_in(data: bytes, salt: int) -> Head | None:
    """The head that these HEAD_BYTES bytes are, or None."""
    if len(data) < HEAD_BYTES or _CRC.unpack_from(data, _HEAD.size)[0] != zlib.crc32(data[:_HEAD.size]):
        return None
    head = Head._make(_HEAD.unpack_from(data))
    if head.salt != salt or head.length > MOST_BODY or head.mark_length > head.length or head.sequence >= MOST_NUMBER:
        return None
    return head


def frame_in(head: Head, body: bytes) -> Frame | None:
    """The frame of a head and of what follows it; None when that is damaged."""
    if len(body) != head.length or zlib.crc32(body) != head.crc:
        return None
    mark = stands = None
    if head.merged:
        if head.mark_length != _STANDS.size:
            return None
        stands = _STANDS.unpack_from(body)
    elif head.mark_length > _MARK.size:
        epoch, sequence = _MARK.unpack_from(body)
        mark = body[_MARK.size:head.mark_length], epoch, sequence
    return Frame(head.sequence, head.clock, head.interval, head.holds, body[head.mark_length:], mark, stands)


def header_bytes(header: Header) -> bytes:
    """The first bytes of a segment."""
    marks = b"".join(_NOTED.pack(epoch, last, len(sender)) + sender
                     for (sender, epoch), last in header.marks.items())
    version, rest = (COARSENED, _THROUGH.pack(header.through) + marks) if header.through else (VERSION, marks)
    head = _HEADER.pack(MAGIC, version, header.coarse, header.salt, header.id, header.epoch, header.first,
                        header.frames, header.lines, header.made, len(rest)) + rest
    return head + _CRC.pack(zlib.crc32(head))


def header_length(data: bytes) -> int:
    """How many bytes the header is that begins so; 0: it is none."""
    if len(data) < _HEADER.size or not data.startswith(MAGIC):
        return 0
    return _HEADER.size + int(_HEADER.unpack_from(data)[-1]) + _CRC.size


def header_in(data: bytes) -> Header | None:
    """The header that these bytes are, or None. SpoolError when a newer istatd wrote it."""
    end = header_length(data) - _CRC.size
    if end < 0 or end + _CRC.size != len(data) or _CRC.unpack_from(data, end)[0] != zlib.crc32(data[:end]):
        return None
    _magic, version, coarse, salt, id, epoch, first, frames, lines, made, _length = _HEADER.unpack_from(data)
    if version not in (VERSION, COARSENED):
        raise SpoolError(f"a segment of the spool has version {version} and this istatd reads {COARSENED}: start the "
                         f"newer istatd that wrote it, or move the spool away")
    marks: dict[tuple[bytes, int], int] = {}
    at, through = _HEADER.size, 0
    if version == COARSENED and end - at >= _THROUGH.size:
        (through,) = _THROUGH.unpack_from(data, at)
        at += _THROUGH.size
    while at + _NOTED.size <= end:
        mark_epoch, last, length = _NOTED.unpack_from(data, at)
        at += _NOTED.size + length
        marks[data[at - length:at], mark_epoch] = last
    return Header(salt, id, epoch, first, frames, lines, made, marks, coarse, through)
