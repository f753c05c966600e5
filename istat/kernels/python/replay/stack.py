"""LRU of all sizes at once: how deep in the stack of pages, the one used last on top, each reference finds its page. It
misses in a cache of fewer frames than that. The specification: the native build gives the same numbers.

Mattson et al., "Evaluation techniques for storage hierarchies" (IBM Systems Journal, 1970).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from istat.kernels.python.replay.caches import check


def depths(references: Sequence[int], bounds: Sequence[int], pages: int) -> array[int]:
    """Of each reference (32-bit numbers): 1 when its page was the last one used, 0 when it comes for the first time. A
    new stack begins at each of the bounds but the last, which is the number of references. ValueError as of `check`."""
    check(references, bounds, pages)
    found = array("i")
    for start, end in zip(bounds, bounds[1:]):
        stack: list[int] = []                   # the page used last at the end
        for page in references[start:end]:
            depth = 0
            if page in stack:
                at = stack.index(page)
                depth = len(stack) - at
                del stack[at]
            stack.append(page)
            found.append(depth)
    return found
