"""What a running process and its descendants have cost so far, from /proc. Knows no agent."""
from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bench.servers.process import TICK

MB = 1_000_000


class Costs(NamedTuple):
    """CPU seconds, resident and proportional bytes now, and bytes written to disks."""

    cpu: float
    rss: int
    pss: int
    written: int


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for one in found:       # grows while it is walked: children of children
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(OSError):     # a thread that ended meanwhile
                found += [int(child) for child in children.read_text().split()]
    return found


def of(pid: int) -> Costs:
    """What a process and its descendants have cost."""
    pids = family(pid)
    return Costs(sum(map(_cpu, pids)), _sum(pids, "status", r"VmRSS:\s+(\d+) kB") * 1024,
                 _sum(pids, "smaps_rollup", r"^Pss:\s+(\d+) kB") * 1024, written(pids))


def written(pids: Iterable[int]) -> int:
    """Bytes that processes have made dirty in files of disks, proc(5): a memory file system has none."""
    return _sum(pids, "io", r"^write_bytes: (\d+)")


def _cpu(pid: int) -> float:
    """User and system seconds, of children that have been waited for as well. In nanoseconds, for a tick of
    /proc/PID/stat is a tenth of a percent of ten seconds: a process has a clock, whose number is made as in
    include/linux/posix-timers.h (CPUCLOCK_SCHED)."""
    try:
        own = time.clock_gettime(~pid << 3 | 2)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:     # it has ended; its parent has its time
        return 0.0
    return own + (int(fields[13]) + int(fields[14])) / TICK


def _sum(pids: Iterable[int], file: str, pattern: str) -> int:
    total = 0
    for pid in pids:
        with suppress(OSError):
            match = re.search(pattern, Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
            total += int(match[1]) if match else 0
    return total
