"""What a leaving ladder's files still hold, moved over to its heir's: one stretch after the other, oldest first.

Each level of the heir gets what the old level has that fits it best, as settled rows: final ones, never derived again.
Works through the ids of a few files with bounded memory; changes nothing that is live. Runs in threads.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from istat.retention import Ladder
from istat_server.store.files.filewriter import Output, finish_all
from istat_server.store.files.statformat import Header, StatFileInfo
from istat_server.store.files.view import GroupView
from istat_server.store.levels.arithmetic import carried, old_level_for
from istat_server.store.levels.reading import Asked, answer_at_rest, kinds_in, raise_error
from istat_server.store.levels.seasons import IDS_AT_ONCE
from istat_server.store.work.planning import Move

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns



def write(move: Move, view: GroupView, ladders: Mapping[int, Ladder], policy_of: Callable[[int], int],
          header: Callable[[int, int], Header], folder: Callable[[int, int], str], drop_ids: Sequence[int],
          pause: Callable[[], None]) -> list[StatFileInfo]:
    """Files of settled rows for each level of the heirs that gets some. StoreCorrupt when an input is damaged.

    ladders: of the heirs; policy_of: a counter's policy; header, folder: of a policy's level.
    """
    old = view.policy.ladder
    sources = {heir: _sources(old, ladders[heir]) for heir in move.heirs}
    kinds = kinds_in([live.file for live in view.files], drop_ids, pause)
    with ExitStack() as stack:
        outputs = {(heir, level): stack.enter_context(Output(folder(heir, level), header(heir, level),
                                                             ladders[heir].levels[level].interval, True))
                   for heir in move.heirs for level in sources[heir]}
        for done, (id, kind) in enumerate((id, kind) for id, kind in enumerate(kinds) if kind):
            heir = policy_of(id)
            heir = heir if heir in sources else move.heirs[0]
            event = kind == 2
            rows = {source: _final(view, id, event, source, move) for source in set(sources[heir].values())}
            for level, source in sources[heir].items():
                output = outputs[heir, level]
                output.blocks.add_run(id, event, carried(rows[source], event, old, source, ladders[heir], level))
                output.write(output.blocks.take())
            if done % IDS_AT_ONCE == 0:
                pause()
        return finish_all(outputs.values())


def _sources(old: Ladder, new: Ladder) -> dict[int, int]:
    """The new levels that get something, and from which of the old ones."""
    found = {level: old_level_for(old, new, level) for level in range(len(new.levels))}
    return {level: source for level, source in found.items() if source is not None}


def _final(view: GroupView, id: int, event: bool, level: int, move: Move) -> Columns:
    question = Asked(move.policy, (id,), (event,), level, move.start, move.end)
    # A stretch may begin before what was moved when its heirs were others.
    return answer_at_rest(view, question, raise_error)[0].slice(view.policy.moved, move.end)
