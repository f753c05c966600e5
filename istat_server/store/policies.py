"""Retention rules and the policies of a store: which ladder a new counter gets, and what a change of rules means.

Pure decisions over a MANIFEST's policies; opens and writes nothing, and moves no files.
"""
from __future__ import annotations

from collections.abc import Sequence

from istat.errors import StoreError
from istat.retention import Rule, Rules
from istat_server.store.manifest import Policy


def first_policies(rules: Rules) -> tuple[Policy, ...]:
    """The policies of a new store: 0 is the default, then one per rule."""
    made = [Policy(0, "", rules.default.text)]
    made += [Policy(number, rule.pattern, rule.ladder.text) for number, rule in enumerate(rules.rules, 1)]
    return tuple(made)


def reconcile(policies: Sequence[Policy], rules: Rules) -> tuple[Policy, ...]:
    """The policies of a store whose rules are now these. StoreError when that cannot be."""
    wanted = {"": rules.default.text, **{rule.pattern: rule.ladder.text for rule in rules.rules}}
    have = {policy.pattern: policy.retention for policy in policies if policy.heir is None}
    if wanted != have:
        was = "; ".join(f"{pattern + ' = ' if pattern else ''}{text}" for pattern, text in have.items())
        raise StoreError(f"the store was made with retention {was}; start with that, or with another store folder")
    return tuple(policies)


def heir_of(policies: Sequence[Policy], number: int) -> int:
    """The policy that a policy's counters have now: itself, or the last of its heirs."""
    heirs = {policy.number: policy.heir for policy in policies}
    while (heir := heirs[number]) is not None:
        number = heir
    return number


def rules_of(policies: Sequence[Policy]) -> Rules:
    """The rules that a store has, in the order in which they are tried."""
    live = [policy for policy in policies if policy.heir is None]
    default = next(policy for policy in live if not policy.pattern)
    return Rules(default.ladder, tuple(Rule(policy.pattern, policy.ladder) for policy in live if policy.pattern))


class Chooser:
    """New counters' policies."""

    def __init__(self, policies: Sequence[Policy], rules: Rules) -> None:
        self._rules = rules
        self._numbers = {policy.pattern: policy.number for policy in policies if policy.heir is None}

    def __call__(self, name: bytes) -> int | None:
        """The policy of a counter's stored name; None is the default."""
        if not self._rules.rules:
            return None
        pattern = self._rules.choose(name)
        return self._numbers[pattern] if pattern else None
