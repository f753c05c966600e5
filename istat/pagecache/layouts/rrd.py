"""RRD files of rrdtool: where their header and archives are. Knows the format's structs (rrd_format.h of rrdtool,
native 64-bit build, versions 0001 to 0005 of one shape), no rows' values.

    stat_head        128 bytes   cookie "RRD", version, float cookie, counts, step
    ds_def           120 a data source
    rra_def          120 an archive
    live_head        16          time of the last update (8 in versions 1 and 2)
    pdp_prep         112 a data source
    cdp_prep         80 a data source and archive
    rra_ptr          8 an archive: the row that was written last
    rows             8 a data source, archive after archive
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from istat.errors import LayoutError
from istat.pagecache.layouts.layout import Layout, Part, Ring

MAGIC = b"RRD\0"
VALUE = 8                       # bytes of a number of one data source
MRTG_STEP = 300                 # s
#: What MRTG makes: (function, steps a row, rows).
MRTG_ARCHIVES = tuple((function, steps, 800) for function in ("AVERAGE", "MAX") for steps in (1, 6, 24, 288))
#: Hostile headers end here: 2 data sources and 8 archives are usual, thousands exist.
MOST_SOURCES, MOST_ARCHIVES, MOST_ROWS, MOST_STEPS = 1 << 16, 1 << 12, 1 << 40, 1 << 31
STAT_HEAD, DS_DEF, RRA_DEF, PDP_PREP, CDP_PREP, RRA_PTR = 128, 120, 120, 112, 80, 8

Archive = tuple[str, int, int]          # function, steps a row, rows


@dataclass(frozen=True)
class Found:
    """An RRD file's layout, and the rows at which its pointers stand."""

    layout: Layout
    pointers: tuple[int, ...]
    last_update: int                    # Unix seconds

    @property
    def updates(self) -> int:
        """The number of its last update, such that `layout.touched` of the next ones is right with `starts`."""
        return self.last_update // self.layout.interval

    @property
    def starts(self) -> list[int]:
        """The rows where the pointers would have stood at update 0."""
        return [(pointer - self.updates // ring.every) % ring.rows
                for pointer, ring in zip(self.pointers, self.layout.rings)]


def layout(sources: int, archives: Sequence[Archive], step: int = MRTG_STEP, live_head: int = 16) -> Layout:
    """The layout of an RRD file of so many data sources and these archives."""
    count = len(archives)
    lengths = (("header", STAT_HEAD + DS_DEF * sources + RRA_DEF * count),
               ("state", live_head + PDP_PREP * sources + CDP_PREP * sources * count),
               ("row pointers", RRA_PTR * count))
    parts, at = [], 0
    for name, length in lengths:
        parts.append(Part(name, at, length))
        at += length
    rings, header = [], at
    for number, (function, steps, rows) in enumerate(archives):
        rings.append(Ring(f"rra[{number}] {function}/{steps}", at, rows, VALUE * sources, steps))
        at += rings[-1].size
    return Layout("rrd", step, tuple(parts), tuple(rings), header)


def mrtg() -> Layout:
    """What MRTG makes at 5 minutes: two data sources, AVERAGE and MAX of 1, 6, 24 and 288 steps, 800 rows: 26 pages."""
    return layout(2, MRTG_ARCHIVES)


def header_bytes(head: bytes) -> int:
    """How many bytes the header has, by its first 128. LayoutError when they are no RRD file's."""
    sources, archives, _step, version = _counts(head)
    return _header(sources, archives, _live_head(version))


def read(head: bytes) -> Found:
    """The layout of an RRD file by its first bytes, `header_bytes` or more. LayoutError when they are none."""
    sources, count, step, version = _counts(head)
    live_head = _live_head(version)
    length = _header(sources, count, live_head)
    if len(head) < length:
        raise LayoutError(f"the header of this RRD file has {length} bytes, and there are {len(head)}")
    archives = []
    for number in range(count):
        at = STAT_HEAD + DS_DEF * sources + RRA_DEF * number
        rows, steps = struct.unpack_from("<QQ", head, at + 24)
        if not 1 <= rows <= MOST_ROWS or not 1 <= steps <= MOST_STEPS:
            raise LayoutError(f"the RRD file's archive {number} has {rows} rows of {steps} steps")
        archives.append((head[at:at + 20].partition(b"\0")[0].decode("ascii", "replace"), steps, rows))
    last_update, = struct.unpack_from("<q", head, STAT_HEAD + DS_DEF * sources + RRA_DEF * count)
    pointers = struct.unpack_from(f"<{count}Q", head, length - RRA_PTR * count)
    for number, (pointer, archive) in enumerate(zip(pointers, archives)):
        if pointer >= archive[2]:
            raise LayoutError(f"the RRD file's archive {number} has {archive[2]} rows and stands at {pointer}")
    return Found(layout(sources, archives, step, live_head), pointers, last_update)


def _counts(head: bytes) -> tuple[int, int, int, int]:
    """Data sources, archives, seconds a step, version."""
    if len(head) < STAT_HEAD or head[:4] != MAGIC or not head[4:8].isdigit():
        raise LayoutError("it does not begin as an RRD file does")
    sources, archives, step = struct.unpack_from("<QQQ", head, 24)
    if not 1 <= sources <= MOST_SOURCES or not 1 <= archives <= MOST_ARCHIVES or not 1 <= step <= MOST_STEPS:
        raise LayoutError(f"the RRD file has {sources} data sources, {archives} archives and a step of {step} s: "
                          "it is damaged, or of another machine's byte order")
    return sources, archives, step, int(head[4:8])


def _live_head(version: int) -> int:
    """Bytes of live_head: microseconds came with version 3."""
    return 16 if version >= 3 else 8


def _header(sources: int, archives: int, live_head: int) -> int:
    return (STAT_HEAD + DS_DEF * sources + RRA_DEF * archives + live_head + PDP_PREP * sources
            + CDP_PREP * sources * archives + RRA_PTR * archives)
