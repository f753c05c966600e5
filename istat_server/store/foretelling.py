"""What a change of retention would do to a store: counters, files and bytes per rule, before anything happens.

Reads a store that may be in use, and writes nothing. The same decisions as at a start (`policies.reconcile`) are made.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from istat.errors import StoreError
from istat.retention import Ladder, Rules
from istat_server.store import journal, manifest, opening
from istat_server.store.manifest import FileEntry, Manifest
from istat_server.store.policies import reconcile
from istat_server.store.reading import source_level

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
    lost: dict[str, str] = field(default_factory=dict)  # old level -> why its data cannot be kept


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
        engine = opening.make_engine(state.policies, 0)
        try:
            opening.load_names(folder, state, engine)
            for path in sorted((folder / "journal").glob("*.journal")):
                if int(path.stem) >= state.replay_from:
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
            change.lost = _lost(Ladder.parse(change.old), Ladder.parse(change.new))
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


def _lost(old: Ladder, new: Ladder) -> dict[str, str]:
    """Old levels that no new level takes its data from, and that say more, or longer, than the others."""
    used = {source_level(old, new, level) for level in range(len(new.levels))}
    lost = {}
    for index, level in enumerate(old.levels):
        if index not in used:
            coarser = [one for one in new.levels if one.interval >= level.interval]
            lost[level.name] = f"only {coarser[0].name} and coarser remain" if coarser else "no level is as coarse"
    return lost
