"""`istat ring import` and `istat ring nums2file`, with istatd's programs for them: lines of standard input become
buckets of a ring file. Bad lines are told and passed over; the file is written once, aside, when all are read.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from istat import owners
from istat.cli.istatd.alias import Alias, Flag, Given, Misread
from istat.cli.report import printable
from istat.clock import Clock
from istat.errors import UsageError
from istat.subcommands import SubCommand
from istat_server.foreign import ring, ringedit
from istat_server.foreign.ring import EVENT, MOST_FILE, SLOT, Bucket, Ring, RingError
from istat_server.foreign.ringedit import Edit, Mode
from istat_server.tools.ring.finding import store_of

TOLD = 20               # lines that are told one by one; of all others only the number
AHEAD = 86400           # [s] how far after now a time may be: one in milliseconds would empty the ring
FIELDS = 6              # of a bucket's line: time sum sumsq min max count
MOST_SAMPLES = MOST_FILE // SLOT.size // 2


class Done(NamedTuple):
    """What became of the lines."""

    taken: int
    refused: int


@dataclass
class Refusals:
    """Lines that were not taken."""

    number: int = 0

    def add(self, line: int, why: str) -> None:
        """One more; `line` counts from 1."""
        self.number += 1
        if self.number <= TOLD:
            print(f"line {line}: {printable(why)}", file=sys.stderr)


def bucket(text: str) -> Bucket:
    """The bucket of a line of exactly six fields with one blank between. ValueError."""
    fields = text.split(" ")
    if len(fields) != FIELDS:
        raise ValueError(f"{FIELDS} fields are wanted, with one blank between: time sum sumsq min max count")
    time, total, sumsq, low, high, count = fields
    made = Bucket(int(time), float(total), float(low), float(high), int(count), float(sumsq))
    if not ringedit.sound(made):
        raise ValueError("no bucket has these numbers")
    return made


def fill(path: Path, lines: Iterable[str], fill_empty: bool, now: float) -> Done:
    """Put buckets into a ring file that is there. RingError, UsageError, OSError: then it is as it was."""
    _no_store(path)
    edit, refused = ringedit.load(path), Refusals()
    for number, line in enumerate(lines, 1):
        try:
            made = bucket(line.rstrip("\r\n"))
        except ValueError as error:
            refused.add(number, str(error))
            continue
        if made.time > now + AHEAD:
            refused.add(number, f"the time {made.time} is later than tomorrow")
        elif not edit.put(made, Mode.FILL if fill_empty else Mode.OVERWRITE):
            refused.add(number, f"the time {made.time} is too old for this file")
    if edit.changed:
        ringedit.save(path, edit)
    return Done(edit.changed, refused.number)


class Numbers(NamedTuple):
    """How numbers become samples of a file. `zero`: the time of the first one, and where a new file begins."""

    interval: int
    samples: int            # that a new file has room for
    times: bool             # lines are `time value`
    zero: int | None
    event: bool


def numbers(path: Path, lines: Iterable[str], how: Numbers, now: float) -> Done:
    """Add numbers to a ring file, which is made if it is not there. As `fill`."""
    if not 1 <= how.interval <= 366 * 86400 or not 1 <= how.samples <= MOST_SAMPLES:
        raise UsageError(f"an interval is 1 s to a year, and a file has 1 to {MOST_SAMPLES:,} samples")
    if how.zero is not None and not 0 <= how.zero <= now + AHEAD:
        raise UsageError(f"a file begins at a time in Unix seconds, at the latest tomorrow, not {how.zero}")
    _no_store(path)
    refused = Refusals()
    found = _samples(lines, how, refused, now)
    edit = _opened(path, how, found[0][1] if found else int(now))
    for number, time, value in found:
        if not _add(edit, time, value):
            refused.add(number, f"the time {time} is too old for this file")
    if edit.changed or not path.exists():
        with owners.as_owner(ringedit.nearest(path.parent)):    # root makes it for whose folder it comes into
            path.parent.mkdir(parents=True, exist_ok=True)
        ringedit.save(path, edit)
    return Done(edit.changed, refused.number)


def _samples(lines: Iterable[str], how: Numbers, refused: Refusals, now: float) -> list[tuple[int, int, float]]:
    """(line, time, value). Without times in the lines one bucket after the other, from `zero`, or so that the last is
    now."""
    read: list[tuple[int, int, float]] = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        try:
            if len(words) != 1 + how.times:
                raise ValueError("a time and a value are wanted" if how.times else "one number is wanted")
            time, value = int(words[0]) if how.times else 0, float(words[-1])
            if not math.isfinite(value) or abs(value) > sys.float_info.max ** 0.5:
                raise ValueError(f"{words[-1]} is no value")
            if how.times and not 0 < time <= now + AHEAD:
                raise ValueError(f"the time {time} is none, or later than tomorrow")
        except ValueError as error:
            refused.add(number, str(error))
            continue
        read.append((number, time, value))
    if how.times:
        return read
    first = how.zero if how.zero is not None else int(now) - how.interval * len(read)
    return [(number, first + place * how.interval, value) for place, (number, _, value) in enumerate(read)]


def _opened(path: Path, how: Numbers, first: int) -> Edit:
    flags = EVENT if how.event else 0
    if path.exists():
        edit = ringedit.load(path)
        if (edit.header.flags & EVENT) != flags:
            raise RingError(f"{path} is there already, of the other kind of counter: name another file")
        return edit
    start = how.zero if how.zero is not None else first
    header = ring.empty(path, how.interval, how.interval * how.samples, flags, 0, start)
    return Edit(Ring(header, bytes(header.file_size - header.page_size)))


def _add(edit: Edit, time: int, value: float) -> bool:
    """A sample: of a gauge it is merged, of events it adds to the rate of its bucket."""
    header = edit.header
    if header.flags & EVENT:
        value = edit.at(edit.start(time)).sum + value / header.interval
    return edit.put(Bucket(time, value, value, value, 1, value * value), Mode.MERGE)


def _stdin() -> Iterator[str]:
    """The lines of standard input, whatever bytes they have."""
    return (line.decode("ascii", "replace") for line in sys.stdin.buffer)


def _no_store(path: Path) -> None:
    if not path.exists() and store_of(path) is not None:
        raise UsageError(f"{path} leads into a store of ours, which takes buckets by: istat import")


def _finish(done: Done, as_json: bool) -> None:
    if as_json:
        print(json.dumps(done._asdict()))
    if done.refused > TOLD:
        print(f"{done.refused:,} lines were not taken", file=sys.stderr)


def _aliased(run: Callable[[Given, Clock], Done]) -> Callable[[Given, Clock], int]:
    def action(given: Given, clock: Clock) -> int:
        if not given["stat-file"]:
            raise Misread("--stat-file must be given")
        _finish(run(given, clock), False)
        return 0

    return action


def _import(given: Given, clock: Clock) -> Done:
    return fill(Path(given["stat-file"]), _stdin(), given["fill-empty"], clock.now())


def _nums2file(given: Given, clock: Clock) -> Done:
    zero = None
    if given["zero-time"]:
        try:
            zero = int(given["zero-time"])
        except ValueError:
            raise Misread(f"Command line error near {given['zero-time']}") from None
    how = Numbers(given["interval"], given["num-samples"], given["time-in-file"], zero, given["counter"])
    return numbers(Path(given["stat-file"]), _stdin(), how, clock.now())


_FILE = Flag("--stat-file", "the ring file", "FILE", "", files=True)
_SAFE = "The file is written anew beside its place; what is no ring file is refused and stays as it is."
IMPORT = Alias("istatd_import", "Put buckets into a ring file", _aliased(_import),
               (_FILE, Flag("--fill-empty", "merge with buckets that are there, in place of replacing them")), more=
               f"Standard input has lines `time sum sumsq min max count`; bad ones are told and passed over. {_SAFE}",
               examples=(("istatd_import --stat-file data/foo/10s < buckets.txt", "What another program worked out"),))
NUMS2FILE = Alias(
    "istatd_nums2file", "Add numbers to a ring file", _aliased(_nums2file),
    (_FILE, Flag("--interval", "of a new file's buckets, seconds", "SECONDS", 10, least=1, most=366 * 86400),
     Flag("--time-in-file", "lines are `time value`"),
     Flag("--zero-time", "where a new file begins, and the time of the first number", "TIME", ""),
     Flag("--num-samples", "buckets that a new file has room for", "N", 1000, least=1, most=MOST_SAMPLES),
     Flag("--counter", "numbers are totals of events")), more=f"It is made if it is not there. {_SAFE}",
    examples=(("random_numbers -t 100 50 | istatd_nums2file --stat-file data/10s --time-in-file",
               "A file to try tools with"),))


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a ring file that is there")
    parser.add_argument("--fill-empty", action="store_true",
                        help="merge with buckets that are there, in place of replacing them")


def _import_action(arguments: argparse.Namespace, clock: Clock) -> None:
    _finish(fill(arguments.file, _stdin(), arguments.fill_empty, clock.now()), arguments.json)


def _numbers_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="the ring file")
    parser.add_argument("--interval", type=int, default=10, metavar="SECONDS",
                        help="of a new file's buckets (default 10)")
    parser.add_argument("--times", action="store_true", help="lines are `time value`, not numbers alone")
    parser.add_argument("--zero", type=int, metavar="TIME", help="where a new file begins, and the time of the first "
                        "number (default: such that the last number's is now)")
    parser.add_argument("--samples", type=int, default=1000, metavar="N",
                        help="buckets that a new file has room for (default 1000)")
    parser.add_argument("--events", action="store_true", help="numbers are totals of events")


def _numbers_action(arguments: argparse.Namespace, clock: Clock) -> None:
    how = Numbers(arguments.interval, arguments.samples, arguments.times, arguments.zero, arguments.events)
    _finish(numbers(arguments.file, _stdin(), how, clock.now()), arguments.json)


IMPORT_COMMAND = SubCommand(
    "Put buckets into a ring file.", _import_arguments, _import_action,
    f"Standard input has lines `time sum sumsq min max count`; bad ones are told and passed over. {_SAFE}",
    (("istat ring import data/foo/10s", "Lines that are typed, or come from another program"),))
NUMBERS_COMMAND = SubCommand(
    "Add numbers to a ring file.", _numbers_arguments, _numbers_action, f"It is made if it is not there. {_SAFE}",
    (("istat ring nums2file data/foo/10s --interval 30", "One number for each half minute"),))
