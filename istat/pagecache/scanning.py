"""Many files: named ones, those of folders and of the folders below, each counted once, in a stream. What is in a file
is not looked at here: residency.py counts. Knows no command line."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from istat.pagecache.residency import AUTO, Residency, measured, opened, refused, special

BATCH = 256             # files that a thread counts at a time
AHEAD = 2               # batches for each thread that are begun before the oldest one's end


@dataclass(frozen=True)
class Selection:
    """Which files are meant by a list of names.

    A folder means the files in it; with `recurse` also those below. `one_filesystem`: folders of other file systems are
    left out. `include`, `exclude`: globs of which a file's name (with a / in the glob: its path) fits at least one, and
    none; a folder that is excluded is not entered. `hardlinks`: a file counts once for each of its names. `one_in`: of
    so many files one is meant, always the same ones, by a checksum of the path. `listed` is called after each folder:
    of what is in it perhaps nothing is meant, so that nobody else hears of the work.
    """

    recurse: bool = False
    one_filesystem: bool = False
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    hardlinks: bool = False
    one_in: int = 1
    listed: Callable[[], None] | None = None


class Candidate(NamedTuple):
    """A name to be looked at. `residency`: it is known already, since it is no file, or cannot be looked at. `named`:
    the caller gave this name; of those that were found nobody misses one that is gone."""

    path: str
    residency: Residency | None
    named: bool


class Found(NamedTuple):
    """A file that was counted. `identity`: device and inode; None of what could not be opened."""

    path: str
    residency: Residency
    identity: tuple[int, int] | None


Measure = Callable[[int, os.stat_result], Residency]


class Once:
    """Tells whether a file comes for the first time. 60 bytes of memory for each."""

    def __init__(self) -> None:
        self._seen: dict[int, set[int]] = {}

    def first(self, identity: tuple[int, int]) -> bool:
        """Whether this device and inode were not asked about before."""
        inodes = self._seen.setdefault(identity[0], set())
        before = len(inodes)
        inodes.add(identity[1])
        return len(inodes) != before


def scan(names: Iterable[str], jobs: int = 1, selection: Selection = Selection(), pages: bool = False,  # noqa: B008
         range: tuple[int, int] | None = None, backend: str = AUTO, dirty_pages: bool = False,  # noqa: A002
         ) -> Iterator[Found]:
    """Count all files that names mean, in the order of the names and, in each folder, of theirs. `jobs`: threads that
    open and count; more than one help where inodes have to be read from a slow disk. The others as of `residency`."""
    def measure(handle: int, about: os.stat_result) -> Residency:
        return measured(handle, about, pages, range, backend, dirty_pages)

    return visit(names, measure, jobs, selection)


def visit(names: Iterable[str], measure: Measure, jobs: int = 1,
          selection: Selection = Selection()) -> Iterator[Found]:  # noqa: B008 - frozen
    """The same with anything that is asked of an open file, called in `jobs` threads. What it raises as OSError is the
    file's state."""
    once = None if selection.hardlinks else Once()
    for found in _answers(walk(names, selection), measure, jobs):
        if once is None or found.identity is None or once.first(found.identity):
            yield found


def walk(names: Iterable[str], selection: Selection = Selection()) -> Iterator[Candidate]:  # noqa: B008 - frozen
    """The names of files that names mean; sockets, links and the like that a folder has are left out."""
    left_out = _left_out(selection)
    for name in names:
        try:
            about = os.stat(name)
        except (OSError, ValueError) as error:      # ValueError: a zero byte in it
            yield Candidate(name, refused(error if isinstance(error, OSError) else OSError(0, str(error))), True)
            continue
        if stat.S_ISDIR(about.st_mode):
            yield from _below(name, about.st_dev, selection, left_out)
        elif not left_out(name, False):
            yield Candidate(name, None if stat.S_ISREG(about.st_mode) else special(), True)


def _below(top: str, device: int, selection: Selection, left_out: Callable[[str, bool], bool]) -> Iterator[Candidate]:
    """The files of a folder by name, then those of each folder in it."""
    folders = [top]
    while folders:
        folder = folders.pop()
        files, inner = [], []
        try:
            if selection.one_filesystem and folder != top and os.lstat(folder).st_dev != device:
                continue
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        files.append(entry.name)
                    elif selection.recurse and entry.is_dir(follow_symlinks=False):
                        inner.append(entry.name)
        except FileNotFoundError:
            continue                    # it went while we were elsewhere
        except OSError as error:
            yield Candidate(folder, refused(error), True)
            continue
        if selection.listed is not None:
            selection.listed()
        files.sort()
        prefix = os.path.join(folder, "")
        for name in files:
            path = prefix + name
            if not left_out(path, False):
                yield Candidate(path, None, False)
        paths = (prefix + name for name in sorted(inner, reverse=True))
        folders += [path for path in paths if not left_out(path, True)]


def _left_out(selection: Selection) -> Callable[[str, bool], bool]:
    """(path, whether it is a folder) -> whether it is left out by its name."""
    include, exclude, one_in = _fitting(selection.include), _fitting(selection.exclude), selection.one_in
    if include is None and exclude is None and one_in == 1:
        return lambda path, folder: False
    return lambda path, folder: bool((exclude is not None and exclude(path)) or (not folder and (
        (include is not None and not include(path)) or zlib.crc32(os.fsencode(path)) % one_in)))


def _fitting(globs: Sequence[str]) -> Callable[[str], bool] | None:
    """Whether a path fits one of the globs; None without any."""
    if not globs:
        return None
    names = re.compile("|".join(fnmatch.translate(glob) for glob in globs if "/" not in glob) or "(?!)", re.DOTALL)
    paths = re.compile("|".join(fnmatch.translate(glob) for glob in globs if "/" in glob) or "(?!)", re.DOTALL)
    return lambda path: bool(names.match(os.path.basename(path)) or paths.match(path))


def _answers(candidates: Iterator[Candidate], measure: Measure, jobs: int) -> Iterator[Found]:
    """What there is to say of each, in their order."""
    if jobs <= 1:
        for candidate in candidates:
            found = _answer(candidate, measure)
            if found is not None:
                yield found
        return

    def together(batch: list[Candidate]) -> list[Found]:
        return [found for one in batch if (found := _answer(one, measure)) is not None]

    with ThreadPoolExecutor(jobs, "pagecache") as pool:
        begun: deque[Future[list[Found]]] = deque()
        try:
            while batch := list(islice(candidates, BATCH)):
                begun.append(pool.submit(together, batch))
                if len(begun) > jobs * AHEAD:
                    yield from begun.popleft().result()
            while begun:
                yield from begun.popleft().result()
        finally:
            for one in begun:           # the caller had enough, or something failed
                one.cancel()


def _answer(candidate: Candidate, measure: Measure) -> Found | None:
    """None: it was found in a folder, and is gone or has become something else."""
    path, known, named = candidate
    if known is not None:
        return Found(path, known, None)
    try:
        handle = opened(path, 0 if named else os.O_NOFOLLOW)
    except OSError as error:
        return Found(path, refused(error), None) if named or not _gone(path) else None
    try:
        about = os.fstat(handle)
        return Found(path, measure(handle, about), (about.st_dev, about.st_ino))
    except OSError as error:
        return Found(path, refused(error), None)
    finally:
        os.close(handle)


def _gone(path: str) -> bool:
    """Whether there is no such file (any more)."""
    try:
        return not stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return True
