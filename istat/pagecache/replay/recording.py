"""Page logs of real programs, as the paper made them: evict a file's pages, run the update, list the pages that came
in. Of Linux, on a disk's file system: what tmpfs has in memory cannot be evicted.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time as system_time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from istat.errors import PageLogError
from istat.pagecache import ranges, syscalls
from istat.pagecache.replay.pagelog import Record
from istat.pagecache.residency import Residency, opened, residency

TRIES, PAUSE = 20, 0.05         # evictions of a file, and how long between two [s]: writing back takes some time
MOST_WORDS = 500                # signs of what a program said, in an error
READ_AT_ONCE = 1 << 16          # bytes of it
_PLACE = re.compile(r"\{([fvtn])\}")


@dataclass(frozen=True)
class Recipe:
    """What is run: `words` of the command, in which {f} is the file, {t} the time, {v} the time and `values` numbers
    with colons between, {n} the number of the update. `begin`: Unix seconds; the first update is `interval` later."""

    words: Sequence[str]
    begin: int
    interval: int = 300
    updates: int = 1
    values: int = 2

    @classmethod
    def of(cls, command: str, begin: int, interval: int, updates: int, values: int) -> Recipe:
        """With the command as one types it; no shell sees it. PageLogError when it is none."""
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise PageLogError(f"the command cannot be read: {error}") from error
        if not words or not any("{f}" in word for word in words):
            raise PageLogError("the command does not say where the file goes: write {f} in it")
        return cls(words, begin, interval, updates, values)

    def command(self, file: str, update: int) -> list[str]:
        """The words of one update."""
        time = self.begin + update * self.interval
        values = {"f": file, "t": str(time), "n": str(update),
                  "v": ":".join([str(time), *(str(update * 1000 + number) for number in range(self.values))])}
        return [_PLACE.sub(lambda found: values[found[1]], word) for word in self.words]


def record(files: Sequence[str], recipe: Recipe) -> Iterator[Record]:
    """All updates of all files, as they are done. PageLogError when pages stay or nobody knows, or a program fails."""
    for update in range(1, recipe.updates + 1):
        for file in files:
            evict(file)
            _run(recipe.command(file, update))
            found = _seen(file)
            pages = tuple(ranges.pages(found.ranges or ()))
            written = tuple(ranges.pages(found.dirty_ranges or ()))
            yield Record(recipe.begin + update * recipe.interval, _label(file), pages, written)


def evict(file: str) -> None:
    """Until none of the file's pages is in memory. PageLogError when some stay; OSError."""
    handle = opened(file)
    try:
        for _ in range(TRIES):
            os.fdatasync(handle)
            syscalls.fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            left = residency(handle).resident
            if left is None:
                raise PageLogError(f"{_label(file)}: only its owner may ask which of its pages are in memory")
            if not left:
                return
            system_time.sleep(PAUSE)
    finally:
        os.close(handle)
    raise PageLogError(f"{_label(file)}: {left} of its pages stay in memory. Is it on tmpfs, or does a program have it "
                       "mapped?")


def _run(words: list[str]) -> None:
    try:
        done = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except OSError as error:
        raise PageLogError(f"{words[0]} cannot be run: {error.strerror}") from error
    last = b""
    with done:
        while done.stderr and (said := done.stderr.read(READ_AT_ONCE)):
            last = (last + said)[-READ_AT_ONCE:]        # it may never have enough of talking
    if done.returncode:
        words_said = last.decode("utf-8", "replace").strip()[-MOST_WORDS:]
        raise PageLogError(f"{shlex.join(words)} ended with status {done.returncode}: {words_said}")


def _seen(file: str) -> Residency:
    found = residency(file, pages=True, dirty_pages=True)
    if found.ranges is None:
        raise PageLogError(f"{_label(file)}: which of its pages are in memory is not known: {found.state}")
    return found


def _label(file: str) -> str:
    """A name as text, whatever its bytes are."""
    return os.fsencode(file).decode("utf-8", "backslashreplace")
