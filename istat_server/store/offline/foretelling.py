"""What a change of retention would do to a store: counters, files and bytes per rule, before anything happens.

Reads a store that may be in use, and writes nothing. The same decisions as at a start (`policies.reconcile`) are made.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from istat.errors import StoreError
from istat.retention import Ladder, Rules, format_duration
from istat_server.store import opening
from istat_server.store.files import journal, manifest
from istat_server.store.files.manifest import FileEntry, Manifest
from istat_server.store.levels.arithmetic import old_level_for
from istat_server.store.levels.policies import fits, make_engine, reconcile, season_like
from istat_server.store.pool import InlinePool

# A server that is busy replaces its MANIFEST every two minutes: a few attempts always find it at rest.
ATTEMPTS = 5


@dataclass
class Amount:
    """Files, and the bytes in them."""

    files: int = 0
    bytes: int = 0

    def add(self, entry: FileEntry) -> None:
        """One more."""
        self.files += 1
        self.bytes += entry.size


@dataclass
class Change:
    """What happens to one rule. `until`: seconds that each level's data will be kept."""

    rule: str                                       # its pattern; "" is the default
    old: str                                        # levels; "" when the rule is new
    new: str                                        # ... "" when it goes
    counters: int = 0                               # that it will be for, or was for when it goes
    taken_over: int = 0                             # of these, from other rules: for new samples only
    stays: Amount = field(default_factory=Amount)   # not touched
    adopted: Amount = field(default_factory=Amount)     # another policy's from now on, as they are
    moved: Amount = field(default_factory=Amount)       # written anew in the background
    dropped: Amount = field(default_factory=Amount)     # of levels that go, or older than is kept
    until: dict[str, int] = field(default_factory=dict)
    goes: dict[str, str] = field(default_factory=dict)  # old level that is no more -> what becomes of its data


@dataclass(frozen=True)
class Names:
    """The counters of a store, and the policy of each."""

    ids: list[tuple[int, bytes]]
    policies: dict[int, int]


def read_store(folder: Path) -> tuple[Manifest, Names]:
    """The MANIFEST and the counters of a store, also while a server has it open. StoreError when there is none."""
    for _attempt in range(ATTEMPTS):
        state, _problem = manifest.load(folder)
        if state is None:
            raise StoreError(f"{folder} holds no store")
        engine = make_engine(state.policies, 0)
        try:
            opening.load_names(folder, state, engine, InlinePool())
            for number in journal.segment_numbers(folder / "journal"):
                if number >= state.replay_from:
                    path = journal.segment_path(folder / "journal", number)
                    opening.replay_segment(path, engine, lambda _clock: None, journal.Damage())
        except (StoreError, FileNotFoundError):
            if manifest.load(folder)[0] != state:
                continue                # a cut came in between
            raise
        counters = engine.counters
        ids = [(id, counters.name(id)) for id in range(len(counters)) if counters.has(id)]
        return state, Names(ids, {id: engine.policy(id) for id, _name in ids})
    raise StoreError(f"{folder} changes too fast to be read; try again")


def foretell(state: Manifest, names: Names, rules: Rules, now: int) -> list[Change]:
    """What starting with these rules would do, per rule: the default first, those that go last."""
    after = reconcile(state, rules)
    live = {policy.pattern: policy for policy in state.policies if not policy.leaving}
    found = {"": Change("", live[""].retention, rules.default.text)}
    for rule in rules.rules:
        old = live.get(rule.pattern)
        found[rule.pattern] = Change(rule.pattern, old.retention if old else "", rule.ladder.text)
    for pattern, policy in live.items():
        found.setdefault(pattern, Change(pattern, policy.retention, ""))
    _count(found, after, names, rules)
    _files(found, state, after, now)
    for change in found.values():
        if change.new:
            change.until = {level.name: level.keep for level in Ladder.parse(change.new).levels}
        if change.new and change.old and change.new != change.old:
            change.goes = _goes(Ladder.parse(change.old), Ladder.parse(change.new))
    return list(found.values())


def _count(found: dict[str, Change], after: Manifest, names: Names, rules: Rules) -> None:
    """Which counters have which rule."""
    pattern_of = {policy.number: policy.pattern for policy in after.policies}
    for id, name in names.ids:
        was = pattern_of[names.policies[id]]
        will = rules.choose(name) if after.reassign else was
        found[will].counters += 1
        found[will].taken_over += was != will
        if not found[was].new:
            found[was].counters += 1


def _files(found: dict[str, Change], state: Manifest, after: Manifest, now: int) -> None:
    now_in = {entry.path: entry for entry in after.files}
    for entry in state.files:
        to = now_in[entry.path]
        policy = after.policy(to.policy)
        change = found[policy.pattern]
        old = entry.end <= now - policy.ladder.stored[to.level].keep
        if (policy.heir is not None and to.end <= policy.moved) or old:
            change.dropped.add(entry)
        elif policy.heir is not None:
            change.moved.add(entry)
        elif to.policy != entry.policy:
            change.adopted.add(entry)
        else:
            change.stays.add(entry)


def _goes(old: Ladder, new: Ladder) -> dict[str, str]:
    """Old levels that are no more, each with what becomes of its data."""
    kept = {level.interval for level in new.levels}
    found = {level.name: _fate(old, index, new) for index, level in enumerate(old.levels) if level.interval not in kept}
    anew = not fits(old, new)
    for season in old.seasons:
        if season_like(season, new) is None:
            found[season.name] = "its files go soon after the restart"
        elif anew:
            found[season.name] = "begins anew"
    return found


def _fate(old: Ladder, index: int, new: Ladder) -> str:
    """What becomes of the data of an old level whose interval no new one has."""
    level, sources = old.levels[index], [old_level_for(old, new, to) for to in range(len(new.levels))]
    coarser = next((to for to, one in enumerate(new.levels) if one.interval >= level.interval), None)
    if coarser is None:
        return "its data are lost: no level is as coarse"
    if index in sources:
        return f"its files go once {new.levels[sources.index(index)].name} is written from them"
    source, there = sources[coarser], new.levels[coarser]
    text = f"its files go soon after the restart; {there.name} has the same samples"
    if source is not None and old.levels[source].keep < min(level.keep, there.keep):
        text += f" of the last {format_duration(old.levels[source].keep)}; what is older is lost"
    return text
