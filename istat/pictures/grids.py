"""Grids of coloured cells (heat maps), as PNG, SVG and text. A cell is a byte: `shade(share)`, the same with `MARKED`
added, `VOID` or `UNKNOWN`. Knows not what rows, columns and marks stand for: whoever draws has the words.

As PNG a grid is its cells and nothing else: `cell` pixels for each, both ways. SVG adds title, labels, scale, legend.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from istat.pictures import colours, png, scales
from istat.pictures.vector import escaped

SHADES = 16                     # of a share above 0; 0 is no share at all
FULL = SHADES                   # the shade of a whole share
MARKED = 32                     # added to a shade: it is marked
VOID, UNKNOWN = 64, 65          # there is no such cell; what is in it cannot be told
CODES = (*range(FULL + 1), *range(MARKED + 1, MARKED + FULL + 1), VOID, UNKNOWN)

# Characters of text: none of it, up to a third, two thirds, less than all, all; marked; void; unknown.
BLOCKS = "·░▒▓█▚ ?"
PLAIN_LETTERS = ".-+=#D ?"      # where a terminal has no such blocks

LETTER = 7                      # [pixels] of a letter of SVG's text, as wide as monospace of LINE * 0.8 is
LINE = 14                       # [pixels] from one line of text to the next
TICKS_APART = 40                # [pixels] at least, between two numbers of the scale
LONGEST_LABEL = 40              # letters


@dataclass(frozen=True)
class Grid:
    """Cells in rows. `rows`: a byte a cell, as above; rows may be shorter than `columns` (the rest is void).

    `labels`: of rows; `title`, `across` (what the columns are), `legend`: (cell, words) in the order of showing;
    `per_column`: how many of what `across` names a column stands for; `cell`: [pixels], both ways.
    """

    columns: int
    rows: Sequence[bytes]
    labels: Sequence[str] = ()
    title: str = ""
    across: str = ""
    legend: Sequence[tuple[int, str]] = ()
    per_column: float = 1.0
    cell: int = 8

    def png(self) -> bytes:
        """`columns * cell` by `len(rows) * cell` pixels; void is transparent. IstatError when that is too large."""
        width = self.columns * self.cell
        png.check_size(width, len(self.rows) * self.cell)
        lines = [line for row in self._full_rows() for line in [_widened(row, self.cell)] * self.cell]
        return png.encode(width, lines, _palette(dark=False), clear=VOID)

    def svg(self) -> str:
        """With title, labels, scale and legend. IstatError when it is too large."""
        return _svg(self)

    def text(self, unicode: bool = True) -> str:
        """Lines of characters, one a cell, each row behind its label; the legend last."""
        letters = BLOCKS if unicode else PLAIN_LETTERS
        widest = max(map(len, self.labels), default=0)
        table = bytes.maketrans(bytes(CODES), bytes(_letter(code) for code in CODES))
        lines = [self.title] if self.title else []
        for place, row in enumerate(self._full_rows()):
            label = self.labels[place] if place < len(self.labels) else ""
            cells = "".join(letters[letter] for letter in row.translate(table))
            lines.append(f"{label.ljust(widest)} {cells}".strip("\n") if widest else cells)
        if self.legend:
            lines.append("  ".join(f"{_sample(code, letters)} {words}" for code, words in self.legend))
        return "\n".join(line.rstrip() for line in lines) + "\n"

    def _full_rows(self) -> Iterator[bytes]:
        """Each row in full width. ValueError for a cell that is none."""
        allowed = bytes(CODES)
        for row in self.rows:
            if len(row) > self.columns or row.translate(None, allowed):
                raise ValueError("a row of more cells than columns, or a cell that is none of grids.CODES")
            yield row.ljust(self.columns, bytes([VOID]))


def shade(share: float) -> int:
    """The cell of a share, 0..1: 0 only for nothing at all, FULL only for the whole."""
    if share <= 0.0:
        return 0
    return FULL if share >= 1.0 else min(FULL - 1, ceil(share * FULL))


def _letter(code: int) -> int:
    """The place of a cell's character in BLOCKS."""
    if code in (VOID, UNKNOWN):
        return 6 + (code == UNKNOWN)
    if code > MARKED:
        return 5
    return 4 if code == FULL else ceil(3 * code / (FULL - 1))


def _sample(code: int, letters: str) -> str:
    """The characters of a legend: for a share above 0 and below all of it those of all such shares."""
    return letters[1:4] if 0 < code < FULL else letters[_letter(code)]


def _widened(row: bytes, cell: int) -> bytes:
    """Each byte `cell` times."""
    wide = bytearray(len(row) * cell)
    for place in range(cell):
        wide[place::cell] = row
    return bytes(wide)


def _palette(dark: bool) -> list[png.Colour]:
    """The colour of each cell, at its own place."""
    plain, marked = (colours.DARK_PLAIN, colours.DARK_MARKED) if dark else (colours.PLAIN, colours.MARKED)
    made = [colours.PAPER] * (UNKNOWN + 1)
    made[0] = colours.DARK_NOTHING if dark else colours.NOTHING
    for step in range(1, FULL + 1):
        made[step] = colours.between(plain, (step - 1) / (FULL - 1))
        made[MARKED + step] = colours.between(marked, (step - 1) / (FULL - 1))
    made[UNKNOWN] = colours.DARK_UNKNOWN if dark else colours.UNKNOWN
    return made


def _svg(grid: Grid) -> str:
    cell, rows = grid.cell, len(grid.rows)
    labels = [label if len(label) <= LONGEST_LABEL else f"...{label[3 - LONGEST_LABEL:]}" for label in grid.labels]
    left = max(map(len, labels), default=0) * LETTER + LETTER
    top = LINE * 2 if grid.title else LETTER
    legend = [(f"c{code}", words) for code, words in grid.legend]
    long = LETTER * (sum(len(words) + 4 for _, words in legend))
    width = max(left + grid.columns * cell + LINE, left + long, LETTER * (len(grid.title) + 2))
    height = top + rows * cell + LINE * (3 if grid.across else 2) + (LINE if legend else 0)
    png.check_size(width, height)
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'role="img">', f"<title>{escaped(grid.title or 'cells')}</title>", _style(grid),
        f'<text class="t" x="{LETTER}" y="{LINE + 4}">{escaped(grid.title)}</text>',
        f'<g transform="translate({left} {top})">', *_cells(grid), *_labels(labels, cell), *_scale(grid), "</g>",
        *_legend(legend, left, height), "</svg>", ""))


def _style(grid: Grid) -> str:
    """Colours of the cells that there are, on light and on dark pages."""
    there = sorted({*b"".join(grid.rows), *(code for code, _ in grid.legend)} - {VOID})

    def rules(dark: bool, ink: png.Colour) -> str:
        palette = _palette(dark)
        return f"text{{fill:{colours.css(ink)}}}" + "".join(f".c{c}{{fill:{colours.css(palette[c])}}}" for c in there)

    return (f"<style>text{{font:{LINE * 0.8:.0f}px monospace}}.t{{font-weight:bold}}{rules(False, colours.INK)}"
            f"{colours.DARK_PAGE}{{{rules(True, colours.DARK_INK)}}}</style>")


def _cells(grid: Grid) -> Iterator[str]:
    """A path for each kind of cell, of one rectangle for each run of them."""
    paths: dict[int, list[str]] = {}
    cell = grid.cell
    for place, row in enumerate(grid._full_rows()):
        start = 0
        for end in range(1, len(row) + 1):
            if end == len(row) or row[end] != row[start]:
                if row[start] != VOID:
                    long = (end - start) * cell
                    paths.setdefault(row[start], []).append(
                        f"M{start * cell} {place * cell}h{long}v{cell}h-{long}z")
                start = end
    for code, pieces in sorted(paths.items()):
        yield f'<path class="c{code}" shape-rendering="crispEdges" d="{"".join(pieces)}"/>'


def _labels(labels: Sequence[str], cell: int) -> Iterator[str]:
    """Those of rows, as many as there is room for."""
    for place in range(0, len(labels), ceil(LINE / cell)):
        middle = place * cell + max(cell, LINE) / 2 + LINE * 0.28
        yield f'<text text-anchor="end" x="-{LETTER / 2:g}" y="{middle:g}">{escaped(labels[place])}</text>'


def _scale(grid: Grid) -> Iterator[str]:
    """Numbers below the columns, and what they count."""
    below = len(grid.rows) * grid.cell + LINE
    last = (grid.columns - 1) * grid.per_column
    apart = max(TICKS_APART, LETTER * (len(f"{round(last):,}") + 2))
    for value in scales.whole_ticks(last, max(1, grid.columns * grid.cell // apart)):
        x = (value / grid.per_column + 0.5) * grid.cell
        yield f'<text text-anchor="middle" x="{x:g}" y="{below}">{value:,}</text>'
    if grid.across:
        yield f'<text x="0" y="{below + LINE}">{escaped(grid.across)}</text>'


def _legend(legend: Sequence[tuple[str, str]], left: int, height: int) -> Iterator[str]:
    x = left
    for kind, words in legend:
        yield f'<rect class="{kind}" x="{x}" y="{height - LINE - 2}" width="10" height="10"/>'
        yield f'<text x="{x + 2 * LETTER}" y="{height - LINE + 7}">{escaped(words)}</text>'
        x += LETTER * (len(words) + 4)
