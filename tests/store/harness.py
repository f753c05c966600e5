"""What the tests of the store share: opening one, feeding it as the intake does, a crash, its buckets."""
from __future__ import annotations

from pathlib import Path

from istat.clock import FakeClock
from istat.kernels.python.columns import Row
from istat.retention import Ladder
from istat_server.store.interface import NamePattern, Syntax
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore

NOW = 1325395000        # where the fixture `clock` stands: 2012-01-01 05:16:40 UTC
LADDER = Ladder.parse("10s:1h,1m:6h,10m:2d")
ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests/fixtures/store"        # a folder for each version of a store


def open_store(folder: Path, clock: FakeClock, **options: object) -> StatStore:
    """A store whose name tables hash the same each time."""
    return StatStore.open(folder, LADDER, clock, options=Options(key=1, **options))


def glob(text: bytes) -> NamePattern:
    """A pattern as people write it."""
    return NamePattern(Syntax.GLOB, text)


def put(store: StatStore, *lines: str) -> None:
    """Feed lines as an intake does."""
    text = b"".join(line.encode() + b"\n" for line in lines)
    left = store.accept(memoryview(text), 0, len(text)).left
    assert {one.kind for one in left} <= {"from_future", "from_past", "rejected"}


def send(store: StatStore, *lines: str) -> None:
    """Feed lines that come now: the store has looked at its clock."""
    store.tick()
    put(store, *lines)


def crash(store: StatStore) -> None:
    """What kill -9 leaves: the journal as far as it was handed over."""
    store._hand_over()
    store._journal.close()
    store._lock.close()


def rows(store: StatStore, name: str, level: int, start: int = 0, end: int = NOW + 10 ** 6) -> list[Row]:
    """The buckets of a counter."""
    counter = store.find(name.encode())
    (found,) = store.select([counter.id], level, start, end)
    return found.rows()
