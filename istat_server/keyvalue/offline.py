"""Namespaces of which a server may be at work, copied and checked from outside: for `istat backup`, `restore`, `check`.

Of a namespace its versions are copied first: what its `.set` file has beyond them is found when it is read.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from istat import owners
from istat.declared.pages import decode
from istat.errors import StoreError
from istat_server.keyvalue import syntax
from istat_server.keyvalue.bounds import Bounds
from istat_server.keyvalue.contents import MOST_HISTORY, read_past, read_present
from istat_server.keyvalue.folder import DECLARED, VALUES, VERSIONS, Folder


@dataclass
class Copied:
    """What a copy consists of: files by name, and why some are not in it."""

    files: set[str] = field(default_factory=set)
    bytes: int = 0
    left_out: list[str] = field(default_factory=list)


def copy(source: Path, to: Path, reading: owners.Rights, writing: owners.Rights) -> Copied:
    """Copy all namespaces of a folder, which may be missing, and what is declared of metrics beside them, as they are,
    damaged ones too. OSError, StoreError where it cannot be written."""
    made, old, new = Copied(), Folder(source), Folder(to)
    for kind in (VERSIONS, VALUES, DECLARED):
        with reading:
            names = sorted(old.sizes(kind))
        for name in names:
            try:
                with reading:
                    found = old.read(name, MOST_HISTORY, kind)
            except StoreError as error:
                made.left_out.append(str(error))
                continue
            if found is None:
                continue        # it went meanwhile
            with writing:
                _put(new, name, found[0], kind)
            made.files.add(new.place(name, kind).name)
            made.bytes += len(found[0])
    return made


def _put(new: Folder, name: str, data: bytes, kind: str) -> None:
    """Write a file, unless it is there already."""
    try:
        there = new.read(name, len(data), kind)
    except StoreError:
        there = None
    if there is None or there[0] != data:
        new.write(name, data, kind)


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file; `harmless`: nothing is lost by it."""

    file: str
    text: str
    harmless: bool = False


@dataclass
class Checked:
    """How many files were read, and what is wrong with some."""

    files: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)


def check(path: Path) -> Checked:
    """Read all files of a folder of namespaces, which may be missing. OSError."""
    folder, found, most = Folder(path), Checked(), Bounds().file
    reads = {VALUES: lambda folder, name: _values(folder, name, most), VERSIONS: _versions, DECLARED: _declared}
    for kind, read in reads.items():
        for name, size in sorted(folder.sizes(kind).items()):
            found.files, found.bytes = found.files + 1, found.bytes + size
            file = folder.place(name, kind).name
            try:
                problems = list(read(folder, name))
            except StoreError as error:
                problems = [(str(error).removeprefix(f"{folder.place(name, kind)}: "), False)]
            found.problems += [Problem(file, text, harmless) for text, harmless in problems]
    return found


def _values(folder: Folder, name: str, most: int) -> Iterator[tuple[str, bool]]:
    read_present(folder, name, most)
    data = folder.read(name, most)
    if data is not None and not syntax.has_header(data[0]):
        yield f"its first line is not {syntax.HEADER.decode()!r}; it is read all the same", True


def _versions(folder: Folder, name: str) -> Iterator[tuple[str, bool]]:
    damaged = read_past(folder, name).index.damaged
    if damaged:
        yield f"{damaged:,} damaged lines, which are left out", False
    if folder.stamp(name) is None:
        yield f"there is no {folder.place(name).name} beside it", True


def _declared(folder: Folder, name: str) -> Iterator[tuple[str, bool]]:
    data = folder.read(name, MOST_HISTORY, DECLARED)
    if data is not None:
        yield from ((problem, False) for problem in decode(data[0]).problems)
