"""`istat ring lint` and `istatd_lint`: which files below a folder are no sound ring files, or old. Never writes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from istat.cli.istatd.alias import Alias, Flag, Given, Misread
from istat.cli.report import printable
from istat.clock import Clock
from istat.errors import BadRetention, IstatError, UsageError
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat.retention import parse_duration
from istat.subcommands import SubCommand
from istat_server.foreign.ring import COMMON, SLOT, RingError, is_ring, plain
from istat_server.foreign.source import Found, Problems, walk
from istat_server.store.files.manifest import NAME as MANIFEST

DEFAULT_AGE = 100_000       # [s]
LEAST_AGE = 10              # [s]
LEAST_PAGE = 4096           # [bytes] no machine has smaller ones


def wrong(found: Found, oldest: int) -> str:
    """What is wrong with a file, "" if nothing is. `oldest`: its last bucket must not be before [Unix seconds]."""
    with ownfiles.reading(found.path, Use.SMALL, plain) as file:
        head = file.read(COMMON.size)
    if len(head) < COMMON.size:
        return "short file"
    if not is_ring(head):
        return "not an istatd file"
    _, _, _, _, _, _, page, pages, _, _, last_time, *_ = COMMON.unpack(head)
    if page <= 0 or page % SLOT.size or pages < 1:
        return "bad page size in header"
    if page < LEAST_PAGE:
        return "too small page size in header"
    if found.size < page * (pages + 1):
        return "file is too small"
    return "file exceeds age" if last_time < oldest else ""


def check(folder: Path, oldest: int, problems: Problems) -> Iterator[tuple[str, Path]]:
    """(what is wrong, file), links not followed. What cannot be read, and stores of ours, are among the problems."""
    ours: Path | None = None
    for found in walk(folder, problems):
        if ours is not None and ours in found.path.parents:
            continue
        ours = next((above for above in found.path.parents if folder in above.parents and _is_ours(above)), None)
        if ours is not None:
            problems.add("store", _no_rings(ours))
            continue
        try:
            told = wrong(found, oldest)
        except RingError as error:      # it was one when it was found
            told = str(error)
        except OSError as error:
            problems.add("unreadable", f"{found.path}: {error.strerror}")
            continue
        if told:
            yield told, found.path


def _age(text: str) -> int:
    """Seconds of a duration such as 2d, or of plain seconds. BadRetention."""
    age = int(text) if text.isascii() and text.isdigit() and len(text) < 13 else parse_duration(text)
    if age < LEAST_AGE:
        raise BadRetention(f"an age is at least {LEAST_AGE} s, not {text}")
    return age


def _is_ours(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def _no_rings(store: Path) -> str:
    return f"{store} is a store of ours, which has no ring files: istat check {store}"


def _looked(folder: Path) -> Path:
    if _is_ours(folder):
        raise UsageError(_no_rings(folder))
    if not folder.exists():
        raise UsageError(f"there is no {folder}")
    return folder


def _alias(given: Given, clock: Clock) -> int:
    try:
        age = _age(given["age"])
    except BadRetention as error:
        raise Misread(f"Command line error near {given['age']}: {error}") from None
    problems = Problems()
    try:
        for told, path in check(_looked(Path(given.words[0])), int(clock.now()) - age, problems):
            print(f"W: {told}: {printable(str(path))}")
    except UsageError as error:
        problems.add("folder", str(error))
    for text in problems.texts:
        print(f"E: {printable(text)}", file=sys.stderr)
    return 0


ALIAS = Alias("istatd_lint", "Tell which ring files below a folder are damaged or old", _alias,
              (Flag("--age", "how old the last bucket may be, such as 2d", "AGE", str(DEFAULT_AGE)),), "DIR", 1, 1,
              "Its status is 0. Links are not followed, and nothing is written.",
              (("istatd_lint --age 2d /var/db/istatd/store", "What nobody has written to for two days"),), files=True)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", type=Path, help="a folder with ring files")
    parser.add_argument("--age", default=str(DEFAULT_AGE), metavar="TIME",
                        help=f"how old the last bucket may be, such as 2d (default {DEFAULT_AGE} s)")


def _action(arguments: argparse.Namespace, clock: Clock) -> None:
    problems = Problems()
    for told, path in check(_looked(arguments.folder), int(clock.now()) - _age(arguments.age), problems):
        print(json.dumps({"file": str(path), "wrong": told}) if arguments.json else f"{printable(str(path))}: {told}")
    if problems.texts:
        raise IstatError("\n".join(problems.texts))


COMMAND = SubCommand("Tell which ring files below a folder are damaged or old.", _arguments, _action,
                     "Links are not followed, and nothing is written.",
                     (("istat ring lint --age 2d /var/db/istatd/store", "What nobody has written to for two days"),))
