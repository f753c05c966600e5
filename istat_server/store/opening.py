"""Taking a store folder into use: folders, lock, format, names, journal replay, orphans.

Runs once, before anything else is going on. Knows the engine and the files, and decides nothing later.
"""
from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from istat.errors import StoreCorrupt, StoreError, StoreLocked
from istat.retention import Ladder
from istat_server.store import journal, namefiles
from istat_server.store.manifest import Manifest

if TYPE_CHECKING:
    from istat.kernels.python.engine import Engine

log = logging.getLogger(__name__)

FORMAT_TEXT = "istatd store 1\n"


def make_folders(folder: Path, ladder: Ladder) -> None:
    """The folders of a store, where they are missing."""
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    for name in ("journal", "names", *(level.name for level in ladder.levels)):
        (folder / name).mkdir(mode=0o750, parents=True, exist_ok=True)


def take_lock(folder: Path) -> int:
    """The descriptor that holds the store's lock. StoreLocked when another process has it."""
    handle = os.open(folder / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StoreLocked(f"{folder} is in use by another istat-server; stop that one, or use another store") from error
    return handle


def check_format(folder: Path) -> None:
    """StoreError when the folder holds a store of another format; a new folder gets its FORMAT."""
    path = folder / "FORMAT"
    if not path.exists():
        aside = path.with_suffix(".tmp")
        aside.write_text(FORMAT_TEXT)
        os.rename(aside, path)
    elif path.read_text() != FORMAT_TEXT:
        raise StoreError(f"{folder} is of another format ({path.read_text().strip()!r}); a newer istatd wrote it")


def load_names(folder: Path, state: Manifest, engine: Engine) -> None:
    """Read the names files into the engine. StoreCorrupt when one is damaged: ids would shift."""
    for number in state.names:
        path = namefiles.path_of(folder, number)
        try:
            engine.replay(namefiles.read(path), True)
        except ValueError as error:
            raise StoreCorrupt(f"{path}: {error}") from error


def replay(folder: Path, state: Manifest, engine: Engine, set_limits: Callable[[float], None],
           damage: journal.Damage, keep_from: int) -> int:
    """Take the journal's samples again, drop segments before `keep_from`; the last number there is.

    StoreCorrupt when a segment is missing: names in it would shift the ids of all that follow.
    """
    numbers = sorted(int(path.stem) for path in (folder / "journal").glob("*.journal"))
    wanted = [number for number in numbers if number >= state.replay_from]
    for number, expected in zip(wanted, range(state.replay_from, state.replay_from + len(wanted)), strict=True):
        if number != expected:
            raise StoreCorrupt(f"{journal.segment_path(folder / 'journal', expected)}: is missing; put it back, or "
                               f"move the segments after it away to go on without their samples")
        _replay_segment(journal.segment_path(folder / "journal", number), engine, set_limits, damage)
    for number in numbers:
        if number < keep_from:
            journal.segment_path(folder / "journal", number).unlink()
    for note in damage.notes:
        log.warning("journal: %s", note)
    return max([state.replay_from - 1, *numbers])


def _replay_segment(path: Path, engine: Engine, set_limits: Callable[[float], None], damage: journal.Damage) -> None:
    try:
        for clock, payload in journal.read_segment(path, damage):
            set_limits(clock)
            try:
                engine.replay(payload)
            except ValueError as error:
                damage.notes.append(f"{path.name}: {error}")
    except StoreCorrupt as error:
        size = path.stat().st_size
        damage.torn_bytes += size
        if size:        # an empty one is a segment that was about to begin
            damage.notes.append(str(error))


def references(state: Manifest) -> set[str]:
    """The files, but for the journal's, that a MANIFEST needs; relative to the store."""
    named = {entry.path for entry in state.files}
    return named | {str(namefiles.path_of(Path(), number)) for number in state.names}


def remove_orphans(folder: Path, states: Sequence[Manifest], ladder: Ladder) -> None:
    """Remove files that none of these MANIFESTs names: what a crash left between writing and committing."""
    live = {folder / path for state in states for path in references(state)}
    folders = [folder / level.name for level in ladder.levels] + [folder / "names"]
    for path in (path for place in folders for path in place.iterdir()):
        if path not in live and path.is_file():
            log.info("removing %s: nothing refers to it", path)
            path.unlink()
