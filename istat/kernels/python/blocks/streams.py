"""Integers as a stream of bits, the lowest layer of what blocks hold: the specification.

The native build of the same name gives the same bits; docs/formats/statfile.md says how a stream looks. Bits
are taken from the low end of each byte. Integers become residuals of the best of three predictors, and
residuals are Rice coded, 128 to a parameter. 64-bit arithmetic wraps around. Knows nothing of rows.

BitReader is specification. BitWriter's predictor, its base and step, and its Rice parameters are one encoder's choice
by some estimates of cost; a reader takes any.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from istat.kernels.python.varints import ALL_BITS, unzigzag, wrap, zigzag

MINI_BLOCK = 128  # residuals that share one Rice parameter
ALL_ZERO = 63  # in place of a Rice parameter: every residual of the mini-block is 0
MOST_ZEROS = 24  # unary part at most; that many zeros announce a residual written out
SAMPLES = 256  # values that the choice of a predictor looks at, at least half as many
FRAME, DELTA, DELTA_OF_DELTA = range(3)  # predictors of a column of integers
EXACT = 2.0**51  # scaled integers stay below
ROUNDER = 1.5 * 2.0**52  # adding and subtracting it rounds to integer, half to even
MUCH = 1 << 56  # residuals count as no more than this in a mean
SIGN = 1 << 63


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


def _nibbles(value: int) -> int:
    nibbles = (value.bit_length() + 3) // 4
    return 16 if nibbles == 15 else nibbles


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
