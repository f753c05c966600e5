"""What an instance holds in memory, by its own account and by the system's: python -m bench.cubes.held KIND CELLS

A fresh process prints the bytes that it grew by and those that the instance tells. All work is made before the first
look at the process, and what malloc keeps of freed memory for later is given back: neither counts.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.cubes import work
from bench.cubes.instances import MOST, counted, sketched
from istat.cube import Instance, Sampling

KINDS: dict[str, Callable[[int], Instance]] = {
    "counter": lambda cells: counted(cells),
    "counters": lambda cells: counted(cells, 10),
    "histogram": lambda cells: sketched("histogram", cells, 4, 3),
    "hll-sparse": lambda cells: sketched("hll", cells, 12, 8),
    "hll-dense": lambda cells: sketched("hll", cells, 6, 8),
    "topk": lambda cells: counted(cells, mode=Sampling.TOPK),
}


def total(held: Any) -> int:
    """The sum of all figures of `Instance.memory`."""
    if isinstance(held, dict):
        return sum(map(total, held.values()))
    return int(held)


def resident() -> int:
    """[bytes] of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def settle() -> None:
    """Give back what nobody holds."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)      # of glibc
    if trim is not None:
        trim(0)


def measure(kind: str, cells: int) -> dict[str, int]:
    """Bytes that the process grew by, and that the instance tells."""
    KINDS[kind](MOST)  # what is made once in a process
    for prepared in (work.keys, work.values, work.items):
        prepared(cells)
    settle()
    before = resident()
    inst = KINDS[kind](cells)
    settle()
    return {"grown": resident() - before, "told": total(inst.memory())}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
