"""`istat explain`: what is wrong with lines, and the right ones, line by line. Asks no server."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import IO

from istat.cli.figures import number_text
from istat.cli.report import printable
from istat.clock import Clock
from istat.declared.lines import why_not
from istat.errors import BadLine
from istat.subcommands import SubCommand
from istat.wire.explaining import Explained, explain

LONGEST = 65_536        # of a line [bytes]: the server's max-line, unless that is set
SHOWN = 200             # characters of a line that are shown
UNTERMINATED = Explained("unterminated", "its line feed is missing, so that a server waits for the rest of it")
TOO_LONG = Explained("long_line", f"it is longer than {LONGEST:,} bytes (max-line)")


def _arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="lines as they are sent; - is the standard input")


def _explain(arguments: argparse.Namespace, clock: Clock) -> None:
    if arguments.file == "-":
        wrong, count = _tell(sys.stdin.buffer, clock.now(), arguments.json)
    else:
        with open(arguments.file, "rb") as file:
            wrong, count = _tell(file, clock.now(), arguments.json)
    if wrong:
        raise BadLine("wrong", f"{number_text(wrong)} of {_lines(count)} {'is' if wrong == 1 else 'are'} wrong")
    if not arguments.json:
        print(f"nothing is wrong with {_lines(count)}; whether a server keeps their times only it can tell")


def _tell(file: IO[bytes], now: float, as_json: bool) -> tuple[int, int]:
    """Print what is wrong; how many lines are, of how many."""
    wrong = count = 0
    rows = []
    for count, line in enumerate(_read(file), 1):
        found = _explained(line, now)
        if found is None:
            continue
        wrong += 1
        row = {"line": count, "text": _cut(line), "kind": found.kind, "wrong": printable(found.wrong),
               "right": printable(found.right)}
        if as_json:
            rows.append(row)
        else:
            right = f"\n    right: {row['right']}" if found.right else ""
            print(f"{count}: {row['text']}\n    {row['wrong']}{right}")
    if as_json:
        print(json.dumps({"lines": count, "wrong": rows}))
    return wrong, count


def _cut(line: bytes) -> str:
    text = printable(line.rstrip(b"\r\n").decode("utf-8", "surrogateescape"))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _read(file: IO[bytes]) -> Iterator[bytes]:
    """Lines with their line feeds; of one that is too long a part that is too long as well."""
    while line := file.readline(LONGEST + 1):
        yield line
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(LONGEST)


def _explained(line: bytes, now: float) -> Explained | None:
    if len(line) > LONGEST:
        return TOO_LONG
    declared = why_not(line)
    found = Explained("bad_metadata", declared) if declared else explain(line, now)
    if line.endswith(b"\n"):
        return found
    return found or UNTERMINATED._replace(right=line.decode("utf-8", "surrogateescape").strip())


def _lines(count: int) -> str:
    return f"{number_text(count)} line" + ("" if count == 1 else "s")


COMMAND = SubCommand(
    "Tell what is wrong with lines that are to be sent, and what would be right.", _arguments, _explain,
    "Line by line, and without a server: Graphite's order of fields, times in milliseconds, numbers with a comma or a "
    "unit, statsd's lines, names with blanks, and all else that is no sample. Ends with 81 when a line is wrong.",
    (("istat explain lines.txt", "Are these lines right?"),
     ("istat explain -", "And those that are typed, or come by a pipe?")),
)
