"""istatd's ring files for people, as istatd's own filedump prints them. Only reads."""
from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from istat_server.foreign import ring
from istat_server.foreign.ring import Bucket, Header, Ring

CSV_HEAD = "DATE,SUM,SUMSQ,MIN,MAX,COUNT,AVG,SDEV"
FIELDS_OF_ISTATD = 18      # of the header: those that istatd's own program prints
FULL_HEAD = f"# {'valid':>5} {'bucket':>10} {'time':>12} {'sum':>15} {'sumsq':>15} {'min':>15} {'max':>15} {'count':>8}"


def as_csv(read: Ring) -> Iterator[str]:
    """A line per bucket from the first to the last that the header knows."""
    yield CSV_HEAD
    for _, bucket in _known(read):
        values = (bucket.sum, bucket.sumsq, bucket.min, bucket.max, bucket.samples, *_derived(bucket))
        yield ",".join([f'"{date(bucket.time)}"', *(f"{value:.6g}" for value in values)])


def as_full(read: Ring, fields: int | None = None) -> Iterator[str]:
    """The header's fields (the first ones, or all), then every slot."""
    for name, value in header_fields(read.header)[:fields]:
        yield f"{name}={text(value)}"
    yield FULL_HEAD
    header = read.header
    for number in range(header.capacity):
        bucket = read.slot(number)
        index = _index(header, number)
        valid = bucket.time > 0 and bucket.time == header.created + index * header.interval
        yield (f"  {valid:>5} {index:>10} {bucket.time:>12} {bucket.sum:>15.6g} {bucket.sumsq:>15.6g} "
               f"{bucket.min:>15.6g} {bucket.max:>15.6g} {bucket.samples:>8}")


def as_records(read: Ring, full: bool) -> Iterator[dict[str, Any]]:
    """The same for `--json`: the header, then a record per bucket."""
    yield {"record": "header", **{name: value.decode("ascii", "backslashreplace") if isinstance(value, bytes) else value
                                  for name, value in header_fields(read.header)}}
    found = enumerate(map(read.slot, range(read.header.capacity))) if full else _known(read)
    for number, bucket in found:
        values = {name: value if math.isfinite(value) else str(value) for name, value in bucket._asdict().items()}
        yield {"record": "bucket", "slot": number, **values}


def header_fields(header: Header) -> list[tuple[str, int | float | bytes]]:
    """Names as istatd has them, and values."""
    return [("magic", ring.MAGIC), ("hdr_size", header.size), ("cfg_interval", header.interval),
            ("cr_version", header.version), ("rd_version", header.reader), ("unit", header.unit), ("name", header.name),
            ("page_size", header.page_size), ("page_count", header.page_count), ("first_bucket", header.first_bucket),
            ("last_bucket", header.last_bucket), ("last_time", header.last_time),
            ("cumulative_sum", header.cumulative_sum), ("cumulative_sum_sq", header.cumulative_sum_sq),
            ("cumulative_count", header.cumulative_count), ("last_cumulative_clear_time", header.cleared),
            ("file_create_time", header.created), ("flags", header.flags), ("lambda", header.factor),
            ("season", header.season), ("fixed_count", header.fixed_count)]


def _known(read: Ring) -> Iterator[tuple[int, Bucket]]:
    header = read.header
    for index in range(max(header.first_bucket, header.last_bucket - header.capacity + 1), header.last_bucket + 1):
        bucket = read.slot(header.slot(index))
        if bucket.time > 0:
            yield header.slot(index), bucket


def _index(header: Header, slot: int) -> int:
    """The newest index, up to the last one, that has a slot."""
    return header.last_bucket - (header.last_bucket - slot) % header.capacity


def _derived(bucket: Bucket) -> tuple[float, float]:
    """Average and standard deviation as istatd works them out (4.2)."""
    if bucket.samples <= 0:
        return 0.0, 0.0
    count = bucket.samples
    if count < 2:
        return bucket.sum / count, 0.0
    spread = max(0.0, count * bucket.sumsq - bucket.sum * bucket.sum)
    return bucket.sum / count, math.sqrt(spread / (count * (count - 1)))


def text(value: int | float | bytes) -> str:
    """A field's value: strings quoted, numbers with all their digits."""
    return _quoted(value) if isinstance(value, bytes) else str(value).removesuffix(".0")


def date(time: int) -> str:
    """A time in UTC, as 2012-01-01T05:00:00Z; one that no calendar has, in seconds."""
    try:
        return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return str(time)


def _quoted(value: bytes) -> str:
    """A string with octal escapes for what cannot be printed."""
    return '"' + "".join(chr(c) if 32 <= c < 127 and c not in b'"\\' else f"\\{c:03o}" for c in value) + '"'
