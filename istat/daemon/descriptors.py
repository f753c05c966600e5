"""Open files of a process: how many connections it may take, so that its own files always find room.

Where many connect and few files may be open, it is the connections that must do without. Knows the limit that the
system sets (RLIMIT_NOFILE), and nothing of what files are opened for.
"""

from __future__ import annotations

import errno
import os
import resource
import sys
import time
from collections.abc import Callable

# accept(2): errors of want, not of the listening socket.
OUT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
# A want that comes back within this time [s] is the same one, and told already: clients come and go, and with each
# that goes one is accepted.
SAME_SECONDS = 60.0
# Why there are fewer connections than were wanted.
SHORT = "few files can be open, raise num-files"
# Held back for a daemon's own files: those of a store with many levels and some merges at once. [open files]
RESERVE = 1024
# Where few files may be open in all, so much of them.
RESERVED_PART = 0.75
# What must stay free below the limit, whatever the others have taken: a merge, a MANIFEST, a segment. [open files]
FREE = 32
FREE_PART = 0.25
UNLIMITED = 1 << 31
STANDARD = (0, 1, 2)


def open_standard() -> None:
    """Where whoever started us has closed standard input, output or error, nothing else is to get their numbers, and
    what is said there goes nowhere. To be called before anything is opened."""
    for number in STANDARD:
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)    # the lowest that is free is this one
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")      # noqa: SIM115 - for as long as we run


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


class Want:
    """Out of descriptors, again and again: whether it is to be told."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._until = float("-inf")

    def is_new(self) -> bool:
        """There is want, now; whether there was none for a while."""
        now = self._monotonic()
        new, self._until = now >= self._until, now + SAME_SECONDS
        return new
