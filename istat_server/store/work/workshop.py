"""Carrying out what was decided: heads, merges and derivations to new StatFiles. Runs in threads.

Knows paths and headers, not why or when. Nothing here changes what is live: that is a MANIFEST's business.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from istat.clock import Clock
from istat.kernels import blocks
from istat_server.store.files.filewriter import FilesWriter, unlinked_on_failure
from istat_server.store.files.livefiles import LiveFiles
from istat_server.store.files.manifest import DERIVED, DIRECT, FINE, SETTLED, FileEntry, folder_of
from istat_server.store.files.statfile import StatFile
from istat_server.store.files.statformat import Header, StatFileInfo
from istat_server.store.files.view import GroupView, View
from istat_server.store.levels.seasons import roll_up_seasons
from istat_server.store.names.tombstones import NOTHING_DUE, Due
from istat_server.store.work import compaction, moving
from istat_server.store.work.planning import Expire, Job, Merge, Move, Rollup
from istat_server.store.work.rollup import roll_up


class Workshop:
    """Where new files of one store come from, for the length of one job."""

    def __init__(self, files: LiveFiles, clock: Clock, policy_of: Callable[[int], int],
                 pause: Callable[[], None] = compaction.no_pause) -> None:
        """policy_of: a counter's; pause: called between portions of a job, may raise to end it."""
        state = files.manifest
        self._folder, self._number, self._uuid = files.folder, files.number, state.uuid
        self._ladders = {policy.number: policy.ladder for policy in state.policies}
        self._made = int(clock.now())
        self._pause, self._policy_of = pause, policy_of

    def write_frozen(self, frozen: Mapping[int, Sequence[Any]],
                     cleaned: int = 0) -> tuple[list[FileEntry], dict[int, set[int]]]:
        """Frozen heads as files, and per policy the starts of the spans of its finest level that rows lie in from which
        more is derived: those of the finest level and, where there are seasonal levels, all.

        `cleaned`: deletes up to this one have no rows in it.

        Rows too old for the finest level go to their level and, regrouped, to every coarser one, so that each
        level answers and expires by itself.
        """
        sequence = self._number()
        entries: list[FileEntry] = []
        spans: dict[int, set[int]] = {}
        heads = [(policy, level, head) for policy, levels in frozen.items() for level, head in enumerate(levels)]
        try:
            for policy, level, head in heads:
                if head is None:
                    continue
                ladder = self._ladders[policy]
                found = head.spans(ladder.window(0))
                if level == 0 or ladder.seasons:
                    spans.setdefault(policy, set()).update(found)
                interval = ladder.levels[level].interval
                writer = blocks.BlockWriter(interval=interval)
                head.write(writer)
                header = self._header(policy, level, DIRECT if level else FINE, head.first_time,
                                      head.last_time + interval, (sequence, sequence))
                for info in self._write_files(policy, header, writer.finish()):
                    entries.append(self._entry(info, whole=False))
                    if level:
                        self._regroup(policy, level, info, sequence, entries)
        except BaseException:
            self.discard(entries)
            raise
        return [replace(entry, cleaned=cleaned) for entry in entries], spans

    def _write_files(self, policy: int, header: Header, made: Sequence[blocks.Block]) -> list[StatFileInfo]:
        with FilesWriter(self._folder_of(policy, header.level), header, compress=False) as files:
            files.write(made)
            return files.finish()

    def _regroup(self, policy: int, level: int, info: StatFileInfo, sequence: int, entries: list[FileEntry]) -> None:
        with StatFile.open(info.path) as source:
            levels = self._ladders[policy].levels
            for coarser in range(level + 1, len(levels)):
                step = levels[coarser].interval
                start, end = info.header.start, info.header.end
                header = self._header(policy, coarser, DIRECT, start - start % step, -(-end // step) * step,
                                      (sequence, sequence))
                made = compaction.reduce_direct([source], header, self._folder_of(policy, coarser))
                entries += [self._entry(one, whole=False) for one in made]

    def write_blocks(self, policy: int, level: int, kind: str, made: Sequence[blocks.Block],
                     sequence: int) -> list[FileEntry]:
        """Finished blocks, by ascending id, as files of a level that compaction brings into windows."""
        interval = self._ladders[policy].levels[level].interval
        start, end = min(block.first_time for block in made), max(block.last_time for block in made) + interval
        header = self._header(policy, level, kind, start, end, (sequence, sequence))
        return [self._entry(info, whole=False) for info in self._write_files(policy, header, made)]

    def run(self, job: Job, view: View, due: Due = NOTHING_DUE) -> list[FileEntry]:
        """Write what a job asks for, without the deleted counters; `view` has its inputs."""
        if isinstance(job, Expire):
            return []
        open_files = {live.entry.path: live.file for live in view.files}
        inputs = [open_files[entry.path] for entry in job.inputs]
        if isinstance(job, Move):
            made = self._move(job, view.groups[job.policy], due.ids)
        else:
            made = (self._merge(job, inputs, due.ids) if isinstance(job, Merge)
                    else self._roll_up(job, inputs, view.groups[job.policy], due.ids))
        return [replace(entry, cleaned=due.cutoff) for entry in made]

    def _merge(self, job: Merge, inputs: list[StatFile], drop_ids: Sequence[int]) -> list[FileEntry]:
        first = job.inputs[0]
        policy, level, kind = first.policy, first.level, first.kind
        sequences = (min(entry.seq_lo for entry in job.inputs), max(entry.seq_hi for entry in job.inputs))
        if kind == DERIVED:
            start, end = min(entry.start for entry in job.inputs), max(entry.end for entry in job.inputs)
            header = self._header(policy, level, kind, start, end, sequences)
            inputs.sort(key=lambda file: file.header.seq_hi)        # where two hold a span, the newest counts
            made = compaction.merge_derived(inputs, start, end, header, self._folder_of(policy, level), drop_ids,
                                            pause=self._pause)
            return [self._entry(info, whole=True) for info in made]
        window = self._ladders[policy].window(level)
        starts = range(min(entry.start for entry in job.inputs) // window * window,
                       max(entry.end for entry in job.inputs), window)
        made = compaction.merge(
            inputs, [(start, start + window) for start in starts],
            lambda span: self._header(policy, level, kind, *span, sequences), self._folder_of(policy, level), drop_ids,
            pause=self._pause, rates=kind == SETTLED)
        return [self._entry(info, whole=True) for info in made]

    def _roll_up(self, job: Rollup, inputs: list[StatFile], view: GroupView,
                 drop_ids: Sequence[int]) -> list[FileEntry]:
        sequence, policy, levels = self._number(), job.policy, self._ladders[job.policy].levels
        coarse = [(levels[level].interval,
                   self._header(policy, level, DERIVED, job.start, job.end, (sequence, sequence)),
                   self._folder_of(policy, level))
                  for level in range(1, len(levels))]
        made = roll_up(inputs, job.start, job.end, levels[0].interval, coarse, drop_ids, pause=self._pause)
        with unlinked_on_failure(made):
            made += roll_up_seasons(
                job.policy, view, job.start, job.end, [entry.path for entry in job.inputs],
                lambda level: self._header(policy, level, DERIVED, job.start, job.end, (sequence, sequence)),
                lambda level: self._folder_of(policy, level), drop_ids, self._pause)
        return [self._entry(info, whole=True) for info in made]

    def _move(self, job: Move, view: GroupView, drop_ids: Sequence[int]) -> list[FileEntry]:
        sequence = self._number()
        wanted = {entry.path for entry in job.inputs}
        view = replace(view, files=tuple(live for live in view.files if live.entry.path in wanted))
        made = moving.write(
            job, view, self._ladders, self._policy_of,
            lambda heir, level: self._header(heir, level, SETTLED, job.start, job.end, (sequence, sequence)),
            self._folder_of, drop_ids, self._pause)
        return [self._entry(info, whole=False) for info in made]

    def discard(self, entries: Iterable[FileEntry]) -> None:
        """Remove files that were written but are not wanted."""
        for entry in entries:
            (self._folder / entry.path).unlink(missing_ok=True)

    def _header(self, policy: int, level: int, kind: str, start: int, end: int, sequences: tuple[int, int]) -> Header:
        """`part` is a number of its own for every file, so that no new file can have the name of a live one."""
        return Header(store=self._uuid, policy=str(policy), level=level, kind=kind,
                      interval=self._ladders[policy].stored[level].interval, start=start, end=end,
                      seq_lo=sequences[0], seq_hi=sequences[1], part=self._number())

    def _folder_of(self, policy: int, level: int) -> str:
        return str(self._folder / folder_of(policy, self._ladders[policy].stored[level]))

    def _entry(self, info: StatFileInfo, whole: bool) -> FileEntry:
        header = info.header
        return FileEntry(os.path.relpath(info.path, self._folder), header.level, header.kind, header.start,
                         header.end, header.seq_lo, header.seq_hi, info.rows, info.size, whole, self._made,
                         int(header.policy), ids=header.ids)
