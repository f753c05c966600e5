"""`istat ring gen` and `istatd_filegen`: ring files of made-up event counters, to try tools with.

Files that are there are not touched: the run ends before it writes anything.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

from istat import owners
from istat.cli.istatd.alias import Alias, Flag, Given, Misread
from istat.clock import Clock
from istat.errors import UsageError
from istat.kernels import columns
from istat.retention import Ladder
from istat.subcommands import SubCommand
from istat_server.foreign import ring, ringedit
from istat_server.foreign.ring import COARSE, EVENT
from istat_server.tools.ring.finding import store_of

LADDER = Ladder.parse("10s:10d,5m:150d,1h:6y")
MOST_FILES, MOST_SAMPLES, MOST_INTERVAL = 1_000_000, 1_000_000, 86400
MOST_VALUE = 1e18       # whose square a ring file has room for
WIDTH = 100             # folders in a folder
LEAST_DEPTH = 2         # of folders below the base


class Made(NamedTuple):
    """What to make: so many counters, each with as many samples, `interval` seconds apart, the last one now. Values go
    up by `increment` and begin anew above `most`."""

    base: Path
    interval: int
    value: float
    increment: float
    most: float
    counters: int
    samples: int


def folder(number: int, counters: int) -> Path:
    """Where a counter's files are, such as lev0_00/lev1_07."""
    depth = LEAST_DEPTH
    while WIDTH ** depth < counters:
        depth += 1
    digits = [number // WIDTH ** (depth - 1 - level) % WIDTH for level in range(depth)]
    return Path(*(f"lev{level}_{digit:02d}" for level, digit in enumerate(digits)))


def make(what: Made, now: int) -> int:
    """Make the files; how many. UsageError when one is there, or the base is a store of ours."""
    if store_of(what.base / "x" / "10s") is not None:
        raise UsageError(f"{what.base} lies in a store of ours: name another folder")
    places = [what.base / folder(number, what.counters) for number in range(what.counters)]
    for place in places:
        for level in LADDER.levels:
            if (place / level.name).exists():
                raise UsageError(f"{place / level.name} is there already: name another folder, or remove it")
    levels = _levels(what, now)
    with owners.as_owner(ringedit.nearest(what.base)):     # root makes them for whose folder they come into
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
            for level, rows in zip(LADDER.levels, levels):
                flags = EVENT if level is LADDER.finest else COARSE
                ring.write(place / level.name, rows, level.interval, level.keep, flags,
                           level.interval // LADDER.finest.interval)
    return len(places) * len(LADDER.levels)


def _levels(what: Made, now: int) -> list[columns.Columns]:
    """The rows of each level, which are the same in all counters: rates per second."""
    finest = LADDER.finest.interval
    totals: dict[int, float] = {}
    value = what.value
    for number in range(what.samples):
        time = now - (what.samples - 1 - number) * what.interval
        totals[time - time % finest] = totals.get(time - time % finest, 0.0) + value
        value = value + what.increment if value + what.increment <= what.most else what.value
    rows = columns.Columns()
    for time, total in totals.items():
        rate = total / finest
        rows.append(time, 1, rate, 0.0, rate, rate)
    coarser = [rows.reduce(0, level.interval, level.interval // finest) for level in LADDER.levels[1:]]
    return [rows, *coarser]


def _checked(what: Made, now: int) -> Made:
    for name, number, most in (("interval", what.interval, MOST_INTERVAL), ("counters", what.counters, MOST_FILES),
                               ("samples", what.samples, MOST_SAMPLES)):
        if not 1 <= number <= most:
            raise UsageError(f"{name}: a number of 1 to {most:,} is wanted, not {number}")
    if what.samples * what.interval > now:
        raise UsageError(f"{what.samples:,} samples of {what.interval} s would begin before 1970: take fewer")
    if not all(abs(value) <= MOST_VALUE for value in (what.value, what.increment, what.most)):
        raise UsageError("values, and what is added to them, are finite numbers")
    return what


def _alias(given: Given, clock: Clock) -> int:
    if not given["base-path"]:
        raise Misread("--base-path must be given")
    now = int(clock.now())
    make(_checked(Made(Path(given["base-path"]), given["interval-secs"], given["store-value"], given["store-increment"],
                       given["store-max"], given["num-files"], given["num-samples"]), now), now)
    return 0


ALIAS = Alias(
    "istatd_filegen", "Make ring files of made-up event counters", _alias,
    (Flag("--interval-secs", "from one sample to the next", "SECONDS", 10),
     Flag("--store-value", "the first sample", "VALUE", 123.45), Flag("--store-increment", "added to it", "VALUE", 0.0),
     Flag("--store-max", "above this it begins anew", "VALUE", 1000.0), Flag("--num-files", "counters", "N", 1000),
     Flag("--num-samples", "samples of each", "N", 1000), Flag("--base-path", "the folder", "DIR", "", files=True)),
    more=f"Each has the levels {LADDER.text}. Files that are there are not touched. Its status is 0 when it is done.",
    examples=(("istatd_filegen --base-path /var/tmp/rings --num-files 10", "Ten counters"),))


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", type=Path, help="where they are to be")
    parser.add_argument("--counters", type=int, default=1000, metavar="N", help="how many (default 1000)")
    parser.add_argument("--samples", type=int, default=1000, metavar="N", help="samples of each (default 1000)")
    parser.add_argument("--interval", type=int, default=10, metavar="SECONDS",
                        help="from one sample to the next (default 10)")
    parser.add_argument("--value", type=float, default=123.45, help="the first sample (default 123.45)")
    parser.add_argument("--increment", type=float, default=0.0, metavar="VALUE", help="added to it (default 0)")
    parser.add_argument("--most", type=float, default=1000.0, metavar="VALUE",
                        help="above this it begins anew (default 1000)")


def _action(given: argparse.Namespace, clock: Clock) -> None:
    now = int(clock.now())
    files = make(_checked(Made(given.folder, given.interval, given.value, given.increment, given.most, given.counters,
                               given.samples), now), now)
    print(json.dumps({"files": files}) if given.json else f"made {files:,} ring files in {given.folder}")


COMMAND = SubCommand("Make ring files of made-up event counters.", _arguments, _action,
                     f"Each has the levels {LADDER.text}. Files that are there are not touched.",
                     (("istat ring gen /var/tmp/rings --counters 10", "Ten counters"),))
