"""Charts of lines, steps, points and bars over two axes, as PNG, SVG and text. Gives all its place, as
istat.pictures.marks; `vector`, `raster` and `terminal` draw it. Knows not what the numbers are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite

from istat.pictures import colours, png, raster, terminal, vector
from istat.pictures.axes import Axis, Scale, scale_of
from istat.pictures.marks import DASHES, FAINT, INK, Box, Mark, Path, Point, Text

__all__ = ["BARS", "LINE", "POINTS", "STEPS", "Axis", "Chart", "Line"]

LINE, STEPS, POINTS, BARS = "line", "steps", "points", "bars"
SWATCH = 26             # [pixels] of a legend's sample of a line
GAP = 8                 # [pixels] between things
DOT = 5                 # [pixels] of a point
BARS_SHARE = 0.8        # of the room between two places that bars take
MOST_POINTS = 1_000_000     # of a line: more is a mistake, and takes minutes
TICKS_APART = 90, 48        # [pixels] at least, between two numbers of the axes across and up


@dataclass(frozen=True)
class Line:
    """A series. `kind`: LINE; STEPS (a value holds until the next point); POINTS; BARS. A value that is not finite
    is a gap; on a logarithmic axis 0 is drawn at the axis' foot."""

    name: str
    points: Sequence[Point]
    kind: str = LINE


@dataclass(frozen=True)
class Chart:
    """Series over two axes. `width`, `height` [pixels]; text takes as many characters as a terminal has."""

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line] = field(default_factory=tuple)
    width: int = 960
    height: int = 540

    def png(self) -> bytes:
        """A PNG file, `width` by `height`. IstatError when that is too large."""
        png.check_size(self.width, self.height)
        return raster.draw(self.width, self.height, self.marks(raster.LETTER, raster.LINE))

    def svg(self) -> str:
        """An SVG file; its colours go with the page's, light or dark."""
        png.check_size(self.width, self.height)
        return vector.svg(self.width, self.height, self.title, self.marks(vector.LETTER, vector.LINE))

    def text(self, unicode: bool = True) -> str:
        """Lines for a terminal."""
        x, y = self.scales()
        if self.x.names:
            bars = [(name, [(line.name, dict(line.points).get(place)) for line in self.lines])
                    for place, name in enumerate(self.x.names)]
            return terminal.bars(self.title, self.y.title, bars, y, unicode)
        series = [(line.name, [(x.share(a), y.share(b)) for a, b in _shown(line, x)],
                   terminal.BETWEEN.get(line.kind, terminal.NOTHING)) for line in self.lines]
        return terminal.plot(self.title, (self.x, x), (self.y, y), series, unicode)

    def scales(self) -> tuple[Scale, Scale]:
        """Of both axes. ValueError when a line has too many points, or is of a kind that there is none of."""
        for line in self.lines:
            if len(line.points) > MOST_POINTS or line.kind not in (LINE, STEPS, POINTS, BARS):
                raise ValueError(f"a line of {len(line.points)} points, of kind {line.kind!r}")
        finite = [point for line in self.lines for point in line.points if all(map(isfinite, point))]
        return (scale_of(self.x, [a for a, _ in finite]),
                scale_of(self.y, [b for _, b in finite], from_zero=True))

    def marks(self, letter: float, line: float) -> list[Mark]:
        """All that is drawn, what is behind first. `letter`, `line`: how wide a letter is, how high a line of text, in
        pixels."""
        x, y = self.scales()
        legend, top = _legend(self.lines, letter, line, self.width, line * 1.6 if self.title else GAP)
        top += line * 1.5 if self.y.title else GAP      # the highest number of the axis stands below its title
        bottom = self.height - line * (2.6 if self.x.title else 1.5)
        ups = y.ticks(max(2, int((bottom - top) / TICKS_APART[1])))
        left = GAP * 2 + letter * max(len(words) for _, words in ups)
        room = _Room(left, top, self.width - letter * 3 - left, bottom - top, x, y)
        marks: list[Mark] = [Text(GAP, line * 1.1, self.title, bold=True)] if self.title else []
        if self.y.title:
            marks.append(Text(GAP, top - line * 0.8, self.y.title))
        marks += [*_frame(room, ups, letter, line), *_data(self.lines, room), *legend]
        if self.x.title:
            marks.append(Text(room.left + room.width / 2, self.height - line * 0.5, self.x.title, "middle"))
        return marks


@dataclass(frozen=True)
class _Room:
    """Where the data are [pixels], and the axes' scales."""

    left: float
    top: float
    width: float
    height: float
    x: Scale
    y: Scale

    def at(self, a: float, b: float) -> Point:
        return self.left + self.x.share(a) * self.width, self.top + (1 - self.y.share(b)) * self.height

    @property
    def foot(self) -> float:
        return self.top + self.height


def _frame(room: _Room, ups: Sequence[tuple[float, str]], letter: float, line: float) -> Iterator[Mark]:
    """Lines behind the data, the axes and their numbers."""
    right = room.left + room.width
    for share, words in ups:
        up = room.foot - share * room.height
        yield Path(((room.left, up), (right, up)), FAINT, width=1)
        yield Text(room.left - GAP, up + line * 0.3, words, "end")
    end = 0.0
    for share, words in room.x.ticks(max(2, int(room.width / TICKS_APART[0]))):
        across = room.left + share * room.width
        half = len(words) * letter / 2
        yield Path(((across, room.foot), (across, room.foot + 4)), INK, width=1)
        if across - half >= end:
            yield Text(across, room.foot + line * 1.1, words, "middle")
            end = across + half + letter
    yield Path(((room.left, room.top), (room.left, room.foot), (right, room.foot)), INK, width=1)


def _data(lines: Sequence[Line], room: _Room) -> Iterator[Mark]:
    """Of all series; bars first, that they hide no line."""
    bars = [place for place, line in enumerate(lines) if line.kind == BARS]
    for place in bars:
        yield from _bars(lines[place], room, place, bars.index(place), len(bars))
    for place, line in enumerate(lines):
        if line.kind == POINTS:
            yield from (Box(a - DOT / 2, b - DOT / 2, DOT, DOT, place)
                        for a, b in (room.at(*point) for point in _shown(line, room.x) if isfinite(point[1])))
        elif line.kind != BARS:
            yield from _paths(line, room, place)


def _paths(line: Line, room: _Room, place: int) -> Iterator[Mark]:
    """A path for each stretch without a gap."""
    run: list[Point] = []
    for point in (*_shown(line, room.x), (0.0, float("nan"))):
        if not isfinite(point[1]):
            if len(run) == 1:
                yield Box(run[0][0] - DOT / 2, run[0][1] - DOT / 2, DOT, DOT, place)
            elif run:
                yield Path(tuple(run), place, _dash(place))
            run = []
            continue
        here = room.at(*point)
        if run and line.kind == STEPS:
            run.append((here[0], run[-1][1]))
        run.append(here)


def _dash(place: int) -> int:
    """How a series' line is broken: another way when the colours begin again, so that no two are alike."""
    return (place + place // len(colours.SERIES)) % len(DASHES)


def _bars(line: Line, room: _Room, place: int, number: int, count: int) -> Iterator[Mark]:
    """One beside the other at each place across."""
    points = [point for point in _shown(line, room.x) if isfinite(point[1])]
    if not points:
        return
    across = sorted({room.at(a, 0)[0] for a, _ in points})
    apart = min((b - a for a, b in zip(across, across[1:])), default=room.width / max(1, len(room.x.names)))
    wide = apart * BARS_SHARE / count
    for a, b in points:
        middle, top = room.at(a, b)
        yield Box(middle - apart * BARS_SHARE / 2 + number * wide, top, max(1.0, wide - 1), room.foot - top, place)


def _shown(line: Line, x: Scale) -> list[Point]:
    """The points that the axis across has a place for, in its order."""
    return sorted((point for point in line.points if isfinite(point[0]) and x.low <= point[0] <= x.high),
                  key=lambda point: point[0])


def _legend(lines: Sequence[Line], letter: float, line: float, width: float, top: float) -> tuple[list[Mark], float]:
    """Samples and names in rows, and where they end. None for a line without a name."""
    marks: list[Mark] = []
    x, y = float(GAP * 2), top
    for place, one in enumerate(lines):
        if not one.name:
            continue
        long = SWATCH + GAP + len(one.name) * letter + 2 * letter
        if x > GAP * 2 and x + long > width:
            x, y = float(GAP * 2), y + line
        middle = y + line * 0.4
        if one.kind in (BARS, POINTS):
            marks.append(Box(x + SWATCH / 2 - 5, middle - 5, 10, 10, place))
        else:
            marks.append(Path(((x, middle), (x + SWATCH, middle)), place, _dash(place)))
        marks.append(Text(x + SWATCH + GAP, y + line * 0.7, one.name))
        x += long
    return marks, y + (line * 1.2 if marks else 0)
