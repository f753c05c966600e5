"""istatd's ring files (docs/formats/ring-file.md): where their header and buckets are. One file for each counter and
level. istatd itself calls them StatFiles, which in istatd's successor are something else.
"""

from __future__ import annotations

import struct

from istat.errors import LayoutError
from istat.pagecache.layouts.layout import Layout, Part, Ring
from istat.retention import Ladder, Level

MAGIC = b"istatd 4.0\n\x00\xf5\x14\x07\x00"
HEADER = 464                    # bytes that are used of the first page of the file, and written
RING_PAGE = 8192                # istatd's page: two of the machine's
BUCKET = 32                     # bytes
LEAST_PAGES = 2
MOST_PAGES, MOST_INTERVAL = 1 << 32, 1 << 31    # hostile headers end here


def layout(level: str, interval: int, pages: int, ring_page: int = RING_PAGE) -> Layout:
    """The layout of a file of one level: a header and so many pages of buckets; an update writes one bucket."""
    ring = Ring(f"buckets {level}", ring_page, pages * (ring_page // BUCKET), BUCKET, 1)
    return Layout(f"ring file {level}", interval, (Part("header", 0, HEADER),), (ring,), HEADER)


def of_level(level: Level) -> Layout:
    """The file that istatd makes for a level."""
    return layout(level.name, level.interval, max(LEAST_PAGES, -(-level.samples // (RING_PAGE // BUCKET))))


def of_retention(text: str) -> tuple[Layout, ...]:
    """The files of one counter, the finest level first. BadRetention says what is wrong with the text."""
    return tuple(map(of_level, Ladder.parse(text).levels))


def read(head: bytes) -> Layout:
    """The layout by the first 56 bytes of a file. LayoutError when they are no such header."""
    if len(head) < 56 or head[:16] != MAGIC:
        raise LayoutError("it does not begin as a ring file of istatd does")
    interval, = struct.unpack_from("<i", head, 20)
    ring_page, pages = struct.unpack_from("<qq", head, 40)
    if not 1 <= interval <= MOST_INTERVAL or not 1 <= pages <= MOST_PAGES or not HEADER <= ring_page <= 1 << 24 \
            or ring_page % BUCKET:
        raise LayoutError(f"the ring file has {pages} pages of {ring_page} bytes and an interval of {interval} s")
    return layout(f"{interval}s", interval, pages, ring_page)
