"""Which declaration a counter has: that of the longest declared name that the counter's begins with, part by part.

A declared name stands for its shape (where something varies, and what stands before and behind that) and the rest of
its text, so that a look-up costs a try for each shape there is, however many names there are. Knows no time and nobody
who declares.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from istat.metrics import VARYING

# Shapes in all: those of our collectors are ten, and hostile ones make a look-up no slower than some 100 us.
MOST_SHAPES = 200
ANY = "<>"

T = TypeVar("T")


class Place(NamedTuple):
    """A part that varies: which, counted from 0, and what it begins and ends with all the same."""

    at: int
    before: str
    behind: str


class Shape(NamedTuple):
    """What names have in common that are looked up at once: how many parts, and which of them vary."""

    parts: int
    places: tuple[Place, ...]


def _taken_apart(name: str) -> tuple[Shape, str]:
    """(the shape of a declared name, its text with nothing between < and >)."""
    parts = name.split(".")
    places = []
    for at, part in enumerate(parts):
        if "<" in part:
            before, _, behind = VARYING.split(part)
            places.append(Place(at, before, behind))
            parts[at] = before + ANY + behind
    return Shape(len(parts), tuple(places)), ".".join(parts)


class Matching(Generic[T]):
    """What is declared, by name."""

    def __init__(self) -> None:
        self._by_shape: dict[Shape, dict[str, T]] = {}
        self._order: list[Shape] = []       # longest first, then those in which least varies

    def has_shape(self, name: str) -> bool:
        """Whether a name of this shape is there."""
        return _taken_apart(name)[0] in self._by_shape

    def get(self, name: str) -> T | None:
        """What was put under this name, or one that differs between < and > only."""
        shape, text = _taken_apart(name)
        return self._by_shape.get(shape, {}).get(text)

    def put(self, name: str, one: T) -> bool:
        """Put this in the place of what was under the name. False where there is no room for another shape."""
        shape, text = _taken_apart(name)
        if shape not in self._by_shape:
            if len(self._by_shape) >= MOST_SHAPES:
                return False
            self._by_shape[shape] = {}
            self._order = sorted(self._by_shape, key=lambda one: (-one.parts, len(one.places)))
        self._by_shape[shape][text] = one
        return True

    def drop(self, name: str) -> None:
        """There is nothing under this name any more."""
        shape, text = _taken_apart(name)
        names = self._by_shape.get(shape, {})
        names.pop(text, None)
        if not names and self._by_shape.pop(shape, None) is not None:
            self._order.remove(shape)

    def find(self, counter: str) -> T | None:
        """What is declared of a counter (a stored name); None for nothing."""
        parts = counter.split(".")
        for shape in self._order:
            if shape.parts <= len(parts):
                text = _as_declared(parts, shape)
                found = self._by_shape[shape].get(text) if text is not None else None
                if found is not None:
                    return found
        return None


def _as_declared(parts: list[str], shape: Shape) -> str | None:
    """The beginning of a counter's name as one of this shape would be declared; None where it cannot be one."""
    if not shape.places:
        return ".".join(parts[:shape.parts])
    begin = parts[:shape.parts]
    for at, before, behind in shape.places:
        part = begin[at]
        if len(part) <= len(before) + len(behind) or not part.startswith(before) or not part.endswith(behind):
            return None
        begin[at] = before + ANY + behind
    return ".".join(begin)
