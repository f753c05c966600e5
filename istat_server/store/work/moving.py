"""What a leaving ladder's files still hold, moved over to its heir's: one stretch after the other, oldest first.

Each level of the heir gets what the old level has that fits it best, as settled rows: final ones, never derived again.
Works through the ids of a few files with bounded memory; changes nothing that is live. Runs in threads.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import lcm
from typing import TYPE_CHECKING

from istat.errors import StoreCorrupt
from istat.retention import Ladder
from istat_server.store.files.manifest import Family, FileEntry, Policy
from istat_server.store.files.statfile import Header, StatFile, StatFileInfo
from istat_server.store.levels.reading import FamilyView, Question, answer_at_rest, carried, source_level
from istat_server.store.work.compaction import Output, finish_all

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

#: Counters between two pauses: some 20 ms of work.
IDS_AT_ONCE = 100
MOST_ID = (1 << 32) - 1


@dataclass(frozen=True)
class Move:
    """Write a leaving policy's rows of start <= time < end for the policies that its counters have now (the first one
    is its heir); then they are the only ones."""

    policy: int
    heirs: tuple[int, ...]
    start: int
    end: int
    inputs: tuple[FileEntry, ...]


def next_move(family: Family, heirs: Sequence[Policy], avoid: Collection[str]) -> Move | None:
    """The next stretch of a leaving policy, if there is one that can be read whole."""
    files = [entry for entry in family.files if entry.end > family.policy.moved]
    if not files:
        return None
    step = lcm(family.ladder.coarsest.interval, *(heir.ladder.coarsest.interval for heir in heirs))
    length = -(-max(family.ladder.window(level) for level in range(min(2, len(family.ladder.levels)))) // step) * step
    start = max(family.policy.moved, min(entry.start for entry in files)) // step * step
    inputs = tuple(entry for entry in files if entry.start < start + length)
    if any(entry.path in avoid for entry in inputs):
        return None
    return Move(family.policy.number, tuple(heir.number for heir in heirs), start, start + length, inputs)


def write(move: Move, view: FamilyView, ladders: Mapping[int, Ladder], policy_of: Callable[[int], int],
          header: Callable[[int, int], Header], folder: Callable[[int, int], str], drop_ids: Sequence[int],
          pause: Callable[[], None]) -> list[StatFileInfo]:
    """Files of settled rows for each level of the heirs that gets some. StoreCorrupt when an input is damaged.

    ladders: of the heirs; policy_of: a counter's policy; header, folder: of a policy's level.
    """
    old = view.policy.ladder
    sources = {heir: _sources(old, ladders[heir]) for heir in move.heirs}
    kinds = _kinds([live.file for live in view.files], drop_ids, pause)
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
    found = {level: source_level(old, new, level) for level in range(len(new.levels))}
    return {level: source for level, source in found.items() if source is not None}


def derive_seasons(policy: int, view: FamilyView, start: int, end: int, paths: Collection[str],
                   header: Callable[[int], Header], folder: Callable[[int], str], drop_ids: Sequence[int],
                   pause: Callable[[], None]) -> list[StatFileInfo]:
    """Files of one span of the seasonal levels, for the counters in these files of the finest level."""
    ladder = view.policy.ladder
    levels = range(len(ladder.levels), len(ladder.stored))
    if not levels:
        return []
    kinds = _kinds([live.file for live in view.files if live.entry.path in paths], drop_ids, pause)
    with ExitStack() as stack:
        outputs = {level: stack.enter_context(Output(folder(level), header(level), ladder.stored[level].interval, True))
                   for level in levels}
        for done, (id, kind) in enumerate((id, kind) for id, kind in enumerate(kinds) if kind):
            for level, output in outputs.items():
                question = Question(policy, (id,), (kind == 2,), level, start, end)
                (rows,) = answer_at_rest(view, question, _raise)
                output.blocks.add_run(id, kind == 2, rows)
                output.write(output.blocks.take())
            if done % IDS_AT_ONCE == 0:
                pause()
        return finish_all(outputs.values())


def _raise(error: StoreCorrupt) -> None:
    raise error


def _kinds(files: Sequence[StatFile], drop_ids: Sequence[int], pause: Callable[[], None]) -> bytearray:
    """Per id: 0 has no rows, 1 gauge, 2 event."""
    found = bytearray()
    for file in files:
        for entry in file.entries(0, MOST_ID):
            if entry.last_id >= len(found):
                found.extend(bytes(entry.last_id + 1 - len(found)))
            for id, event, _rows in file.reader(entry, once=True).runs():
                found[id] = 2 if event else 1
        pause()
    for id in drop_ids:
        if id < len(found):
            found[id] = 0
    return found


def _final(view: FamilyView, id: int, event: bool, level: int, move: Move) -> Columns:
    question = Question(move.policy, (id,), (event,), level, move.start, move.end)
    # A stretch may begin before what was moved when its heirs were others.
    return answer_at_rest(view, question, _raise)[0].slice(view.policy.moved, move.end)
