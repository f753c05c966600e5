"""DDSketches, from the messages of their protobuf form. Knows no cubes, and of protobuf only what these messages need.

    DDSketch       mapping = 1, positive values = 2, negative values = 3 (messages), count of zeros = 4 (double)
    IndexMapping   gamma = 1, index offset = 2 (doubles), interpolation = 3 (enum)
    Store          counts by index = 1 (map of sint32 to double), counts of neighbours = 2 (doubles), the index of the
                   first of these = 3

A bin with the index k has values around gamma**k; how far exactly, libraries do not agree on: see `from_ddsketch`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Literal

from istat.cube.interchange.imported import Imported
from istat.errors import FormatError
from istat.kernels import cubes

DOUBLE = struct.Struct("<d")
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
MAPPING, POSITIVE, NEGATIVE, ZEROS = 1, 2, 3, 4  # fields of a DDSketch,
GAMMA, OFFSET, INTERPOLATION = 1, 2, 3  # of its mapping,
BY_INDEX, NEIGHBOURS, FIRST_INDEX = 1, 2, 3  # and of a store
MOST_BINS = 1 << 16  # libraries have 2048 unless told otherwise
MOST_BYTES = 4 << 20  # so many bins take less than that
LARGEST, SMALLEST = 2**63 - 1, -(2**63)  # values that a histogram can record
TOP = 64 * math.log(2)  # a logarithm that is beyond them
LOST = ("sum", "min", "max", "m2")
Field = tuple[int, int, int | bytes, int]  # number, wire type, value, offset of the value


def from_ddsketch(data: bytes, shape: cubes.Shape,
                  numbered_by: Literal["upper", "lower"] = "upper") -> Imported[cubes.Histogram]:  # fmt: skip
    """A histogram of this shape from a DDSketch: each bin is recorded as the value that stands for it, so the relative
    error is that of the sketch and that of the shape's slots together. Sum, minimum and maximum are not in these bytes.

    Bins are numbered by the power of gamma at their upper end by Python's ddsketch, at their lower end by the libraries
    for Go and Java; the bytes do not tell which. FormatError(offset, reason) for what is no such sketch, has
    interpolated bins, or counts that are not whole.
    """
    if numbered_by not in ("upper", "lower"):
        raise ValueError(f"bins are numbered by their upper or lower end, not {numbered_by!r}")
    data = bytes(data)
    if len(data) > MOST_BYTES:
        raise FormatError(MOST_BYTES, f"more than {MOST_BYTES} bytes")
    stores: dict[int, list[tuple[bytes, int]]] = {MAPPING: [], POSITIVE: [], NEGATIVE: []}
    histogram = cubes.Histogram(shape)
    for number, kind, value, at in _fields(data, 0):
        if number in stores and kind == BYTES:
            assert isinstance(value, bytes)
            stores[number].append((value, at))
        elif number == ZEROS and kind == FIXED64:
            _record(histogram, 0.0, _double(value), at)
    log_gamma, offset = _mapping(*(stores[MAPPING] or [(b"", 0)])[-1])
    up = math.log(2.0) - math.log1p(math.exp(log_gamma))  # from an upper end to what stands for the bin
    up += log_gamma if numbered_by == "lower" else 0.0
    for number, sign in ((POSITIVE, 1.0), (NEGATIVE, -1.0)):
        for store, start in stores[number]:
            for index, count, at in _bins(store, start):
                _record(histogram, sign * math.exp(min((index - offset) * log_gamma + up, TOP)), count, at)
    return Imported(histogram, LOST)


def _record(histogram: cubes.Histogram, value: float, count: float, at: int) -> None:
    if not (0.0 <= count <= LARGEST and count == math.floor(count)):
        raise FormatError(at, f"a count of {count!r}: only whole ones are read")
    scaled = value * histogram.shape.scale
    inside = min(max(scaled, SMALLEST), LARGEST)  # what is beyond goes to underflow and overflow
    if not histogram.record_whole(round(inside), min(int(count), LARGEST)):
        raise FormatError(at, "more than 2**63 - 1 values")


def _mapping(data: bytes, start: int) -> tuple[float, float]:
    """The logarithm of gamma, and the offset of indexes."""
    gamma = offset = 0.0
    for number, kind, value, at in _fields(data, start):
        if number == GAMMA and kind == FIXED64:
            gamma = _double(value)
        elif number == OFFSET and kind == FIXED64:
            offset = _double(value)
        elif number == INTERPOLATION and value != 0:
            raise FormatError(at, "interpolated bins are not read: libraries differ in what their gamma means")
    if not (math.isfinite(gamma) and gamma > 1.0 and math.isfinite(offset)):
        raise FormatError(start, f"no mapping: gamma is {gamma!r}, the offset {offset!r}")
    return math.log(gamma), offset


def _bins(data: bytes, start: int) -> Iterator[tuple[int, float, int]]:
    """(index, count, offset of the count) of a store's bins that have any."""
    first = bins = 0
    neighbours: list[tuple[float, int]] = []
    for number, kind, value, at in _fields(data, start):
        if number == FIRST_INDEX and kind == VARINT:
            first = _signed(value)
        elif number == NEIGHBOURS and kind in (BYTES, FIXED64):
            assert isinstance(value, bytes)
            if len(value) % DOUBLE.size:
                raise FormatError(at, "counts of 8 bytes each are cut off")
            neighbours += [(count, at + 8 * i) for i, (count,) in enumerate(DOUBLE.iter_unpack(value))]
        elif number == BY_INDEX and kind == BYTES:
            assert isinstance(value, bytes)
            bins += 1
            index, count = _entry(value, at)
            yield index, count, at
        if bins + len(neighbours) > MOST_BINS:
            raise FormatError(at, f"more than {MOST_BINS} bins")
    for i, (count, at) in enumerate(neighbours):
        if count != 0.0:
            yield first + i, count, at


def _entry(data: bytes, start: int) -> tuple[int, float]:
    """A pair of the map: index and count."""
    index, count = 0, 0.0
    for number, kind, value, _ in _fields(data, start):
        if number == 1 and kind == VARINT:
            index = _signed(value)
        elif number == 2 and kind == FIXED64:
            count = _double(value)
    return index, count


# --- protobuf ----------------------------------------------------------------------------------------


def _fields(data: bytes, start: int) -> Iterator[Field]:
    """The fields of a message; fixed ones as bytes. `start` is where the message lies, for errors."""
    at = 0
    while at < len(data):
        begin = at
        key, at = _varint(data, at, start)
        number, kind = key >> 3, key & 7
        place = at
        value: int | bytes
        if kind == VARINT:
            value, at = _varint(data, at, start)
        elif kind in (FIXED64, FIXED32, BYTES):
            size = 8 if kind == FIXED64 else 4
            if kind == BYTES:
                size, at = _varint(data, at, start)
                place = at
            if size > len(data) - at:
                raise FormatError(start + at, "a field is cut off")
            value, at = data[at : at + size], at + size
        else:
            raise FormatError(start + begin, f"a field of wire type {kind}")
        if number == 0:
            raise FormatError(start + begin, "a field with the number 0")
        yield number, kind, value, start + place


def _varint(data: bytes, at: int, start: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at == len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 2**64 - 1, at
    raise FormatError(start + at, "a number that is cut off or too long")


def _signed(value: int | bytes) -> int:
    assert isinstance(value, int)
    small = value & 2**32 - 1
    return (small >> 1) ^ -(small & 1)


def _double(value: int | bytes) -> float:
    assert isinstance(value, bytes)
    return float(DOUBLE.unpack(value)[0])
