"""Carrying out what was decided: heads, merges and derivations to new StatFiles. Runs in threads.

Knows paths and headers, not why or when. Nothing here changes what is live: that is a MANIFEST's business.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from istat.kernels import blocks
from istat.retention import Ladder
from istat_server.store import compaction
from istat_server.store.manifest import DERIVED, DIRECT, FINE, FileEntry
from istat_server.store.planning import Derive, Expire, Job, Merge
from istat_server.store.statfile import Header, StatFile, StatFileInfo, StatFileWriter

Number = Callable[[], int]


class Workshop:
    """Where new files of one store come from."""

    def __init__(self, folder: Path, ladder: Ladder, number: Number, made: int, uuid: bytes) -> None:
        """number: gives the next sequence number; made: Unix seconds now."""
        self._folder, self._ladder, self._number, self._made, self._uuid = folder, ladder, number, made, uuid

    def write_frozen(self, frozen: Sequence[Any]) -> tuple[list[FileEntry], frozenset[int]]:
        """A frozen head as files, and the starts of the spans of the finest level that its rows lie in.

        Rows too old for the finest level go to their level and, regrouped, to every coarser one, so that each
        level answers and expires by itself.
        """
        sequence = self._number()
        entries: list[FileEntry] = []
        spans: frozenset[int] = frozenset()
        for level, head in enumerate(frozen):
            if head is None:
                continue
            found = head.spans(self._ladder.window(0))
            if level == 0:
                spans = frozenset(found)
            entries += self._write_head(level, head, sequence)
        return entries, spans

    def _write_head(self, level: int, head: Any, sequence: int) -> list[FileEntry]:
        interval = self._ladder.levels[level].interval
        span = (head.first_time, head.last_time + interval)
        writer = blocks.BlockWriter(interval=interval)
        head.write(writer)
        file = self._writer(level, DIRECT if level else FINE, span, (sequence, sequence))
        try:
            file.add(writer.finish(), False)
            info = file.finish()
        except BaseException:
            file.abort()
            raise
        entries = [self._entry(info, whole=False)]
        for coarser in range(level + 1, len(self._ladder.levels)) if level else ():
            step = self._ladder.levels[coarser].interval
            wide = (span[0] - span[0] % step, -(-span[1] // step) * step)
            with StatFile.open(info.path) as source:
                regrouped = compaction.reduce_direct(
                    [source], self._header(coarser, DIRECT, wide, (sequence, sequence)),
                    self._folder_of(coarser))
            entries += [self._entry(one, whole=False) for one in regrouped]
        return entries

    def run(self, job: Job, open_files: Mapping[str, StatFile]) -> list[FileEntry]:
        """Write what a job asks for; `open_files` are its inputs by path."""
        inputs = [open_files[entry.path] for entry in job.inputs]
        if isinstance(job, Merge):
            return self._merge(job, inputs)
        if isinstance(job, Derive):
            return self._derive(job, inputs)
        assert isinstance(job, Expire)
        return []
