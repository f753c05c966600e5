"""What a store cannot do is said before it is asked to. Knows the store's interface, and no requests."""

from __future__ import annotations

from istat.errors import BadQuery
from istat_server.store.interface import Capability, Store

WHAT = {
    Capability.RENAME: "renames no counters",
    Capability.UNDELETE: "keeps no deleted counters: none can be listed or brought back",
    Capability.SEASONS: "has no seasonal levels",
    Capability.RULES: "has the same levels for all counters",
    Capability.CLOCK_GUARD: "does not doubt the clock, so there is nothing to confirm",
    Capability.BATCH_MARKS: "cannot tell a batch that is sent again from a new one",
    Capability.ANCESTORS: "feeds no ancestors of counters",
}


def need(store: Store, capability: Capability) -> None:
    """Nothing, or BadQuery (501) when a store cannot do something."""
    if capability not in store.capabilities:
        raise BadQuery(f"the store of this server {WHAT[capability]}", 501)
