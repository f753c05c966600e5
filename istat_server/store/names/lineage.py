"""Ancestors of counters: `a.b` and `a` of `a.b.c`. Which of them a sample feeds as well (`rollup`), and which are made
without samples, so that they can be listed and read (`make-parents`). Knows names only."""
from __future__ import annotations

from collections.abc import Sequence

from istat import names
from istat_server.store.files.manifest import Lineage

MOST_MADE = 16          # nearest ancestors of one counter: bounds what a single line can make


def fed(lineage: Lineage, found: Sequence[bytes]) -> list[bytes]:
    """The ancestors that samples of these counters feed too; each once, and none that is among them itself."""
    above = {one: None for name in found for one in names.ancestors(name, lineage.rollup)}
    return [one for one in above if one not in found]


def listed(lineage: Lineage, found: Sequence[bytes]) -> list[bytes]:
    """The ancestors of these counters that are to be there; each once."""
    most = MOST_MADE if lineage.parents else 0
    return [*dict.fromkeys(one for name in found for one in names.ancestors(name, most))]
