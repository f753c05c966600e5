"""Files of seasonal levels, whose buckets follow from those of the season before.

Runs in threads and changes nothing that is live.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack

from istat_server.store.files.filewriter import Output, finish_all
from istat_server.store.files.manifest import DIRECT
from istat_server.store.files.statformat import Header, StatFileInfo
from istat_server.store.files.view import GroupView
from istat_server.store.levels.reading import Asked, answer_at_rest, kinds_in, raise_error

#: Counters between two pauses: some 20 ms of work.
IDS_AT_ONCE = 100


def roll_up_seasons(policy: int, view: GroupView, start: int, end: int, paths: Collection[str],
                   header: Callable[[int], Header], folder: Callable[[int], str], drop_ids: Sequence[int],
                   pause: Callable[[], None]) -> list[StatFileInfo]:
    """Files of one span of the seasonal levels, for the counters in these files of the finest level, and for those that
    have rows of coarser levels only."""
    ladder = view.policy.ladder
    levels = range(len(ladder.levels), len(ladder.stored))
    if not levels:
        return []
    wanted = [live.file for live in view.files if live.entry.path in paths or (
        live.entry.kind == DIRECT and live.entry.start < end and live.entry.end > start)]
    kinds = kinds_in(wanted, drop_ids, pause)
    with ExitStack() as stack:
        outputs = {level: stack.enter_context(Output(folder(level), header(level), ladder.stored[level].interval, True))
                   for level in levels}
        for done, (id, kind) in enumerate((id, kind) for id, kind in enumerate(kinds) if kind):
            for level, output in outputs.items():
                question = Asked(policy, (id,), (kind == 2,), level, start, end)
                (rows,) = answer_at_rest(view, question, raise_error)
                output.blocks.add_run(id, kind == 2, rows)
                output.write(output.blocks.take())
            if done % IDS_AT_ONCE == 0:
                pause()
        return finish_all(outputs.values())
