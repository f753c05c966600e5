"""Histograms as HdrHistogram writes them, encoding V2: both ways, plain and compressed. Knows no cubes.

All numbers of the header are big-endian: cookie, payload length, normalizing offset (0) and digits, of 32 bits; lowest
and highest value, of 64 bits; a conversion ratio (1.0), a float. The payload has a zigzagged number for each slot from
the first on, 7 bits a byte, 9 bytes at most; a negative one stands for so many empty slots. The compressed form is a
cookie, a length, and all of that packed by zlib.
"""

from __future__ import annotations

import math
import struct
import zlib
from itertools import groupby
from typing import TYPE_CHECKING

from istat.cube.interchange.imported import Imported
from istat.errors import FormatError
from istat.kernels import cubes

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = struct.Struct(">iiiiqqd")
WRAPPER = struct.Struct(">ii")
PLAIN, COMPRESSED = 0x1C849303, 0x1C849304  # cookies, without the bits that tell the word size
WORD_SIZE, WORD_BITS = 0x10, 0xF0
NUMBER_BYTES = 9  # the longest number; its last byte has eight bits
MOST_SLOTS = 1 << 20  # of a shape of ours
MOST_PAYLOAD = 4 << 20  # [bytes]: 4 for each slot; more is no histogram that anybody has
MOST_VALUES = 2**63 - 1
#: Offset and ratio of histograms that are neither shifted nor of fractions. hdr-histogram-js (3.0.1) writes an offset
#: of 1, and the whole number 1 where a float belongs.
UNSHIFTED = ((0, 1.0), (1, 5e-324))
LOST = ("sum", "min", "max", "m2")


def to_hdr(histogram: cubes.Histogram, compress: bool = True) -> bytes:
    """A histogram in encoding V2. Values are as they were recorded: multiplied by the shape's scale, those below 0 in
    the first slot and those above the highest in the last one. ValueError when no HdrHistogram has its slots."""
    shape = histogram.shape
    if shape.digits is None:
        raise ValueError("only histograms with digits=1 to 5 have the slots of an HdrHistogram")
    if shape.highest < 2 * shape.lowest:
        raise ValueError("an HdrHistogram's highest value is at least twice the lowest")
    first, counts = (histogram.parts() or (0, []))[:2]
    payload = b"".join(_runs(first, counts))
    header = HEADER.pack(PLAIN | WORD_SIZE, len(payload), 0, shape.digits, shape.lowest, shape.highest, 1.0)
    if not compress:
        return header + payload
    packed = zlib.compress(header + payload)
    return WRAPPER.pack(COMPRESSED | WORD_SIZE, len(packed)) + packed


def _runs(first: int, counts: list[int]) -> Iterator[bytes]:
    """The payload's numbers: counts, and negative lengths of runs without any."""
    for empty, run in groupby([*[0] * first, *counts], lambda count: count == 0):
        if empty:
            yield _number(-len(list(run)))
        else:
            yield from map(_number, run)


def _number(value: int) -> bytes:
    left = value << 1 if value >= 0 else (-value << 1) - 1
    made = bytearray()
    while left > 127 and len(made) < NUMBER_BYTES - 1:
        made.append(left & 127 | 128)
        left >>= 7
    made.append(left)
    return bytes(made)


def from_hdr(data: bytes, scale: float = 1.0) -> Imported[cubes.Histogram]:
    """A histogram from its encoding V2, plain or compressed; its shape has the digits, lowest and highest of that, and
    values are divided by `scale` when they are told.

    Counts are exact. Sum, minimum, maximum and spread are not in these bytes: they are those of the slots' middles and
    ends. FormatError(offset, reason) for anything else; offsets are those of the plain form.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError("a scale is a number above 0")
    header, payload = _opened(bytes(data))
    _, _, offset, digits, lowest, highest, ratio = header
    if (offset, ratio) not in UNSHIFTED:
        raise FormatError(8, "shifted histograms, and those of fractions, are not read")
    try:
        shape = cubes.Shape(lowest, highest, digits=digits, scale=scale)
    except ValueError as error:
        raise FormatError(12, str(error)) from None
    counts = _counts(payload)
    if counts and _ends(shape, max(counts))[0] >= 2**63:
        raise FormatError(HEADER.size, "a slot above all values of 64 bits")
    return Imported(_rebuilt(shape, counts), LOST)


def _opened(data: bytes) -> tuple[tuple[int, int, int, int, int, int, float], bytes]:
    """Header and payload of the plain form."""
    if len(data) >= WRAPPER.size:
        cookie, size = WRAPPER.unpack_from(data)
        if cookie & ~WORD_BITS == COMPRESSED:
            if size != len(data) - WRAPPER.size:
                raise FormatError(4, f"{len(data) - WRAPPER.size} bytes follow, not {size}")
            return _unpacked(data[WRAPPER.size :])
    if len(data) < HEADER.size:
        raise FormatError(len(data), "too short for a histogram")
    header = HEADER.unpack_from(data)
    _check(header)
    if header[1] != len(data) - HEADER.size:
        raise FormatError(4, f"{len(data) - HEADER.size} bytes follow, not {header[1]}")
    return header, data[HEADER.size :]


def _unpacked(packed: bytes) -> tuple[tuple[int, int, int, int, int, int, float], bytes]:
    """The same of the compressed form. No more is unpacked than the header tells, and that is limited."""
    unpacker = zlib.decompressobj()
    try:
        head = unpacker.decompress(packed, HEADER.size)
        if len(head) < HEADER.size:
            raise FormatError(len(head), "too short for a histogram")
        header = HEADER.unpack(head)
        _check(header)
        payload = unpacker.decompress(unpacker.unconsumed_tail, header[1] + 1)
    except zlib.error as error:
        raise FormatError(0, f"no zlib: {error}") from None
    if len(payload) != header[1] or not unpacker.eof or unpacker.unused_data:
        raise FormatError(4, f"not {header[1]} bytes follow")
    return header, payload


def _check(header: tuple[int, int, int, int, int, int, float]) -> None:
    if header[0] & ~WORD_BITS != PLAIN:
        raise FormatError(0, f"no histogram in encoding V2: the cookie is {header[0] & 0xFFFFFFFF:08x}")
    if not 0 <= header[1] <= MOST_PAYLOAD:
        raise FormatError(4, f"a payload of {header[1]} bytes is more than any histogram has")


def _counts(payload: bytes) -> dict[int, int]:
    """The counts of slots that have any."""
    found: dict[int, int] = {}
    at = slot = total = 0
    while at < len(payload):
        start = at
        left = shift = 0
        while True:
            if at == len(payload):
                raise FormatError(HEADER.size + start, "a number is cut off")
            byte = payload[at]
            at += 1
            last = at - start == NUMBER_BYTES
            left |= (byte if last else byte & 127) << shift
            shift += 7
            if byte < 128 or last:
                break
        value = (left >> 1) ^ -(left & 1)
        slot += -value if value < 0 else 1
        if slot > 2 * MOST_SLOTS:
            raise FormatError(HEADER.size + start, f"more than {2 * MOST_SLOTS} slots")
        if value > 0:
            found[slot - 1] = value
            total += value
    if total > MOST_VALUES:
        raise FormatError(HEADER.size, "more than 2**63 - 1 values")
    return found


def _rebuilt(shape: cubes.Shape, counts: dict[int, int]) -> cubes.Histogram:
    """A histogram of slots alone. An HdrHistogram has some slots above the highest value: theirs go to the last one."""
    if not counts:
        return cubes.Histogram(shape)
    last = shape.slots - 1
    low, high = _ends(shape, min(counts))[0], _ends(shape, max(counts))[1]
    overflow = sum([count for slot, count in counts.items() if slot > last])
    middles = [(sum(_ends(shape, slot)) // 2, count) for slot, count in counts.items()]
    first = min(min(counts), last)
    slots = [0] * (min(max(counts), last) - first + 1)
    for slot, count in counts.items():
        slots[min(slot, last) - first] += count
    return cubes.histogram_from_parts(shape, (
        first, slots, sum([middle * count for middle, count in middles]),
        sum([middle * middle * count for middle, count in middles]),
        low, min(high, 2**63 - 1 if overflow else shape.highest), 0, overflow))  # fmt: skip


def _ends(shape: cubes.Shape, slot: int) -> tuple[int, int]:
    """The smallest and the largest recorded value of a slot, also of one above the shape's."""
    shift = max(0, (slot >> shape.precision) - 1)
    unit = shift + shape.lowest.bit_length() - 1
    part = slot - (shift << shape.precision)
    return part << unit, (part + 1 << unit) - 1
