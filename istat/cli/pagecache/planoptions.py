"""The options that `istat cacheplan` and its `advise` share, and what is asked for by them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

from istat.cli.pagecache.choosing import size
from istat.clock import Clock
from istat.errors import UsageError
from istat.pagecache import layouts
from istat.pagecache.layouts import Layout
from istat.pagecache.model import machine, ourstore, planning
from istat.pagecache.model.fitting import Cache
from istat.pagecache.model.ourstore import Store
from istat.pagecache.model.overheads import OVERHEADS
from istat.pagecache.model.planning import Demand, Kind
from istat.pagecache.model.rates import MODELS
from istat.pagecache.syscalls import PAGE

BUDGET = 250            # page-ins a second: what a few mechanical disks read at random
MOST_READS = 1e15       # page-ins a second that anybody could mean
SHARE = 0.5             # of a device's reads: the rest is for what is written, and for whoever asks
READ_AHEAD_KB = 128     # the kernel's default; distributions and disks have more
BATCH = 12              # updates: an hour of 5 minutes
OURS = "store"
COUNTERS = 1_000_000    # of our own store, when nothing is said


@dataclass(frozen=True)
class Asked:
    """What is to be planned. `overhead`: its name; `device_iops`: reads a second, None when nobody told or tested."""

    demand: Demand
    stores: tuple[Store, ...]
    overhead: str
    device_iops: float | None
    memory_given: bool


def takes_demand(command: argparse.ArgumentParser) -> None:
    """The options."""
    add = command.add_argument
    kinds = "; ".join(f"{kind}: {meaning}" for kind, meaning in layouts.KINDS.items()).replace("%", "%%")
    add("--layout", action="append", default=[], metavar="LAYOUT[=COUNT]", help=f"what files there are, and how many "
        f"(default: as many as fit); may be given several times; default mrtg. {kinds}; {OURS}[:RETENTION]: istatd's "
        "own store")
    add("--memory", type=size, metavar="SIZE", help="for the page cache, such as 10G (default: what is available here, "
        "less 5%%)")
    add("--overhead", choices=list(OVERHEADS), default="ext4", help="file system whose own memory for each file is "
        "counted (default ext4)")
    add("--model", choices=list(MODELS), default="lru", help="how faults are foretold (default lru)")
    add("--meta", type=int, default=0, metavar="N", help="pages of each file for its inode and indirect blocks, 0 to 2 "
        "(default 0)")
    add("--page-size", type=size, default=PAGE, metavar="SIZE", help="of memory (default this machine's)")
    add("--interval", type=float, metavar="SECONDS", help="from one update to the next (default: the layout's)")
    add("--budget", type=float, metavar="N", help="page-ins a second that are borne")
    add("--device-iops", type=float, metavar="N", help="random reads a second that the device does")
    add("--test-device", metavar="FOLDER", help="find that out: read from the device of a folder for 5 s (writes and "
        "removes a file of 64 MiB there)")
    add("--read-ahead", type=int, default=READ_AHEAD_KB, metavar="KIB", help=f"the device's read_ahead_kb (default "
        f"{READ_AHEAD_KB}; istat cacheplan advise tells that of files)")
    add("--coalesce", type=int, default=BATCH, metavar="N", help=f"updates of a file that are kept and written at "
        f"once, where that is compared (default {BATCH})")


def asked(arguments: argparse.Namespace, clock: Clock) -> Asked:
    """What the options ask for. UsageError and LayoutError when they make no sense."""
    given = arguments.layout or ["mrtg"]
    kinds: list[Kind] = []
    stores: list[Store] = []
    for text in given:
        name, count = _counted(text)
        if name.partition(":")[0] == OURS:
            stores.append(ourstore.store(name, COUNTERS if count is None else count))
        else:
            kinds += _kinds(name, count, arguments.interval)
    iops = arguments.device_iops
    if arguments.test_device is not None:
        iops = machine.reads_a_second(arguments.test_device, clock)
    budget = arguments.budget if arguments.budget is not None else BUDGET if iops is None else iops * SHARE
    if not all(0 < number < MOST_READS for number in (budget, iops or budget)) or iops == 0 \
            or not 0 <= arguments.read_ahead <= 1 << 30:
        raise UsageError("--budget and --device-iops are above 0 and numbers, --read-ahead 0 or more")
    memory = machine.cache_bytes() if arguments.memory is None else arguments.memory
    cache = Cache(memory, OVERHEADS[arguments.overhead], arguments.model, arguments.meta)
    demand = Demand(cache, tuple(kinds), budget, arguments.coalesce, arguments.read_ahead,
                    arguments.page_size)
    return Asked(demand, tuple(stores), arguments.overhead, iops, arguments.memory is not None)


def _kinds(name: str, count: int | None, interval: float | None) -> list[Kind]:
    """The files of one layout; of a counter's, each level has its own."""
    found = layouts.parse(name)
    return [Kind(name if len(found) == 1 else layout.name, timed(layout, interval), count) for layout in found]


def _counted(text: str) -> tuple[str, int | None]:
    """A layout's words, and how many files: the number behind `=`."""
    name, mark, count = text.rpartition("=")
    if not mark:
        return text, None
    if not (count.isascii() and count.isdecimal()) or not 1 <= int(count[:20]) <= planning.MOST_COUNT:
        raise UsageError(f"--layout {text}: behind = stands how many files there are, 1 to {planning.MOST_COUNT:,}")
    return name, int(count)


def timed(layout: Layout, interval: float | None) -> Layout:
    """The layout, with another time between updates. UsageError."""
    if interval is None:
        return layout
    if not 1 <= interval <= 1e9 or interval != int(interval):
        raise UsageError("--interval is a whole number of seconds, 1 or more")
    return replace(layout, interval=int(interval))
