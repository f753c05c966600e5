"""Whether this process has more memory or descriptors than an agent has any use for, as one that plugins leak into.

Looks into /proc/self; what follows from it is `watching`'s to do.
"""

from __future__ import annotations

import errno
import os
import resource

# Between two looks [s]; one costs some 50 us.
LOOK_SECONDS = 10.0
# Private memory [bytes]: half of what the unit lets the agent have, some ten times what it needs.
MOST_MEMORY = 256 << 20
# How much of the descriptors that it may have: from here on something will soon want one and get none.
PART_OF_DESCRIPTORS = 0.75
PAGE = resource.getpagesize()


def grown(most_memory: int = MOST_MEMORY) -> str:
    """What there is too much of, as `it had ...`; "": all is well."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        return _grown(most_memory, most)
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        return f"all of its {most} descriptors open"


def _grown(most_memory: int, most: int) -> str:
    with open("/proc/self/statm", encoding="ascii") as file:
        resident, shared = map(int, file.read().split()[1:3])
    private = (resident - shared) * PAGE
    if private > most_memory:
        return f"{private >> 20} MB of memory of its own"
    if most == resource.RLIM_INFINITY:
        return ""
    descriptors = len(os.listdir("/proc/self/fd"))
    return f"{descriptors} of {most} descriptors open" if descriptors > PART_OF_DESCRIPTORS * most else ""
