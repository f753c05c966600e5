"""Runs of many blocks, merged and reduced: the specification. The native build of the same name gives the same rows.

All that it gives is specification; how the rows are coded again is the writer's business.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from istat.kernels.python.blocks import runs
from istat.kernels.python.blocks.coding import BlockReader, BlockWriter, Entry
from istat.kernels.python.columns import Columns

MOST_OUTPUTS = 64

Clip = tuple[int, int]


def _gather(
    inputs: Sequence[Sequence[BlockReader]],
    first_id: int,
    last_id: int,
    drop_ids: Collection[int],
    clips: Sequence[Clip] | None = None,
    regroup: int = 0,
    rates: bool = False,
) -> Iterator[tuple[int, bool, Columns]]:
    """Give, by ascending id, the kind and the folded rows of all inputs."""
    if clips is not None and len(clips) != len(inputs):
        raise ValueError("every input needs its clip")
    entries: dict[int, list[tuple[BlockReader, Entry, Clip]]] = {}
    for number, readers in enumerate(inputs):
        clip = (0, runs.LAST_TIME + 1) if clips is None else clips[number]
        for reader in readers:
            for entry in reader.entries:
                if first_id <= entry.id <= last_id:
                    entries.setdefault(entry.id, []).append((reader, entry, clip))
    for id in sorted(entries):
        kinds = {entry.flags & runs.EVENT for _, entry, _ in entries[id]}
        if len(kinds) > 1:
            raise ValueError(f"counter {id} is gauge here and event there")
        event = bool(kinds.pop())
        rows = Columns()
        for reader, entry, (start, end) in entries[id]:
            for row in reader.decode(entry):
                if start <= row[0] < end:
                    rows.append(row[0] - row[0] % regroup if regroup else row[0], *row[1:])
        if event and rates:
            rows.fold_rates()
        else:
            rows.fold(event)
        if id not in drop_ids:
            yield id, event, rows


def merge_runs(
    inputs: Sequence[Sequence[BlockReader]],
    first_id: int,
    last_id: int,
    outputs: Sequence[tuple[int, int, BlockWriter]],
    drop_ids: Collection[int] = (),
    clips: Sequence[Clip] | None = None,
    regroup: int = 0,
    rates: bool = False,
) -> int:
    """Merge runs of partial rows, inputs in sequence order, over ids first_id..last_id inclusive.

    outputs: ``(from, to, BlockWriter)``; rows outside all of them are left out, as are drop_ids. clips: for
    each input the ``(from, to)`` of which its rows count. regroup: a coarser interval to move times down to.
    rates: rows of events are rates per second (settled rows), which add with their min, max and M2.
    Gives the rows written. ValueError: an input is damaged.
    """
    if len(outputs) > MOST_OUTPUTS:
        raise ValueError("at most 64 outputs")
    written = 0
    for id, event, rows in _gather(inputs, first_id, last_id, drop_ids, clips, regroup, rates):
        for start, end, writer in outputs:
            part = rows.slice(start, end)
            writer.add_run(id, event, part)
            written += len(part)
    return written


def derive_runs(
    inputs: Sequence[Sequence[BlockReader]],
    first_id: int,
    last_id: int,
    start: int,
    end: int,
    fine_interval: int,
    outputs: Sequence[tuple[int, BlockWriter]],
    drop_ids: Collection[int] = (),
) -> int:
    """Merge fine runs as merge_runs does and reduce start <= time < end to coarser intervals.

    outputs: ``(interval, BlockWriter)``; event totals become rates per second first. Gives the rows written.
    """
    if len(outputs) > MOST_OUTPUTS:
        raise ValueError("at most 64 outputs")
    if fine_interval < 1 or any(interval < fine_interval for interval, _ in outputs):
        raise ValueError("a coarser interval is a multiple of the fine one")
    written = 0
    for id, event, rows in _gather(inputs, first_id, last_id, drop_ids):
        span = rows.slice(start, end)
        if event:
            span.rates(fine_interval)
        for interval, writer in outputs:
            part = span.reduce(start, interval, interval // fine_interval if event else 0)
            writer.add_run(id, event, part)
            written += len(part)
    return written
