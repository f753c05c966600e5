"""A base copy: the files of a master, brought into a folder aside in a store's, checked, and taken into use whole.

    STORE/base/         the copy while it is made, and when it is ready
    STORE/.swapping     it is being taken into use: `settle` goes on with that
    STORE/outgoing/     what was the store before

So all lies on one disk, and the store's folder need not be moved. `copy` may run while the store is open, `swap` and
`settle` only when nobody has it. Knows a master's lease and files; not when a copy is wanted.
"""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from istat_server.replica.source import Lease, Master

BASE, OUTGOING, SWAPPING = "base", "outgoing", ".swapping"

Show = Callable[[int, int], None]       # bytes done, bytes in all


def nothing(_done: int, _total: int) -> None:
    """Show nobody."""


def copy(master: Master, store: Path, show: Show = nothing) -> Lease:
    """Make a copy in STORE/base: a ready store with a UUID of its own, whose MANIFEST says whom it `follows`.

    Blocks the greenlet, not the hub. What an earlier try left there is gone on with. ServerUnreachable and ReplicaError
    as of the master, StoreCorrupt when what came is not what was sent, StoreFull, StoreError.
    """
    raise NotImplementedError


def is_ready(store: Path) -> bool:
    """Whether there is a whole copy that waits for `swap`."""
    raise NotImplementedError


def swap(store: Path) -> None:
    """Take the copy into use in place of what is in the store's folder (its namespaces stay). Blocks the thread;
    nobody may have the store open. A crash at any moment leaves what `settle` brings to an end. StoreError."""
    raise NotImplementedError


def settle(store: Path) -> None:
    """At a start, before the store is opened: bring a swap that was begun to its end, and remove what is left over.
    A copy that is being made stays. StoreError."""
    raise NotImplementedError
