"""istatd's ring files: one per counter and level. docs/formats/ring-file.md draws them; part 6 of istatd's behaviour.

Reading takes no byte for granted and never writes. Writing makes files that istatd opens as its own (version 8).
"""
from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from istat.errors import IstatError
from istat.kernels import columns

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

MAGIC = b"istatd 4.0\n\x00\xf5\x14\x07\x00"
EVENT, TRAILING, COARSE = 1, 2, 4       # flags
VERSION, OLDEST_READER = 8, 4
PAGE = 8192                             # what istatd writes on machines with pages of 4 KiB [bytes]
MOST_FILE = 1 << 30                     # a ring of 33 million buckets; bounds what a strange file costs [bytes]
FLOAT_MAX = 3.4028234663852886e38

COMMON = struct.Struct("<16s5i4x5q2d3q64s256s")     # all versions: 440 bytes
SINCE_6 = struct.Struct("<dQ")                      # lambda, season
SINCE_8 = struct.Struct("<q")                       # fixed_count
SLOT = struct.Struct("<qdffif")                     # time, sum, min, max, count, sumsq
SIZE_OF = {4: 440, 5: 440, 6: 456, 7: 456, 8: 464}  # version -> bytes of the header


class RingError(IstatError):
    """A file is no ring file, or is damaged."""

    exit_code = 94


@dataclass(frozen=True)
class Header:
    """As the file has it; what a version does not have is 0. Times are Unix seconds."""

    interval: int
    flags: int
    version: int
    reader: int
    page_size: int
    page_count: int
    first_bucket: int
    last_bucket: int
    last_time: int
    cumulative_sum: float
    cumulative_sum_sq: float
    cumulative_count: int
    cleared: int
    created: int
    unit: bytes = b""
    name: bytes = b""
    factor: float = 0.0         # lambda
    season: int = 0
    fixed_count: int = 0
    size: int = 464             # of the header [bytes]

    @property
    def capacity(self) -> int:
        """Slots of the ring."""
        return self.page_count * (self.page_size // SLOT.size)

    @property
    def file_size(self) -> int:
        """Bytes of the whole file."""
        return self.page_size * (self.page_count + 1)

    def slot(self, index: int) -> int:
        """The slot of a bucket index, which may be negative."""
        return index % self.capacity

    def has(self, index: int, time: int, now: int) -> bool:
        """Whether a bucket of that index may be in the ring."""
        if index > self.last_bucket:
            return bool(self.flags & EVENT) and time < now
        return index > self.last_bucket - self.capacity


class Bucket(NamedTuple):
    """A slot, as it stands in the file."""

    time: int
    sum: float
    min: float
    max: float
    samples: int                # the count
    sumsq: float


def is_ring(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a ring file."""
    return head[: len(MAGIC)] == MAGIC


def read_header(data: bytes) -> Header:
    """The header at the start of a file's bytes. RingError when it cannot be one."""
    if not is_ring(data):
        raise RingError("is no istatd file")
    if len(data) < COMMON.size:
        raise RingError("is shorter than its header")
    _, size, interval, flags, version, reader, *numbers, unit, name = COMMON.unpack_from(data)
    if reader > VERSION:
        raise RingError(f"is of version {reader}, which is too new")
    if version not in SIZE_OF:
        raise RingError(f"was created by version {version}; versions 4 to 8 can be read")
    # A file keeps the header's size of the version that made it, though later ones raise cr_version to 7.
    if size not in SIZE_OF.values() or (version == VERSION and size != SIZE_OF[VERSION]) or len(data) < size:
        raise RingError(f"has a header of {size} bytes")
    factor, season = SINCE_6.unpack_from(data, COMMON.size) if size >= SIZE_OF[6] else (0.0, 0)
    fixed = SINCE_8.unpack_from(data, COMMON.size + SINCE_6.size)[0] if size >= SIZE_OF[8] else 0
    header = Header(interval, flags, version, reader, *numbers)
    header = replace(header, unit=unit.rstrip(b"\0"), name=name.rstrip(b"\0"), factor=factor, season=season,
                     fixed_count=fixed, size=size)
    _check(header)
    return header


def _check(header: Header) -> None:
    if header.interval < 1:
        raise RingError(f"has an interval of {header.interval} s")
    if header.page_size < 4096 or header.page_size % SLOT.size:
        raise RingError(f"has pages of {header.page_size} bytes")
    if header.page_count < 1 or header.file_size > MOST_FILE:
        raise RingError(f"has {header.page_count} pages")


@dataclass(frozen=True)
class Ring:
    """One ring file, read whole."""

    header: Header
    slots: bytes

    @property
    def event(self) -> bool:
        """Whether it is of an event counter."""
        return bool(self.header.flags & (EVENT | COARSE))

    @property
    def trailing(self) -> bool:
        """Whether it holds a season, smoothed, rather than what was."""
        return bool(self.header.flags & TRAILING)

    def slot(self, number: int) -> Bucket:
        """What stands in a slot."""
        return Bucket(*SLOT.unpack_from(self.slots, number * SLOT.size))

    def buckets(self, now: int) -> Iterator[tuple[int, Bucket]]:
        """Index and content of all slots that hold a bucket, in order of slots."""
        header = self.header
        created, interval, capacity = header.created, header.interval, header.capacity
        for number, fields in enumerate(SLOT.iter_unpack(self.slots)):
            time = fields[0]
            if time <= 0 or fields[4] <= 0:
                continue
            index = (time - created) // interval
            # istatd divides towards zero: late samples from before its creation stand one slot further.
            if index % capacity != number and not (index < 0 and (index + 1) % capacity == number):
                continue
            if header.has(index, time, now):
                yield index, Bucket(*fields)

    def rows(self, now: int, finest: int) -> Columns:
        """Final rows in order of time; of event counters rates per second. `finest`: the finest level's interval.

        Buckets whose numbers are not finite are left out.
        """
        made: Columns = columns.Columns()
        header = self.header
        parts = 0
        if header.flags & COARSE:
            parts = header.fixed_count if header.fixed_count > 0 else max(1, header.interval // finest)
        for index, bucket in self.buckets(now):
            if all(map(math.isfinite, bucket[1:])):
                made.append(header.created + index * header.interval, *_statistics(bucket, parts))
        made.fold(False)
        return made


def _statistics(bucket: Bucket, parts: int) -> tuple[int, float, float, float, float]:
    """count, sum, M2, min, max. `parts`: the count of coarse event buckets, whatever theirs is."""
    _, total, low, high, count, sumsq = bucket
    count = parts or count
    if count == 1 and _is_float(total, low) and low == high:
        return 1, total, 0.0, total, total          # the sum has all digits of the one value
    if low == high:
        return count, total, 0.0, low, high
    m2 = sumsq - total * total / count
    return count, total, m2 if m2 > 0.0 else 0.0, low, high


def _is_float(value: float, short: float) -> bool:
    return to_float(value) == short


def to_float(value: float) -> float:
    """As a number of 24 bits of mantissa; beyond its range the largest one."""
    if abs(value) > FLOAT_MAX:
        return math.copysign(FLOAT_MAX, value)
    found: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return found


def read(path: Path) -> Ring:
    """Read a file. RingError, without its name, when it is damaged; OSError when it cannot be read."""
    with open(path, "rb") as file:
        header = read_header(file.read(SIZE_OF[VERSION]))
        size = os.fstat(file.fileno()).st_size
        if size < header.file_size:
            raise RingError(f"has {size} bytes, {header.file_size} expected")
        file.seek(header.page_size)
        return Ring(header, file.read(header.page_size * header.page_count))


def write(path: Path, rows: Columns, interval: int, keep: int, flags: int, parts: int) -> int:
    """Write rows as a ring file that holds `keep` seconds; the number of rows that are too old for it.

    Rows as `Ring.rows` gives them. flags: EVENT at the finest level of event counters, COARSE above it. parts: the
    fixed count of COARSE. The file appears whole, under a name that is its own until then.
    """
    found = rows.rows()
    pages = max(2, -(-(keep // interval) // (PAGE // SLOT.size)))
    created = found[0][0] if found else 0
    last = (found[-1][0] - created) // interval if found else 0
    header = Header(interval, flags, VERSION, OLDEST_READER, PAGE, pages, 0, last, found[-1][0] if found else 0,
                    sum(row[2] for row in found), 0.0, sum(row[1] for row in found), created, created,
                    name=os.fsencode(path)[:255], fixed_count=parts if flags & COARSE else 0)
    first = max(0, last - header.capacity + 1)
    body = bytearray(PAGE * pages)
    dropped, squares = 0, 0.0
    for time, count, total, m2, low, high in found:
        index = (time - created) // interval
        if index < first:
            dropped += 1
            continue
        sumsq = m2 + total * total / count
        squares += sumsq
        SLOT.pack_into(body, SLOT.size * header.slot(index), time, total, to_float(low), to_float(high),
                       min(count, (1 << 31) - 1), to_float(sumsq))
    _put(path, header, first, squares, bytes(body))
    return dropped


def _put(path: Path, header: Header, first: int, squares: float, body: bytes) -> None:
    head = COMMON.pack(MAGIC, header.size, header.interval, header.flags, header.version, header.reader,
                       header.page_size, header.page_count, first, header.last_bucket, header.last_time,
                       header.cumulative_sum, squares, header.cumulative_count, header.cleared, header.created,
                       header.unit, header.name)
    head += SINCE_6.pack(header.factor, header.season) + SINCE_8.pack(header.fixed_count)
    aside = path.with_name(f".{path.name}.tmp")         # istatd passes over names that begin with a dot
    try:
        with open(aside, "wb") as file:
            file.write(head.ljust(header.page_size, b"\0") + body)
            file.flush()
            os.fdatasync(file.fileno())
        os.rename(aside, path)
    finally:
        aside.unlink(missing_ok=True)
