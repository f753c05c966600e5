"""istatd's ring files: one per counter and level. docs/formats/ring-file.md draws them; part 6 of istatd's behaviour.

Reading takes no byte for granted and never writes. Writing makes files that istatd opens as its own (version 8).
"""
from __future__ import annotations

import math
import os
import stat
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from istat.access import guarded
from istat.errors import IstatError
from istat.kernels import rings
from istat.kernels.python.rings import MOST, MOST_INTERVAL, to_float
from istat.pagecache import ownfiles
from istat_server.store import ondisk

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

MAGIC = b"istatd 4.0\n\x00\xf5\x14\x07\x00"
EVENT, TRAILING, COARSE = 1, 2, 4       # flags
VERSION, OLDEST_READER = 8, 4
PAGE = 8192                             # what istatd writes on machines with pages of 4 KiB [bytes]
MOST_FILE = 1 << 30                     # a ring of 33 million buckets; bounds what a strange file costs [bytes]

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
    if max(abs(header.created), abs(header.last_bucket)) > MOST or not 0 <= header.fixed_count < MOST_INTERVAL:
        raise RingError("has times that cannot be")
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

    def rows(self, now: int, finest: int) -> Columns:
        """Final rows in order of time; of event counters rates per second. `finest`: the finest level's interval.

        Buckets whose numbers are not finite are left out.
        """
        header = self.header
        parts = 0
        if header.flags & COARSE:
            parts = header.fixed_count if header.fixed_count > 0 else max(1, header.interval // finest)
        ahead = now if header.flags & EVENT else 0
        made: Columns = rings.rows(self.slots, header.interval, header.created, header.last_bucket, ahead, parts)
        return made

    def not_finite(self, now: int, finest: int) -> int:
        """How many buckets `rows` leaves out: as many more as it gives where the odd numbers are zeros."""
        if self._seems_finite():
            return 0
        mended = bytearray(self.slots)
        for at, (time, total, low, high, count, sumsq) in enumerate(SLOT.iter_unpack(self.slots)):
            if not all(map(math.isfinite, (total, low, high, sumsq))):
                SLOT.pack_into(mended, at * SLOT.size, time, 0.0, 0.0, 0.0, count, 0.0)
        return len(replace(self, slots=bytes(mended)).rows(now, finest)) - len(self.rows(now, finest))

    def _seems_finite(self) -> bool:
        """Quickly, as each file is asked: one odd number makes a sum odd. A sum that overflows costs a closer look."""
        doubles, floats = memoryview(self.slots).cast("d"), memoryview(self.slots).cast("f")
        sums = (doubles[1::4], floats[4::8], floats[5::8], floats[7::8])        # as SLOT has them
        return all(math.isfinite(sum(column)) for column in sums)


def read(path: Path) -> Ring:
    """Read a file. RingError, without its name, when it is damaged or no plain file; OSError when it cannot be read."""
    with ownfiles.reading(path, opener=plain) as file:
        header = read_header(file.read(SIZE_OF[VERSION]))
        size = os.fstat(file.fileno()).st_size
        if size < header.file_size:
            raise RingError(f"has {size} bytes, {header.file_size} expected")
        file.seek(header.page_size)
        return Ring(header, file.read(header.page_size * header.page_count))


def plain(path: str, flags: int) -> int:
    """An opener of a plain file: nobody is waited for where a pipe has its place. RingError, OSError."""
    handle = ondisk.at_once(path, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise RingError("is no plain file")
    return handle


def encode(header: Header) -> bytes:
    """A header as its page has it; one that an older version made keeps that one's size."""
    head = COMMON.pack(MAGIC, header.size, header.interval, header.flags, header.version, header.reader,
                       header.page_size, header.page_count, header.first_bucket, header.last_bucket, header.last_time,
                       header.cumulative_sum, header.cumulative_sum_sq, header.cumulative_count, header.cleared,
                       header.created, header.unit, header.name)
    head += SINCE_6.pack(header.factor, header.season) + SINCE_8.pack(header.fixed_count)
    return head[: header.size].ljust(header.page_size, b"\0")


def empty(path: Path, interval: int, keep: int, flags: int, parts: int, created: int) -> Header:
    """The header of a new file that holds `keep` seconds and begins at a time."""
    pages = max(2, -(-(keep // interval) // (PAGE // SLOT.size)))
    created -= created % interval
    return Header(interval, flags, VERSION, OLDEST_READER, PAGE, pages, 0, 0, created, 0.0, 0.0, 0, created, created,
                  name=os.fsencode(path)[:255], fixed_count=parts if flags & COARSE else 0)


def made(path: Path, rows: Columns, interval: int, keep: int, flags: int, parts: int) -> tuple[Ring, int]:
    """Rows as a ring file that holds `keep` seconds, and the number of rows that are too old for it.

    Rows as `Ring.rows` gives them. flags: EVENT at the finest level of event counters, COARSE above it. parts: the
    fixed count of COARSE. path: where it is to be.
    """
    found = rows.rows()
    header = empty(path, interval, keep, flags, parts, found[0][0] if found else 0)
    last = (found[-1][0] - header.created) // interval if found else 0
    first = max(0, last - header.capacity + 1)
    body = bytearray(PAGE * header.page_count)
    dropped, squares = 0, 0.0
    for time, count, total, m2, low, high in found:
        index = (time - header.created) // interval
        if index < first:
            dropped += 1
            continue
        sumsq = m2 + total * total / count
        squares += sumsq
        SLOT.pack_into(body, SLOT.size * header.slot(index), time, total, to_float(low), to_float(high),
                       min(count, (1 << 31) - 1), to_float(sumsq))
    header = replace(header, first_bucket=first, last_bucket=last, last_time=found[-1][0] if found else 0,
                     cumulative_sum=sum(row[2] for row in found), cumulative_sum_sq=squares,
                     cumulative_count=sum(row[1] for row in found))
    return Ring(header, bytes(body)), dropped


def write(path: Path, rows: Columns, interval: int, keep: int, flags: int, parts: int) -> int:
    """Write rows as a ring file, as `made` makes it; the number of rows that are too old for it."""
    ring, dropped = made(path, rows, interval, keep, flags, parts)
    put(path, ring)
    return dropped


def put(path: Path, ring: Ring) -> None:
    """Write a ring as a file, which appears whole, under a name that is its own until then. Pages that are all zeros
    take no room on the disk."""
    size = ring.header.page_size
    nothing = bytes(size)
    aside = path.with_name(f".{path.name}.tmp")         # istatd passes over names that begin with a dot
    try:
        with ownfiles.writing(aside, guarded.fresh) as file:
            file.write(encode(ring.header))
            for at in range(0, len(ring.slots), size):
                page = ring.slots[at : at + size]
                if page != nothing:
                    file.seek(size + at)
                    file.write(page)
            file.truncate(ring.header.file_size)
            file.flush()
            ownfiles.put_away(file.fileno())
        os.rename(aside, path)
    finally:
        aside.unlink(missing_ok=True)
