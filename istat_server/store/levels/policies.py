"""Retention rules and the policies of a store: which ladder a new counter gets, and what a change of rules means.

Decisions over a MANIFEST; opens and writes no files. A changed ladder makes a new policy, which takes over the
counters of the old one, and at once all files that need not change for that (`adopt`); what is left is moved over in
the background (`moving`). A counter that another rule fits now gets that rule's ladder for new samples; what it had
stays where it was, and is kept for as long as its old rule says.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from istat.kernels import engine as kernel
from istat.retention import Ladder, Rule, Rules, Season
from istat_server.store.files.manifest import DERIVED, FINE, SETTLED, FileEntry, FileGroup, Manifest, Policy
from istat_server.store.levels.arithmetic import old_level_for

if TYPE_CHECKING:
    from istat.kernels.python.ingest.engine import Engine


# Files outlive their retention by this, so that no accepted sample can meet an expired window [s].
EXPIRE_GRACE = 3600


def first_policies(rules: Rules) -> tuple[Policy, ...]:
    """The policies of a new store: 0 is the default, then one per rule."""
    made = [Policy(0, "", rules.default.text)]
    made += [Policy(number, rule.pattern, rule.ladder.text) for number, rule in enumerate(rules.rules, 1)]
    return tuple(made)


def reconcile(state: Manifest, rules: Rules) -> Manifest:
    """The MANIFEST of a store whose rules are these from now on; the same one when they are what they were."""
    wanted = {"": rules.default, **{rule.pattern: rule.ladder for rule in rules.rules}}
    live = {policy.pattern: policy for policy in state.policies if not policy.leaving}
    if [*wanted] == [*live] and all(live[pattern].retention == ladder.text for pattern, ladder in wanted.items()):
        return state
    state = replace(state, reassign=state.reassign or [*wanted] != [*live])
    number = 1 + max(policy.number for policy in state.policies)
    order = []
    for pattern, ladder in wanted.items():
        old = live.get(pattern)
        if old is None or old.retention != ladder.text:
            new = Policy(number, pattern, ladder.text)
            number += 1
            state = replace(state, policies=(*state.policies, new))
            if old is not None:
                state = adopt(state, old, new)
            order.append(new.number)
        else:
            order.append(old.number)
    gone = [policy.number for policy in state.policies if policy.number not in order]
    for one in gone:
        state = state.with_policy(replace(state.policy(one), leaving=True))
    return replace(state, policies=tuple(state.policy(one) for one in (*order, *gone)))


def fits(old: Ladder, new: Ladder) -> bool:
    """Whether all that the new levels need is in files of the old ones as they are."""
    known = {level.interval for level in old.levels}
    spans = old.window(0) % new.window(0) == 0
    return old.finest.interval == new.finest.interval and spans and all(one.interval in known for one in new.levels)


def adopt(state: Manifest, old: Policy, new: Policy) -> Manifest:
    """`new`, which has no files yet, takes over the counters of `old`, and all files that need not change."""
    whole = fits(old.ladder, new.ladder)
    remain = {level.interval for level in new.ladder.levels}
    if state.reassign and any(level.interval not in remain for level in old.ladder.levels):
        whole = False           # another rule may have use for the level that goes
    group = state.group(old.number)
    level_of = {level.interval: index for index, level in enumerate(new.ladder.levels)}
    files = []
    for entry in group.files:
        if entry.level < len(old.ladder.levels):
            level = level_of.get(old.ladder.levels[entry.level].interval)
        else:
            season = season_like(old.ladder.seasons[entry.level - len(old.ladder.levels)], new.ladder)
            level = None if season is None else len(new.ladder.levels) + season
        if level is not None and (whole or (level == 0 and entry.kind == FINE)):
            files.append(_relabelled(entry, new, level))
        else:
            files.append(entry)
    end = max((entry.end for entry in state.files), default=0)
    origins = old.origins if whole else (*old.origins, (old.number, end))
    moved = end if whole else old.moved         # what is left is of levels that are no more
    derived = _split(group, new.ladder) if whole else frozenset()
    kept = old.derived if whole or old.ladder.finest.interval != new.ladder.finest.interval else group.bare_spans
    state = state.with_policy(replace(old, leaving=True, heir=new.number, moved=moved, derived=kept, origins=()))
    state = state.with_policy(replace(new, derived=derived, origins=origins,
                                      full_from=_full_from(old, new.ladder, state.saved)))
    for policy in state.policies:       # rows of counters that have another rule by now are taken over as well
        until = dict(policy.origins).get(old.number)
        if until is not None and policy.number != new.number:
            state = state.with_policy(replace(policy, origins=(*policy.origins, (new.number, until))))
    return state.with_files(files, [entry.path for entry in group.files])


def _full_from(old: Policy, new: Ladder, saved: int) -> tuple[int, ...]:
    """Per new level since when it has all there is, by what the old levels kept when the store was last written."""
    found = []
    for level in range(len(new.levels)):
        source = old_level_for(old.ladder, new, level)
        if source is None:
            found.append(saved)
        else:
            before = old.full_from[source] if old.full_from else 0
            found.append(max(before, saved - old.ladder.levels[source].keep, 0))
    return tuple(found)


def may_miss(state: Manifest, number: int, level: int, start: int, end: int) -> bool:
    """Whether coarser levels of a policy may have rows of start <= time < end that are not of this level's: it was not
    kept so long then, some came from elsewhere, or may still be with another rule's levels. (Late rows are older.)"""
    policy = state.policy(number)
    if policy.full_from and start < policy.full_from[level]:
        return True
    had = {origin for origin, until in policy.origins if until > start}
    return any(entry.policy in had or (entry.policy == number and entry.level > level and entry.kind == SETTLED
                                       and entry.start < end and entry.end > start) for entry in state.files)


def season_like(was: Season, new: Ladder) -> int | None:
    """Which of the new seasonal levels goes on with an old one."""
    same = (index for index, one in enumerate(new.seasons)
            if (one.interval, one.season, one.weight) == (was.interval, was.season, was.weight))
    return next(same, None)


def _relabelled(entry: FileEntry, policy: Policy, level: int) -> FileEntry:
    window = policy.ladder.window(level)
    inside = entry.whole and (entry.kind == DERIVED or entry.start // window == (entry.end - 1) // window)
    return replace(entry, policy=policy.number, level=level, whole=inside)


def _split(group: FileGroup, ladder: Ladder) -> frozenset[int]:
    """A group's derived spans as spans of another ladder, which are no longer."""
    return frozenset(start for begin in group.derived
                     for start in range(begin, begin + group.span, ladder.window(0)))


def heir_of(policies: Sequence[Policy], number: int) -> int:
    """The policy that a policy's counters have now: itself, the last of its heirs, or the default."""
    by_number = {policy.number: policy for policy in policies}
    default = next(policy.number for policy in policies if not policy.leaving and not policy.pattern)
    while by_number[number].leaving:
        heir = by_number[number].heir
        number = default if heir is None else heir
    return number


def heirs_of(policies: Sequence[Policy], number: int) -> list[Policy]:
    """The policies that counters with rows of this one have now, its heir first."""
    first = heir_of(policies, number)
    others = [policy for policy in policies if not policy.leaving and policy.number != first
              and number in dict(policy.origins)]
    return [next(policy for policy in policies if policy.number == first), *others]


def rules_of(policies: Sequence[Policy]) -> Rules:
    """The rules that a store has, in the order in which they are tried."""
    live = [policy for policy in policies if not policy.leaving]
    default = next(policy for policy in live if not policy.pattern)
    return Rules(default.ladder, tuple(Rule(policy.pattern, policy.ladder) for policy in live if policy.pattern))


def longest(state: Manifest) -> dict[int, int]:
    """Per policy that counters have: how long they may have data [s], those of their rules before included."""
    keeps = {policy.number: max(level.keep for level in policy.ladder.stored) for policy in state.policies}
    had = {group.policy.number for group in state.groups()}
    return {policy.number: max(keeps[number] for number in
                               (policy.number, *(one for one, _end in policy.origins if one in had)))
            for policy in state.policies if not policy.leaving}


def make_engine(policies: Sequence[Policy], key: int) -> Engine:
    """An engine with heads for the policies that counters have."""
    live = _live(policies)
    intervals = {policy.number: [level.interval for level in policy.ladder.levels] for policy in live}
    made: Engine = kernel.Engine(intervals[live[0].number], key, live[0].number)
    for policy in live[1:]:
        made.add_policy(policy.number, intervals[policy.number])
    for policy in policies:
        if policy.leaving:
            made.alias_policy(policy.number, heir_of(policies, policy.number))
    return made


def _live(policies: Sequence[Policy]) -> list[Policy]:
    """Those that counters have, in the order of their heads: the default first."""
    return sorted((policy for policy in policies if not policy.leaving), key=lambda policy: policy.pattern != "")


def head_places(policies: Sequence[Policy]) -> dict[int, int]:
    """By the numbers of policies that counters have: where in the engine's list the heads of their levels begin."""
    found, place = {}, 0
    for policy in _live(policies):
        found[policy.number] = place
        place += len(policy.ladder.levels)
    return found


class Chooser:
    """New counters' policies."""

    def __init__(self, policies: Sequence[Policy], rules: Rules) -> None:
        self._rules = rules
        self._numbers = {policy.pattern: policy.number for policy in policies if not policy.leaving}

    def __call__(self, name: bytes) -> int | None:
        """The policy of a counter's stored name; None is the default."""
        if not self._rules.rules:
            return None
        pattern = self._rules.choose(name)
        return self._numbers[pattern] if pattern else None


def reassigned(names: Iterable[tuple[int, bytes]], policy_of: Callable[[int], int], choose: Chooser,
               default: int) -> dict[int, int]:
    """Counters (id, stored name) whose rule is another one now -> its policy."""
    found = {}
    for id, name in names:
        wanted = choose(name)
        wanted = default if wanted is None else wanted
        if policy_of(id) != wanted:
            found[id] = wanted
    return found


def with_origins(state: Manifest, pairs: Collection[tuple[int, int]]) -> Manifest:
    """The MANIFEST for counters of one policy that get another: (from, to).

    A policy whose rule is gone may have had any of the counters.
    """
    end = max((entry.end for entry in state.files), default=0)
    gone = [policy for policy in state.policies if policy.leaving and policy.heir is None]
    wanted = {(one.number, live.number) for one in gone for live in state.policies if not live.leaving} | set(pairs)
    for source, to in sorted(wanted):
        of, policy = state.policy(source), state.policy(to)
        added = dict([(number, until) for number, until in of.origins if number != to] + [(source, end)])
        state = state.with_policy(replace(policy, origins=tuple(sorted({**dict(policy.origins), **added}.items()))))
    return state
