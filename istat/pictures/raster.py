"""Marks as PNG: a canvas of palette colours, lines with soft edges, letters of a small font. Knows no charts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor, hypot

from istat.pictures import colours, font, png
from istat.pictures.marks import DASHES, FAINT, INK, Box, Mark, Path, Point, Text

LETTER, LINE = float(font.WIDTH), float(font.HEIGHT)    # [pixels]
# The palette: paper, then for each tone its shades on paper, the full one last.
SHADES = 4
TONES = (INK, FAINT, *range(len(colours.SERIES)))
PAPER = 0


def palette() -> list[png.Colour]:
    """Paper, and each tone's shades."""
    full = (colours.INK, colours.FAINT, *colours.SERIES)
    return [colours.PAPER, *(colours.between((colours.PAPER, colour), step / SHADES)
                             for colour in full for step in range(1, SHADES + 1))]


def _png_of(canvas: Canvas) -> bytes:
    """A PNG file of a canvas."""
    return png.encode(canvas.width, canvas.rows(), palette())


def draw(width: int, height: int, marks: Sequence[Mark]) -> bytes:
    """A PNG file of these marks, one over the other."""
    canvas = Canvas(width, height)
    for mark in marks:
        if isinstance(mark, Text):
            canvas.text(mark)
        elif isinstance(mark, Box):
            canvas.box(mark)
        else:
            canvas.path(mark)
    return _png_of(canvas)


class Canvas:
    """Pixels, each the place of its colour in the palette. What lies outside is left out."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._pixels = bytearray(width * height)

    def rows(self) -> list[bytes]:
        """From the top down."""
        return [bytes(self._pixels[y * self.width:(y + 1) * self.width]) for y in range(self.height)]

    def box(self, box: Box) -> None:
        """Fill a rectangle, by whole pixels."""
        left, right = max(0, round(box.x)), min(self.width, round(box.x + box.width))
        colour = _colour(box.tone, SHADES)
        for y in range(max(0, round(box.y)), min(self.height, round(box.y + box.height))):
            if right > left:
                self._pixels[y * self.width + left:y * self.width + right] = bytes([colour]) * (right - left)

    def text(self, text: Text) -> None:
        """Letters, black; bold ones are drawn twice, a pixel apart."""
        x = round(text.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[text.anchor] * len(text.text) * font.WIDTH)
        for sign in text.text:
            for column, row in font.dots(sign):
                for shift in (0, 1) if text.bold else (0,):
                    self._dot(x + column + shift, round(text.y) - font.ABOVE + row, INK, SHADES)
            x += font.WIDTH

    def path(self, path: Path) -> None:
        """A line through points; straight thin ones are sharp."""
        for start, end in _pieces(path.points, DASHES[path.dash]):
            if path.width <= 1 and (start[0] == end[0] or start[1] == end[1]):
                left, right = sorted((start[0], end[0]))
                top, bottom = sorted((start[1], end[1]))
                self.box(Box(left, top, max(1.0, right - left), max(1.0, bottom - top), path.tone))
            else:
                self._segment(start, end, path.tone, path.width)

    def _segment(self, start: Point, end: Point, tone: int, width: float) -> None:
        """A straight piece: along the axis on which it is longer, soft across."""
        long = hypot(end[0] - start[0], end[1] - start[1])
        steep = abs(end[1] - start[1]) > abs(end[0] - start[0])
        (a, b), (c, d) = sorted(((start[1], start[0]), (end[1], end[0])) if steep else (start, end))
        if c == a:
            return
        slope = (d - b) / (c - a)
        half = width / 2 * long / (c - a)
        for along in range(floor(a), ceil(c) + 1):
            middle = b + slope * (min(max(along, a), c) - a)
            for across in range(floor(middle - half), ceil(middle + half) + 1):
                shade = min(SHADES, round((half + 0.5 - abs(across - middle)) * SHADES))
                if shade > 0:
                    self._dot(*((across, along) if steep else (along, across)), tone, shade)

    def _dot(self, x: int, y: int, tone: int, shade: int) -> None:
        """A pixel; soft ones do not cover full ones."""
        if 0 <= x < self.width and 0 <= y < self.height:
            at, colour = y * self.width + x, _colour(tone, shade)
            there = self._pixels[at]
            full_there = there and (there - 1) % SHADES == SHADES - 1 and there != _colour(FAINT, SHADES)
            same = there and (there - 1) // SHADES == (colour - 1) // SHADES
            if (same and colour > there) or (not same and (shade == SHADES or not full_there)):
                self._pixels[at] = colour


def _colour(tone: int, shade: int) -> int:
    """The place in the palette."""
    place = TONES.index(tone if tone < 0 else tone % len(colours.SERIES))
    return 1 + place * SHADES + shade - 1


def _pieces(points: Sequence[Point], dash: Sequence[int]) -> Iterator[tuple[Point, Point]]:
    """The straight pieces that are drawn."""
    if not dash:
        yield from zip(points, points[1:])
        return
    number, left = 0, float(dash[0])
    for start, end in zip(points, points[1:]):
        long, done = hypot(end[0] - start[0], end[1] - start[1]), 0.0
        while done < long:
            take = min(left, long - done)
            if number % 2 == 0:
                yield _between(start, end, done / long), _between(start, end, (done + take) / long)
            done, left = done + take, left - take
            if left <= 1e-9:
                number = (number + 1) % len(dash)
                left = float(dash[number])


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share
