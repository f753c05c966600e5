"""What an operator may set of a store. Knows no files and no engine."""
from __future__ import annotations

from dataclasses import dataclass

from istat_server.store.files.manifest import Lineage
from istat_server.store.names.deletes import UNDO_SECONDS


@dataclass(frozen=True)
class Options:
    """What an operator may set. Times in seconds, sizes in bytes."""

    cut_seconds: float = 120.0          # `flush`: the longest that rows stay in memory only
    cut_bytes: int = 32 << 20           # ... and how many of them, at least; many counters may have more
    journal_sync: float = 1.0
    max_counters: int = 10_000_000
    refuse_nan: bool = False            # samples whose value is `nan`; else it is 0
    lineage: Lineage | None = None      # the ancestors that counters have; None: as it was
    cache_bytes: int = 16 << 20         # unpacked blocks kept for the next question
    undo_seconds: int = UNDO_SECONDS    # rows of deleted counters are kept at least so long
    key: int | None = None              # of the name tables' hash; None: random
    replica: bool = False               # a replica's store may be opened, which only its master's journal changes
