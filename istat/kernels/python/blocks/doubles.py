"""Columns of doubles as streams of bits: the specification.

Doubles become integers (decimals scaled up; decimals and how far beside them the value lies; or the double's
own bits), and those a stream (streams.py). `get_doubles` is specification; which of the three and at which scale is
`put_doubles`'s choice, and what it did not choose is read as well. The native build of the same name gives the same
bits. Knows a column, not what it means.
"""

from __future__ import annotations

from collections.abc import Sequence

from istat.kernels.python.blocks.streams import (
    EXACT,
    SIGN,
    BitReader,
    BitWriter,
    Malformed,
    from_ordered,
    from_pattern,
    nearest,
    ordered,
    pattern,
    stream_cost,
)  # fmt: skip
from istat.kernels.python.varints import ALL_BITS, unzigzag, wrap, zigzag

MOST_SCALE = 9  # decimals at most
NO_SCALE = 15
CONSTANT, SCALED, CORRECTED, PATTERN = range(4)  # kinds of a column of doubles
POWER = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]


# --- scales -------------------------------------------------------------------------------------------


def scaled_integer(value: float, scale: int) -> int | None:
    """The integer that is exactly value * 10**scale, bit for bit; None if there is none (as for -0.0)."""
    scaled = value * POWER[scale]
    if not -EXACT < scaled < EXACT:
        return None
    integer = int(nearest(scaled))
    return integer if pattern(float(integer) / POWER[scale]) == pattern(value) else None


def least_scale(value: float) -> int:
    """The fewest decimals that give the value exactly; NO_SCALE if MOST_SCALE do not."""
    for scale in range(MOST_SCALE + 1):
        if scaled_integer(value, scale) is not None:
            return scale
    return NO_SCALE


def find_scale(values: Sequence[float]) -> tuple[int, bool]:
    """Find the least scale of all values that have one, and whether all values are exact at it.

    Ends as soon as over a quarter have none, with the scale of those before; NO_SCALE if none had one.
    """
    scale, odd = 0, 0
    for index, value in enumerate(values):
        if scaled_integer(value, scale) is not None:
            continue
        found = least_scale(value)
        if found == NO_SCALE:
            odd += 1
            if odd * 4 > len(values):
                return (NO_SCALE if odd > index else scale), False
        else:
            scale = max(scale, found)
    return scale, odd == 0 and all(scaled_integer(value, scale) is not None for value in values)


def correct(values: Sequence[float], scale: int) -> tuple[list[int], list[int]]:
    """Nearest decimals, and (zigzagged) how many doubles each value lies beside its own."""
    integers, corrections, before = [], [], 0
    for value in values:
        scaled = value * POWER[scale]
        if -EXACT < scaled < EXACT:
            before = int(nearest(scaled))
        integers.append(before)
        corrections.append(zigzag(ordered(value, 0) - ordered(float(before) / POWER[scale], 0)))
    return integers, corrections


# --- columns ------------------------------------------------------------------------------------------


def put_doubles(writer: BitWriter, values: Sequence[float], hint: int) -> int:
    """Append a column; hint: a scale to try, or NO_SCALE. Gives the scale used, or NO_SCALE."""
    bits = [pattern(value) for value in values]
    if all(each == bits[0] for each in bits):
        return _put_constant(writer, values[0])
    scale, exact = find_scale(values)
    if exact:
        integers = [scaled_integer(value, scale) or 0 for value in values]
        writer.put(SCALED | scale << 2, 6)
        writer.put_stream(integers, stream_cost(integers)[1])
        return scale
    if scale == NO_SCALE or (hint != NO_SCALE and hint > scale):
        scale = hint
    shift = _low_zeros(bits)
    patterns = [ordered(value, shift) for value in values]
    cost, predictor = stream_cost(patterns)
    if scale != NO_SCALE:
        integers, corrections = correct(values, scale)
        corrected = sum(each.bit_length() + 1 for each in corrections)
        integers_cost, integers_predictor = stream_cost(integers)
        if corrected + integers_cost < cost:
            writer.put(CORRECTED | scale << 2, 6)
            writer.put_stream(integers, integers_predictor)
            writer.put_residuals(corrections)
            return scale
    writer.put(PATTERN | shift << 2, 8)
    writer.put_stream(patterns, predictor)
    return NO_SCALE


def _put_constant(writer: BitWriter, value: float) -> int:
    scale = least_scale(value)
    writer.put(CONSTANT | scale << 2, 6)
    if scale == NO_SCALE:
        writer.put(pattern(value), 64)
    else:
        writer.put_number(zigzag(scaled_integer(value, scale) or 0))
    return scale


def _low_zeros(bits: Sequence[int]) -> int:
    """How many low bits are 0 in all patterns, at most 62."""
    any_bit = 0
    for each in bits:
        any_bit |= each
    any_bit &= ~SIGN
    return (any_bit & -any_bit).bit_length() - 1 if any_bit else 0


def get_doubles(reader: BitReader, n: int) -> list[float]:
    """Take what put_doubles wrote."""
    kind = reader.get(2)
    if kind == PATTERN:
        shift = reader.get(6)
        return [from_ordered(each, shift) for each in reader.get_stream(n)]
    scale = reader.get(4)
    if kind == CONSTANT and scale == NO_SCALE:
        return [from_pattern(reader.get(64))] * n
    if scale > MOST_SCALE:
        raise Malformed("malformed run")
    if kind == CONSTANT:
        return [float(unzigzag(reader.get_number())) / POWER[scale]] * n
    values = [float(each) / POWER[scale] for each in reader.get_stream(n)]
    if kind == SCALED:
        return values
    beside = reader.get_residuals(n)
    return [
        from_ordered(wrap(ordered(value, 0) + by), 0) if by else value
        for value, by in zip(values, beside, strict=True)
    ]


def short_mantissa(value: float) -> float:
    """Round to 24 bits of mantissa, half to even; what would overflow is cut instead."""
    bits = pattern(value)
    low = 0x1FFFFFFF
    rounded = (bits + 0x0FFFFFFF + ((bits >> 29) & 1)) & ALL_BITS & ~low
    if rounded & ~SIGN >= 0x7FF << 52:
        rounded = bits & ~low
    return from_pattern(rounded)
