"""What a store should do next about its files: pure decisions over a manifest. Opens and writes nothing.

Files of the finest level come from cuts, go whole into windows (as long as a window is open in a few sizes,
so that each row is written again only a few times), are derived into the coarser levels one span at a time
once the span is over, and expire as whole files. Late rows make a span underived again; it is derived anew.
"""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from istat_server.store.files.manifest import DERIVED, DIRECT, FINE, SETTLED, Family, FileEntry, Manifest
from istat_server.store.levels.policies import heirs_of
from istat_server.store.levels.reading import trailing
from istat_server.store.work.moving import Move, next_move

# Files from cuts that wait before they are merged: 16 minutes of them at one cut in two minutes.
CUT_FILES = 8
CUT_FILES_AT_ONCE = 32
# ... or this old, so that a store that hears little ends up with few files too [s].
CUT_AGE = 1800
# Files of one window of about one size before they become one of the next size.
TIER_FILES = 8
TIER_RATIO = 2
# A window is finished up when it has been over, and quiet, for this long [s].
SETTLE_OVER = 600
SETTLE_QUIET = 120
# Files derived into one coarse window before they become one.
DERIVED_FILES = 8
# Files outlive their retention by this, so that no accepted sample can meet an expired window [s].
EXPIRE_GRACE = 3600


# A settled file is written anew without its deleted counters once they are this share of all.
REWRITE_SHARE = 0.1


@dataclass(frozen=True)
class Graves:
    """Deleted counters whose rows new files leave out: `ids`, by the `numbers` of their deletes, ascending.

    `cutoff`: what a file without any of them is clean up to; `counters`: how many there are beside them.
    """

    cutoff: int = 0
    numbers: Sequence[int] = ()
    ids: Sequence[int] = ()
    counters: int = 0

    def share(self, entry: FileEntry) -> float:
        """Which part of the counters that may have rows in a file is deleted."""
        dead = len(self.numbers) - bisect_right(self.numbers, entry.cleaned)
        return dead / (dead + self.counters) if dead else 0.0


NO_GRAVES = Graves()


@dataclass(frozen=True)
class Merge:
    """Write the rows of neighbours in sequence into one file per window."""

    inputs: tuple[FileEntry, ...]


@dataclass(frozen=True)
class Derive:
    """Write the coarser levels of one span from all files of the finest level that have rows in it."""

    policy: int
    start: int
    end: int
    inputs: tuple[FileEntry, ...]


@dataclass(frozen=True)
class Expire:
    """Drop files all of whose rows are past their level's retention."""

    inputs: tuple[FileEntry, ...]


Job = Merge | Derive | Expire | Move


def next_job(manifest: Manifest, now: int, force: bool = False,
             avoid: Collection[str] = (), expire: bool = True, graves: Graves = NO_GRAVES) -> Job | None:
    """The most urgent thing to do, or None.

    `force`: as if every file had been quiet for long; `avoid`: paths of files that cannot be read whole;
    `expire`: whether the clock may be believed that files are old; `graves`: deleted counters that may go.
    """
    families = manifest.families()
    expired = tuple(entry for family in families for entry in family.files if _expired(entry, family, now))
    if expired and expire:
        return Expire(expired)
    for family in families:
        if family.policy.heir is None:
            job: Job | None = _merge_in(family, now, force, avoid) or _derive(family, now, force, avoid)
        else:
            job = next_move(family, heirs_of(manifest.policies, family.policy.number), avoid)
        if job is not None:
            return job
    return _rewrite(manifest, now, force, avoid, graves)


def _merge_in(family: Family, now: int, force: bool, avoid: Collection[str]) -> Merge | None:
    for level in range(len(family.ladder.stored)):
        for kind in (FINE, DIRECT, SETTLED, DERIVED):
            groups: dict[int, list[FileEntry]] = {}
            for entry in family.files:
                if entry.level == level and entry.kind == kind and entry.path not in avoid:
                    groups.setdefault(entry.ids, []).append(entry)
            for entries in groups.values():
                merge = _merge(entries, kind, family.ladder.window(level), now, force)
                if merge:
                    return Merge(tuple(merge))
    return None


def _rewrite(manifest: Manifest, now: int, force: bool, avoid: Collection[str], graves: Graves) -> Merge | None:
    """A file of a window that is over and has many deleted counters; `force`: any that has one."""
    if not graves.ids:
        return None
    least = 0.0 if force else REWRITE_SHARE
    for entry in manifest.files:
        over = force or (entry.whole and entry.end + SETTLE_OVER <= now)
        if over and entry.path not in avoid and graves.share(entry) > least:
            return Merge((entry,))
    return None


def bare_until(family: Family) -> int:
    """The end of the newest span that has coarse levels but no rows of the finest one any more [Unix s]; 0: none.

    Nothing older may go to the finest level: the span would be derived anew from what is left of it.
    """
    span = family.span
    held = {start for entry in family.files if entry.kind == FINE
            for start in range(entry.start - entry.start % span, entry.end, span)}
    return max((start + span for start in family.derived - held), default=0)


def without_late(manifest: Manifest, number: int, starts: Iterable[int]) -> Manifest:
    """The MANIFEST after late rows came into these spans: underived, but for one whose other rows of the finest
    level are gone."""
    family = manifest.family(number)
    bare = bare_until(family)
    late = {start for start in starts if start >= bare}
    last = max(family.derived, default=0) + family.span
    for season in family.ladder.seasons:        # what trails the season of these rows
        late |= set(trailing(late, season.season, family.span, last))
    return manifest.with_derived(number, family.derived - {start for start in late if start >= bare})


def _aged(entry: FileEntry, age: int, now: int) -> bool:
    """Made at least `age` seconds ago. A time to come is one of a clock that was wrong."""
    return not now - age < entry.made <= now


def overlapping(files: Iterable[FileEntry], start: int, end: int) -> tuple[FileEntry, ...]:
    """Those files of the finest level with rows that may lie in start..end."""
    return tuple(entry for entry in files if entry.kind == FINE and entry.start < end and entry.end > start)


def _expired(entry: FileEntry, family: Family, now: int) -> bool:
    if entry.end <= family.policy.moved:        # of a level that its heir does not have, or moved over
        return True
    if entry.end > now - family.ladder.stored[entry.level].keep - EXPIRE_GRACE:
        return False
    if family.policy.heir is not None:
        return True             # nothing will be derived here any more
    if entry.kind != FINE or len(family.ladder.stored) == 1:
        return True
    span = family.span
    first = entry.start - entry.start % span
    return all(start in family.derived for start in range(first, entry.end, span))


def _merge(entries: list[FileEntry], kind: str, window: int, now: int, force: bool) -> list[FileEntry]:
    cuts = [entry for entry in entries if not entry.whole]
    if cuts and (force or len(cuts) >= CUT_FILES or _aged(cuts[0], CUT_AGE, now)):
        return cuts[:CUT_FILES_AT_ONCE]
    windows: dict[int, list[FileEntry]] = {}
    for entry in entries:
        if entry.whole:
            windows.setdefault(entry.start - entry.start % window, []).append(entry)
    choose: Callable[[list[FileEntry], int, int, bool], list[FileEntry]]
    choose = _derived_group if kind == DERIVED else _window_group
    for start in sorted(windows, reverse=True):
        group = choose(windows[start], start + window, now, force)
        if len(group) > 1:
            return group
    return []


def _window_group(files: list[FileEntry], end: int, now: int, force: bool) -> list[FileEntry]:
    """Files of a window that should become one: all when it is over and quiet, else the newest of a size."""
    settled = end + SETTLE_OVER <= now and all(_aged(entry, SETTLE_QUIET, now) for entry in files)
    if settled or force:
        return files
    group: list[FileEntry] = []
    size = 0
    for entry in reversed(files):
        if group and entry.size > TIER_RATIO * size:
            break
        group.insert(0, entry)
        size += entry.size
    return group if len(group) >= TIER_FILES else []


def _derived_group(files: list[FileEntry], _end: int, _now: int, force: bool) -> list[FileEntry]:
    return files if force or len(files) > DERIVED_FILES else []


def _derive(family: Family, now: int, force: bool, avoid: Collection[str]) -> Derive | None:
    if len(family.ladder.stored) == 1:
        return None
    span = family.span
    fine = [entry for entry in family.files if entry.kind == FINE]
    starts = {start for entry in fine for start in range(entry.start - entry.start % span, entry.end, span)}
    for start in sorted(starts - family.derived):
        inputs = overlapping(fine, start, start + span)
        quiet = force or all(entry.whole and _aged(entry, SETTLE_QUIET, now) for entry in inputs)
        damaged = any(entry.path in avoid for entry in inputs)
        if quiet and not damaged and start + span + SETTLE_OVER <= now:
            return Derive(family.policy.number, start, start + span, inputs)
    return None
