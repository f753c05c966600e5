"""What every importer gives: counters with their buckets, in an order that can be gone on with after a mark.

Knows folders and how to walk them in order; knows no format and no store but the shape of what one appends.
"""
from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from istat.errors import StoreError
from istat_server.store.files.manifest import Import
from istat_server.store.offline.appending import Series

# Problems that are told one by one; of all others only the number [problems].
TOLD = 20


@dataclass
class Problems:
    """What could not be read: counted by kind, and the first ones in words."""

    counts: Counter[str] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)

    def add(self, kind: str, text: str = "") -> None:
        """One more of a kind."""
        self.counts[kind] += 1
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
        """Whether there is something behind what was imported before.

        StoreError when what was imported before is something else now, so that going on would count it twice.
        """

    def series(self, after: str) -> Iterator[Series]:
        """The counters behind a mark ("" for all), in order. A commit may come where a series has a mark."""

    def last_mark(self, mark: str) -> str:
        """The mark behind all that was read; `mark` is that of the last series."""


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
    """How paths become names."""

    prefix: str = ""

    def name(self, parts: tuple[bytes, ...], suffix: str = "") -> bytes:
        """The name of a path below the root: its components joined by dots, without the suffix."""
        text = b".".join(parts)
        if suffix and text.endswith(suffix.encode()):
            text = text[: -len(suffix)]
        return os.fsencode(self.prefix) + text


def plain(key: str) -> str:
    """A source's key for people."""
    kind, prefix, place = key.split(":", 2)
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
        return f"{self.kind}:{self.naming.prefix}:{os.path.abspath(self.root)}"

    def wanted(self, found: Found) -> bool:
        """Whether a file, by its name, is one of this format."""
        return True

    def files(self, after: tuple[bytes, ...] = (), problems: Problems | None = None) -> Iterator[Found]:
        """The files from a folder on."""
        return (found for found in walk(self.root, problems or Problems(), after) if self.wanted(found))

    def _surveyed(self) -> tuple[str, int]:
        if self._survey is None:
            hashed, size = hashlib.sha256(), 0
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
        """See Source.digest: of all files, read or not."""
        return self._surveyed()[0]

    def more(self, note: Import) -> bool:
        """See Source.more. Files behind the mark may have changed: they are read as they are now."""
        if note.finished and self.digest(note.mark) != note.digest:
            raise changed(self.key)
        return not note.finished
