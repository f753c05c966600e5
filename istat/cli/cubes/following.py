"""`istat cube top PATH`: the largest cells of what a program writes at every interval, as it comes."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from istat.cli import saying
from istat.cli.cubes import drawing, files
from istat.cli.cubes.showing import printed, tables, takes_view
from istat.cli.cubes.source import Source
from istat.cli.report import printable
from istat.clock import Clock
from istat.errors import CubeError, UsageError
from istat.settings.types import Duration
from istat.subcommands import SubCommand

if TYPE_CHECKING:
    from rich.console import RenderableType

POLL = 0.5          # [s] how often it looks for something new


def _arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("path", type=Path, metavar="PATH", help="a file that is replaced at every interval, or a "
                         "folder of such files, *.cube")
    takes_view(command)
    command.add_argument("--last", default="0", metavar="TIME", help="of a folder, all frames of such a time as one "
                         "(default those that end last)")
    command.add_argument("--once", action="store_true", help="print what is there now, and end")


def _top(arguments: argparse.Namespace, clock: Clock) -> None:
    try:
        source = Source(arguments.path, Duration().parse(arguments.last))
    except ValueError as error:
        raise UsageError(f"--last {error}") from None
    if arguments.once:
        _once(source, arguments)
        return
    try:
        if arguments.json or not sys.stdout.isatty():
            _stream(source, arguments)
        else:
            _draw(source, arguments)
    except KeyboardInterrupt:
        return          # which is how it ends


def _once(source: Source, arguments: argparse.Namespace) -> None:
    instance = source.newest()
    if instance is None:
        raise next(iter(source.problems), CubeError(f"there is no frame of cubes in {arguments.path}"))
    _warned(source, arguments, [])
    print(printed(instance, arguments))


def _stream(source: Source, arguments: argparse.Namespace) -> None:
    """Where nobody looks at a terminal: each as text, or as a line of JSON."""
    warned: list[str] = []
    while True:
        instance = source.newest()
        warned = _warned(source, arguments, warned)
        if instance is not None:
            text = printed(instance, arguments)
            with _ctrl_c_waits():
                print(text, end="\n" if arguments.json else "\n\n", flush=True)
        time.sleep(POLL)


def _warned(source: Source, arguments: argparse.Namespace, before: list[str]) -> list[str]:
    """Tell of files that could not be read, beside those that were told of the time before."""
    problems = [str(problem) for problem in source.problems]
    for text in problems:
        if text not in before:
            saying.warn(arguments, text)
    return problems


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Until what is printed is written: else it may be written once more when the program ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _draw(source: Source, arguments: argparse.Namespace) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    shown: RenderableType = Text(f"waiting for a frame of cubes in {arguments.path} (Ctrl-C ends)")
    with Live(shown, screen=True, auto_refresh=False) as live:
        while True:
            instance = source.newest()
            if instance is not None:
                found = [one.table() for one in tables(instance, arguments)]
                shown = drawing.drawn(found, files.heading(instance))
            problems = (Text(printable(str(problem)), style="red") for problem in source.problems)
            # Also where nothing is new: the terminal may have another size.
            live.update(Group(shown, *problems), refresh=True)
            time.sleep(POLL)


COMMAND = SubCommand(
    "Follow what a program writes at every interval: the largest cells of its cubes, drawn anew as they come.",
    _arguments, _top,
    "Ctrl-C ends it. Where the output is no terminal it prints each frame instead, with --json as one line. A file "
    "that is only half written is looked at again; one of a folder that cannot be read is named, and the others are "
    "shown.",
    (("istat cube top /run/shop/http.cube --cube http --sort requests", "What is asked for most just now?"),
     ("istat cube top /var/spool/cubes --last 5m --by path", "The last five minutes, by path"),
     ("istat cube top /run/shop/http.cube --once --json", "What is there now, for a script")),
)
