"""Columns as JSON text: the specification. The native build of the same name gives the same bytes.

Numbers come back as the same double from any correct parser: a decimal fraction that is as short as can be
between 1e-9 and 2**53, 17 significant digits elsewhere (`-0.0` is written 0). What is no number is `null`. That a
number comes back is the promise; which of the texts that do is chosen here, and both builds choose the same.

FIELDS: `count`, `sum`, `avg`, `min`, `max`, `sdev` (sample standard deviation), `sumsq` (sum of squares, at most the
largest double);
`rows` also knows `time` (Unix seconds) and `iso` (UTC, as 2012-01-01T05:00:00Z, without quotes).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

Row = tuple[int, int, float, float, float, float]

FIELDS = ("count", "sum", "avg", "min", "max", "sdev", "sumsq")
ROW_FIELDS = (*FIELDS, "time", "iso")
INTEGERS_EXACT = 2.0**53  # beyond it doubles have gaps of more than 1
MAX_DOUBLE = 1.7976931348623157e308
SLACK = 0.0001  # how far an average that was taken may be outside, as a share (ingest/feed.py)
SMALLEST_FRACTION = 1e-9  # below it a fraction is longer than its exponent form
# A grid of more cells than this is a mistake of the caller's (some 10 MB of `null`).
MAX_POINTS = 2_000_000
# Years 0000 to 9999, which is all that ISO 8601's four digits can say. [s]
FIRST_ISO, LAST_ISO = -62167219200, 253402300799


def number(value: float) -> bytes:
    """JSON text of a double; `null` for NaN and infinities."""
    if not math.isfinite(value):
        return b"null"
    size = abs(value)
    if size == math.floor(size) and size < INTEGERS_EXACT:
        return b"%d" % int(value)
    if not SMALLEST_FRACTION <= size < INTEGERS_EXACT:
        return b"%.17g" % value
    return (b"-" if value < 0.0 else b"") + _fraction(size)


def _fraction(size: float) -> bytes:
    """Shortest decimal of a positive double with a fraction, by Steele and White's method.

    Digits are made until what is left is nearer than half a gap between doubles. All in integers: the value
    is whole + rest / 2**bits, and `half` is less than half the gap above, also below a power of two.
    """
    mantissa, exponent = math.frexp(size)
    scaled, bits = int(mantissa * 2.0**53), 53 - exponent
    # Two bits more, so that half (or, below a power of two, a quarter) of the last place is an integer.
    half = 1 if scaled == 1 << 52 else 2
    scaled, bits = scaled << 2, bits + 2
    one = 1 << bits
    whole, rest = scaled >> bits, scaled & (one - 1)
    text = bytearray(b"%d." % whole)
    while True:
        rest *= 10
        half *= 10
        digit, rest = rest >> bits, rest & (one - 1)
        low, high = rest < half, rest + half > one
        if low or high:
            text.append(48 + digit + (1 if high and (not low or rest * 2 > one) else 0))
            return bytes(text)
        text.append(48 + digit)


def column(columns: Any, which: str, start: int, interval: int, points: int) -> bytes:
    """`[v,v,null,...]`: one field of time-ordered rows on the grid start + k * interval, k < points.

    A row belongs to the cell that its time falls in; of several, the first counts; rows outside the grid are
    left out. ValueError for an unknown field or a grid that cannot be.
    """
    if which not in FIELDS:
        raise ValueError(f"no column is called {which!r}")
    if interval < 1 or not 0 <= points <= MAX_POINTS:
        raise ValueError("a grid has a positive interval and a sane number of points")
    cells = [b"null"] * points
    place = 0
    for row in columns.rows():
        cell = (row[0] - start) // interval
        if place <= cell < points:
            cells[cell] = _field(row, which)
            place = cell + 1
    return b"[" + b",".join(cells) + b"]"


def rows(columns: Any, parts: Sequence[bytes], fields: Sequence[str], separator: bytes) -> bytes:
    """Every row as parts[0] field[0] parts[1] field[1] ... parts[-1], with `separator` between rows.

    ValueError for an unknown field, or unless there is one part more than fields.
    """
    if len(parts) != len(fields) + 1:
        raise ValueError("there must be one part more than fields")
    for field in fields:
        if field not in ROW_FIELDS:
            raise ValueError(f"no field is called {field!r}")
    made = []
    for row in columns.rows():
        pieces = [parts[0]]
        for field, part in zip(fields, parts[1:]):
            pieces += (_field(row, field), part)
        made.append(b"".join(pieces))
    return separator.join(made)


def _field(row: Row, which: str) -> bytes:
    when, count, total, m2, low, high = row
    if which == "count":
        return b"%d" % count
    if which == "time":
        return b"%d" % when
    if which == "iso":
        return _iso(when)
    return number(_value(which, count, total, m2, low, high))


def _value(which: str, count: int, total: float, m2: float, low: float, high: float) -> float:
    if which == "sum":
        return total
    if which == "avg":
        return _average(total, count, low, high) if count > 0 else 0.0
    if which == "min":
        return low
    if which == "max":
        return high
    if which == "sdev":
        return math.sqrt(m2 / float(count - 1)) if count > 1 and m2 > 0.0 else 0.0
    return min(m2 + total * total / float(count), MAX_DOUBLE) if count > 0 else 0.0


def _average(total: float, count: int, low: float, high: float) -> float:
    """Never outside minimum and maximum because of rounding, or of a sum that stopped at the largest double. Of events,
    whose minimum and maximum may be approximate, the exact total is what counts."""
    mean = total / float(count)
    bound = low if mean < low else high if mean > high else mean
    rounded = abs(bound - mean) <= abs(bound) * SLACK
    return bound if rounded or abs(total) >= MAX_DOUBLE else mean


def _iso(when: int) -> bytes:
    when = min(max(when, FIRST_ISO), LAST_ISO)
    day = time.gmtime(when)
    return b"%04d-%02d-%02dT%02d:%02d:%02dZ" % day[:6]
