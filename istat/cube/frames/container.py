"""A frame as a container: header, sections, compression and checksum. Knows not what a section holds.

docs/formats/cube.md says how each byte is meant. Offsets of errors are those of the frame without compression.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from istat.cube.limits import Limits
from istat.errors import FormatError
from istat.kernels import cubes

MAGIC = b"\x89ICB"
MAJOR, MINOR = 1, 0
HEADER = struct.Struct("<4sBBHQQIHH")
SECTION = struct.Struct("<BBHIQ")
CHECKSUM = 8  # bytes at the end
COMPRESSED, DELTA = 1, 2  # flags of a frame
OPTIONAL = 1  # flag of a section
XXH64 = 1  # the only hash that there is
# Sections of a frame: 65,536 cubes have three each. Few bytes may unpack to millions of optional ones, each looked at.
MOST_SECTIONS = 1 << 18
PIECE = 1 << 16  # bytes that are unpacked at a time where they are not kept
# The fastest level: 15 to 7 bytes a cell; higher ones gain little on varints.
ZLIB_LEVEL = 1

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Section:
    """One section: its type, the cube it is of, and its payload; `offset` is where that stands in the frame."""

    type: int
    cube: int
    payload: bytes | memoryview
    offset: int = 0


@dataclass(frozen=True)
class Head:
    """What the header says of a frame, checked. `delta`: it is an interval's; else all since t0."""

    minor: int
    compressed: bool
    delta: bool
    raw: int
    sections: int


def write(sections: Iterable[Section], delta: bool, compress: bool) -> bytes:
    """The frame that has these sections."""
    parts: list[bytes | memoryview] = []
    for section in sections:
        parts += [SECTION.pack(section.type, 0, 0, section.cube, len(section.payload)), section.payload]
    count, raw = len(parts) // 2, sum(map(len, parts))
    if compress:
        parts = [zlib.compress(b"".join(parts), ZLIB_LEVEL)]
    total = HEADER.size + sum(map(len, parts)) + CHECKSUM
    head = HEADER.pack(MAGIC, MAJOR, MINOR, COMPRESSED * compress | DELTA * delta, total, raw, count, XXH64, 0)
    frame = b"".join([head, *parts])
    return frame + cubes.xxh64(frame).to_bytes(CHECKSUM, "little")


def read(frame: Bytes, known: frozenset[int], limits: Limits) -> tuple[Head, Iterator[Section]]:
    """What the header says, and the sections of known types, one at a time: unpacked when they are asked for.

    FormatError for anything that is no frame, also while sections are taken. TypeError when it is no bytes.
    """
    data = memoryview(frame).cast("B")
    head = _head(data, limits)
    end = len(data) - CHECKSUM
    if cubes.xxh64(bytes(data[:end])) != int.from_bytes(data[end:], "little"):
        raise FormatError(end, "the checksum is another one: bytes were changed on their way")
    return head, _sections(_Body(data[HEADER.size : end], head), head, known)


def _head(data: memoryview, limits: Limits) -> Head:
    """The header, checked as far as it can be by itself."""
    if len(data) < HEADER.size + CHECKSUM:
        raise FormatError(len(data), "too short for a frame")
    if len(data) > limits.max_bytes:
        raise FormatError(0, f"{len(data)} bytes, and max_bytes is {limits.max_bytes}")
    magic, major, minor, flags, total, raw, sections, hash_id, zero = HEADER.unpack(data[: HEADER.size])
    if magic != MAGIC:
        raise FormatError(0, "no frame of cubes: it begins otherwise")
    if major != MAJOR:
        raise FormatError(4, f"a frame of version {major}; this istatd reads version {MAJOR}")
    if flags & ~(COMPRESSED | DELTA):
        raise FormatError(6, "a flag that is not known")
    if total != len(data):
        raise FormatError(8, f"it says that it has {total} bytes, and there are {len(data)}")
    if raw > limits.max_raw:
        raise FormatError(16, f"{raw} bytes unpacked, and max_raw is {limits.max_raw}")
    if not flags & COMPRESSED and raw != len(data) - HEADER.size - CHECKSUM:
        raise FormatError(16, "the length of the body is another one")
    if sections > MOST_SECTIONS:
        raise FormatError(24, f"{sections} sections, and there are at most {MOST_SECTIONS}")
    if hash_id != XXH64:
        raise FormatError(28, f"a hash that is not known: {hash_id}")
    if zero:
        raise FormatError(30, "reserved bytes are not 0")
    return Head(minor, bool(flags & COMPRESSED), bool(flags & DELTA), raw, sections)


def _sections(body: _Body, head: Head, known: frozenset[int]) -> Iterator[Section]:
    """Section by section; what is optional and not known is passed over."""
    for _ in range(head.sections):
        start = body.at
        type_, flags, zero, cube, length = SECTION.unpack(body.take(SECTION.size))
        if zero or flags & ~OPTIONAL or (flags and type_ in known):
            raise FormatError(start + 1, "reserved bits of a section are not 0")
        if length > body.left():
            raise FormatError(start + 8, "a section that goes beyond the body")
        if type_ in known:
            at = body.at
            yield Section(type_, cube, body.take(length), at)
        elif flags & OPTIONAL:
            body.skip(length)
        else:
            raise FormatError(start, f"a section of type {type_}, which a newer version has")
    body.end()


class _Body:
    """The body of a frame, unpacked as it is taken: few bytes that unpack to many never stand in memory as a whole."""

    def __init__(self, packed: memoryview, head: Head) -> None:
        self._rest = packed
        self._end = HEADER.size + head.raw
        self._unpacker = zlib.decompressobj() if head.compressed else None
        self._fed: bytes | memoryview = b""     # of the compressed ones, what the unpacker has not taken yet
        self._ready = memoryview(b"")           # unpacked, not taken
        self.at = HEADER.size

    def left(self) -> int:
        """Bytes that were not taken yet, by what the header says."""
        return self._end - self.at

    def take(self, size: int) -> memoryview:
        """The next bytes, so many."""
        if size > self.left():
            raise FormatError(self.at, "cut off")
        if self._unpacker is None:
            taken, self._rest = self._rest[:size], self._rest[size:]
        else:
            taken = self._unpack(size)
        self.at += size
        return taken

    def skip(self, size: int) -> None:
        """Pass over so many."""
        while size:
            size -= len(self.take(min(size, PIECE)))

    def end(self) -> None:
        """Refuse if anything is left."""
        if self.left():
            raise FormatError(self.at, "bytes behind the last section")
        if self._unpacker is not None:
            more = self._ready or self._more(1)
            if more or not self._unpacker.eof or self._unpacker.unused_data or self._rest:
                raise FormatError(self.at, "compressed data does not end where it should")

    def _unpack(self, size: int) -> memoryview:
        """So many bytes out of the compressed ones."""
        taken = bytearray()
        while len(taken) < size:
            if not self._ready:
                self._ready = memoryview(self._more(max(size - len(taken), PIECE)))
            if not self._ready:
                raise FormatError(self.at, "compressed data is cut off")
            part = self._ready[: size - len(taken)]
            taken += part
            self._ready = self._ready[len(part) :]
        return memoryview(taken)

    def _more(self, most: int) -> bytes:
        """Up to so many bytes; none only where there are no more. Packed ones go in piece by piece, as what is left of
        them is copied at each call."""
        assert self._unpacker is not None
        part = b""
        while not part and not self._unpacker.eof:
            if not self._fed:
                self._fed, self._rest = self._rest[:PIECE], self._rest[PIECE:]
            try:
                part = self._unpacker.decompress(self._fed, most)
            except zlib.error as error:
                raise FormatError(self.at, f"compressed data is damaged: {error}") from error
            if not part and not self._fed:
                break
            self._fed = self._unpacker.unconsumed_tail
        return part
