"""What a chart is drawn with, once all has its place: paths, boxes and texts, in pixels from the upper left corner.
Knows neither charts nor kinds of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]

# Tones that are no series (0, 1, 2 ...): text and axes; lines behind the data.
INK, FAINT = -1, -2
# How a path is broken, so that paths are told apart without colours: lengths drawn and left out, in turn [pixels].
DASHES: tuple[tuple[int, ...], ...] = ((), (9, 5), (3, 4), (12, 4, 3, 4))


@dataclass(frozen=True)
class Path:
    """A line through points. `dash`: a place in DASHES; `width` [pixels]."""

    points: Sequence[Point]
    tone: int
    dash: int = 0
    width: float = 2.0


@dataclass(frozen=True)
class Box:
    """A filled rectangle: its upper left corner, and how wide and high."""

    x: float
    y: float
    width: float
    height: float
    tone: int


@dataclass(frozen=True)
class Text:
    """A line of text. `x` is its start, middle or end, as `anchor` says; `y` the line that letters stand on."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    bold: bool = False


Mark = Path | Box | Text
