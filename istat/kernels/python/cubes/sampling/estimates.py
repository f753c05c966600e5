"""How many items registers stand for. Knows no keys, no buckets.

This module is the specification; `native/cubes/sampling/estimates.pyx` is the fast build of it.
The same tests run on both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

RANKS = 32          # that `expected` looks at: enough for 64 * 2**32 items in a bucket
_ALPHA = {16: 0.673, 32: 0.697, 64: 0.709}      # bias of the raw estimate, by registers


def estimated(registers: int, inverse: float, zeros: int) -> float:
    """Distinct items, of the sum of 2**-rank over so many registers, and how many of them are zero."""
    raw = _ALPHA.get(registers, 0.7213 / (1 + 1.079 / registers)) * registers * registers / inverse
    if raw <= 2.5 * registers and zeros:
        return registers * math.log(registers / zeros)
    return raw


def sums(registers: Sequence[int]) -> tuple[float, int]:
    """The sum of 2**-rank, and how many are zero."""
    return sum([2.0**-rank for rank in registers]), sum([rank == 0 for rank in registers])


def expected(items: float, contents: Sequence[float], registers: int) -> float:
    """The sum of 2**-rank over the least registers of rows with these contents, if so many are of one key."""
    own = math.exp(-items / registers * 2.0 ** (1 - RANKS))     # the chance that no rank is above RANKS - 1
    others = [math.exp(-max(content - items, 0.0) / registers * 2.0 ** (1 - RANKS)) for content in contents]
    total = weight = 2.0**-RANKS
    for _ in range(RANKS):
        all_above = 1.0
        for other in others:
            all_above *= 1.0 - other
        total += own * (1.0 - all_above) * weight
        own *= own                                              # the same for one rank less
        others = [other * other for other in others]
        weight *= 2.0
    return registers * total
