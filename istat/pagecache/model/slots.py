"""Times of day, as far as rings make them differ: plain updates, the one just after an aggregation, and for each
coarser level those at which its rings are due (half hour, two hours, midnight). Knows steps and seconds."""

from __future__ import annotations

from collections.abc import Sequence

PLAIN, AFTER = 0, 1             # slots; level i from the second on is slot i (2, 3 ...)
NAMES = {1800: "half hour", 7200: "two hours", 86_400: "midnight"}     # seconds
UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def slot(update: int, levels: Sequence[int]) -> int:
    """Of the update of this number, counted from 1 on. `levels`: distinct steps, ascending."""
    due = _due(update, levels)
    if due > 1:
        return due
    return AFTER if update > 1 and _due(update - 1, levels) > 1 else PLAIN


def names(levels: Sequence[int], interval: float) -> list[str]:
    """Of each slot, in order."""
    coarse = [_span(step * interval) for step in levels[1:]]
    return ["plain", *(["after an aggregation"] if coarse else []), *coarse]


def level_of(place: int) -> int:
    """Up to which level (1, 2 ...) the rings are due in a slot."""
    return max(1, place)


def _due(update: int, levels: Sequence[int]) -> int:
    """How many levels, at most, are due together: the place of the coarsest, from 1 on."""
    return max((place for place, step in enumerate(levels, 1) if update % step == 0), default=0)


def _span(seconds: float) -> str:
    if seconds in NAMES:
        return NAMES[int(seconds)]
    unit, name = next(((size, name) for size, name in UNITS if seconds % size == 0), (1, "s"))
    return f"each {seconds / unit:g} {name}"
