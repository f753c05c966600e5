"""Rows of many samples coded jointly, each column from those before it: the specification of how they are read.

For decimals only: with min, max and sum integers of one scale, the sum of squares is one too, so that M2 is an
integer in disguise, and min, max, sum and M2 say much about each other. What a column is predicted from is told in
front of it; what is worth telling is the encoder's choice (fitting.py), and runs that tell anything else are read as
well. Rows of other values are coded column by column (runs.py). The native build of the same name gives the same
bits. 64-bit arithmetic wraps around; doubles are worked out in the order written.
"""

from __future__ import annotations

from collections.abc import Sequence

from istat.kernels.python.blocks.doubles import MOST_SCALE, POWER, short_mantissa
from istat.kernels.python.blocks.streams import (
    EXACT,
    MINI_BLOCK,
    BitReader,
    Malformed,
    from_ordered,
    nearest,
    ordered,
)  # fmt: skip
from istat.kernels.python.columns import Row
from istat.kernels.python.varints import unzigzag, wrap, zigzag

LEAST_ROWS = 16  # fewer do not pay for what says how they are predicted
MOST_COEFFICIENT = 127  # in 64ths
COEFFICIENT_BITS = 8
SHORT = 29  # low bits of a double that are 0 when 24 bits of mantissa are kept
OWN, BY_RANGE, BY_SQUARES = range(3)  # how M2 is coded
NONE, ALL, FEW = range(3)  # how it is coded how far sums lie beside decimals


# --- what both sides compute --------------------------------------------------------------------------


def share(low: int, high: int, a: int, b: int, count: int) -> int:
    return wrap(count * wrap(a * low + b * high)) >> 6


def by_range(factor: float, count: int, low: int, high: int) -> int:
    """M2 from the range, as the pattern of a short double."""
    width = float(wrap(high - low))
    return ordered(short_mantissa(factor * float(count) * width * width), SHORT)


def half_squares(model: Sequence[float], count: int, low: int, high: int, excess: int) -> int:
    """What the squares of the distances from min, less the distances, are likely to add up to; halved.

    model: M2 = count x (slope x range**2 + level).
    """
    slope, level = model
    width, total = float(wrap(high - low)), float(excess)
    m2 = float(count) * (slope * width * width + level)
    half = (m2 + total * total / float(count) - total) * 0.5
    return int(nearest(half)) if -EXACT < half < EXACT else 0


def m2_from(half: int, excess: int, count: int, square: float) -> float | None:
    """M2 of 24 bits, from half the squares; None if those are impossible. square: 10**(2 scale)."""
    product = wrap(wrap(count * wrap(2 * half + excess)) - wrap(excess * excess))
    return float(product) / float(count) / square if product >= 0 else None


# --- reading ------------------------------------------------------------------------------------------


def _get_range(reader: BitReader, n: int) -> tuple[list[int], list[int]]:
    after = reader.get(1)
    if after:
        lows = [unzigzag(reader.get_number()), *reader.get_stream(n - 1)]
    else:
        lows = reader.get_stream(n)
    a = reader.get(COEFFICIENT_BITS) - MOST_COEFFICIENT
    highs: list[int] = []
    for i, left in enumerate(reader.get_stream(n)):
        if after and i > 0:
            lows[i] = wrap(lows[i] + highs[i - 1])
        highs.append(wrap(left + share(lows[i], 0, a, 0, 1)))
    return lows, highs


def _get_m2(reader: BitReader, scale: int, counts: list[int], ranges: tuple[list[int], list[int]],
            sums: list[int]) -> list[float]:  # fmt: skip
    """M2 of 24 bits mantissa each."""
    n, way = len(counts), reader.get(2)
    if way > BY_SQUARES:
        raise Malformed("malformed run")
    coefficients = [from_ordered(unzigzag(reader.get_number()), SHORT) for _ in range(way)]
    left = reader.get_stream(n)
    made: list[float] = []
    for i, (count, low, high) in enumerate(zip(counts, *ranges, strict=True)):
        if way == BY_SQUARES:
            excess = wrap(sums[i] - wrap(count * low))
            half = wrap(left[i] + half_squares(coefficients, count, low, high, excess))
            m2 = m2_from(half, excess, count, POWER[scale] * POWER[scale])
            if m2 is None:
                raise Malformed("malformed run")
            made.append(short_mantissa(m2))
        else:
            likely = by_range(coefficients[0], count, low, high) if way == BY_RANGE else 0
            made.append(from_ordered(wrap(left[i] + likely), SHORT))
    return made


def _get_corrections(reader: BitReader, n: int) -> list[int]:
    way = reader.get(2)
    if way > FEW:
        raise Malformed("malformed run")
    if way == ALL:
        return reader.get_residuals(n)
    corrections = [0] * n
    left = reader.get_number() if way == FEW else 0
    place = -1
    while left > 0:
        size = min(left, MINI_BLOCK)
        gaps, values = reader.get_residuals(size), reader.get_residuals(size)
        for gap, value in zip(gaps, values, strict=True):
            place += zigzag(gap) + 1  # a gap was no signed number before
            if place >= n:
                raise Malformed("malformed run")
            corrections[place] = value
        left -= size
    return corrections


def get_joint(reader: BitReader, times: Sequence[int]) -> list[Row]:
    """Take what put_joint wrote. Malformed if no encoder wrote that."""
    n = len(times)
    if n < LEAST_ROWS:
        raise Malformed("malformed run")
    counts = reader.get_integers(n)
    scale = reader.get(4)
    if min(counts) < 1 or scale > MOST_SCALE:
        raise Malformed("malformed run")
    power = POWER[scale]
    lows, highs = _get_range(reader, n)
    a, b = (reader.get(COEFFICIENT_BITS) - MOST_COEFFICIENT for _ in range(2))
    shares = map(share, lows, highs, [a] * n, [b] * n, counts)
    sums = [wrap(left + share) for left, share in zip(reader.get_stream(n), shares, strict=True)]
    squares = _get_m2(reader, scale, counts, (lows, highs), sums)
    corrections = _get_corrections(reader, n)
    totals = [
        from_ordered(wrap(ordered(float(sum) / power, 0) + by), 0) for sum, by in zip(sums, corrections, strict=True)
    ]
    columns = ([float(low) / power for low in lows], [float(high) / power for high in highs])
    return list(zip(times, counts, totals, squares, *columns, strict=True))
