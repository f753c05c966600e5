"""Taking a store folder into use: folders, lock, format, names, journal replay, orphans.

Runs once, before anything else is going on. Knows the engine and the files, and decides nothing later.
"""
from __future__ import annotations

import fcntl
import logging
import os
import re
import uuid as uuids
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from istat.errors import StoreCorrupt, StoreError, StoreLocked
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat.retention import Rules
from istat_server.store import ondisk
from istat_server.store.files import journal, manifest, safeend
from istat_server.store.files.livefiles import LiveFiles
from istat_server.store.files.manifest import NAME, PREVIOUS, Manifest, Policy, folder_of, names_path, references
from istat_server.store.levels.policies import first_policies, rules_of
from istat_server.store.names import namefiles
from istat_server.store.pool import Pool
from istat_server.store.versions import NewerFormat

if TYPE_CHECKING:
    from istat.kernels.python.ingest.engine import Engine

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
FORMAT_TEXT = b"istatd store %d\n" % FORMAT_VERSION
FORMAT = re.compile(rb"istatd store ([0-9]{1,9})\n")


def make_folders(folder: Path, policies: Iterable[Policy]) -> None:
    """The folders of a store, where they are missing."""
    ondisk.make_folder(folder)
    levels = (folder_of(policy.number, level) for policy in policies for level in policy.ladder.stored)
    for name in ("journal", "names", *levels):
        ondisk.make_folder(folder / name)


class Lock:
    """The store is ours until this is closed. StoreLocked when another process has it.

    The journal's folder is locked too, so that nobody gets in who has removed the file; not the store's own, which may
    have been made for all to read: whoever can open a folder can lock it. The file is what an istatd of before looks
    at, and what works where folders cannot be locked, as over NFS.
    """

    def __init__(self, folder: Path) -> None:
        self._held = ExitStack()
        place, file = folder / "journal", folder / "LOCK"
        if not place.is_dir():      # a store that is just being restored, or has lost it
            place = folder
        with ExitStack() as held:
            for name, flags in ((place, os.O_DIRECTORY), (file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)):
                handle = ownfiles.descriptor(name, flags, Use.SMALL)
                held.callback(os.close, handle)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise StoreLocked(f"{folder} is in use by another istat-server; stop that one, or use another "
                                      f"store") from error
                except OSError as error:
                    if name == file:
                        raise StoreError(f"{name} cannot be locked: {error.strerror}; name a folder where files can "
                                         f"be, as on a disk of this machine") from error
                    log.debug("%s cannot be locked, the file LOCK only: %s", name, error.strerror)
            self._held = held.pop_all()

    def close(self) -> None:
        """Let go of it."""
        self._held.close()


def check_format(folder: Path) -> None:
    """StoreError when the folder holds a store of another format, or something else. Changes nothing."""
    found = _format(folder)
    if found == FORMAT_TEXT:
        return
    refuse_newer(folder, found)
    known = FORMAT_TEXT.startswith(found) or any((folder / name).exists() for name in (NAME, PREVIOUS))
    if not known:
        raise StoreError(f"{folder / 'FORMAT'} is none of istatd's; name another folder with --store")


def load_manifest(folder: Path, rules: Rules, replica: bool) -> tuple[Manifest, str]:
    """The MANIFEST of a store, a new one where there is none; and what is wrong, where it is the one before the last.
    StoreError, as `check_replica`."""
    state, problem = manifest.load(folder)
    if problem:
        log.error("%s; going on from the MANIFEST before it", problem)
    if state is None:
        state = Manifest(uuid=uuids.uuid4().hex, policies=first_policies(rules))
    if rules != rules_of(state.policies):
        log.info("the retention changes: %s", folder)
    check_replica(folder, state, rules, replica)
    return state, problem


def check_replica(folder: Path, state: Manifest, rules: Rules, replica: bool) -> None:
    """StoreError when it is a replica's store and is to be opened otherwise, or with rules that its master has not."""
    if state.follows is None:
        return
    if not replica:
        raise StoreError(f"{folder} is a replica's store: start istat-server with replica-of, make it a master first "
                         f"(istat replica promote), or do this at the master")
    if rules != rules_of(state.policies):
        raise StoreError(f"{folder} is a replica's store, and has the retention of its master; change it there")


def _format(folder: Path) -> bytes:
    path = folder / "FORMAT"
    return ownfiles.content(path, Use.SMALL) if path.exists() else b""


def mend_format(folder: Path) -> None:
    """A new folder gets its FORMAT; what a crash or damage left of it is written anew, as `check_format` found that the
    rest is a store's. To be called when all else that is in the folder has been read."""
    path, found = folder / "FORMAT", _format(folder)
    if found == FORMAT_TEXT:
        return
    if found:
        log.error("%s is damaged (%r); it is written anew", path, found[:40])
    aside = path.with_suffix(".tmp")
    with ownfiles.writing(aside, ondisk.private, Use.SMALL) as file:
        file.write(FORMAT_TEXT)
        file.flush()
        os.fdatasync(file.fileno())
    os.rename(aside, path)
    ondisk.sync_folder(folder)


def refuse_newer(folder: Path, found: bytes) -> None:
    """NewerFormat when a FORMAT file says so."""
    if match := FORMAT.fullmatch(found):
        raise NewerFormat(f"the store {folder}", int(match[1]), FORMAT_VERSION)


def load_names(folder: Path, state: Manifest, engine: Engine, pool: Pool) -> None:
    """Read the names files into the engine, and let others have their turns meanwhile: a replica's that are exchanged
    may be millions. StoreCorrupt when one is damaged: ids would shift."""
    for number in state.names:
        path = names_path(folder, number)
        try:
            namefiles.load(engine, path, pool.apply(namefiles.read, (path,)), lambda: pool.apply(_nothing))
        except ValueError as error:
            raise StoreCorrupt(f"{path}: {error}") from error


def _nothing() -> None:
    """A turn for others."""


def replay(folder: Path, state: Manifest, engine: Engine, set_limits: Callable[[float], None],
           damage: journal.Damage) -> int:
    """Take the journal's samples again; the last number there is.

    StoreCorrupt when a segment is missing: names in it would shift the ids of all that follow.
    """
    place = folder / "journal"
    numbers = journal.segment_numbers(place)
    wanted = [number for number in numbers if number >= state.replay_from]
    end = safeend.read(place, bytes.fromhex(state.uuid))
    if gaps := missing(state.replay_from, wanted, end):
        raise StoreCorrupt(f"{journal.segment_path(place, gaps[0])}: is missing; put it back, or let `istat check "
                           f"--repair` go on without its samples")
    for number in wanted:
        path = journal.segment_path(place, number)
        begun = damage.torn_bytes
        replay_segment(path, engine, set_limits, damage)
        if end is not None and number == end.segment:
            journal.note_lost(path, end.bytes, damage.torn_bytes - begun, damage)
        _sync(path)
    for note in damage.notes:
        log.warning("journal: %s", note)
    return max([state.replay_from - 1, *numbers])


def missing(replay_from: int, wanted: Sequence[int], end: safeend.End | None) -> list[int]:
    """The segments that should be there and are not, of those from `replay_from` on. That the one in which nothing but
    a header was written is gone harms nothing."""
    last = max(wanted, default=0)
    if end is not None and end.segment > last:
        last = end.segment if end.bytes > journal.HEADER_BYTES else end.segment - 1
    return sorted(set(range(replay_from, last + 1)).difference(wanted))


def remove_segments(folder: Path, keep_from: int) -> None:
    """Remove the journal's segments before `keep_from`."""
    for number in journal.segment_numbers(folder / "journal"):
        if number < keep_from:
            journal.segment_path(folder / "journal", number).unlink()


def _sync(path: Path) -> None:
    """Make a segment safe: the process that wrote it may have ended before it did. OSError when it cannot be."""
    handle = ownfiles.descriptor(path, os.O_RDONLY, Use.WHOLE)
    try:
        os.fdatasync(handle)
    finally:
        os.close(handle)


def replay_segment(path: Path, engine: Engine, set_limits: Callable[[float], None], damage: journal.Damage) -> None:
    """Take the samples of one segment. NewerFormat when there is a record of a kind that is not known."""
    try:
        for clock, payload in journal.read_segment(path, damage):
            set_limits(clock)
            try:
                namefiles.replay(engine, path, payload)
            except ValueError as error:
                damage.notes.append(f"{path.name}: {error}")
    except StoreCorrupt as error:
        size = path.stat().st_size
        damage.torn_bytes += size
        if size:        # an empty one is a segment that was about to begin
            damage.notes.append(str(error))


def take_over(files: LiveFiles, careful: bool) -> None:
    """Write down that this start has the folder, and let go of what is no more needed. careful: nothing is removed."""
    folder, state = files.folder, files.manifest
    mend_format(folder)
    make_folders(folder, state.policies)
    if careful and (folder / NAME).exists():
        os.rename(folder / NAME, folder / (NAME + ".damaged"))
    files.reserve.use(lambda: manifest.save(folder, state))
    if not careful:
        previous = manifest.load_previous(folder) or state
        remove_orphans(folder, (state, previous))
        files.keep_for(previous)
        remove_segments(folder, min(previous.held_from, state.held_from))


def remove_orphans(folder: Path, states: Sequence[Manifest]) -> None:
    """Remove files that none of these MANIFESTs names: what a crash left between writing and committing."""
    live = {folder / path for state in states for path in references(state)}
    levels = {folder_of(policy.number, level) for state in states for policy in state.policies
              for level in policy.ladder.stored}
    folders = [place for name in ("names", *levels) if (place := folder / name).is_dir()]
    aside = list(folder.glob("*.tmp"))      # written beside MANIFEST, HEARD or FORMAT, and not renamed
    for path in (*aside, *(path for place in folders for path in place.iterdir())):
        if path not in live and path.is_file():
            log.info("removing %s: nothing refers to it", path)
            path.unlink()
