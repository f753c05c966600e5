"""The coding of one run, the rows of one counter in one block, as a stream of bits: the specification.

The native build of the same name gives the same bytes. docs/formats/statfile.md says how a run looks and
why. Bits are taken from the low end of each byte. Columns of doubles become columns of integers (decimals
scaled up; decimals and how far beside them the value lies; or the double's own bits), integers become
residuals of the best of three predictors, and residuals are Rice coded, 128 to a parameter. 64-bit
arithmetic wraps around. Knows neither directories of blocks nor files.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from istat.kernels.python.columns import Row

EVENT, SINGLE, REGULAR = 1, 2, 4
MINI_BLOCK = 128  # residuals that share one Rice parameter
ALL_ZERO = 63  # in place of a Rice parameter: every residual of the mini-block is 0
MOST_ZEROS = 24  # unary part at most; that many zeros announce a residual written out
MOST_SCALE = 9  # decimals at most
SAMPLES = 256  # values that the choice of a predictor looks at, at least half as many
NO_SCALE = 15
CONSTANT, SCALED, CORRECTED, PATTERN = range(4)  # kinds of a column of doubles
FRAME, DELTA, DELTA_OF_DELTA = range(3)  # predictors of a column of integers
EXACT = 2.0**51  # scaled integers stay below
ROUNDER = 1.5 * 2.0**52  # adding and subtracting it rounds to integer, half to even
MUCH = 1 << 56  # residuals count as no more than this in a mean
LAST_TIME = 2**62
SIGN = 1 << 63
ALL_BITS = (1 << 64) - 1
POWER = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]


class Malformed(ValueError):
    """Bits that no encoder wrote."""


# --- numbers ------------------------------------------------------------------------------------------


def pattern(value: float) -> int:
    """The 64 bits of a double."""
    bits: int = struct.unpack("<Q", struct.pack("<d", value))[0]
    return bits


def from_pattern(bits: int) -> float:
    """The double of 64 bits."""
    value: float = struct.unpack("<d", struct.pack("<Q", bits))[0]
    return value


def wrap(value: int) -> int:
    """To a signed number of 64 bits, by wrapping around."""
    value &= ALL_BITS
    return value - (1 << 64) if value & SIGN else value


def zigzag(value: int) -> int:
    """0, -1, 1, -2, ... to 0, 1, 2, 3, ...; value is taken as a signed number of 64 bits."""
    value = wrap(value)
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(value: int) -> int:
    """The other way."""
    return (value >> 1) ^ -(value & 1)


def ordered(value: float, shift: int) -> int:
    """The pattern of a double, less its low zeros, as a signed integer of the same order."""
    bits = pattern(value)
    size = (bits & ~SIGN) >> shift
    return ~size if bits & SIGN else size


def from_ordered(value: int, shift: int) -> float:
    """The double whose ordered pattern this is."""
    if value < 0:
        return from_pattern(((~value << shift) & ALL_BITS) | SIGN)
    return from_pattern((value << shift) & (SIGN - 1))


def nearest(value: float) -> float:
    """Round to an integer, half to even; for values below EXACT."""
    return (value + ROUNDER) - ROUNDER


# --- writing bits -------------------------------------------------------------------------------------


class BitWriter:
    """Bits appended from the low end."""

    def __init__(self) -> None:
        self._bits = 0
        self._width = 0

    def put(self, value: int, width: int) -> None:
        """Append the low width bits of value."""
        self._bits |= value << self._width
        self._width += width

    def put_number(self, value: int) -> None:
        """Append 0 <= value < 2**64: four bits say how many nibbles follow, 15 stands for 16."""
        nibbles = _nibbles(value)
        self.put(min(nibbles, 15), 4)
        self.put(value, 4 * nibbles)

    def bytes(self) -> bytes:
        """All bits, the last byte filled with zeros."""
        return self._bits.to_bytes((self._width + 7) // 8, "little")

    def put_residuals(self, values: Sequence[int]) -> None:
        """Append zigzagged residuals in mini-blocks."""
        for at in range(0, len(values), MINI_BLOCK):
            block = values[at : at + MINI_BLOCK]
            k = _rice_parameter(block)
            self.put(k, 6)
            for value in block if k != ALL_ZERO else ():
                quotient = value >> k
                if quotient >= MOST_ZEROS:
                    self.put(0, MOST_ZEROS)
                    self.put(value.bit_length() - 1, 6)
                    self.put(value, value.bit_length())
                else:
                    self.put(1 << quotient, quotient + 1)
                    self.put(value & ((1 << k) - 1), k)

    def put_stream(self, values: Sequence[int], predictor: int) -> None:
        """Append two integers or more by the given predictor."""
        self.put(predictor, 2)
        if predictor == FRAME:
            base = _frame_base(values)
            self.put_number(zigzag(base))
            self.put_residuals([zigzag(value - base) for value in values])
            return
        self.put_number(zigzag(values[0]))
        deltas = [wrap(b - a) for a, b in zip(values, values[1:], strict=False)]
        if predictor == DELTA:
            step = _mean_step(values)
            self.put_number(zigzag(step))
            self.put_residuals([zigzag(delta - step) for delta in deltas])
            return
        self.put_number(zigzag(deltas[0]))
        self.put_residuals([zigzag(b - a) for a, b in zip(deltas, deltas[1:], strict=False)])

    def put_integers(self, values: Sequence[int]) -> None:
        """Append one integer or more: a bit 1 and one number if they are all the same."""
        if all(value == values[0] for value in values):
            self.put(1, 1)
            self.put_number(zigzag(values[0]))
        else:
            self.put(0, 1)
            self.put_stream(values, stream_cost(values)[1])

    def put_doubles(self, values: Sequence[float], hint: int) -> int:
        """Append a column; hint: a scale to try, or NO_SCALE. Gives the scale used, or NO_SCALE."""
        bits = [pattern(value) for value in values]
        if all(each == bits[0] for each in bits):
            return self._put_constant(values[0])
        scale, exact = find_scale(values)
        if exact:
            integers = [scaled_integer(value, scale) or 0 for value in values]
            self.put(SCALED | scale << 2, 6)
            self.put_stream(integers, stream_cost(integers)[1])
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
                self.put(CORRECTED | scale << 2, 6)
                self.put_stream(integers, integers_predictor)
                self.put_residuals(corrections)
                return scale
        self.put(PATTERN | shift << 2, 8)
        self.put_stream(patterns, predictor)
        return NO_SCALE

    def _put_constant(self, value: float) -> int:
        scale = least_scale(value)
        self.put(CONSTANT | scale << 2, 6)
        if scale == NO_SCALE:
            self.put(pattern(value), 64)
        else:
            self.put_number(zigzag(scaled_integer(value, scale) or 0))
        return scale


def _nibbles(value: int) -> int:
    nibbles = (value.bit_length() + 3) // 4
    return 16 if nibbles == 15 else nibbles


def _low_zeros(bits: Sequence[int]) -> int:
    """How many low bits are 0 in all patterns, at most 62."""
    any_bit = 0
    for each in bits:
        any_bit |= each
    any_bit &= ~SIGN
    return (any_bit & -any_bit).bit_length() - 1 if any_bit else 0


def _rice_cost(values: Sequence[int], k: int) -> int:
    return sum(min(value >> k, 64) for value in values) + len(values) * (k + 1)


def _rice_parameter(values: Sequence[int]) -> int:
    """The k with the least cost, sought from the mean; ALL_ZERO if there is nothing to code."""
    total = sum(min(value, MUCH) for value in values)
    if total == 0:
        return ALL_ZERO
    k = max((total // len(values)).bit_length() - 2, 0)
    if _rice_cost(values, k + 1) < _rice_cost(values, k):
        k += 1
        while k < ALL_ZERO - 2 and _rice_cost(values, k + 1) < _rice_cost(values, k):
            k += 1
        return k
    while k > 0 and _rice_cost(values, k - 1) < _rice_cost(values, k):
        k -= 1
    return k


# --- choices ------------------------------------------------------------------------------------------


def _frame_base(values: Sequence[int]) -> int:
    """The mean, as near as doubles give it."""
    total = 0.0
    for value in values:
        total += float(value)
    total = total / float(len(values))
    if not -4e18 < total < 4e18:
        return 0
    return int(nearest(total) if -EXACT < total < EXACT else total)


def _mean_step(values: Sequence[int]) -> int:
    """The mean of the steps, rounded down."""
    return wrap(values[-1] - values[0]) // (len(values) - 1)


def stream_cost(values: Sequence[int]) -> tuple[int, int]:
    """Estimate the bits of the best predictor from some hundred of two values or more; say which that is."""
    n, base, step = len(values), _frame_base(values), _mean_step(values)
    first_delta = wrap(values[1] - values[0])
    frame = first = second = 0
    sampled = range(2, n, 1 + n // SAMPLES)
    for i in sampled:
        delta, before = wrap(values[i] - values[i - 1]), wrap(values[i - 1] - values[i - 2])
        frame += zigzag(values[i] - base).bit_length()
        first += zigzag(delta - step).bit_length()
        second += zigzag(delta - before).bit_length()
    if sampled:
        frame, first, second = (cost * (n - 2) // len(sampled) for cost in (frame, first, second))
    frame += 4 + 4 * _nibbles(zigzag(base))
    frame += sum(zigzag(value - base).bit_length() for value in values[:2])
    first += 8 + 4 * (_nibbles(zigzag(values[0])) + _nibbles(zigzag(step)))
    first += zigzag(first_delta - step).bit_length()
    second += 8 + 4 * (_nibbles(zigzag(values[0])) + _nibbles(zigzag(first_delta)))
    best, predictor = frame, FRAME
    if first < best:
        best, predictor = first, DELTA
    if second < best:
        best, predictor = second, DELTA_OF_DELTA
    return best + n, predictor


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


# --- runs ---------------------------------------------------------------------------------------------


def short_mantissa(value: float) -> float:
    """Round to 24 bits of mantissa, half to even; what would overflow is cut instead."""
    bits = pattern(value)
    low = 0x1FFFFFFF
    rounded = (bits + 0x0FFFFFFF + ((bits >> 29) & 1)) & ALL_BITS & ~low
    if rounded & ~SIGN >= 0x7FF << 52:
        rounded = bits & ~low
    return from_pattern(rounded)


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
        writer.put_doubles(sums, NO_SCALE)
        return flags | SINGLE, writer.bytes()
    scale = writer.put_doubles([row[4] for row in rows], NO_SCALE)
    other = writer.put_doubles([row[5] for row in rows], scale)
    if scale == NO_SCALE or (other != NO_SCALE and other > scale):
        scale = other
    writer.put_doubles(sums, scale)
    writer.put_doubles([short_mantissa(row[3]) for row in rows], NO_SCALE)
    writer.put_integers([row[1] for row in rows])
    return flags, writer.bytes()


# --- reading bits -------------------------------------------------------------------------------------


class BitReader:
    """Bits taken from the low end; Malformed when there are no more."""

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def get(self, width: int) -> int:
        """Take width bits."""
        if width > self._left:
            raise Malformed("malformed run")
        value = self._bits & ((1 << width) - 1)
        self._bits >>= width
        self._left -= width
        return value

    def get_number(self) -> int:
        """Take what put_number wrote."""
        nibbles = self.get(4)
        return self.get(64 if nibbles == 15 else 4 * nibbles)

    def get_residual(self, k: int) -> int:
        """Take one residual, no longer zigzagged."""
        quotient = 0
        while quotient < MOST_ZEROS and not self.get(1):
            quotient += 1
        if quotient == MOST_ZEROS:
            return unzigzag(self.get(self.get(6) + 1))
        return unzigzag(((quotient << k) & ALL_BITS) | self.get(k))

    def get_residuals(self, n: int) -> list[int]:
        """Take n residuals, in mini-blocks."""
        values: list[int] = []
        while len(values) < n:
            size = min(n - len(values), MINI_BLOCK)
            k = self.get(6)
            values += [0] * size if k == ALL_ZERO else [self.get_residual(k) for _ in range(size)]
        return values

    def get_stream(self, n: int) -> list[int]:
        """Take two integers or more."""
        if n < 2:
            raise Malformed("malformed run")
        predictor = self.get(2)
        value = unzigzag(self.get_number())
        if predictor == FRAME:
            return [wrap(each + value) for each in self.get_residuals(n)]
        step = unzigzag(self.get_number())
        values = [value]
        if predictor == DELTA:
            for each in self.get_residuals(n - 1):
                values.append(wrap(values[-1] + step + each))
            return values
        if predictor != DELTA_OF_DELTA:
            raise Malformed("malformed run")
        values.append(wrap(value + step))
        for each in self.get_residuals(n - 2):
            step = wrap(step + each)
            values.append(wrap(values[-1] + step))
        return values

    def get_integers(self, n: int) -> list[int]:
        """Take what put_integers wrote."""
        if self.get(1):
            return [unzigzag(self.get_number())] * n
        return self.get_stream(n)

    def get_doubles(self, n: int) -> list[float]:
        """Take what put_doubles wrote."""
        kind = self.get(2)
        if kind == PATTERN:
            shift = self.get(6)
            return [from_ordered(each, shift) for each in self.get_stream(n)]
        scale = self.get(4)
        if kind == CONSTANT and scale == NO_SCALE:
            return [from_pattern(self.get(64))] * n
        if scale > MOST_SCALE:
            raise Malformed("malformed run")
        if kind == CONSTANT:
            return [float(unzigzag(self.get_number())) / POWER[scale]] * n
        values = [float(each) / POWER[scale] for each in self.get_stream(n)]
        if kind == SCALED:
            return values
        beside = self.get_residuals(n)
        return [
            from_ordered(wrap(ordered(value, 0) + by), 0) if by else value
            for value, by in zip(values, beside, strict=True)
        ]


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
        values = reader.get_doubles(n)
        return [(at, 1, value, 0.0, value, value) for at, value in zip(times, values, strict=True)]
    lows, highs = reader.get_doubles(n), reader.get_doubles(n)
    sums, squares = reader.get_doubles(n), reader.get_doubles(n)
    counts = reader.get_integers(n)
    if min(counts) < 1:
        raise Malformed("malformed run")
    return list(zip(times, counts, sums, squares, lows, highs, strict=True))
