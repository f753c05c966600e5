"""What a store should do next about its files: pure decisions over a manifest. Opens and writes nothing.

Files of the finest level come from cuts, go whole into windows (as long as a window is open in a few sizes,
so that each row is written again only a few times), are derived into the coarser levels one span at a time
once the span is over, and expire as whole files. Late rows make a span underived again; it is derived anew.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import lcm

from istat_server.store.files.manifest import DERIVED, DIRECT, FINE, SETTLED, FileEntry, FileGroup, Manifest, Policy
from istat_server.store.levels.arithmetic import trailing
from istat_server.store.levels.policies import EXPIRE_GRACE, heirs_of
from istat_server.store.names.tombstones import NOTHING_DUE, Due

# Files from cuts that wait before they are merged: 16 minutes of them at one cut in two minutes.
CUT_FILES = 8
CUT_FILES_AT_ONCE = 32
# ... or this old, so that a store that hears little ends up with few files too [s].
CUT_AGE = 1800
# Files of one window of about one size before they become one of the next size.
TIER_FILES = 8
TIER_RATIO = 2
# A window is finished up when it has been over, and quiet, for this long [s].
QUIET_OVER = 600
QUIET_AGE = 120
# Files derived into one coarse window before they become one.
DERIVED_FILES = 8
# A file of a window that is over is written anew without its deleted counters once they are this share of all.
REWRITE_SHARE = 0.1


@dataclass(frozen=True)
class Merge:
    """Write the rows of neighbours in sequence into one file per window."""

    inputs: tuple[FileEntry, ...]


@dataclass(frozen=True)
class Rollup:
    """Write the coarser levels of one span from all files of the finest level that have rows in it."""

    policy: int
    start: int
    end: int
    inputs: tuple[FileEntry, ...]


@dataclass(frozen=True)
class Expire:
    """Drop files all of whose rows are past their level's retention."""

    inputs: tuple[FileEntry, ...]


@dataclass(frozen=True)
class Move:
    """Write a leaving policy's rows of start <= time < end for the policies that its counters have now (the first one
    is its heir); then they are the only ones."""

    policy: int
    heirs: tuple[int, ...]
    start: int
    end: int
    inputs: tuple[FileEntry, ...]


Job = Merge | Rollup | Expire | Move


def next_job(manifest: Manifest, now: int, force: bool = False,
             avoid: Collection[str] = (), expire: bool = True, due: Due = NOTHING_DUE,
             old_by: int | None = None) -> Job | None:
    """The most urgent thing to do, or None.

    `force`: as if every file had been quiet for long; `avoid`: paths of files that cannot be read whole;
    `expire`: whether the clock may be believed that files are old; `due`: deleted counters whose rows may go; `old_by`:
    the time by which files are old, where that is not now.
    """
    groups, old = manifest.groups(), now if old_by is None else old_by
    expired = tuple(entry for group in groups for entry in group.files if _expired(entry, group, old))
    if expired and expire:
        return Expire(expired)
    for group in groups:
        if group.policy.heir is None:
            job: Job | None = _merge_in(group, now, force, avoid) or _roll_up(group, now, force, avoid)
        else:
            job = _next_move(group, heirs_of(manifest.policies, group.policy.number), avoid)
        if job is not None:
            return job
    return _rewrite(manifest, now, force, avoid, due)


def _merge_in(group: FileGroup, now: int, force: bool, avoid: Collection[str]) -> Merge | None:
    for level in range(len(group.ladder.stored)):
        for kind in (FINE, DIRECT, SETTLED, DERIVED):
            ranges: dict[int, list[FileEntry]] = {}
            for entry in group.files:
                if entry.level == level and entry.kind == kind:
                    ranges.setdefault(entry.ids, []).append(entry)
            for entries in ranges.values():
                merge = _merge(entries, kind, group.ladder.window(level), now, force, avoid)
                if merge:
                    return Merge(tuple(merge))
    return None


def _rewrite(manifest: Manifest, now: int, force: bool, avoid: Collection[str], due: Due) -> Merge | None:
    """A file of a window that is over and has many deleted counters; `force`: any that has one."""
    if not due.ids:
        return None
    least = 0.0 if force else REWRITE_SHARE
    for entry in manifest.files:
        over = force or (entry.whole and entry.end + QUIET_OVER <= now)
        if over and entry.path not in avoid and due.share(entry) > least:
            return Merge((entry,))
    return None


def without_late(manifest: Manifest, number: int, starts: Iterable[int]) -> Manifest:
    """The MANIFEST after late rows came into these spans: underived, but for one whose other rows of the finest
    level are gone."""
    group = manifest.group(number)
    bare = group.bare_until
    late = {start for start in starts if start >= bare}
    last = max(group.derived, default=0) + group.span
    for season in group.ladder.seasons:        # what trails the season of these rows
        late |= set(trailing(late, season.season, group.span, last))
    return manifest.with_derived(number, group.derived - {start for start in late if start >= bare})


def _aged(entry: FileEntry, age: int, now: int) -> bool:
    """Made at least `age` seconds ago. A time to come is one of a clock that was wrong."""
    return not now - age < entry.made <= now


def overlapping(files: Iterable[FileEntry], start: int, end: int) -> tuple[FileEntry, ...]:
    """Those files of the finest level with rows that may lie in start..end."""
    return tuple(entry for entry in files if entry.kind == FINE and entry.start < end and entry.end > start)


def _expired(entry: FileEntry, group: FileGroup, now: int) -> bool:
    if entry.end <= group.policy.moved:        # of a level that its heir does not have, or moved over
        return True
    # A span that has lost its rows takes none any more, so that it must be old as a whole: else it would depend on when
    # a file goes which of the levels a late sample is kept in, and a replica's go at another time than its master's.
    end = entry.end + -entry.end % group.span if entry.kind == FINE else entry.end
    if end > now - group.ladder.stored[entry.level].keep - EXPIRE_GRACE:
        return False
    if group.policy.heir is not None:
        return True             # nothing will be derived here any more
    if entry.kind != FINE or len(group.ladder.stored) == 1:
        return True
    span = group.span
    first = entry.start - entry.start % span
    return all(start in group.derived for start in range(first, entry.end, span))


def _merge(entries: list[FileEntry], kind: str, window: int, now: int, force: bool,
           avoid: Collection[str]) -> list[FileEntry]:
    """Neighbours in sequence that should be merged; `entries` are all of one level, kind and range of ids."""
    for cuts in _runs(entries, lambda entry: not entry.whole and entry.path not in avoid):
        if force or len(cuts) >= CUT_FILES or _aged(cuts[0], CUT_AGE, now):
            return cuts[:CUT_FILES_AT_ONCE]
    windows: dict[int, int] = Counter(entry.start - entry.start % window for entry in entries if entry.whole)
    choose: Callable[[list[FileEntry], int, int, bool], list[FileEntry]]
    choose = _derived_mergeable if kind == DERIVED else _mergeable
    for start in sorted((start for start, files in windows.items() if files > 1), reverse=True):
        there = (entry for entry in entries if entry.start < start + window and entry.end > start)
        for files in _runs(there, lambda entry: entry.whole and entry.path not in avoid):
            chosen = choose(files, start + window, now, force)
            if len(chosen) > 1:
                return chosen
    return []


def _runs(entries: Iterable[FileEntry], wanted: Callable[[FileEntry], bool]) -> Iterator[list[FileEntry]]:
    """The neighbours in sequence that are wanted, with nothing unwanted between them: a merged file says that it holds
    all cuts from its first to its last one."""
    return (list(run) for is_wanted, run in groupby(entries, wanted) if is_wanted)


def _mergeable(files: list[FileEntry], end: int, now: int, force: bool) -> list[FileEntry]:
    """Files of a window that should become one: all when it is over and quiet, else the newest of a size."""
    finished = end + QUIET_OVER <= now and all(_aged(entry, QUIET_AGE, now) for entry in files)
    if finished or force:
        return files
    chosen: list[FileEntry] = []
    size = 0
    for entry in reversed(files):
        if chosen and entry.size > TIER_RATIO * size:
            break
        chosen.insert(0, entry)
        size += entry.size
    return chosen if len(chosen) >= TIER_FILES else []


def _derived_mergeable(files: list[FileEntry], _end: int, _now: int, force: bool) -> list[FileEntry]:
    return files if force or len(files) > DERIVED_FILES else []


def _roll_up(group: FileGroup, now: int, force: bool, avoid: Collection[str]) -> Rollup | None:
    if len(group.ladder.stored) == 1:
        return None
    span = group.span
    fine = [entry for entry in group.files if entry.kind == FINE]
    for start in sorted(group.fine_spans - group.derived):
        inputs = overlapping(fine, start, start + span)
        quiet = force or all(entry.whole and _aged(entry, QUIET_AGE, now) for entry in inputs)
        damaged = any(entry.path in avoid for entry in inputs)
        if quiet and not damaged and start + span + QUIET_OVER <= now:
            return Rollup(group.policy.number, start, start + span, inputs)
    return None


def _next_move(group: FileGroup, heirs: Sequence[Policy], avoid: Collection[str]) -> Move | None:
    """The next stretch of a leaving policy, if there is one that can be read whole."""
    files = [entry for entry in group.files if entry.end > group.policy.moved]
    if not files:
        return None
    step = lcm(group.ladder.coarsest.interval, *(heir.ladder.coarsest.interval for heir in heirs))
    length = -(-max(group.ladder.window(level) for level in range(min(2, len(group.ladder.levels)))) // step) * step
    start = max(group.policy.moved, min(entry.start for entry in files)) // step * step
    inputs = tuple(entry for entry in files if entry.start < start + length)
    if any(entry.path in avoid for entry in inputs):
        return None
    return Move(group.policy.number, tuple(heir.number for heir in heirs), start, start + length, inputs)
