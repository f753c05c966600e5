"""A table of texts as lines of a terminal, or as a table of rich. Knows no cubes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from istat.cli.report import printable
from istat.cube.export.table import Table

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDEST = 60         # characters of a dimension's value
GAP = "  "


def lines(table: Table) -> Iterator[str]:
    """Columns as wide as they need be, numbers at the right."""
    yield printable(table.title)
    rows = [tuple(map(_cut, row)) for row in (table.heads, *table.rows, *table.last)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        yield (GAP + GAP.join(_aligned(row, widths, table.keys))).rstrip()
    for note in table.notes:
        yield f"{GAP}{note}"


def drawn(tables: Sequence[Table], heading: str) -> RenderableType:
    """The same for a terminal that is drawn anew again and again."""
    # Imported here: a tenth of a second that other commands need not take.
    from rich.console import Group
    from rich.table import Table as Drawn
    from rich.text import Text

    parts: list[RenderableType] = [Text(printable(heading), style="bold")]
    for table in tables:
        made = Drawn(title=Text(printable(table.title)), title_justify="left", caption="; ".join(table.notes),
                     caption_justify="left", box=None, header_style="bold", pad_edge=False)
        for place, head in enumerate(table.heads):
            made.add_column(Text(_cut(head)), justify="left" if place < table.keys else "right", no_wrap=True)
        for row in table.rows:
            made.add_row(*(Text(_cut(cell)) for cell in row))
        for row in table.last:
            made.add_row(*(Text(_cut(cell)) for cell in row), style="dim")
        parts += [Text(), made]
    return Group(*parts)


def _aligned(row: Sequence[str], widths: Sequence[int], keys: int) -> Iterator[str]:
    for place, (cell, width) in enumerate(zip(row, widths)):
        yield cell.ljust(width) if place < keys else cell.rjust(width)


def _cut(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= WIDEST else f"{shown[:WIDEST - 3]}..."
