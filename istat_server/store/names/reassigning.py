"""Retention rules that have changed: counters that another rule is for now get its policy. Knows no samples."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from istat.retention import Rules
from istat_server.store.files.livefiles import LiveFiles
from istat_server.store.levels import policies

log = logging.getLogger(__name__)


def reassign(engine: Any, files: LiveFiles, flush: Callable[[], None], old: Rules, new: Rules) -> None:
    """Give counters that another rule is for now its policy. Until the MANIFEST says that this is done, each start
    does it anew.

    The MANIFEST says first where their older rows are, all of them in files: counters that have their new policy
    do not tell which one they had.
    """
    counters, default = engine.counters, files.manifest.default.number
    choose = policies.Chooser(files.manifest.policies, new)
    names = ((id, counters.name(id)) for id in range(len(counters)) if counters.has(id))
    found = policies.reassigned(names, engine.policy, choose, default)
    pairs = {(engine.policy(id), to) for id, to in found.items()}
    flush()
    files.commit(lambda state: policies.with_origins(state, pairs), ())
    for id, to in found.items():
        engine.set_policy(id, to)
    flush()
    files.commit(lambda state: replace(state, reassign=False, revision=state.revision + 1), ())
    names = ((id, counters.name(id)) for id in range(len(counters)) if counters.has(id))
    # Those of a rule that is gone have the default's policy already.
    changed = sum(old.choose(name) != new.choose(name) for _id, name in names)
    log.info("counters that have another retention rule now: %d", max(changed, len(found)))
