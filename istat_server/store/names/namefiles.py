"""Names files: the counters and routes that became known up to a cut. Format: docs/formats/journal.md.

Each cut that met new names writes one; a cut also takes in small ones before it, so that they stay few and
each name is written again only a few times. Knows files, not what a name means.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from istat.errors import StoreCorrupt
from istat.kernels.unknown import UnknownRecord
from istat_server.store.files import journal
from istat_server.store.files.manifest import names_path
from istat_server.store.versions import NewerFormat

if TYPE_CHECKING:
    from istat.kernels.python.ingest.engine import Engine

# Files of about one size before they become one of the next size.
TIER_FILES = 8
TIER_RATIO = 2
# Gone counters that are not worth writing names anew for.
LEAST_GONE = 10_000
DUMPED_AT_ONCE = 65_536     # names in a frame: some 30 ms of work
REPLAYED_AT_ONCE = 5_000    # records: some 4 ms
SMALL_FILE = 64 << 10      # all below are of one size [bytes]


def read(path: Path) -> bytes | memoryview:
    """The records of a names file. StoreCorrupt when any of it is missing: ids would shift."""
    damage = journal.Damage()
    try:
        frames = [payload for _clock, payload in journal.read_segment(path, damage)]
    except FileNotFoundError as error:
        raise StoreCorrupt(f"{path}: is missing; without it counters would get the samples of others") from error
    if damage.notes:
        raise StoreCorrupt(f"{path}: {'; '.join(damage.notes)}")
    # A record may lie in two frames. One frame, as nearly all files have, needs no copy.
    return frames[0] if len(frames) == 1 else b"".join(frames)


def load(engine: Engine, path: Path, records: bytes | memoryview, pause: Callable[[], object]) -> None:
    """Have an engine take the records of a names file, with a pause now and then. Errors as of `replay`."""
    at = 0
    with _told(path):
        while at < len(records):
            at = engine.replay_names(records, at, REPLAYED_AT_ONCE)
            pause()


def replay(engine: Engine, path: Path, records: bytes | memoryview, saved: bool = False) -> None:
    """Have an engine take the records of a names file or of a frame of the journal; `saved` as of Engine.replay.

    ValueError when they are malformed, NewerFormat when there is one of a kind that is not known: to go on without it
    would lose it with the file.
    """
    with _told(path):
        engine.replay(records, saved)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except UnknownRecord as error:
        raise NewerFormat(path, f"{journal.VERSION} with the record {error}", journal.VERSION) from error


def write(folder: Path, uuid: bytes, number: int, before: Sequence[int], records: bytes) -> tuple[int, ...]:
    """Write `records`, and those of the files before it that it takes in, as file `number`.

    The numbers that hold all names afterwards. OSError when it cannot be written.
    """
    taken = _group(folder, before, len(records))
    text = b"".join([read(names_path(folder, one)) for one in taken] + [records])
    journal.write_names(names_path(folder, number), number, uuid, text)
    return (*before[:len(before) - len(taken)], number)


def worth_compacting(gone: int, gone_before: int, there: int) -> bool:
    """Whether names files tell more of counters that are gone than of those that are there. `gone`: how many are, and
    were when all files were last written anew."""
    return gone - gone_before >= max(LEAST_GONE, there)


def compact(folder: Path, uuid: bytes, number: int, before: Sequence[int], records: bytes,
            engine: Engine) -> tuple[int, ...]:
    """Write what all files `before` and `records` come to as the one file `number`, in which counters that are gone
    cost a few bytes for thousands of them. `engine` is an empty one, to be thrown away. The numbers as of `write`.
    """
    for one in before:
        path = names_path(folder, one)
        replay(engine, path, read(path), True)
    engine.replay(records, True)
    engine.sweep_routes(0, len(engine.routes))
    journal.write_whole(names_path(folder, number), journal.KIND_NAMES, number, uuid, _dumps(engine))
    return (number,)


def _dumps(engine: Engine) -> Iterator[bytes]:
    """A portion at a time, between which the hub has its turns."""
    for first in range(0, len(engine.counters), DUMPED_AT_ONCE):
        yield engine.dump_names(first, 0, DUMPED_AT_ONCE, 0)
        time.sleep(0)
    for first in range(0, len(engine.routes), DUMPED_AT_ONCE):
        yield engine.dump_names(0, first, 0, DUMPED_AT_ONCE)
        time.sleep(0)


def _group(folder: Path, before: Sequence[int], size: int) -> list[int]:
    """The newest files of one size, when there are enough of them."""
    group: list[int] = []
    size = max(size, SMALL_FILE)
    for number in reversed(before):
        one = names_path(folder, number).stat().st_size
        if one > TIER_RATIO * size:
            break
        group.insert(0, number)
        size += one
    return group if len(group) >= TIER_FILES else []
