"""A ring file whose header is damaged, read as well as can be: for `--force`. Reads only."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from istat.errors import BadRetention
from istat.pagecache import ownfiles
from istat.retention import parse_duration
from istat_server.foreign import ring
from istat_server.foreign.ring import MOST_FILE, OLDEST_READER, PAGE, SLOT, VERSION, Header, Ring, RingError

DEFAULT_INTERVAL = 10       # [s]
NEWEST = 1 << 33            # [s] no sample of istatd's is from later


def guessed(path: Path) -> tuple[Ring, list[str]]:
    """A ring of what stands in the slots, and what was assumed, in words. RingError when there are none."""
    try:
        with ownfiles.reading(path, opener=ring.plain) as file:
            data = file.read(MOST_FILE + 1)
    except RingError as error:
        raise RingError(f"{path} {error}") from None
    pages = len(data) // PAGE - 1
    if pages < 1 or len(data) > MOST_FILE:
        raise RingError(f"{path} has {len(data)} bytes: nothing can be guessed of it")
    slots = data[PAGE : PAGE * (pages + 1)]
    interval = _interval(path, data[: ring.SIZE_OF[VERSION]])
    times = [(number, slot[0]) for number, slot in enumerate(SLOT.iter_unpack(slots)) if 0 < slot[0] < NEWEST]
    capacity = len(slots) // SLOT.size
    # Each bucket says where bucket 0 must have been, but for whole rounds.
    origins = Counter((time // interval - number) % capacity for number, time in times)
    origin = origins.most_common(1)[0][0] if origins else 0
    newest = max((time for _, time in times), default=0)
    last = (newest // interval - origin) % capacity
    created = (newest // interval - last) * interval
    first = min(((time - created) // interval for _, time in times if (time - created) // interval > last - capacity),
                default=0)
    header = Header(interval, 0, VERSION, OLDEST_READER, PAGE, pages, first, last, newest, 0.0, 0.0, 0, created,
                    created)
    return Ring(header, slots), [f"assumed: pages of {PAGE} bytes, {pages} of them, an interval of {interval} s, "
                                 f"created at {created}, {len(times)} of {capacity} slots in use"]


def _interval(path: Path, head: bytes) -> int:
    """By the header if that may be right, else by the file's name, which is the level's."""
    if ring.is_ring(head) and len(head) >= ring.COMMON.size:
        told = int(ring.COMMON.unpack_from(head)[2])
        if 0 < told <= 366 * 86400:
            return told
    try:
        return parse_duration(path.name) or DEFAULT_INTERVAL
    except BadRetention:
        return DEFAULT_INTERVAL
