"""Which files the commands of the page cache are about: the options for that, and what they mean. Knows names only."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator

from istat.cli import saying
from istat.errors import IstatError, UnknownResidency, UsageError
from istat.pagecache.residency import ERROR, Residency
from istat.pagecache.scanning import Selection

# Suffix of a number of bytes -> its power of two.
UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
MOST_BYTES = (1 << 63) - 1  # of a file, on any system
MOST_JOBS = 64
MOST_NAME = 1 << 16         # [bytes] of a name in a list: more than any system has (PATH_MAX is 4096)
_SIZE = re.compile(r"([0-9]{1,18})([KMGT]?)(?:iB|B)?", re.ASCII | re.IGNORECASE)


def takes_files(command: argparse.ArgumentParser, needed: str = "") -> None:
    """The options and the names. `needed`: when names may be missing, for people."""
    add = command.add_argument
    add("names", nargs="*", metavar="FILE", help="a file, or a folder: the files in it" + needed)
    add("-r", "--recurse", action="store_true", help="of a folder also the files in those below")
    add("-x", "--one-file-system", action="store_true", help="leave out folders of other file systems")
    add("--files-from", metavar="FILE", help="names from a file, one on each line; - is the standard input")
    add("-0", "--null", action="store_true", help="they end with a zero byte, as find -print0 has them")
    add("--include", action="append", default=[], metavar="GLOB", help="only files that fit one of these: by their "
        "name, by their path when the glob has a /")
    add("--exclude", action="append", default=[], metavar="GLOB", help="leave out files and folders that fit")
    add("--hardlinks", action="store_true", help="count a file once for each of its names (default: once)")
    add("--jobs", type=jobs, default=1, metavar="N", help="threads; more than one help where the disk is slow "
        "(default 1)")
    add("--range", type=byte_range, metavar="OFF:LEN", help="only so much of each file: bytes, or 64K, 1M, 2G; without "
        "LEN up to the end")
    add("-q", "--quiet", action="store_true", help="do not name files that could not be looked at")
    add("-v", "--verbose", action="store_true", help="also name files of which it is unknown what is in memory")


def selection(arguments: argparse.Namespace) -> Selection:
    """What the options say about the names."""
    return Selection(arguments.recurse, arguments.one_file_system, tuple(arguments.include), tuple(arguments.exclude),
                     arguments.hardlinks)


def names(arguments: argparse.Namespace) -> Iterator[str]:
    """The names, those of a list as it is read. UsageError when there are none."""
    if not arguments.names and arguments.files_from is None:
        raise UsageError("which files? Name some, or folders, or a list of them with --files-from")
    if arguments.null and arguments.files_from is None:
        raise UsageError("-0 is for --files-from: say where the list is; - is the standard input")
    return _named(arguments)


def _named(arguments: argparse.Namespace) -> Iterator[str]:
    yield from arguments.names
    if arguments.files_from == "-":
        yield from _listed(sys.stdin.fileno(), arguments.null)
    elif arguments.files_from is not None:
        yield from _listed(arguments.files_from, arguments.null)


def _listed(place: str | int, null: bool) -> Iterator[str]:
    """The names of a list, whose bytes are any."""
    end = b"\0" if null else b"\n"
    with open(place, "rb", closefd=not isinstance(place, int)) as file:
        rest = b""
        while data := file.read(MOST_NAME):
            *whole, rest = (rest + data).split(end)
            for name in whole:
                if name:
                    yield os.fsdecode(name)
            if len(rest) > MOST_NAME:
                raise IstatError("the list has a name of more than 64 KiB: are its names ended by "
                                 + ("line feeds, without -0?" if null else "zero bytes? Then say -0"))
        if rest:
            yield os.fsdecode(rest)


def byte_range(text: str) -> tuple[int, int]:
    """`OFF:LEN` in bytes; a length of 0 is up to the end. An ArgumentTypeError for anything else."""
    offset, _, length = text.partition(":")
    found = size(offset or "0"), size(length or "0")
    if sum(found) > MOST_BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} ends behind the last byte that a file can have, {MOST_BYTES}")
    return found


def size(text: str) -> int:
    """A number of bytes, such as 4096 or 64K. An ArgumentTypeError for anything else."""
    found = _SIZE.fullmatch(text)
    number = int(found[1]) << UNITS[found[2].upper()] if found is not None else MOST_BYTES + 1
    if number > MOST_BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes, such as 4096, 64K, 1M or 2G")
    return number


def jobs(text: str) -> int:
    """A number of threads."""
    if not text.isdecimal() or not 1 <= int(text) <= MOST_JOBS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of threads from 1 to {MOST_JOBS}")
    return int(text)


class Ending:
    """Who could not be looked at, told as it comes, and how the command ends by it: 1 when some file failed, 3 when of
    some it is unknown what is in memory. `failing`: what a file does that fails, for people."""

    def __init__(self, arguments: argparse.Namespace, failing: str = "could not be looked at") -> None:
        self._arguments, self._failing = arguments, failing
        self.seen = self.failed = self.unknown = 0

    def see(self, path: str, found: Residency) -> None:
        """A file that was counted, or was to be."""
        self.seen += 1
        if found.resident is not None:
            return
        if found.failed:
            self.fail(path, found.state[len(ERROR) + 1:-1])
        elif found.size is not None:
            self.unknown += 1
            if self._arguments.verbose:
                saying.warn(self._arguments, f"{path}: unknown: it is another user's, and not to be written")

    def fail(self, path: str, reason: str) -> None:
        """A file that failed."""
        self.failed += 1
        if not self._arguments.quiet:
            saying.warn(self._arguments, f"{path}: {reason}")

    def end(self, found: bool = True) -> None:
        """IstatError or UnknownResidency, when there is a reason. `found`: say so where there was no file at all."""
        if found and not self.seen and not self._arguments.quiet:
            more = ": a folder means the files in it, with -r also those further below"
            saying.warn(self._arguments, "no file was found" + more * (not self._arguments.recurse))
        if self.failed:
            raise IstatError(f"{counted(self.failed)} {self._failing}"
                             + (f", of {self.unknown:,} more it is unknown what is in memory" if self.unknown else ""))
        if self.unknown:
            raise UnknownResidency(f"of {counted(self.unknown)} it is unknown what is in memory: only the owner and "
                                   "who may write a file are told; run it as that user, or as root")


def counted(count: int, what: str = "file") -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {what}" + "s" * (count != 1)
