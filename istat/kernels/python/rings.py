"""The slots of istatd's ring files as rows: the specification. docs/formats/ring-file.md says what counts as a bucket.

All of it is specification: the native build of the same name gives the same bits. Knows slots, no headers and no files.
"""

from __future__ import annotations

import math
import struct

from istat.kernels.python.columns import Columns

_SLOT = struct.Struct("<qdffif")  # time, sum, min, max, count, sumsq
SLOT_BYTES = 32
FLOAT_MAX = 3.4028234663852886e38
#: Times and indexes beyond this are damage; differences of two of them fit 64 bits.
MOST = 1 << 60
MOST_INTERVAL = 1 << 31


def to_float(value: float) -> float:
    """As a number of 24 bits of mantissa; beyond its range the largest one."""
    if abs(value) > FLOAT_MAX:
        return math.copysign(FLOAT_MAX, value)
    found: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return found


def rows(slots: bytes, interval: int, created: int, last_bucket: int, ahead: int, parts: int) -> Columns:
    """The buckets of a ring, by time; those of one time merged as gauges are.

    ahead: buckets newer than last_bucket count where they begin before this time. parts: the count of all buckets, 0
    where each has its own. Buckets with numbers that are not finite are left out. ValueError for impossible numbers.
    """
    if len(slots) % SLOT_BYTES or not 1 <= interval < MOST_INTERVAL or not 0 <= parts < MOST_INTERVAL:
        raise ValueError("no ring")
    if max(abs(created), abs(last_bucket), abs(ahead)) > MOST:
        raise ValueError("no ring")
    capacity = len(slots) // SLOT_BYTES
    made = Columns()
    for number, (time, total, low, high, count, sumsq) in enumerate(_SLOT.iter_unpack(slots)):
        if not 0 < time <= MOST or count <= 0:
            continue
        index = (time - created) // interval
        # istatd divides towards zero: late samples from before its creation stand one slot further.
        if index % capacity != number and not (index < 0 and (index + 1) % capacity == number):
            continue
        if time >= ahead if index > last_bucket else index <= last_bucket - capacity:
            continue
        if all(map(math.isfinite, (total, low, high, sumsq))):
            made.append(created + index * interval, *_statistics(total, low, high, parts or count, sumsq))
    made.fold(False)
    return made


def _statistics(
    total: float, low: float, high: float, count: int, sumsq: float
) -> tuple[int, float, float, float, float]:
    """count, sum, M2, min, max."""
    if low == high:
        if count == 1 and to_float(total) == low:
            return 1, total, 0.0, total, total  # the sum has all digits of the one value
        return count, total, 0.0, low, high
    m2 = sumsq - total * total / float(count)
    return count, total, m2 if m2 > 0.0 else 0.0, low, high
