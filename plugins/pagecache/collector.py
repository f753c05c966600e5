"""What files hold of the machine's memory: pages in the page cache, and dirty ones, of the trees that are named.

Source: cachestat(2) of each file (Linux 6.5; before, mincore(2), which is slower and knows no dirty pages), by
`istat.pagecache`. No file is read. A tree is a job of its own: one that does not answer holds up no other.
"""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace

from istat.pagecache.fleets.distribution import Totals
from istat.pagecache.scanning import Selection, scan
from istat.pagecache.syscalls import PAGE
from istat.plugin import Config, Emit, Integer, Job, Labels, Metric, Setting, collector

EVERY = 300  # seconds: 300,000 files are some 8 s of work
SHARE = 0.2  # of one core that a reading takes at most: collectors share an interpreter, and other programs the machine
BATCH = 256  # files and folders between two looks at the time
MOST_APART = 1_000_000
TREE = Selection(recurse=True, one_filesystem=True)


def label(path: str) -> str:
    """A folder as one component of a counter's name: `var_lib` for `/var/lib`."""
    return re.sub(r"[^a-z0-9_-]", "_", path.strip("/").lower()) or "root"


@collector(
    interval=EVERY,
    help="Pages of named folders' files that are in memory, and dirty ones. Every five minutes: each file is opened.",
    settings=[
        Setting("trees", list[str], [], "folders whose files are counted, with all below on the same file system"),
        Setting("one-in", Integer(1, MOST_APART), 1, "count one file in so many, always the same ones, and multiply"),
    ],
    metrics=[
        Metric("pagecache.<tree>.files", "", "plain files; one with several names counts once"),
        Metric("pagecache.<tree>.size_bytes", "bytes", "their size"),
        Metric("pagecache.<tree>.resident_bytes", "bytes", "memory that their pages take"),
        Metric("pagecache.<tree>.resident_percent", "%", "share of their pages that is in memory"),
        Metric("pagecache.<tree>.pages_per_file", "", "pages in memory, mean of the files"),
        Metric("pagecache.<tree>.dirty_bytes", "bytes", "changed and not written to the disk yet; an upper bound"),
        Metric("pagecache.<tree>.writeback_bytes", "bytes", "being written to the disk"),
        Metric("pagecache.<tree>.recently_evicted_bytes", "bytes",
               "put out for want of memory not long ago: what comes back was wanted"),
        Metric("pagecache.<tree>.unknown_files", "", "of which the agent may know nothing: all else is without them"),
        Metric("pagecache.<tree>.failed_files", "", "that cannot be opened, and folders that cannot be listed"),
    ],
)
class PageCache:
    """Makes a job for each tree."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep

    def setup(self, config: Config) -> None:
        """Take the settings."""
        self._one_in, self._patience = config["one-in"], config.interval / 2
        trees = {tree.strip("/"): tree for tree in map(os.path.abspath, config["trees"])}
        self._trees = {trees[thing]: name for thing, name in Labels(label, "/").of(trees).items()}

    def jobs(self) -> list[Job]:
        """See istat.plugin.Job."""
        return [
            Job(f"pagecache:{name}", functools.partial(self._collect, tree, name))
            for tree, name in self._trees.items()
        ]

    def _collect(self, tree: str, name: str, emit: Emit) -> None:
        """One reading of a tree."""
        if not os.path.isdir(tree):
            emit.problem(f"{tree} of the setting trees is no folder that can be looked at")
            return
        totals = Totals()
        pace = _Pace(self._sleep, self._patience)
        for found in scan([tree], selection=replace(TREE, one_in=self._one_in, listed=pace.step)):
            totals.add(found.residency)
            pace.step()
        if totals.unknown and not totals.known:
            emit.problem(
                f"nothing may be known of the files of {tree}: the agent must own them, be able to write them, or have "
                "CAP_FOWNER (docs/collectors.md)"
            )
        _report(emit, f"pagecache.{name}", totals, self._one_in)


class _Pace:
    """Keeps work to a share of one core for so many seconds; then it is time to get done."""

    def __init__(self, sleep: Callable[[float], None], patience: float) -> None:
        self._sleep, self._until = sleep, time.monotonic() + patience
        self._steps, self._worked = 0, time.thread_time()

    def step(self) -> None:
        """A file was counted, or a folder listed."""
        self._steps += 1
        if self._steps % BATCH == 0 and time.monotonic() < self._until:
            self._sleep((time.thread_time() - self._worked) * (1 / SHARE - 1))
            self._worked = time.thread_time()


def _report(emit: Emit, name: str, totals: Totals, times: int) -> None:
    """Sums; absent what is known of no file."""
    emit.gauge(f"{name}.files", (totals.known + totals.unknown) * times)
    emit.gauge(f"{name}.unknown_files", totals.unknown * times)
    emit.gauge(f"{name}.failed_files", totals.failed)
    if totals.unknown and not totals.known:
        return
    emit.gauge(f"{name}.size_bytes", totals.size * times)
    emit.gauge(f"{name}.resident_bytes", totals.resident_bytes * times)
    if totals.share is not None:
        emit.gauge(f"{name}.resident_percent", 100 * totals.share)
    if totals.known:
        emit.gauge(f"{name}.pages_per_file", totals.resident / totals.known)
    for what in ("dirty", "writeback", "recently_evicted"):
        pages = getattr(totals, what)
        if pages is not None:
            emit.gauge(f"{name}.{what}_bytes", pages * PAGE * times)
