"""Open files of a process: how many connections it may take, so that its own files always find room.

Where many connect and few files may be open, it is the connections that must do without. Knows the limit that the
system sets (RLIMIT_NOFILE), and nothing of what files are opened for.
"""

from __future__ import annotations

import resource

# Held back for a daemon's own files: those of a store with many levels and some merges at once. [open files]
RESERVE = 1024
# Where few files may be open in all, so much of them.
RESERVED_PART = 0.75
# What must stay free below the limit, whatever the others have taken: a merge, a MANIFEST, a segment. [open files]
FREE = 32
FREE_PART = 0.25
UNLIMITED = 1 << 31


def limit() -> int:
    """How many files this process may have open now."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def connections(most: int, first: int, second: int) -> tuple[int, int]:
    """How many connections each of two listeners may hold where `most` files may be open, and so many are wanted: all
    that are wanted of the first, or half of what is left; the second has the rest, which may be more than it wants."""
    left = most - min(RESERVE, int(most * RESERVED_PART)) if most >= 0 else UNLIMITED      # RLIM_INFINITY is -1
    of_first = max(1, min(first, max(left // 2, left - second)))
    return of_first, max(1, left - of_first)


def first_reserved(most: int) -> int:
    """The number of the first descriptor that a connection must not have: the system gives the lowest that is free."""
    return most - min(FREE, int(most * FREE_PART)) if most >= 0 else UNLIMITED
