"""A store's backup: made from outside while a server writes, and put back. docs/operating.md says how to use it.

A backup is a store folder of its own, but for the file BACKUP: a MANIFEST, the files it names, and the journal from
where it is to be replayed. All files but the journal's never change, so they are hard links where that works; the
MANIFEST says which belong together. Root reads with the rights of the store's owner, and writes with those of the other
folder's, so that a link in either leads it nowhere; the copy is the owner's to read. Knows files and no server.
"""
from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from istat import owners
from istat.access import guarded
from istat.clock import Clock
from istat.errors import StoreCorrupt, StoreError
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat_server.store import ondisk, opening
from istat_server.store.files import journal, manifest
from istat_server.store.files.manifest import NAME, Manifest
from istat_server.store.files.statfile import StatFile
from istat_server.store.names import namefiles

MARK = "BACKUP"
# What else belongs to a store, where it is there: which format, and when counters were last heard.
BESIDE = ("FORMAT", "HEARD")
# Looks at the MANIFEST, each of which copies only what is new, before the store is said to change too fast.
ROUNDS = 100
COPY_BYTES = 1 << 20        # read at once
# Errors of link(2) that mean that a copy is needed: another device, no links there, too many of this file, one that is
# gone meanwhile, no /proc.
NO_LINK = {errno.ENOENT, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EACCES}

Show = Callable[[int, int], None]       # bytes done, bytes in all
# What else is copied: given the rights to read and to write with, gives the files it put into the other folder.
Also = Callable[[owners.Rights, owners.Rights], set[str]]


@dataclass(frozen=True)
class Made:
    """What a backup or a restore consists of. `reused`: files that were there already."""

    files: int
    bytes: int
    linked: int
    copied: int
    reused: int
    segments: int


class _Gone(Exception):
    """A file is not there any more: the store has gone on."""


def _nothing(_reading: owners.Rights, _writing: owners.Rights) -> set[str]:
    return set()


def backup(store: Path, to: Path, clock: Clock, show: Show, copy: bool = False, also: Also = _nothing) -> Made:
    """Copy or link a consistent state of a store that may be in use: all that was acknowledged before this began.

    `to` is new, empty, or an older backup of the same store, whose equal files are reused; it stays whole until the
    new one is. `copy`: no hard links; `also`: what belongs to it and is not the store's. StoreError, StoreCorrupt or
    OSError when it cannot be made.
    """
    for folder in (store, to):
        guarded.check(folder)
    if not (store / NAME).exists():
        raise StoreError(f"{store} holds no store")
    if to.resolve() == store.resolve() or store.resolve() in to.resolve().parents:
        raise StoreError(f"{to} is in the store; a backup belongs elsewhere")
    with owners.left_to_owner(store), _kept_readable(store, to) as writing:
        return _made(store, to, clock, show, copy or _is_a_thirds(store, to), writing, also)


def _is_a_thirds(store: Path, to: Path) -> bool:
    """Whether a backup that root makes is to be of a user who may not read the store's own files."""
    return os.geteuid() == owners.ROOT and owners.owner_of(to).uid not in (owners.ROOT, owners.owner_of(store).uid)


@contextmanager
def _kept_readable(store: Path, to: Path) -> Iterator[owners.Rights]:
    """The rights that root has on a backup's folder. One that it makes belongs to the owner of the folder above, or
    where that is root to the store's; in one of its own the group of the store's owner may read."""
    if os.geteuid() != owners.ROOT:
        yield owners.Rights(None)
        return
    owner = owners.owner_of(store)
    if not to.exists():
        with owners.Rights.of_owner(to):
            ondisk.make_folder(to)
        with guarded.Place(to) as place:
            place.give(owner)
    with owners.held(to) as handle:
        theirs = os.fstat(handle)
        try:
            yield owners.Rights.of_owner(to)
        finally:
            if theirs.st_uid != owners.ROOT:
                owners.give(handle, theirs.st_uid, theirs.st_gid)
            elif owner.uid != owners.ROOT:
                owners.give(handle, -1, owner.gid)


def _made(store: Path, to: Path, clock: Clock, show: Show, copy: bool, writing: owners.Rights,
          also: Also) -> Made:
    reading = owners.Rights.of_owner(store)
    with writing:
        _check_target(to)
    found, missing = b"", ""
    for _round in range(ROUNDS):
        before, found = found, _read(store / NAME, reading)
        if missing and found == before:
            raise StoreCorrupt(f"{store / missing}: is missing; what does `istat check` say?")
        state, text = _as_a_copy(found, store)
        with writing:
            _check_uuid(to, state)
        work = _Work(store, to, copy, show, reading, writing)
        try:
            work.files(state)
            segments = work.journal(state.replay_from)
        except _Gone as gone:
            missing = str(gone)
            continue
        work.beside()
        others = also(reading, writing)
        with writing:
            work.sync()
            _put(to / MARK, json.dumps({"store": state.uuid, "time": int(clock.now()), "bytes": work.bytes,
                                        "files": work.count}).encode() + b"\n")
            _put(to / NAME, text)
            _remove_others(to, state, segments, others)
        return Made(work.count, work.bytes, work.linked, work.copied, work.reused, len(segments))
    raise StoreError(f"{store} changed {ROUNDS} times while it was copied; try again, to a faster disk")


def restore(source: Path, to: Path, show: Show, also: Also = _nothing) -> Made:
    """Copy a backup to a new folder, as a store, and read every byte of it. The backup stays as it is.

    StoreError when the folder is not empty, StoreCorrupt when a file of the backup is damaged or missing.
    """
    for folder in (source, to):
        guarded.check(folder)
    if not (source / MARK).exists():
        raise StoreError(f"{source} is no backup: it has no file {MARK}")
    if to.exists() and any(to.iterdir()):
        raise StoreError(f"{to} is not empty; a store is restored to a folder of its own")
    reading = owners.Rights.of_owner(source)
    state, text = _as_a_copy(_read(source / NAME, reading), source)
    with owners.as_owner(to):
        return _restored(source, to, show, reading, state, text, also)


def _restored(source: Path, to: Path, show: Show, reading: owners.Rights, state: Manifest, text: bytes,
              also: Also) -> Made:
    ondisk.make_folder(to)
    lock = opening.Lock(to)
    try:
        work = _Work(source, to, True, show, reading, owners.Rights(None))
        try:
            work.files(state)
            segments = work.journal(state.replay_from)
        except _Gone as gone:
            raise StoreCorrupt(f"{source / str(gone)}: is missing") from None
        work.beside()
        _verify(to, state)
        also(reading, owners.Rights(None))
        work.sync()
        _put(to / NAME, text)
    finally:
        lock.close()
    return Made(work.count, work.bytes, work.linked, work.copied, work.reused, len(segments))


def _read(path: Path, reading: owners.Rights) -> bytes:
    """All of a small file."""
    with reading, ownfiles.reading(path, Use.SMALL, ondisk.plain) as file:
        return file.read()


def _as_a_copy(text: bytes, folder: Path) -> tuple[Manifest, bytes]:
    """A MANIFEST and its bytes, without what others still need of the store: they need it there, not in a copy. That of
    a replica's store follows nobody: what is restored from it is a store of its own."""
    state = manifest.decode(text, str(folder / NAME))
    if not state.pins and state.follows is None:
        return state, text
    state = replace(state, pins=(), follows=None)
    return state, manifest.encode(state)


def _check_target(to: Path) -> None:
    """StoreError for a folder that holds anything but a backup."""
    if to.is_dir() and any(to.iterdir()) and not (to / MARK).exists():
        made = {path.name for path in to.iterdir()}
        if (to / NAME).exists() or not made <= {"journal", "names"}:
            raise StoreError(f"{to} is neither empty nor a backup")
    if (to / "LOCK").exists():
        raise StoreError(f"{to} was used as a store; it is no backup any more")
    ondisk.make_folder(to)
    if not (to / MARK).exists():
        _put(to / MARK, b"{}\n")        # a first backup that is cut off can be gone on with


def _check_uuid(to: Path, state: Manifest) -> None:
    if not (to / NAME).exists():
        return          # a first backup, to be gone on with or under way: there are only files so far
    before, _problem = manifest.load(to)
    if before is not None and before.uuid != state.uuid:
        raise StoreError(f"{to} is a backup of another store")


def _verify(folder: Path, state: Manifest) -> None:
    """Read every byte. StoreCorrupt names the first file that is damaged."""
    for entry in state.files:
        with StatFile.open(folder / entry.path) as file:
            for problem in file.verify():
                raise StoreCorrupt(problem)
    for number in state.names:
        namefiles.read(manifest.names_path(folder, number))


def _put(path: Path, data: bytes) -> None:
    """Replace a small file."""
    aside = path.with_name(path.name + ".tmp")
    with ownfiles.writing(aside, ondisk.private, Use.SMALL) as file:
        file.write(data)
        file.flush()
        os.fdatasync(file.fileno())
    os.rename(aside, path)
    ondisk.sync_folder(path.parent)


def _remove_others(to: Path, state: Manifest, segments: list[int], others: set[str]) -> None:
    """What only an older backup in this folder needed."""
    needed = manifest.references(state) | {NAME, MARK, *BESIDE} | others
    needed |= {str(journal.segment_path(Path("journal"), number)) for number in segments}
    for path in [path for path in to.rglob("*") if path.is_file()]:
        if str(path.relative_to(to)) not in needed:
            path.unlink()


class _Work:
    """One look at a store: what of it is in the other folder by now."""

    def __init__(self, source: Path, to: Path, copy: bool, show: Show, reading: owners.Rights,
                 writing: owners.Rights) -> None:
        """`reading`: the rights that files of the source are opened with; `writing`: those for what is made."""
        self.count = self.bytes = self.linked = self.copied = self.reused = 0
        self._source, self._to, self._copy, self._show = source, to, copy, show
        self._reading, self._writing = reading, writing
        self._folders: set[Path] = {to}
        self._total = 0

    def files(self, state: Manifest) -> None:
        """The files that a MANIFEST names."""
        sizes = {entry.path: entry.size for entry in state.files}
        self._total = sum(sizes.values())
        for path in sorted(manifest.references(state)):
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise StoreCorrupt(f"{self._source / NAME}: names {path!r}, which is not in the store")
            self._file(path, sizes.get(path))
            self._show(self.bytes, self._total)

    def _file(self, path: str, size: int | None) -> None:
        source, target = self._source / path, self._to / path
        with self._opened(path) as old, self._writing:
            found = os.fstat(old.fileno())
            if size is not None and found.st_size != size:
                raise StoreCorrupt(f"{source}: has {found.st_size} bytes, not {size}")
            self.count += 1
            self.bytes += found.st_size
            if target.is_file() and target.lstat().st_size == found.st_size:      # files of one name never differ
                self.reused += 1
                return
            self._folder(target.parent)
            if not self._copy and self._link(old, target):
                self.linked += 1
            else:
                self._copy_file(old, target, found.st_size)
                self.copied += 1

    def _opened(self, path: str) -> BinaryIO:
        """A file of the source."""
        try:
            with self._reading:
                return ownfiles.reading(self._source / path, Use.WHOLE, ondisk.plain)
        except FileNotFoundError:
            raise _Gone(path) from None

    def _link(self, old: BinaryIO, target: Path) -> bool:
        """Link the very file that is open: its name may lead elsewhere by now."""
        target.unlink(missing_ok=True)
        handle = old.fileno()
        try:    # with a folder's descriptor, which counts for nothing here, Python follows the link as it is told to
            os.link(f"/proc/self/fd/{handle}", target, src_dir_fd=handle, follow_symlinks=True)
        except OSError as error:
            if error.errno in NO_LINK:
                return False
            raise
        return True

    def _copy_file(self, old: BinaryIO, target: Path, size: int) -> None:
        """The first `size` bytes, written aside, synced and renamed."""
        aside = target.with_name(target.name + ".tmp")
        with ownfiles.writing(aside, ondisk.private) as new:
            _pour(old, new, size)
            new.flush()
            ownfiles.put_away(new.fileno())
        os.rename(aside, target)

    def journal(self, first: int) -> list[int]:
        """The segments from `first` on, each up to the size that it has now; their numbers."""
        with self._reading:
            numbers = [number for number in journal.segment_numbers(self._source / "journal") if number >= first]
        if numbers and numbers != list(range(first, first + len(numbers))):
            raise _Gone(str(journal.segment_path(Path("journal"), first)))
        with self._writing:
            self._folder(self._to / "journal")
        for number in numbers:
            path = journal.segment_path(Path("journal"), number)
            with self._opened(str(path)) as old, self._writing:
                self._copy_file(old, self._to / path, os.fstat(old.fileno()).st_size)
        return numbers

    def beside(self) -> None:
        """Small files that are no part of any MANIFEST."""
        for name in BESIDE:
            if (self._source / name).exists():
                text = _read(self._source / name, self._reading)
                with self._writing:
                    _put(self._to / name, text)

    def _folder(self, folder: Path) -> None:
        ondisk.make_folder(folder)
        self._folders.add(folder)

    def sync(self) -> None:
        """Make links and renames survive power loss."""
        for folder in self._folders:
            ondisk.sync_folder(folder)


def _pour(old: BinaryIO, new: BinaryIO, size: int) -> None:
    """The first `size` bytes of a file that may grow."""
    while size > 0 and (data := old.read(min(size, COPY_BYTES))):
        new.write(data)
        size -= len(data)
