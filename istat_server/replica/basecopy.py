"""A base copy: the files of a master, brought into a folder aside in a store's, checked, and taken into use whole.

    STORE/base/         the copy while it is made, and when it is ready
    STORE/.swapping     it is being taken into use: `settle` goes on with that
    STORE/outgoing/     what was the store before

So all lies on one disk, and the store's folder need not be moved. `copy` may run while the store is open, `swap` and
`settle` only when nobody has it. Knows a master's lease and files; not when a copy is wanted.
"""
from __future__ import annotations

import errno
import os
import re
import shutil
import uuid as uuids
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
from gevent.pool import Pool as GreenletPool

from istat.access.replacing import FULL
from istat.errors import StoreCorrupt, StoreError, StoreFull
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat_server.replica.master.answers import Lease, LeasedFile
from istat_server.replica.source import Master
from istat_server.store import ondisk, opening
from istat_server.store.files import journal, manifest
from istat_server.store.files.manifest import NAME, PREVIOUS, Manifest
from istat_server.store.files.statfile import StatFile
from istat_server.store.pool import Delivering, Pool
from istat_server.store.positions import Follows

BASE, OUTGOING, SWAPPING = "base", "outgoing", ".swapping"
# In the copy while it is made: whose it is, so that files of an earlier try are gone on with, or not.
WHOSE, PART = "WHOSE", ".part"
# What `swap` takes away, besides folders of StatFiles: all else in the folder is none of the store, or is its lock.
GOES = frozenset((NAME, PREVIOUS, f"{NAME}.damaged", "FORMAT", "HEARD", "reserve", "journal", "names"))
OUT, IN = b"out\n", b"in\n"         # what a swap is at: the old store goes, the new one comes
# A file's path as a master may name it: a folder of a level or of names, and a plain name.
_PATH = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,99}/[0-9A-Za-z][0-9A-Za-z_.-]{0,199}")
AT_ONCE = 3                         # files that come at once
ROOM = 64 << 20                     # bytes of the disk that a copy leaves free at least

Show = Callable[[int, int], None]       # bytes done, bytes in all


def nothing(_done: int, _total: int) -> None:
    """Show nobody."""


def copy(master: Master, store: Path, show: Show = nothing) -> Lease:
    """Make a copy in STORE/base: a ready store with a UUID of its own, whose MANIFEST says whom it `follows`.

    Blocks the greenlet, not the hub. What an earlier try left there is gone on with. ServerUnreachable and ReplicaError
    as of the master, StoreCorrupt when what came is not what was sent, StoreFull, StoreError.
    """
    lease = master.lease()
    text = lease.manifest.encode("utf-8", "surrogatepass")      # what is no text is told by the checksum
    state = _in_thread(manifest.decode, text, f"{master.url}, MANIFEST")
    _check(lease, state, master.url)
    base = store / BASE
    with _told(base):
        _in_thread(_prepare, base, lease)
        _Fetching(master, base, {entry.path for entry in state.files}).all(lease.files, show)
        _in_thread(_finish, base, lease, state)
    return lease


def _threads() -> Pool:
    return Delivering(gevent.get_hub().threadpool)


def _in_thread(act: Callable[..., Any], *given: object) -> Any:
    return _threads().apply(act, given)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """The system's refusals as errors of a store."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StoreFull(f"no room for the copy of the master in {folder}: {error.strerror}; make room on its disk "
                            f"(df {folder.parent}) for as much as the master's store has") from error
        raise StoreError(f"the copy of the master in {folder} cannot be made: {error.strerror or error}") from error


def _check(lease: Lease, state: Manifest, url: str) -> None:
    """StoreCorrupt for a lease that is not what its MANIFEST says, or would write elsewhere."""
    names = {file.path for file in lease.files}
    if names != manifest.references(state) or len(names) != len(lease.files):
        raise StoreCorrupt(f"{url}: the lease has other files than its MANIFEST names")
    for path in names:
        if not _PATH.fullmatch(path):
            raise StoreCorrupt(f"{url}: names the file {path[:100]!r}, which no store has")
    if state.uuid != lease.position.store:
        raise StoreCorrupt(f"{url}: the lease is of another store than its MANIFEST")


# -- making it, in threads

def _prepare(base: Path, lease: Lease) -> None:
    """The folder, with what can be gone on with in it and nothing else."""
    whose = f"{lease.position.store} {lease.position.epoch}\n".encode()
    with suppress(FileNotFoundError):
        (base / NAME).unlink()              # it is not ready any more
    try:
        same = ownfiles.content(base / WHOSE, Use.SMALL, ondisk.plain) == whose
    except OSError:
        same = False
    if not same and base.exists():
        shutil.rmtree(base)
    ondisk.make_folder(base)
    _put(base / WHOSE, whose)
    wanted = {base / file.path for file in lease.files}
    there = 0
    for path in [one for one in base.rglob("*") if one.is_file() and one != base / WHOSE]:
        if path in wanted or (path.suffix == PART and path.with_suffix("") in wanted):
            there += path.stat().st_size
        else:
            path.unlink()
    _check_room(base, sum(file.size for file in lease.files) - there)


def _check_room(base: Path, missing: int) -> None:
    disk = os.statvfs(base)
    free = disk.f_bavail * disk.f_frsize
    if missing + ROOM > free:
        raise StoreFull(f"a copy of the master needs {missing:,} bytes more in {base}, and {free:,} are free: make "
                        f"room on its disk (df {base.parent})")


class _Fetching:
    """Has files come, some at once, so that the network need not wait for the disk."""

    def __init__(self, master: Master, base: Path, of_rows: set[str]) -> None:
        """`of_rows`: which files are StatFiles; the others are of names."""
        self._master, self._base, self._of_rows = master, base, of_rows
        self._ended = False

    def all(self, files: Sequence[LeasedFile], show: Show) -> None:
        """Have all of them there. Whatever ends it, no thread writes to a file any more then."""
        done, total = 0, sum(file.size for file in files)
        fetching = GreenletPool(AT_ONCE)
        try:
            for found in fetching.imap_unordered(self._try, files):
                if isinstance(found, Exception):
                    raise found
                done += found
                show(done, total)
        finally:
            self._ended = True
            fetching.join()

    def _try(self, file: LeasedFile) -> int | Exception:
        try:
            return self._fetch(file)
        except Exception as error:  # noqa: BLE001 - raised by `all`: what a greenlet raises is told as a fault of ours
            return error

    def _fetch(self, file: LeasedFile) -> int:
        """Have one file there, from where an earlier try ended on; its size. It gets its name when it is sound."""
        target = self._base / file.path
        part = target.with_name(target.name + PART)
        at = _in_thread(_begin, target, part, file.size)
        if at is None:
            return file.size
        handle = _in_thread(ownfiles.descriptor, part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, Use.WRITTEN)
        try:
            at = self._pour(file, handle, at)
            if at != file.size:
                os.unlink(part)
                raise StoreCorrupt(f"{self._master.url}: {file.path} has {at} bytes, not {file.size}")
            synced = _threads().spawn(os.fdatasync, handle)
            try:
                _in_thread(_verify, part, file.path in self._of_rows)       # while it is in memory
            finally:
                synced.get()        # nobody may close it meanwhile
            _in_thread(ownfiles.let_go, handle)
        finally:
            os.close(handle)
        _in_thread(os.rename, part, target)
        return file.size

    def _pour(self, file: LeasedFile, handle: int, at: int) -> int:
        for piece in self._master.file(file.path, at) if at < file.size else ():
            if self._ended:
                raise ConnectionAbortedError(errno.ECONNABORTED, "another file could not be copied")
            if at + len(piece) > file.size:
                raise StoreCorrupt(f"{self._master.url}: {file.path} has more than {file.size} bytes")
            _in_thread(_pour, handle, at, piece)
            at += len(piece)
        return at


def _begin(target: Path, part: Path, size: int) -> int | None:
    """How many bytes there are by now; None: all, and it has its name."""
    ondisk.make_folder(target.parent)
    with suppress(FileNotFoundError):
        if target.stat().st_size == size:
            return None
        target.unlink()
    with suppress(FileNotFoundError):
        found = part.stat().st_size
        if found <= size:
            return found
        part.unlink()
    return 0


def _pour(handle: int, at: int, piece: memoryview) -> None:
    while piece:
        done = os.pwrite(handle, piece, at)
        at, piece = at + done, piece[done:]


def _verify(path: Path, of_rows: bool) -> None:
    """Read every byte. StoreCorrupt for a damaged file, which is gone then, so that the next try fetches it anew."""
    try:
        if of_rows:
            with StatFile.open(path) as opened:
                for problem in opened.verify(decoded=False):
                    raise StoreCorrupt(problem)
        else:
            journal.verify(path)
    except StoreCorrupt:
        path.unlink(missing_ok=True)
        raise


def _finish(base: Path, lease: Lease, state: Manifest) -> None:
    """What makes a store of the files; the MANIFEST is the last of it."""
    for folder in [one for one in base.iterdir() if one.is_dir()]:
        ondisk.sync_folder(folder)
    _put(base / "FORMAT", opening.FORMAT_TEXT)
    manifest.save(base, replace(
        state, uuid=uuids.uuid4().hex, replay_from=1, pins=(), replicas=(), revision=0, term=lease.term, fenced="",
        deposed=None, follows=Follows(lease.position, lease.revision)))


def _put(path: Path, data: bytes) -> None:
    """Replace a small file."""
    aside = path.with_name(path.name + ".tmp")
    with ownfiles.writing(aside, ondisk.private, Use.SMALL) as file:
        file.write(data)
        file.flush()
        os.fdatasync(file.fileno())
    os.rename(aside, path)
    ondisk.sync_folder(path.parent)


# -- taking it into use

def is_ready(store: Path) -> bool:
    """Whether there is a whole copy that waits for `swap`."""
    return (store / BASE / NAME).exists()


def swap(store: Path) -> None:
    """Take the copy into use in place of what is in the store's folder (its namespaces stay). Blocks the thread;
    nobody may have the store open. A crash at any moment leaves what `settle` brings to an end. StoreError."""
    if not is_ready(store):
        raise StoreError(f"{store / BASE} has no whole copy of a master")
    lock = opening.Lock(store)
    try:
        with _told(store):
            _remove(store / OUTGOING)
            _put(store / SWAPPING, OUT)
            _go_on(store)
    finally:
        lock.close()


def settle(store: Path, keep: bool = True) -> None:
    """At a start, before the store is opened: bring a swap that was begun to its end, and remove what is left over.
    A copy that is being made, or ready, stays if it is to be kept: a master, which may have been a replica, has no use
    for one. StoreError."""
    swapping = (store / SWAPPING).exists()
    goes = not keep and (store / BASE / WHOSE).exists()         # else it is none of ours
    if not swapping and not (store / OUTGOING).exists() and not goes:
        return
    lock = opening.Lock(store)
    try:
        with _told(store):
            if swapping:
                _go_on(store)
            _remove(store / OUTGOING)
            if goes:
                _remove(store / BASE)
    finally:
        lock.close()


def _go_on(store: Path) -> None:
    """Each step may have been done, wholly or in part, before a crash."""
    if ownfiles.content(store / SWAPPING, Use.SMALL, ondisk.plain) != IN:
        ondisk.make_folder(store / OUTGOING)
        coming = {path.name for path in (store / BASE).iterdir()} - {WHOSE}
        _move(store, store / OUTGOING, lambda path: path.name in GOES | coming or (
            path.name not in (BASE, OUTGOING) and any(path.glob("*.statfile"))))
        _put(store / SWAPPING, IN)
    if (store / BASE).exists():
        _move(store / BASE, store, lambda path: path.name != WHOSE)
        _remove(store / BASE)
    (store / SWAPPING).unlink()
    ondisk.sync_folder(store)
    _remove(store / OUTGOING)


def _move(source: Path, to: Path, wanted: Callable[[Path], bool]) -> None:
    """What is wanted of a folder; its MANIFEST last."""
    for path in sorted(source.iterdir(), key=lambda one: one.name == NAME):
        if wanted(path):
            os.rename(path, to / path.name)
    ondisk.sync_folder(to)
    ondisk.sync_folder(source)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
        ondisk.sync_folder(folder.parent)
