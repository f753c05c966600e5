"""Tables of the page cache's commands: as text, CSV or lines of JSON, row by row as they come. Knows no files.

In text and CSV a name is shown as istat.cli.report.printable does, since terminals read both; in JSON it is exact.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from types import MappingProxyType
from typing import Any

from istat.cli.figures import bytes_text
from istat.cli.report import printable
from istat.errors import UsageError
from istat.pagecache import ranges as page_ranges
from istat.pagecache.fleets.snapshots import named

BATCH = 1000            # rows whose widths are made alike; of more the widths may grow on the way
GAP = "  "

Row = Sequence[Any]


@dataclass(frozen=True)
class Column:
    """`name`: its heading; `key`: in JSON and CSV; `kind`: what its values are, by which they are written: name, text,
    number, decimal (a number of which people read four decimals), bytes, share (0..1, shown as per cent), ranges (of
    pages), time (Unix seconds)."""

    name: str
    key: str
    kind: str = "number"

    @property
    def left(self) -> bool:
        """Whether its values begin at the left."""
        return self.kind in ("name", "text", "ranges", "time")


def takes_output(command: argparse.ArgumentParser) -> None:
    """The options for how tables are printed."""
    add = command.add_argument
    add("--jsonl", action="store_true", help="print a line of JSON for each row")
    add("--csv", action="store_true", help="print CSV")
    add("-b", "--bytes", action="store_true", help="print sizes as plain numbers of bytes")
    add("-n", "--noheadings", action="store_true", help="print no headings and no last line with totals")
    add("-o", "--output", metavar="COL,...", help="print these columns only, in this order")


def check(arguments: argparse.Namespace) -> None:
    """UsageError when the options contradict each other."""
    if sum((arguments.json, arguments.jsonl, arguments.csv)) > 1:
        raise UsageError("--json, --jsonl and --csv are three ways to print the same: choose one")


def write(arguments: argparse.Namespace, columns: Sequence[Column], rows: Iterable[Row],
          least: Mapping[str, int] = MappingProxyType({})) -> None:
    """Print a table as the options want it; a row has a value for each column, None where it is unknown. `least`: how
    wide columns are at least, by their names."""
    chosen = choice(arguments, columns)
    kept = [columns[place] for place in chosen]
    picked = ([row[place] for place in chosen] for row in rows)
    if arguments.jsonl:
        sys.stdout.writelines(json.dumps(as_json(kept, row)) + "\n" for row in picked)
    elif arguments.csv:
        _write_csv(kept, picked, not arguments.noheadings)
    else:
        sys.stdout.writelines(line + "\n" for line in text_lines(kept, picked, arguments, least))


def choice(arguments: argparse.Namespace, columns: Sequence[Column]) -> list[int]:
    """The places of the columns that -o wants, all without it. UsageError for one that there is not."""
    if arguments.output is None:
        return list(range(len(columns)))
    known = {column.name: place for place, column in enumerate(columns)}
    wanted = [name.strip().upper() for name in arguments.output.split(",")]
    for name in wanted:
        if name not in known:
            raise UsageError(f"-o {name}: there is no such column; there are: {','.join(known)}")
    return [known[name] for name in wanted]


def as_json(columns: Sequence[Column], row: Row) -> dict[str, Any]:
    """A row as an object."""
    made: dict[str, Any] = {}
    for column, value in zip(columns, row):
        made.update(named(value) if column.kind == "name" and value is not None else {column.key: value})
    return made


def _write_csv(columns: Sequence[Column], rows: Iterable[Row], headings: bool) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if headings:
        writer.writerow([column.key for column in columns])
    writer.writerows([_field(column, value) for column, value in zip(columns, row)] for row in rows)


def _field(column: Column, value: Any) -> Any:
    """A value in CSV: empty when it is unknown."""
    if column.kind == "ranges" and value is not None:
        return page_ranges.text(value)
    return "" if value is None else printable(value) if isinstance(value, str) else value


def text_lines(columns: Sequence[Column], rows: Iterable[Row], arguments: argparse.Namespace,
               least: Mapping[str, int] = MappingProxyType({})) -> Iterator[str]:
    """Lines of a terminal, columns as wide as they need be."""
    source = iter(rows)
    heads = [] if arguments.noheadings else [[column.name for column in columns]]
    # also without headings: tables one after the other fit
    widths = [max(len(column.name), least.get(column.name, 0)) for column in columns]
    while True:
        batch = [[_cell(column, value, arguments.bytes) for column, value in zip(columns, row)]
                 for row in islice(source, BATCH)]
        if not batch and not heads:
            return
        widths = [max(width, *map(len, cells)) for width, cells in zip(widths, zip(*heads, *batch))]
        for cells in (*heads, *batch):
            yield GAP.join(cell.ljust(width) if column.left else cell.rjust(width)
                           for column, cell, width in zip(columns, cells, widths)).rstrip()
        heads = []


def _cell(column: Column, value: Any, plain: bool) -> str:
    if value is None:
        return "-"
    if column.kind == "bytes" and not plain:
        return bytes_text(value).replace(" ", "")
    if column.kind == "share":
        return f"{100 * value:.1f}"
    if column.kind == "decimal":
        return f"{value:.4f}"
    if column.kind == "ranges":
        return page_ranges.text(value) or "-"
    if column.kind == "time":
        return f"{datetime.fromtimestamp(value, UTC):%H:%M:%S}"
    return printable(str(value)) or "-"
