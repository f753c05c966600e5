"""One histogram, one HyperLogLog as bytes, and back: the specification. Knows neither cells nor columns.

A reader believes nothing: what sizes an allocation is planned first, and figures that contradict each other are
refused. None stands for an empty one.
"""

from __future__ import annotations

from istat.kernels.python.cubes.histogram import Histogram, from_parts
from istat.kernels.python.cubes.hll import HyperLogLog, from_entries, from_packed
from istat.kernels.python.cubes.shapes import Shape
from istat.kernels.python.reading import (
    INCONSISTENT,
    MOST_COUNT,
    NO_SUCH_RUN,
    NO_SUCH_SKETCH,
    OUT_OF_ORDER,
    Reader,
)
from istat.kernels.python.varints import put_varint, unzigzag, zigzag

#: [bytes] What a reader plans for a histogram besides its slots, for a slot, and for an entry of a sparse sketch.
HISTOGRAM_COST, SLOT_COST, ENTRY_COST = 128, 4, 4
EMPTY, SPARSE, DENSE = range(3)
SMALLEST_SPARSE = 8  # precision; below it registers are dense at once
LARGEST_ENTRY = (1 << 32) - 1


def put_histogram(histogram: Histogram | None) -> bytes:
    """A histogram."""
    parts = None if histogram is None else histogram.parts()
    if parts is None:
        return b"\0"
    first, counts, total, squares, low, high, underflow, overflow = parts
    out = [put_varint(sum(counts)), put_varint(underflow), put_varint(overflow)]
    out += [put_varint(zigzag(low)), put_varint(zigzag(high))]
    out += [put_varint(2 * total if total >= 0 else -2 * total - 1), put_varint(squares)]
    empty = first
    for count in counts:
        if count == 0:
            empty += 1
            continue
        if empty:
            out.append(put_varint(zigzag(-empty)))
        out.append(put_varint(zigzag(count)))
        empty = 0
    return b"".join(out)


def get_histogram(reader: Reader, shape: Shape) -> Histogram | None:
    """Read a histogram."""
    start = reader.at
    count = reader.varint(MOST_COUNT)
    if count == 0:
        return None
    underflow = reader.varint(count)
    overflow = reader.varint(count - underflow)
    low, high = reader.zigzag(), reader.zigzag()
    total, squares = unzigzag(reader.wide(128)), reader.wide(192)
    if (low > high or (low < 0) != (underflow > 0) or (high > shape.highest) != (overflow > 0)
            or not _moments_fit(count, low, high, total, squares)):
        reader.refuse(INCONSISTENT, start)
    reader.plan(HISTOGRAM_COST + SLOT_COST * shape.slots, start)
    first, last = _slot(shape, low), _slot(shape, high)
    counts = _get_slots(reader, shape, (first, last), (count, underflow, overflow))
    return from_parts(shape, (first, counts, total, squares, low, high, underflow, overflow))


def _moments_fit(count: int, low: int, high: int, total: int, squares: int) -> bool:
    """Whether so many values between low and high can have this sum and this sum of squares."""
    return (count * low <= total <= count * high and squares <= count * max(low * low, high * high)
            and total * total <= count * squares)  # the variance is not negative


def _slot(shape: Shape, value: int) -> int:
    """The slot in which a value counts: below 0 the first, above the highest the last."""
    return shape.slot_of(min(max(value, 0), shape.highest))


def _get_slots(reader: Reader, shape: Shape, used: tuple[int, int], figures: tuple[int, int, int]) -> list[int]:
    """The counts of the slots that are used, the first and the last of which is known."""
    first, last = used
    total, underflow, overflow = figures
    missing, slot = total, 0
    counts: list[int] = []
    was_empty = wide = False
    while missing:
        start = reader.at
        number = reader.zigzag()
        if number < 0 and not was_empty and slot < last and -number <= last - slot:
            counts += [0] * (-number if counts else 0)
            slot -= number
            was_empty = True
            continue
        if (number <= 0 or slot > last or number > missing
                or (missing == total and (slot != first or number < underflow))
                or (number == missing and (slot != last or number < overflow))):
            reader.refuse(NO_SUCH_RUN, start)
        if number >> 32 and not wide:
            wide = True
            reader.plan(SLOT_COST * shape.slots, start)
        counts.append(number)
        missing -= number
        slot += 1
        was_empty = False
    return counts


def put_hll(sketch: HyperLogLog | None) -> bytes:
    """A HyperLogLog."""
    if sketch is None or sketch.form == "empty":
        return bytes([EMPTY])
    if sketch.form == "dense":
        return bytes([DENSE]) + sketch.packed()
    entries = sketch.entries()
    deltas = [entry - before for entry, before in zip(entries, [0, *entries])]
    return bytes([SPARSE]) + put_varint(len(entries)) + b"".join(map(put_varint, deltas))


def get_hll(reader: Reader, precision: int, hash: str) -> HyperLogLog | None:
    """Read a HyperLogLog of a precision and a hash."""
    start = reader.at
    form = reader.u8(DENSE)
    if form == EMPTY:
        return None
    try:
        if form == SPARSE:
            return from_entries(_get_entries(reader, precision, start), precision, hash)
        packed = reader.take((3 << precision) >> 2)
        reader.plan(1 << precision, start)
        return from_packed(packed, precision, hash)
    except ValueError:
        reader.refuse(NO_SUCH_SKETCH, start)


def _get_entries(reader: Reader, precision: int, start: int) -> list[int]:
    """The sorted list of a sparse sketch."""
    begin = reader.at
    n = reader.varint(1 << (precision - 3) if precision >= SMALLEST_SPARSE else 0)
    reader.plan(ENTRY_COST * n, begin)
    if n == 0:
        reader.refuse(NO_SUCH_SKETCH, start)
    entries, before = [], 0
    for _ in range(n):
        at = reader.at
        delta = reader.varint(LARGEST_ENTRY - before)
        if delta == 0:
            reader.refuse(OUT_OF_ORDER, at)
        before += delta
        entries.append(before)
    return entries
