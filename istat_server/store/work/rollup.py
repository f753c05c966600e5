"""Rollups: the coarser levels of one span, derived from all its files of the finest level. Mechanics over open files.

Which spans are due: `planning`. Seasonal levels: store/levels/seasons.py.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from istat.kernels import blocks
from istat_server.store.files.filewriter import Folder, Output
from istat_server.store.files.statfile import StatFile
from istat_server.store.files.statformat import Header, StatFileInfo
from istat_server.store.work.compaction import Feed, Readers, no_pause, within, work_through


def roll_up(
    inputs: Sequence[StatFile],
    start: int,
    end: int,
    fine_interval: int,
    coarse: Sequence[tuple[int, Header, Folder]],
    drop_ids: Collection[int] = (),
    pause: Callable[[], None] = no_pause,
    compress: bool = True,
) -> list[StatFileInfo]:
    """Rollup coarser levels from all fine files, in sequence order, for start <= time < end.

    coarse: interval, header and folder of each level; end - start is a multiple of each interval. Gauges
    merge; event totals become rates, counted with the fine buckets that are missing as zeros.
    """
    if any((end - start) % interval or interval % fine_interval for interval, _, _ in coarse):
        raise ValueError("a derived span is a multiple of every coarser interval")
    outputs = [Output(folder, header, interval, compress) for interval, header, folder in coarse]
    pairs = [(interval, output.blocks) for (interval, _, _), output in zip(coarse, outputs, strict=True)]
    dropped = sorted(drop_ids)

    def step(feeds: Readers, first_id: int, last_id: int) -> None:
        blocks.derive_runs(feeds, first_id, last_id, start, end, fine_interval, pairs,
                           within(dropped, first_id, last_id))

    return work_through([Feed(file, start, end) for file in inputs], outputs, step, pause)
