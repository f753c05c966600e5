"""Looks at drop-in folders: which files are there, and which have come, changed or gone since they were taken.

A file is taken when it has been still for a second: it may be written just now. It looks at names, inodes, sizes, times
and rights; what is in a file is others' business. A folder that does not answer, as on a disk that has gone, keeps none
of the others waiting but once, for LATE_SECONDS.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Hashable, Iterable, Sequence

from istat.access import dropin
from istat.clock import Clock
from istat_agent.collecting.finding import Call, directly
from istat_agent.collecting.threads import Late

LATE_SECONDS = 5.0  # that a look at a folder may take
STILL_SECONDS = 1.0  # that a file is to be the same before it is taken
EXECUTABLE = 0o111

Mark = tuple[int, ...]


class Folders:
    """The files of some folders, as they were taken last."""

    def __init__(self, clock: Clock, call: Call = directly) -> None:
        """call: how a folder is read, in a thread with a deadline."""
        self._clock, self._call = clock, call
        self._late: dict[str, Late] = {}  # folder -> who still waits for it
        self.taken: dict[str, Mark] = {}  # path -> what changes with it, by folder and name
        self.problems: dict[str, str] = {}  # folder -> why it cannot be read; what was taken of it stays
        self._seen: dict[str, tuple[Mark | None, float]] = {}  # other than taken -> what it is now, since when

    @property
    def unsettled(self) -> bool:
        """Whether some file is other than it was taken, and not still for long enough."""
        return bool(self._seen)

    def take_all(self, folders: Sequence[str]) -> None:
        """Take all as it is now, whatever changes: somebody wants that, or we have just begun."""
        self.taken = self._found(folders)
        self._seen.clear()

    def look(self, folders: Sequence[str]) -> bool:
        """Take what has changed and is still; whether there was anything, or a folder cannot be read, or can again."""
        before_all = self.problems
        found, now = self._found(folders), self._clock.monotonic()
        seen: dict[str, tuple[Mark | None, float]] = {}
        changed = self.problems != before_all
        for path in found.keys() | self.taken.keys():
            mark = found.get(path)
            if mark == self.taken.get(path):
                continue
            before = self._seen.get(path)
            since = before[1] if before is not None and before[0] == mark else now
            if now - since < STILL_SECONDS:
                seen[path] = (mark, since)
                continue
            changed = True
            if mark is None:
                del self.taken[path]
            else:
                self.taken[path] = mark
        self._seen = seen
        if changed:
            self.taken = {path: self.taken[path] for path in sorted(self.taken, key=lambda p: _order(p, folders))}
        return changed

    def python_files(self, folders: Sequence[str]) -> dict[str, Hashable]:
        """The `*.py` files as they were taken."""
        return {path: mark for path, mark in self.taken.items()
                if path.endswith(".py") and any(_is_in(path, folder) for folder in folders)}

    def _found(self, folders: Sequence[str]) -> dict[str, Mark]:
        found: dict[str, Mark] = {}
        self.problems = {}
        self._late = {folder: late for folder, late in self._late.items() if folder in folders}
        for folder in folders:
            try:
                marks = self._read(folder)
                why = "does not answer; what was there before goes on"
            except OSError as error:
                marks, why = None, f"cannot be read: {error.strerror}"
            if marks is None:
                self.problems[folder] = why
                marks = {path: mark for path, mark in self.taken.items() if _is_in(path, folder)}
            found.update(marks)
        return found

    def _read(self, folder: str) -> dict[str, Mark] | None:
        """What is in a folder; None when it does not answer. OSError when it cannot be read."""
        late = self._late.get(folder)
        if late is not None and late.running is not None and not late.running.ready():
            return None
        answer: list[dict[str, Mark]] = []
        try:
            self._call(lambda: answer.append(dict(_marks(folder))), LATE_SECONDS)
        except Late as late:
            self._late[folder] = late
            return None
        self._late.pop(folder, None)
        return answer[0]


def _is_in(path: str, folder: str) -> bool:
    return os.path.dirname(path) == os.path.dirname(os.path.join(folder, ""))


def _order(path: str, folders: Sequence[str]) -> tuple[int, str]:
    at = next((n for n, folder in enumerate(folders) if _is_in(path, folder)), len(folders))
    return at, path


def _marks(folder: str) -> Iterable[tuple[str, Mark]]:
    """(path, what changes with the file) of each that a plugin could be. OSError when the folder cannot be read."""
    for path in dropin.candidates(folder):
        try:
            found = os.stat(path)
        except OSError:
            continue  # gone meanwhile, or a link to nowhere
        if not stat.S_ISREG(found.st_mode):
            continue
        rights = (found.st_dev, found.st_ino, found.st_mode, found.st_uid, found.st_gid)
        if path.endswith(".py") or found.st_mode & EXECUTABLE:
            yield path, (*rights, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        else:
            yield path, rights  # something that scripts keep: it may change all the time
