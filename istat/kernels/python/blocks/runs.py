"""The coding of one run, the rows of one counter in one block, as a stream of bits: the specification.

The native build of the same name gives the same bytes. docs/formats/statfile.md says how a run looks and
why. Rows of single samples are one column of doubles; rows of many samples are coded jointly (joint.py) where
they can, else as five columns (doubles.py). Knows neither directories of blocks nor files.

`decode_run` is specification. That `encode_run` codes jointly whatever it can, and in what scales it looks for the
columns first, is its choice; a run coded otherwise, with the flags that say so, is read as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from istat.kernels.python.blocks.doubles import NO_SCALE, get_doubles, put_doubles, short_mantissa
from istat.kernels.python.blocks.fitting import put_joint
from istat.kernels.python.blocks.joint import get_joint
from istat.kernels.python.blocks.streams import BitReader, BitWriter, Malformed, pattern
from istat.kernels.python.columns import Row

EVENT, SINGLE, REGULAR, JOINT = 1, 2, 4, 8
LAST_TIME = 2**62


def is_single(rows: Sequence[Row]) -> bool:
    """Whether every row is what one sample gives."""
    return all(
        row[1] == 1 and pattern(row[3]) == 0 and pattern(row[4]) == pattern(row[5]) == pattern(row[2])
        for row in rows
    )


def encode_run(rows: Sequence[Row], unit: int, event: bool) -> tuple[int, bytes]:
    """Code one row or more, ascending in time on multiples of unit; give the flags and the bytes."""
    writer = BitWriter()
    flags = (EVENT if event else 0) | REGULAR
    gaps = [(b[0] - a[0]) // unit - 1 for a, b in zip(rows, rows[1:], strict=False)]
    if any(gaps):
        flags &= ~REGULAR
        writer.put_integers(gaps)
    sums = [row[2] for row in rows]
    if is_single(rows):
        put_doubles(writer, sums, NO_SCALE)
        return flags | SINGLE, writer.bytes()
    if put_joint(writer, rows):
        return flags | JOINT, writer.bytes()
    scale = put_doubles(writer, [row[4] for row in rows], NO_SCALE)
    other = put_doubles(writer, [row[5] for row in rows], scale)
    if scale == NO_SCALE or (other != NO_SCALE and other > scale):
        scale = other
    put_doubles(writer, sums, scale)
    put_doubles(writer, [short_mantissa(row[3]) for row in rows], NO_SCALE)
    writer.put_integers([row[1] for row in rows])
    return flags, writer.bytes()


def _times(reader: BitReader, flags: int, n: int, time: int, unit: int) -> list[int]:
    if flags & REGULAR:
        if (LAST_TIME - time) // unit < n:
            raise Malformed("malformed run")
        return list(range(time, time + n * unit, unit))
    if n < 2:
        raise Malformed("malformed run")
    times = [time]
    for gap in reader.get_integers(n - 1):
        if gap < 0 or gap >= (LAST_TIME - times[-1]) // unit:
            raise Malformed("malformed run")
        times.append(times[-1] + (gap + 1) * unit)
    return times


def decode_run(data: bytes, flags: int, n: int, time: int, unit: int) -> list[Row]:
    """Give the n >= 1 rows of a run whose first row is at time. Malformed if no encoder wrote that."""
    reader = BitReader(data)
    times = _times(reader, flags, n, time, unit)
    if flags & SINGLE:
        values = get_doubles(reader, n)
        return [(at, 1, value, 0.0, value, value) for at, value in zip(times, values, strict=True)]
    if flags & JOINT:
        return get_joint(reader, times)
    lows, highs = get_doubles(reader, n), get_doubles(reader, n)
    sums, squares = get_doubles(reader, n), get_doubles(reader, n)
    counts = reader.get_integers(n)
    if min(counts) < 1:
        raise Malformed("malformed run")
    return list(zip(times, counts, sums, squares, lows, highs, strict=True))
