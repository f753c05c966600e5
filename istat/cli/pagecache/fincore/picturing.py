"""`istat fincore --heatmap`: pages as cells. Knows the terminal's size, no kind of picture."""

from __future__ import annotations

import argparse
import shutil

from istat.cli.pagecache.choosing import Ending
from istat.cli.pagecache.fincore import rows
from istat.cli.report import printable
from istat.pagecache.fleets.heatmap import MOST, HeatMap
from istat.pictures import files

LABEL = 32          # columns of a terminal for a file's name
NARROWEST = 16      # columns of cells, on the narrowest terminal


def draw(arguments: argparse.Namespace, ending: Ending) -> None:
    """Count, and draw. UsageError for a name that tells no kind of picture; IstatError without a page to draw."""
    name = files.check(arguments.heatmap)
    shown = HeatMap()
    for one in rows.arranged(rows.scan(arguments, ending, pages=True, dirty_pages=True), arguments):
        shown.add(_label(one.path, name), one.residency)
    columns = arguments.cols or (max(NARROWEST, shutil.get_terminal_size().columns - LABEL - 1)
                                 if name == files.TEXT else MOST)
    files.save(shown.grid("Pages in memory", arguments.rows or MOST, columns, arguments.cell), name)


def _label(path: str, picture: str) -> str:
    """A file's name, on a terminal its end where it is long."""
    shown = printable(path)
    return shown if picture != files.TEXT or len(shown) <= LABEL else f"...{shown[3 - LABEL:]}"
