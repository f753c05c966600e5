"""What every importer gives: counters with their buckets, in an order that can be gone on with after a mark.

Knows folders and how to walk them in order; knows no format and no store but the shape of what one appends.
"""
from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Protocol

from istat.errors import StoreError
from istat.kernels import names as names_kernel
from istat.names import munge
from istat_server.store.files.manifest import Import
from istat_server.store.levels.placing import Archive
from istat_server.store.offline.appending import Series

# Problems that are told one by one; of all others only the number [problems].
TOLD = 20


@dataclass
class Problems:
    """What could not be read: counted by kind, and the first ones in words."""

    counts: Counter[str] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)

    def add(self, kind: str, text: str = "", number: int = 1) -> None:
        """More of a kind."""
        self.counts[kind] += number
        if text and len(self.texts) < TOLD:
            self.texts.append(text)


class Source(Protocol):
    """A place that buckets come from. `done` is how much of its size was read."""

    problems: Problems
    done: int

    @property
    def key(self) -> str:
        """What this is in the MANIFEST's notes: the same for the same place, imported in the same way."""

    def size(self) -> int:
        """How much there is [bytes], found without reading it."""

    def digest(self, mark: str) -> str:
        """What tells this source from another one of the same key, up to a mark."""

    def more(self, note: Import) -> bool:
        """Whether there is something that was not imported before.

        StoreError when what was imported before is something else now, so that going on would count it twice.
        """

    def series(self, after: str) -> Iterator[Series]:
        """The counters behind a mark ("" for all), in order. A commit may come where a series has a mark."""

    def last_mark(self, mark: str) -> str:
        """The mark behind all that was read; `mark` is that of the last series."""

    def known(self, imports: Iterable[Import]) -> Import | None:
        """How far it was imported before, by whatever path; None when it was not."""

    def overlaps(self, imports: Iterable[Import]) -> bool:
        """Whether some of its buckets may be there already, though not all of them: only new ones are to be taken."""


@dataclass(frozen=True)
class Found:
    """A file below a root."""

    path: Path
    parts: tuple[bytes, ...]    # its path below the root, by components
    size: int
    changed: int                # [ns]

    @property
    def mark(self) -> str:
        """The path below the root, as text that JSON can hold."""
        return os.fsdecode(b"/".join(self.parts))

    def after(self, parts: tuple[bytes, ...]) -> bool:
        """Whether `walk` comes to this file after the one with these parts."""
        return _order(self.parts) > _order(parts)


def parts_of(mark: str) -> tuple[bytes, ...]:
    """The components that a mark was made of; () for ""."""
    return tuple(os.fsencode(mark).split(b"/")) if mark else ()


def _order(parts: tuple[bytes, ...]) -> list[tuple[bool, bytes]]:
    return [(at < len(parts) - 1, part) for at, part in enumerate(parts)]


def walk(root: Path, problems: Problems, after: tuple[bytes, ...] = ()) -> Iterator[Found]:
    """All plain files below a root: those of a folder by name, then what is in its folders, by name.

    `after`: a folder; those that come before it are not looked into. Names that begin with a dot and symbolic links are
    passed over; a root that is a file is the one file.
    """
    if root.is_file():
        status = root.stat()
        yield Found(root, (os.fsencode(root.name),), status.st_size, status.st_mtime_ns)
        return
    yield from _walk(os.fsencode(root), (), problems, after)


def _walk(folder: bytes, parts: tuple[bytes, ...], problems: Problems, after: tuple[bytes, ...]) -> Iterator[Found]:
    try:
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        problems.add("unreadable", f"{os.fsdecode(folder)}: {error.strerror}")
        return
    for entry in inside:
        if entry.is_symlink():
            problems.add("links")
        elif entry.is_file() and not entry.name.startswith(b"."):
            status = entry.stat()
            place = (*parts, entry.name)
            yield Found(Path(os.fsdecode(entry.path)), place, status.st_size, status.st_mtime_ns)
    for entry in inside:
        place = (*parts, entry.name)
        hidden = entry.name.startswith(b".") or place < after[: len(place)]
        if not hidden and entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, place, problems, after)


@dataclass(frozen=True)
class Naming:
    """How what a source calls a counter becomes a name."""

    prefix: str = ""
    renames: tuple[tuple[str, str], ...] = ()   # what the source calls it -> its name; both may end in *

    def series(self, parts: tuple[bytes, ...], origin: str, event: bool, archives: tuple[Archive, ...], mark: str,
               suffix: str = "") -> Series:
        """The series of a path below the root: its components joined by dots, without the suffix, are the name.

        `origin`: what people know it by, which is what it may be renamed by.
        """
        text = b".".join(parts)
        if suffix:
            text = text.removesuffix(suffix.encode())
        new = self.renamed(origin, suffix)
        own = new or text
        plainly = not new and munge(text) == text and text.count(b".") == max(0, len(parts) - 1)
        return Series(os.fsencode(self.prefix) + own, event, archives, mark, origin, plainly)

    def renamed(self, origin: str, suffix: str = "") -> bytes:
        """The other name that it gets; b"" when it keeps its own."""
        for old, new in self.renames:
            if old == origin:
                return os.fsencode(new)
            if old.endswith("*") and origin.startswith(old[:-1]):
                rest = origin[len(old) - 1 :].removesuffix(suffix)      # of RRD, a source's name may follow it
                return os.fsencode(new[:-1] + (rest.replace(suffix + ":", ".") if suffix else rest).replace("/", "."))
        return b""


class Claims:
    """Which counter of a source has which name, so that no two of them become one. Of those whose name is plainly what
    they are called in the source nothing is kept but the name."""

    def __init__(self) -> None:
        self._names = names_kernel.NameTable()
        self._origins: dict[int, str] = {}

    def other(self, stored: bytes, origin: str, plainly: bool) -> str:
        """What else has this name; "" when it is free, and this one's from now on."""
        id = self._names.find(stored)
        if id < 0:
            id = self._names.add(stored)
            if not plainly:
                self._origins[id] = origin
            return ""
        first = self._origins.get(id, "")
        return "" if (plainly and not first) or first == origin else first or os.fsdecode(stored)


def key_of(kind: str, prefix: str, place: str) -> str:
    """The key of a source."""
    return f"{kind}:{prefix}:{place}"


def _parsed(key: str) -> tuple[str, str, str]:
    kind, prefix, place = key.split(":", 2)
    return kind, prefix, place


def found_under(imports: Iterable[Import], keys: Iterable[str]) -> Import | None:
    """The note of the first key that has one, as that of the first key."""
    notes, keys = {note.key: note for note in imports}, list(keys)
    return next((replace(notes[key], key=keys[0]) for key in keys if key in notes), None)


def plain(key: str) -> str:
    """A source's key for people."""
    kind, prefix, place = _parsed(key)
    return f"{place} ({kind}{', as ' + prefix + '*' if prefix else ''})"


def changed(key: str) -> StoreError:
    """The refusal to import what is not what it was."""
    return StoreError(f"{plain(key)} was imported before and has changed since: importing it again would count what it "
                      f"had then twice")


@dataclass
class Tree(ABC):
    """What sources that are folders have in common: their files are told by paths, sizes and times."""

    root: Path
    naming: Naming
    problems: Problems = field(default_factory=Problems)
    done: int = 0
    _survey: tuple[str, int] | None = None
    _first: str = ""            # what the files were when an import began that is gone on with

    suffixes: ClassVar[tuple[str, ...]] = ()    # of its files' names; all files when empty

    @property
    @abstractmethod
    def kind(self) -> str:
        """The format's name."""

    @abstractmethod
    def series(self, after: str) -> Iterator[Series]:
        """See Source.series."""

    @property
    def key(self) -> str:
        """See Source.key."""
        return key_of(self.kind, self.naming.prefix, os.path.realpath(self.root))

    def wanted(self, found: Found) -> bool:
        """Whether a file, by its name, is one of this format."""
        return not self.suffixes or found.path.suffix in self.suffixes

    def files(self, after: tuple[bytes, ...] = (), problems: Problems | None = None) -> Iterator[Found]:
        """The files from a folder on."""
        return (found for found in walk(self.root, problems or Problems(), after) if self.wanted(found))

    def _surveyed(self) -> tuple[str, int]:
        if self._survey is None:
            hashed, size = hashlib.sha256(), 0
            for pair in self.naming.renames:        # what was refused for its name is new by another one
                hashed.update(repr(pair).encode())
            for file in self.files():
                hashed.update(b"%s %d %d\n" % (b"/".join(file.parts), file.size, file.changed))
                size += file.size
            self._survey = hashed.hexdigest(), size
        return self._survey

    def last_mark(self, mark: str) -> str:
        """See Source.last_mark."""
        return mark

    def size(self) -> int:
        """See Source.size."""
        return self._surveyed()[1]

    def digest(self, mark: str) -> str:
        """See Source.digest: of all files, read or not, as they were when the import began."""
        return self._first or self._surveyed()[0]

    def more(self, note: Import) -> bool:
        """See Source.more. Files behind the mark may have changed: they are read as they are now."""
        self._survey, self._first = None, "" if note.finished else note.digest
        return not note.finished or self.digest(note.mark) != note.digest

    def known(self, imports: Iterable[Import]) -> Import | None:
        """See Source.known."""
        return found_under(imports, (self.key, key_of(self.kind, self.naming.prefix, os.path.abspath(self.root))))

    def overlaps(self, imports: Iterable[Import]) -> bool:
        """See Source.overlaps: that of a folder around it, of one inside, or of what has changed since."""
        return any(_within(self.key, note.key) or _within(note.key, self.key) for note in imports
                   if note.key != self.key or note.finished)


def _within(key: str, other: str) -> bool:
    """Whether one source lies in another one's folder and gives counters the same names."""
    (kind, prefix, place), (its_kind, its_prefix, its_place) = _parsed(key), _parsed(other)
    path, around = Path(os.path.realpath(place)), Path(os.path.realpath(its_place))
    if kind != its_kind or not path.is_relative_to(around):
        return False
    inside = path.parent if path.is_file() and path != around else path
    names = ".".join([its_prefix.rstrip("."), *inside.relative_to(around).parts] if its_prefix
                     else inside.relative_to(around).parts)
    return munge(os.fsencode(prefix.rstrip("."))) == munge(os.fsencode(names))
