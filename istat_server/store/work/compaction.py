"""Compaction: several StatFiles to fewer. Pure mechanics over open files; `rollup` makes coarser levels by the same.

Works through ranges of ids, a few blocks of each input at a time, so that memory stays bounded whatever
the size of the files. Knows neither which files are live nor when to work nor threads; the caller decides,
and drops the outputs if it changes its mind. An exception leaves no file behind; StoreCorrupt names the
input that is damaged.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain

from istat.errors import StoreError
from istat.kernels import blocks
from istat_server.store.files.container import MOST_ID, BlockEntry
from istat_server.store.files.filewriter import Output, finish_all, unlinked_on_failure
from istat_server.store.files.statfile import StatFile
from istat_server.store.files.statformat import Header, StatFileInfo

#: Raw bytes of blocks that are held of all inputs together, but for one block of each [bytes].
WORK_BYTES = 16 << 20
WINDOWS_AT_ONCE = 60  # output files open together; the kernel takes 64
Folder = str | os.PathLike[str]
Window = tuple[int, int]
Readers = list[list[blocks.BlockReader]]
Triples = list[tuple[int, int, blocks.BlockWriter]]
Step = Callable[[Readers, int, int], None]


def no_pause() -> None:
    """Pause for nobody."""


def merge(
    inputs: Sequence[StatFile],
    windows: Sequence[Window],
    header_for: Callable[[Window], Header],
    folder: Folder,
    drop_ids: Collection[int] = (),
    pause: Callable[[], None] = no_pause,
    compress: bool = True,
    rates: bool = False,
) -> list[StatFileInfo]:
    """Merge fine, direct or (rates) settled files, in sequence order, into one file per window that got rows.

    Rows of one counter and time add, folded left in the order of the inputs. Rows outside all windows and
    counters in drop_ids are left out. pause() is called between ranges of ids.
    rates: rows of events are rates, which add with their min, max and M2.
    """
    interval, dropped = _interval(inputs), sorted(drop_ids)
    done: list[StatFileInfo] = []
    for at in range(0, len(windows), WINDOWS_AT_ONCE):
        some = windows[at : at + WINDOWS_AT_ONCE]
        outputs = [Output(folder, header_for(window), interval, compress) for window in some]
        triples = [(*window, output.blocks) for window, output in zip(some, outputs, strict=True)]

        def step(feeds: Readers, first_id: int, last_id: int, to: Triples = triples) -> None:
            blocks.merge_runs(feeds, first_id, last_id, to, within(dropped, first_id, last_id), rates=rates)

        span = min(start for start, _ in some), max(end for _, end in some)
        with unlinked_on_failure(done):
            done += work_through([Feed(file, *span) for file in inputs], outputs, step, pause)
    return done


def merge_derived(
    inputs: Sequence[StatFile],
    start: int,
    end: int,
    header: Header,
    folder: Folder,
    drop_ids: Collection[int] = (),
    pause: Callable[[], None] = no_pause,
    compress: bool = True,
) -> list[StatFileInfo]:
    """Merge derived files of one level, in sequence order, into one for start <= time < end.

    Each input holds its span from header.start to header.end wholly: where several hold a time, the newest
    alone counts, also where it has no rows.
    """
    output = Output(folder, header, _interval(inputs), compress)
    spans = _newest_spans(inputs, start, end)
    clips = [(begin, stop) for _, begin, stop in spans]
    dropped = sorted(drop_ids)

    def step(feeds: Readers, first_id: int, last_id: int) -> None:
        blocks.merge_runs(feeds, first_id, last_id, [(start, end, output.blocks)],
                          within(dropped, first_id, last_id), clips)

    return work_through([Feed(file, begin, stop) for file, begin, stop in spans], [output], step, pause)


def reduce_direct(
    inputs: Sequence[StatFile],
    header: Header,
    folder: Folder,
    drop_ids: Collection[int] = (),
    pause: Callable[[], None] = no_pause,
    compress: bool = False,
) -> list[StatFileInfo]:
    """Regroup direct rows, inputs in sequence order, to the coarser interval of header; rows just add."""
    interval = header.interval
    if any(interval % file.header.interval for file in inputs):
        raise ValueError("the coarser interval is a multiple of the finer ones")
    output = Output(folder, header, interval, compress)
    dropped = sorted(drop_ids)

    def step(feeds: Readers, first_id: int, last_id: int) -> None:
        window = (header.start, header.end, output.blocks)
        blocks.merge_runs(feeds, first_id, last_id, [window], within(dropped, first_id, last_id), None, interval)

    return work_through([Feed(file, header.start, header.end) for file in inputs], [output], step, pause)


def _newest_spans(inputs: Sequence[StatFile], start: int, end: int) -> list[tuple[StatFile, int, int]]:
    """Cut start..end into stretches, each with the newest input that holds it, in time order."""
    edges = {start, end}
    for file in inputs:
        edges |= {edge for edge in (file.header.start, file.header.end) if start < edge < end}
    ordered = sorted(edges)
    spans: list[tuple[StatFile, int, int]] = []
    for begin, stop in zip(ordered, ordered[1:], strict=False):
        holders = [file for file in inputs if file.header.start <= begin and stop <= file.header.end]
        if holders and spans and spans[-1][0] is holders[-1] and spans[-1][2] == begin:
            spans[-1] = (holders[-1], spans[-1][1], stop)
        elif holders:
            spans.append((holders[-1], begin, stop))
    return spans


def within(ids: Sequence[int], first_id: int, last_id: int) -> Sequence[int]:
    """Those of ascending ids that lie in a range: a kernel looks at all that it is given, at each step."""
    return ids[bisect_left(ids, first_id) : bisect_right(ids, last_id)]


def _interval(inputs: Sequence[StatFile]) -> int:
    intervals = {file.header.interval for file in inputs}
    if len(intervals) != 1:
        raise ValueError("inputs need one interval")
    return intervals.pop()


class Feed:
    """The blocks of one input that have rows in start <= time < end, walked by id; few are held at a time."""

    def __init__(self, file: StatFile, start: int, end: int) -> None:
        self.file = file
        entries = file.entries(0, MOST_ID)
        self._coming = (e for e in entries if e.first_time < end and e.last_time >= start)
        self._known: deque[BlockEntry] = deque()
        self._held: list[tuple[BlockEntry, blocks.BlockReader]] = []

    def reach(self, budget: int) -> int | None:
        """The last id of about budget bytes of coming blocks; MOST_ID at the end, None when nothing is left."""
        size = 0
        for entry in chain(self._known.copy(), self._more()):
            size += entry.raw_length
            if size >= budget:
                return entry.last_id
        return MOST_ID if self._known or self._held else None

    def _more(self) -> Iterator[BlockEntry]:
        for entry in self._coming:
            self._known.append(entry)
            yield entry

    def take(self, last_id: int) -> list[blocks.BlockReader]:
        """Readers of all held and coming blocks that begin at or before last_id."""
        for entry in chain(self._known.copy(), self._more()):
            if entry.first_id > last_id:
                break
            self._known.popleft()
            self._held.append((entry, self.file.reader(entry, once=True)))
        return [reader for _, reader in self._held]

    def drop(self, last_id: int) -> None:
        """Let go of blocks that end at or before last_id."""
        self._held = [held for held in self._held if held[0].last_id > last_id]


def work_through(
    feeds: Sequence[Feed], outputs: Sequence[Output], step: Step, pause: Callable[[], None]
) -> list[StatFileInfo]:
    """Run step over ranges of ids and write what it leaves in the outputs' block writers."""
    budget = WORK_BYTES // max(len(feeds), 1)
    done: list[StatFileInfo] = []
    with ExitStack() as stack, unlinked_on_failure(done):
        for output in outputs:
            stack.enter_context(output)
        first_id = 0
        while first_id <= MOST_ID:
            ends = [end for end in (feed.reach(budget) for feed in feeds) if end is not None]
            if not ends:
                break
            last_id = min(ends)
            try:
                step([feed.take(last_id) for feed in feeds], first_id, last_id)
            except ValueError as error:
                raise StoreError(f"{', '.join(feed.file.path for feed in feeds)}: {error}") from error
            for feed in feeds:
                feed.drop(last_id)
            for output in outputs:
                output.write(output.blocks.take())
            first_id = last_id + 1
            pause()
        done += finish_all(outputs)
    return done
