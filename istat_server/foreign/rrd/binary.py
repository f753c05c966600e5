"""RRD files of rrdtool as they lie on the disk of a 64-bit little-endian machine: every digit of every value, which
`rrdtool dump` does not write. Versions 3 to 5. Takes no byte for granted; knows bytes and tables, no folders."""
from __future__ import annotations

import struct

from istat_server.foreign.rrd.tables import MOST_SOURCES, Rrd, RrdError, Table

MAGIC = b"RRD\0"
VERSIONS = (b"0003", b"0004", b"0005")
# Behind magic and version stands this double, in the machine's own order and place: it tells whose file it is.
COOKIE = struct.pack("<d", 8.642135e130)
HEAD = struct.Struct("<4s4s8x8s3Q80x")      # magic, version, cookie; sources, archives, seconds of a step
SOURCE = struct.Struct("<20s100x")          # name
ARCHIVE = struct.Struct("<20s4x2Q80x")      # function, rows, steps in a row
UPDATED = struct.Struct("<2q")              # Unix seconds, microseconds
PREPARED, CONSOLIDATED = 112, 80            # of each source; of each source in each archive [bytes]
POINTER = struct.Struct("<Q")               # the row that was written last
VALUE = 8                                   # [bytes]
MOST_ARCHIVES = 1000
MOST_STEP = 1 << 31                         # [s]


def is_ours(data: bytes) -> bool:
    """Whether a file, by its first bytes, is of the kind that is read here."""
    return len(data) >= HEAD.size and data[:4] == MAGIC and data[4:8] in VERSIONS and data[16:24] == COOKIE


def read(data: bytes) -> Rrd:
    """The file that bytes are. RrdError when they are damaged."""
    *_, sources, archives, step = HEAD.unpack_from(data)
    if not (1 <= sources <= MOST_SOURCES and 1 <= archives <= MOST_ARCHIVES and 1 <= step < MOST_STEP):
        raise RrdError("has a damaged header")
    at = HEAD.size
    begin = at + sources * SOURCE.size + archives * ARCHIVE.size
    values = (begin + UPDATED.size + sources * PREPARED + sources * archives * CONSOLIDATED + archives * POINTER.size)
    if len(data) < values:
        raise RrdError("is shorter than its header")
    names = tuple(_text(SOURCE.unpack_from(data, at + SOURCE.size * number)[0]) for number in range(sources))
    at += sources * SOURCE.size
    shapes = [ARCHIVE.unpack_from(data, at + ARCHIVE.size * number) for number in range(archives)]
    updated = UPDATED.unpack_from(data, begin)[0]
    pointers = [POINTER.unpack_from(data, values - POINTER.size * (archives - number))[0] for number in range(archives)]
    tables = []
    for (function, rows, parts), pointer in zip(shapes, pointers, strict=True):
        size = rows * sources * VALUE
        if not (1 <= parts < MOST_STEP and 0 < updated < 1 << 40 and pointer < rows and values + size <= len(data)):
            raise RrdError("is shorter than its archives, or has a damaged header")
        whole = parts * step
        tables.append(Table(_text(function), parts, whole, updated - updated % whole,
                            _rows(data[values : values + size], sources, pointer)))
        values += size
    return Rrd(names, tuple(tables))


def _rows(data: bytes, sources: int, pointer: int) -> list[tuple[float, ...]]:
    """The rows of an archive, the oldest one first."""
    rows = list(struct.iter_unpack(f"<{sources}d", data))
    return rows[pointer + 1 :] + rows[: pointer + 1]


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("ascii", "replace")
