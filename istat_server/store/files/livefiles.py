"""The live files of a store: which there are, and how that changes. The MANIFEST and the view that follows from it.

Threads and the hub meet here: `commit` (one at a time; replaces the MANIFEST) and `view` (replaced whole under a
lock that is never held over I/O). Knows neither why files change nor what is in them.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from istat.errors import StoreCorrupt
from istat_server.store.files import journal, manifest
from istat_server.store.files.blockcache import BlockCache
from istat_server.store.files.journal import segment_numbers, segment_path
from istat_server.store.files.manifest import FileEntry, Manifest
from istat_server.store.files.reserve import Reserve
from istat_server.store.files.statfile import StatFile
from istat_server.store.files.view import GroupView, LiveFile, View

if TYPE_CHECKING:
    from istat_server.store.files.view import FrozenHeads

log = logging.getLogger(__name__)


class LiveFiles:
    """The files that the MANIFEST names, open; and the frozen head that is on its way to become some."""

    def __init__(self, folder: Path, believed: Callable[[], float], cache_bytes: int, state: Manifest) -> None:
        """believed: the time, as far as the clock can be believed [Unix s]; it is written into each MANIFEST."""
        self.folder = folder
        self.manifest = state
        self.blocks = BlockCache(cache_bytes)
        self._believed = believed
        self.reserve = Reserve(folder)
        self.unreadable: set[str] = set()   # damaged or gone, or inputs of merges that failed: left alone in this life
        self.totals = {"files_written": 0, "bytes_written": 0, "damaged_files": 0}
        self.bare_until = _bare(state)      # per policy
        self._commit_lock = threading.Lock()
        self._view_lock = threading.Lock()
        self._numbers_lock = threading.Lock()
        self._next_number = state.next_seq
        self._revisions = 0         # that the next MANIFEST tells
        self._leaving: set[str] = set()     # files that only the previous MANIFEST needs
        self.pinned_bytes = self._bytes_pinned(state)       # of files and segments that only pins hold
        self.view = _view(state, {live.entry.path: live.file for live in self._open_all()}, {})

    def _open_all(self) -> Iterator[LiveFile]:
        """The live files. One that is damaged or gone is told of and left alone; the others are served."""
        for entry in self.manifest.files:
            try:
                file = self._open(entry)
            except (StoreCorrupt, FileNotFoundError) as error:
                log.error("%s; answers are without it", error)
                self.unreadable.add(entry.path)
                self.totals["damaged_files"] += 1
            else:
                yield LiveFile(entry, file)

    def _open(self, entry: FileEntry) -> StatFile:
        return StatFile.open(self.folder / entry.path, self.blocks)

    def keep_for(self, previous: Manifest) -> None:
        """Files that only `previous` needs go with the next commit."""
        self._leaving = manifest.references(previous) - manifest.references(self.manifest)

    @property
    def uuid(self) -> bytes:
        """The store's."""
        return bytes.fromhex(self.manifest.uuid)

    def number(self) -> int:
        """The next sequence number; never given twice."""
        with self._numbers_lock:
            self._next_number += 1
            return self._next_number - 1

    def revise(self) -> None:
        """The store has changed otherwise than by its journal: the next MANIFEST says so."""
        with self._numbers_lock:
            self._revisions += 1

    def freeze(self, frozen: FrozenHeads) -> None:
        """Questions overlay this head until the commit that names its files."""
        with self._view_lock:
            self.view = _view(self.manifest, self.open_files(), frozen)

    def open_files(self) -> dict[str, StatFile]:
        """The live files that can be read, by path."""
        return {live.entry.path: live.file for live in self.view.files}

    def commit(self, change: Callable[[Manifest], Manifest], add: Sequence[FileEntry], flushed: bool = False) -> None:
        """Replace the MANIFEST, then what queries see, then remove files that no MANIFEST needs any more.

        `flushed`: the frozen head is in the files now. An exception means that nothing has changed, and the
        files in `add` are gone again.
        """
        with self._commit_lock:
            before = self.manifest
            try:
                opened = {entry.path: self._open(entry) for entry in add}
                state, revisions = change(before), self._revisions
                state = replace(state, next_seq=self._next_number, saved=int(self._believed()),
                                revision=state.revision + revisions)
                bare_until = _bare(state)
                manifest.save(self.folder, state)
            except BaseException:
                self.remove(entry.path for entry in add)
                raise
            with self._numbers_lock:
                self._revisions -= revisions
            self.bare_until = bare_until
            self._show(state, opened, flushed)
            self._forget(before, state, add)
        for entry in add:
            self.totals["files_written"] += 1
            self.totals["bytes_written"] += entry.size

    def _show(self, state: Manifest, opened: dict[str, StatFile], flushed: bool) -> None:
        with self._view_lock:       # both at once: a head that is frozen meanwhile is shown with files that are open
            self.manifest = state
            opened.update(self.open_files())
            self.view = _view(state, opened, {} if flushed else self.view.frozen)

    def _forget(self, before: Manifest, state: Manifest, add: Sequence[FileEntry]) -> None:
        """What this MANIFEST dropped is the previous one's now; what that one had dropped can go."""
        needed = manifest.references(state)
        self.remove(self._leaving | {entry.path for entry in add if entry.path not in needed})
        self.remove(self._segments_before(min(before.held_from, state.held_from)))
        self._leaving = manifest.references(before) - needed
        self.pinned_bytes = self._bytes_pinned(state)

    def _bytes_pinned(self, state: Manifest) -> int:
        """Bytes of files and segments that are there for pins only."""
        if not state.pins:
            return 0
        paths = [self.folder / path for path in state.pinned - manifest.live_paths(state)]
        paths += [journal.segment_path(self.folder / "journal", number)
                  for number in range(state.held_from, state.replay_from)]
        return sum(map(_size, paths))

    def _segments_before(self, number: int) -> list[str]:
        """The journal's segments before one: looked for each time, since its writer may have made some late.

        The MANIFEST is written by now, so nothing may fail here: another's file is left alone, and a folder that cannot
        be read, as when no more files may be open, is looked at again after the next commit.
        """
        try:
            there = segment_numbers(self.folder / "journal")
        except OSError as error:
            log.error("%s cannot be read: %s", self.folder / "journal", error.strerror)
            return []
        return [str(segment_path(Path("journal"), one)) for one in there if one < number]

    def status(self) -> dict[str, object]:
        """What there is, and what it takes."""
        state, files = self.manifest, self.view.files
        debt = [live.entry.size for live in files if not live.entry.whole]
        return {"files": len(files), "file_bytes": sum(live.entry.size for live in files),
                "rows_in_files": sum(live.entry.rows for live in files),
                "debt_files": len(debt), "debt_bytes": sum(debt), "pinned_bytes": self.pinned_bytes,
                "reserve_bytes": self.reserve.held, "epoch": state.epoch, "replay_from": state.replay_from,
                "policies": [group.status() for group in state.groups()],
                "cache_hits": self.blocks.hits, "cache_misses": self.blocks.misses, **self.totals}

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files of this store, but for those that a pin holds; one that cannot be is left for the next start."""
        pinned = self.manifest.pinned
        for path in paths:
            if path in self.unreadable or path in pinned:
                continue                    # someone may want to look at it
            try:
                (self.folder / path).unlink(missing_ok=True)
            except OSError as error:
                log.error("%s cannot be removed: %s", self.folder / path, error.strerror)

    def close(self) -> None:
        """Close all files; questions under way are answered first."""
        for live in self.view.files:
            live.file.close()


def _size(path: Path) -> int:
    """0 for one that is gone, or cannot be looked at: the figure is not worth a commit."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _bare(state: Manifest) -> dict[int, int]:
    return {group.policy.number: group.bare_until for group in state.groups()}


def _view(state: Manifest, opened: Mapping[str, StatFile], frozen: FrozenHeads) -> View:
    """What queries see of a MANIFEST whose files are open."""
    groups = {}
    for group in state.groups():
        live = tuple(LiveFile(entry, opened[entry.path]) for entry in group.files if entry.path in opened)
        intervals = tuple(level.interval for level in group.ladder.stored)
        number = group.policy.number
        heads = tuple(frozen.get(number) or (None,) * len(intervals))
        groups[number] = GroupView(group.policy, intervals, group.span, live, heads, group.derived)
    return View(groups, frozen)
