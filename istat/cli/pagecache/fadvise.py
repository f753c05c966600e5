"""`istat fadvise`: files' pages are evicted, and it is told what stayed and why; or they are read in."""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
from collections.abc import Iterator
from typing import Any

from istat.cli.pagecache import choosing, tables
from istat.cli.pagecache.choosing import Ending
from istat.cli.pagecache.running import RUN
from istat.cli.pagecache.tables import Column
from istat.clock import Clock
from istat.errors import UsageError
from istat.pagecache.advising import ADVICE, DONTNEED, OF_DESCRIPTOR, WILLNEED
from istat.pagecache.evicting import SYNCS, Eviction
from istat.pagecache.fleets.snapshots import load
from istat.pagecache.sweeping import Sweeper, Swept
from istat.pagecache.syscalls import PAGE
from istat.subcommands import SubCommand

VERSION = 1             # of the JSON document
MOST_RETRIES = 100
COLUMNS = (Column("FILE", "path", "name"), Column("BEFORE", "before"), Column("SYNCED", "synced", "text"),
           Column("AFTER", "after"), Column("EVICTED", "evicted"), Column("LEFT", "left"), Column("WHY", "why", "text"))


def _arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("-a", "--advice", choices=tuple(ADVICE), default=DONTNEED, help="what the kernel is told (default dontneed: "
        "evict; willneed: read in)")
    choosing.takes_files(command)
    add("--whole-folios", action="store_true", help="round --range outward: to pages, and to the larger folios that "
        "reach over its ends")
    add("--sync", choices=tuple(SYNCS), default="fdatasync", help="how dirty pages are written before they go: range "
        "writes those of the range alone and is quick, but no promise against a power cut (default fdatasync); a file "
        "without any is not written")
    add("--retry", type=_retries, metavar="N", help="how often what stayed is asked for again (default once; not at "
        "all with --sync none)")
    add("--verify", action="store_true", default=True, help="count afterwards, and tell why pages stayed (the default)")
    add("--no-verify", dest="verify", action="store_false", help="do not count afterwards, nor tell why pages stayed")
    add("--dry-run", action="store_true", help="count, and change nothing")
    add("--not-owner", action="store_true", help="evict files of other users, too: it is their cache that goes")
    add("--keep-resident", metavar="SNAP", help="leave in memory what a snapshot of istat fincore --save lists, as "
        "after a backup")
    add("--fd", type=_descriptor, metavar="N", help="not files, but a descriptor that this command was started with")
    tables.takes_output(command)


def _fadvise(arguments: argparse.Namespace, clock: Clock) -> None:
    how = arguments.advice
    tables.check(arguments)
    if arguments.fd is None and how in OF_DESCRIPTOR:
        raise UsageError(
            f"{how} belongs to the open file description through which it is given, and would end with this command. "
            "Two things work: advice inside the program that reads the file (posix_fadvise for a descriptor, madvise "
            "for a mapping), or running it with advice from outside: istat fadvise run --random|--no-advice -- CMD")
    if arguments.fd is not None and (arguments.names or arguments.files_from is not None):
        raise UsageError("--fd is a file already: name no others")
    if arguments.keep_resident is not None and how != DONTNEED:
        raise UsageError("--keep-resident is for evicting")
    rows = _Rows(arguments, how)
    if arguments.json:
        files = [_object(one) for one in rows]
        print(json.dumps({"version": VERSION, "time": clock.now(), "page_size": PAGE, "advice": how,
                          "dry_run": arguments.dry_run, "files": files, "totals": rows.totals()}))
    else:
        tables.write(arguments, COLUMNS, (_row(one) for one in rows))
        if not (arguments.noheadings or arguments.csv or arguments.jsonl):
            print(rows.sentence())
    sys.stdout.flush()
    rows.ending.end()


class _Rows:
    """What became of each file, as it comes, and sums."""

    def __init__(self, arguments: argparse.Namespace, how: str) -> None:
        self.ending = Ending(arguments, "failed")
        self._arguments, self._how = arguments, how
        self._files = 0
        self._sums: dict[str, int] = dict.fromkeys(("before", "after", "evicted", "left"), 0)
        keep = load(arguments.keep_resident) if arguments.keep_resident is not None else None
        eviction = Eviction(arguments.sync, arguments.verify, arguments.range, arguments.whole_folios, arguments.retry)
        self._sweeper = Sweeper(how, eviction, keep, arguments.not_owner, arguments.dry_run)
        self._names = choosing.names(arguments) if arguments.fd is None else None

    def __iter__(self) -> Iterator[Swept]:
        found = self._sweeper.descriptor(self._arguments.fd) if self._names is None else self._sweeper.sweep(
            self._names, self._arguments.jobs, choosing.selection(self._arguments))
        for one in found:
            self.ending.see(one.path, one.residency)
            if not one.residency.failed:
                self._files += 1
                for key in self._sums:
                    self._sums[key] += getattr(one.evicted, key) or 0
                yield one

    def totals(self) -> dict[str, int]:
        """Pages, and files."""
        return {"files": self._files, **self._sums}

    def sentence(self) -> str:
        """The same for people."""
        unknown = self.ending.unknown
        known = self._files - unknown
        done = "nothing was changed" if self._arguments.dry_run else f"{self._how} was told"
        if unknown and not known:
            return f"{choosing.counted(unknown)}: unknown what is in memory; {done}"
        without = f"; without {choosing.counted(unknown)} of unknown residency" if unknown else ""
        return f"{choosing.counted(known)}: {self._pages(done)}{without}"

    def _pages(self, done: str) -> str:
        """What became of those that are known."""
        before, after, evicted, left = (choosing.counted(self._sums[key], "page") for key in self._sums)
        if self._arguments.dry_run:
            return f"{before} in memory; {done}"
        if self._how == WILLNEED and self._arguments.verify:
            return f"{before} in memory before, {after} after; {done}"
        if self._how != DONTNEED:
            return done
        return f"{evicted} evicted, {left.split()[0]} left" if self._arguments.verify else f"{before} asked to go"


def _row(one: Swept) -> tuple[Any, ...]:
    gone = one.evicted
    return (one.path, gone.before, gone.synced or None, gone.after, gone.evicted, gone.left, ",".join(gone.why) or None)


def _object(one: Swept) -> dict[str, Any]:
    return {**tables.as_json(COLUMNS, _row(one)), "why": list(one.evicted.why), "state": one.evicted.state}


def _retries(text: str) -> int:
    if not text.isdecimal() or int(text) > MOST_RETRIES:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to {MOST_RETRIES}")
    return int(text)


def _descriptor(text: str) -> int:
    try:
        plain = stat.S_ISREG(os.fstat(number := int(text)).st_mode)
    except (ValueError, OverflowError, OSError):
        plain = False
    if not plain:
        raise argparse.ArgumentTypeError(f"{text!r} is no open descriptor of a plain file, such as 3 in: istat fadvise "
                                         "--fd 3 3<FILE")
    return number


COMMAND = SubCommand(
    "Take files' pages out of memory, and tell what stayed and why; or read them in.", _arguments, _fadvise,
    "Numbers are pages, of those that were meant; LEFT for the reason folio counts all pages of that folio. A page "
    "stays that is dirty or in writeback (the file was just written), mapped or locked (a program has it in its own "
    "memory), or part of a larger folio that goes as a whole or not at all. Ends with 1 when a file failed, with 3 "
    "when of one it is unknown what is in memory. A file that is called run is named ./run.",
    (("istat fadvise -r /var/lib/rrd", "Evict all files of a tree, what is dirty written before"),
     ("istat fadvise --dry-run /var/log", "How much of it is in memory?"),
     ("istat fadvise -r --keep-resident before.gz /srv/mrtg", "After a backup: evict what it brought in, and no more; "
      "before it: istat fincore -r --save before.gz /srv/mrtg"),
     ("istat fadvise -a willneed if.rrd", "Read it in")),
    {"run": RUN},
)
