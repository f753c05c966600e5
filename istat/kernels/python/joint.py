"""Rows of many samples coded jointly, each column from those before it: the specification.

For decimals only: with min, max and sum integers of one scale, the sum of squares is one too, so that M2 is an
integer in disguise, and min, max, sum and M2 say much about each other. What a column is predicted from is chosen
for each run, by its cost. Rows of other values are coded column by column (runs.py). The native build of the same
name gives the same bits. 64-bit arithmetic wraps around; doubles are worked out in the order written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from istat.kernels.python.columns import Row
from istat.kernels.python.doubles import MOST_SCALE, POWER, correct, find_scale, scaled_integer, short_mantissa
from istat.kernels.python.streams import (
    EXACT,
    MINI_BLOCK,
    BitReader,
    BitWriter,
    Malformed,
    from_ordered,
    nearest,
    ordered,
    pattern,
    stream_cost,
    unzigzag,
    wrap,
    zigzag,
)  # fmt: skip

LEAST_ROWS = 16  # fewer do not pay for what says how they are predicted
MOST_COEFFICIENT = 127  # in 64ths
COEFFICIENT_BITS = 8
MOST_PRODUCT = 2.0**50  # count x value: leaves room for a coefficient
MOST_EXCESS = 2.0**31  # sum above count x min, and count: their squares and products stay below 2**63
MOST_PRODUCT_OF_SQUARES = 4e18
MOST_CORRECTION = 8  # [bits a row] sums further from decimals are no sums of decimals
FEW_SHARE = 8  # corrections are few if less than every so many-th sum has one
NOISE = 2.0**-40  # share of M2 that may be rounding of what computed it
SHORT = 29  # low bits of a double that are 0 when 24 bits of mantissa are kept
OWN, BY_RANGE, BY_SQUARES = range(3)  # how M2 is coded
NONE, ALL, FEW = range(3)  # how it is coded how far sums lie beside decimals


class Decimals(NamedTuple):
    """Columns of one run as integers of one scale, and how many doubles each sum lies beside its own."""

    scale: int
    counts: list[int]
    lows: list[int]
    highs: list[int]
    sums: list[int]
    corrections: list[int]


# --- what both sides compute --------------------------------------------------------------------------


def _share(low: int, high: int, a: int, b: int, count: int) -> int:
    return wrap(count * wrap(a * low + b * high)) >> 6


def _by_range(factor: float, count: int, low: int, high: int) -> int:
    """M2 from the range, as the pattern of a short double."""
    width = float(wrap(high - low))
    return ordered(short_mantissa(factor * float(count) * width * width), SHORT)


def _half_squares(model: Sequence[float], count: int, low: int, high: int, excess: int) -> int:
    """What the squares of the distances from min, less the distances, are likely to add up to; halved.

    model: M2 = count x (slope x range**2 + level).
    """
    slope, level = model
    width, total = float(wrap(high - low)), float(excess)
    m2 = float(count) * (slope * width * width + level)
    half = (m2 + total * total / float(count) - total) * 0.5
    return int(nearest(half)) if -EXACT < half < EXACT else 0


def _m2(half: int, excess: int, count: int, square: float) -> float | None:
    """M2 of 24 bits, from half the squares; None if those are impossible. square: 10**(2 scale)."""
    product = wrap(wrap(count * wrap(2 * half + excess)) - wrap(excess * excess))
    return float(product) / float(count) / square if product >= 0 else None


# --- choices ------------------------------------------------------------------------------------------


def _mean(values: Sequence[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total / float(len(values))


def _product(left: Sequence[float], right: Sequence[float]) -> float:
    total = 0.0
    for a, b in zip(left, right, strict=True):
        total += a * b
    return total


def _around_mean(values: Sequence[float]) -> list[float]:
    mean = _mean(values)
    return [value - mean for value in values]


def _coefficient(value: float) -> int:
    """In 64ths; 0 if out of reach."""
    value *= 64.0
    return int(nearest(value)) if -MOST_COEFFICIENT <= value <= MOST_COEFFICIENT else 0


def _fit_one(x: Sequence[float], y: Sequence[float]) -> float:
    """The slope of y over x, by least squares."""
    x = _around_mean(x)
    square = _product(x, x)
    return _product(x, _around_mean(y)) / square if square > 0.0 else 0.0


def _fit_two(x: Sequence[float], z: Sequence[float], y: Sequence[float]) -> tuple[int, int]:
    """The coefficients of x and z for y, by least squares."""
    x, z, y = _around_mean(x), _around_mean(z), _around_mean(y)
    xx, xz, zz, xy, zy = _product(x, x), _product(x, z), _product(z, z), _product(x, y), _product(z, y)
    determinant = xx * zz - xz * xz
    if not determinant > 0.0:
        return 0, 0
    return _coefficient((xy * zz - zy * xz) / determinant), _coefficient((zy * xx - xy * xz) / determinant)


def _decimals(rows: Sequence[Row]) -> Decimals | None:
    """The columns as integers, if they are that and M2 differs; None: to be coded column by column."""
    if len(rows) < LEAST_ROWS or all(pattern(row[3]) == pattern(rows[0][3]) for row in rows):
        return None
    scale = 0
    for column in (4, 5):
        least, exact = find_scale([row[column] for row in rows])
        if not exact:
            return None
        scale = max(scale, least)
    lows, highs = ([scaled_integer(row[column], scale) for row in rows] for column in (4, 5))
    kept_lows, kept_highs = [v for v in lows if v is not None], [v for v in highs if v is not None]
    if len(kept_lows) + len(kept_highs) < 2 * len(rows):
        return None
    counts = [row[1] for row in rows]
    most = max(max(map(abs, kept_lows)), max(map(abs, kept_highs)))
    if not float(most) * float(max(counts)) < MOST_PRODUCT:
        return None
    sums, corrections = correct([row[2] for row in rows], scale)
    if sum(each.bit_length() for each in corrections) > MOST_CORRECTION * len(rows):
        return None
    return Decimals(scale, counts, kept_lows, kept_highs, sums, corrections)


# --- writing ------------------------------------------------------------------------------------------


def _put_best(writer: BitWriter, options: Sequence[tuple[tuple[int, ...], list[int]]]) -> None:
    """Append the cheapest option: its coefficients and the stream that is left."""
    costs = [stream_cost(left) for _, left in options]
    best = min(range(len(options)), key=lambda i: costs[i][0])
    for coefficient in options[best][0]:
        writer.put(coefficient + MOST_COEFFICIENT, COEFFICIENT_BITS)
    writer.put_stream(options[best][1], costs[best][1])


def _put_range(writer: BitWriter, lows: list[int], highs: list[int]) -> None:
    """Append min, by itself or from the max before, and max, from min."""
    rises = [low - high for low, high in zip(lows[1:], highs, strict=False)]
    own, after = stream_cost(lows), stream_cost(rises)
    if after[0] < own[0]:
        writer.put(1, 1)
        writer.put_number(zigzag(lows[0]))
        writer.put_stream(rises, after[1])
    else:
        writer.put(0, 1)
        writer.put_stream(lows, own[1])
    fitted = _coefficient(_fit_one([float(v) for v in lows], [float(v) for v in highs]))
    _put_best(
        writer,
        [
            ((a,), [high - _share(low, high, a, 0, 1) for low, high in zip(lows, highs, strict=True)])
            for a in (0, 64, fitted)
        ],
    )


def _put_sums(writer: BitWriter, columns: Decimals) -> None:
    """Append the decimals nearest to the sums, from count, min and max."""
    counts, lows, highs, sums = columns.counts, columns.lows, columns.highs, columns.sums
    means = [float(sum) / float(count) for sum, count in zip(sums, counts, strict=True)]
    fitted = _fit_two([float(v) for v in lows], [float(v) for v in highs], means)
    options = []
    for a, b in ((0, 0), (32, 32), fitted):
        shares = map(_share, lows, highs, [a] * len(lows), [b] * len(lows), counts)
        options.append(((a, b), [wrap(sum - share) for sum, share in zip(sums, shares, strict=True)]))
    _put_best(writer, options)


def _halves(columns: Decimals, squares: Sequence[float]) -> tuple[list[int], list[int]] | None:
    """Sums above count x min, and half the squares that give every M2 again to 24 bits; None if none do."""
    square = POWER[columns.scale] * POWER[columns.scale]
    excesses, halves = [], []
    for count, low, sum, m2 in zip(columns.counts, columns.lows, columns.sums, squares, strict=True):
        excess = sum - count * low
        if not (0 <= excess < MOST_EXCESS and count < MOST_EXCESS):
            return None
        total = float(excess)
        half = (m2 * square + total * total / float(count) - total) * 0.5
        if not -EXACT < half < EXACT:
            return None
        halves.append(int(nearest(half)))
        if not float(count) * (2.0 * float(halves[-1]) + total) < MOST_PRODUCT_OF_SQUARES:
            return None
        made = _m2(halves[-1], excess, count, square)
        if made is None or not _same(made, m2):
            return None
        excesses.append(excess)
    return excesses, halves


def _same(made: float, m2: float) -> bool:
    """Whether 24 bits of both are the same, or would be but for rounding noise of m2."""
    if pattern(short_mantissa(made)) == pattern(short_mantissa(m2)):
        return True
    return m2 > 0.0 and abs(made - m2) <= m2 * NOISE


def _short_or_zero(value: float) -> float:
    return short_mantissa(value) if -1e300 < value < 1e300 else 0.0


def _put_m2(writer: BitWriter, columns: Decimals, squares: Sequence[float]) -> None:
    """Append M2 in the cheapest of three ways."""
    counts, lows, highs = columns.counts, columns.lows, columns.highs
    own = [ordered(short_mantissa(m2), SHORT) for m2 in squares]
    cost, predictor = stream_cost(own)
    best: tuple[int, list[float], list[int]] = (OWN, [], own)
    x = [float(high - low) * float(high - low) for low, high in zip(lows, highs, strict=True)]
    widths = _product([float(count) for count in counts], x)
    if widths > 0.0:
        factor = _short_or_zero(_product(squares, [1.0] * len(x)) / widths)
        left = [p - _by_range(factor, n, low, high) for p, n, low, high in zip(own, counts, lows, highs, strict=True)]
        other = stream_cost(left)
        if other[0] < cost:
            (cost, predictor), best = other, (BY_RANGE, [factor], left)
    found = _halves(columns, squares)
    if found is not None:
        square = POWER[columns.scale] * POWER[columns.scale]
        y = [m2 * square / float(count) for m2, count in zip(squares, counts, strict=True)]
        slope = _short_or_zero(_fit_one(x, y))
        level = _short_or_zero(_mean(y) - slope * _mean(x))
        model = [slope, level]
        likely = map(_half_squares, [model] * len(x), counts, lows, highs, found[0])
        left = [half - each for half, each in zip(found[1], likely, strict=True)]
        other = stream_cost(left)
        if other[0] < cost:
            (cost, predictor), best = other, (BY_SQUARES, model, left)
    writer.put(best[0], 2)
    for coefficient in best[1]:
        writer.put_number(zigzag(ordered(coefficient, SHORT)))
    writer.put_stream(best[2], predictor)


def _put_corrections(writer: BitWriter, corrections: list[int]) -> None:
    """Append zigzagged corrections: none, all, or, of a few, the gaps before them and they."""
    places = [place for place, each in enumerate(corrections) if each]
    way = FEW if len(places) * FEW_SHARE < len(corrections) else ALL
    writer.put(way if places else NONE, 2)
    if places and way == ALL:
        writer.put_residuals(corrections)
    elif places:
        writer.put_number(len(places))
        gaps = [b - a - 1 for a, b in zip([-1, *places], places, strict=False)]
        for at in range(0, len(places), MINI_BLOCK):
            writer.put_residuals(gaps[at : at + MINI_BLOCK])
            writer.put_residuals([corrections[place] for place in places[at : at + MINI_BLOCK]])


def put_joint(writer: BitWriter, rows: Sequence[Row]) -> bool:
    """Append the rows, without their times; False: they are not of this kind, and nothing was appended."""
    columns = _decimals(rows)
    if columns is None:
        return False
    writer.put_integers(columns.counts)
    writer.put(columns.scale, 4)
    _put_range(writer, columns.lows, columns.highs)
    _put_sums(writer, columns)
    _put_m2(writer, columns, [row[3] for row in rows])
    _put_corrections(writer, columns.corrections)
    return True


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
        highs.append(wrap(left + _share(lows[i], 0, a, 0, 1)))
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
            half = wrap(left[i] + _half_squares(coefficients, count, low, high, excess))
            m2 = _m2(half, excess, count, POWER[scale] * POWER[scale])
            if m2 is None:
                raise Malformed("malformed run")
            made.append(short_mantissa(m2))
        else:
            likely = _by_range(coefficients[0], count, low, high) if way == BY_RANGE else 0
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
    shares = map(_share, lows, highs, [a] * n, [b] * n, counts)
    sums = [wrap(left + share) for left, share in zip(reader.get_stream(n), shares, strict=True)]
    squares = _get_m2(reader, scale, counts, (lows, highs), sums)
    corrections = _get_corrections(reader, n)
    totals = [
        from_ordered(wrap(ordered(float(sum) / power, 0) + by), 0) for sum, by in zip(sums, corrections, strict=True)
    ]
    columns = ([float(low) / power for low in lows], [float(high) / power for high in highs])
    return list(zip(times, counts, totals, squares, *columns, strict=True))
