"""What rows of many samples are predicted from, and their writing: one encoder's choice from end to end.

Each column is predicted from those before it by whatever costs least in the run, as far as some estimates tell.
joint.py, which is the specification, reads what is told here, and would read other choices as well. The native build
of the same name makes the same ones, bit for bit: doubles are worked out in the order written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from istat.kernels.python.blocks.doubles import POWER, correct, find_scale, scaled_integer, short_mantissa
from istat.kernels.python.blocks.joint import (
    ALL,
    BY_RANGE,
    BY_SQUARES,
    COEFFICIENT_BITS,
    FEW,
    LEAST_ROWS,
    MOST_COEFFICIENT,
    NONE,
    OWN,
    SHORT,
    by_range,
    half_squares,
    m2_from,
    share,
)  # fmt: skip
from istat.kernels.python.blocks.streams import (
    EXACT,
    MINI_BLOCK,
    BitWriter,
    nearest,
    ordered,
    pattern,
    stream_cost,
)  # fmt: skip
from istat.kernels.python.columns import Row
from istat.kernels.python.varints import wrap, zigzag

MOST_PRODUCT = 2.0**50  # count x value: leaves room for a coefficient
MOST_EXCESS = 2.0**31  # sum above count x min, and count: their squares and products stay below 2**63
MOST_PRODUCT_OF_SQUARES = 4e18
MOST_CORRECTION = 8  # [bits a row] sums further from decimals are no sums of decimals
FEW_SHARE = 8  # corrections are few if less than every so many-th sum has one
NOISE = 2.0**-40  # share of M2 that may be rounding of what computed it


class Decimals(NamedTuple):
    """Columns of one run as integers of one scale, and how many doubles each sum lies beside its own."""

    scale: int
    counts: list[int]
    lows: list[int]
    highs: list[int]
    sums: list[int]
    corrections: list[int]


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
            ((a,), [high - share(low, high, a, 0, 1) for low, high in zip(lows, highs, strict=True)])
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
        shares = map(share, lows, highs, [a] * len(lows), [b] * len(lows), counts)
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
        made = m2_from(halves[-1], excess, count, square)
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
        left = [p - by_range(factor, n, low, high) for p, n, low, high in zip(own, counts, lows, highs, strict=True)]
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
        likely = map(half_squares, [model] * len(x), counts, lows, highs, found[0])
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
