"""What this machine has: memory for a page cache, and reads a second of a device. The one module of this room that asks
the machine."""

from __future__ import annotations

import mmap
import os
import random
import tempfile
from pathlib import Path

from istat.clock import Clock
from istat.errors import IstatError

MEMINFO = Path("/proc/meminfo")
CGROUPS, OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
RESERVE = 0.05              # of all memory: left free, for what starts later and for the kernel's own marks
UNLIMITED = 1 << 60         # bytes: groups without a limit have more
BLOCK = 4096                # bytes of a read of the test; direct I/O wants memory and offsets aligned to it
SPREAD = 64 << 20           # bytes of the file that is read: more than a disk's own cache of a few reads
SECONDS = 5.0
MOST_READS = 1_000_000


def cache_bytes() -> int:
    """Bytes that the page cache may have: what is available (reclaimable cache counts in), less a reserve; no
    more than this process' control group may use, for cache is charged to it. IstatError without /proc."""
    info = _meminfo()
    available = info["MemAvailable"] - int(info["MemTotal"] * RESERVE)
    return max(0, min(available, _group_limit()))


def _meminfo() -> dict[str, int]:
    """Bytes by name."""
    try:
        lines = MEMINFO.read_text().splitlines()
        found = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
        return {name: found[name] for name in ("MemTotal", "MemAvailable")}
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise IstatError(f"{MEMINFO} does not tell how much memory there is ({error}); say it with --memory") from error


def _group_limit() -> int:
    """Bytes that this process' control group, or one above it, may use."""
    found = UNLIMITED
    try:
        groups = [line.split(":", 2) for line in OWN_GROUP.read_text().splitlines()]
    except OSError:
        return found
    for _, kinds, name in groups:
        if kinds in ("", "memory"):
            top, limit = (CGROUPS / "memory", "memory.limit_in_bytes") if kinds else (CGROUPS, "memory.max")
            at = top / name.lstrip("/")
            for folder in (at, *at.parents):
                if folder == CGROUPS.parent:
                    break
                found = min(found, _limit(folder / limit))
    return found


def _limit(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):       # there is none, or "max"
        return UNLIMITED


def reads_a_second(folder: str, clock: Clock, seconds: float = SECONDS) -> float:
    """Random reads of 4 KiB, one at a time and past the cache, that the folder's device does. Takes that long; makes a
    file of 64 MiB there and removes it. OSError when that cannot be; IstatError where the file system has no direct
    I/O."""
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, SPREAD)
        for offset in range(0, SPREAD, 1 << 20):        # written: blocks that never were are read from nowhere
            os.pwrite(file.fileno(), os.urandom(1 << 20), offset)
        os.fsync(file.fileno())
        try:
            direct = os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY | os.O_DIRECT)
        except OSError as error:
            raise IstatError(f"{folder}: its file system reads nothing past the cache ({error.strerror}); test another "
                             "folder, or say --device-iops") from error
        try:
            return _read(direct, clock, seconds)
        finally:
            os.close(direct)


def _read(direct: int, clock: Clock, seconds: float) -> float:
    source, start = random.Random(0), clock.monotonic()
    with mmap.mmap(-1, BLOCK) as page:
        count, spent = 0, 0.0
        while spent < seconds and count < MOST_READS:
            os.preadv(direct, [page], source.randrange(SPREAD // BLOCK) * BLOCK)
            count, spent = count + 1, clock.monotonic() - start
    return count / spent if spent > 0 else float(count)
