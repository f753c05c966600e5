"""Settled rows: final buckets of a coarse level that came from elsewhere are added to what the level holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from istat.clock import FakeClock
from istat.kernels import blocks, columns
from istat.retention import Ladder
from istat_server.store.files.manifest import SETTLED, FileEntry
from istat_server.store.files.statfile import StatFileWriter
from istat_server.store.files.statformat import Header
from istat_server.store.statstore import StatStore
from tests.store.harness import FIXTURES

T = 1325394000  # aligned to an hour
LADDER = Ladder.parse("10s:1d,5m:10d,1h:100d")
GAUGE, EVENT = 0, 1
Row = tuple[int, int, float, float, float, float]


def settle(store: StatStore, level: int, runs: dict[int, list[Row]]) -> None:
    """Commit one settled file, as a cut or an import leaves it."""
    interval = LADDER.levels[level].interval
    times = [row[0] for rows in runs.values() for row in rows]
    seq = store.files.number()
    span = min(times), max(times) + interval
    header = Header(store.files.manifest.uuid, "0", level, SETTLED, interval, *span, seq, seq)
    writer = blocks.BlockWriter(interval=interval)
    for id, rows in sorted(runs.items()):
        writer.add_run(id, id == EVENT, columns.Columns.from_rows(rows))
    with StatFileWriter(store.folder / LADDER.levels[level].name, header) as file:
        file.add(writer.finish())
        info = file.finish()
    entry = FileEntry(f"{LADDER.levels[level].name}/{header.name}", level, SETTLED, header.start, header.end, seq, seq,
                      info.rows, info.size, False, T)
    store.files.commit(lambda state: state.with_files([entry]), [entry])


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Any:
    clock.set(T + 3600)
    store = StatStore.open(tmp_path, LADDER, clock)
    store.learn(b"g")
    store.learn(b"*e")
    text = f"g {T} 5\ng {T + 30} 7\n*e {T} 30\n*e {T + 60} 300\n".encode()
    store.engine.feed(text, 0, len(text))
    yield store
    store.close()


def level(store: StatStore, id: int, number: int) -> list[Row]:
    return store.select([id], number, T - 86400, T + 86400)[0].rows()


def test_they_are_added_to_what_the_level_holds_and_stay_through_compaction(store: StatStore, clock: FakeClock) -> None:
    settle(store, 1, {GAUGE: [(T - 300, 2, 3.0, 0.5, 1.0, 2.0), (T, 1, 12.0, 0.0, 12.0, 12.0)],
                      EVENT: [(T - 300, 30, 60.0, 0.0, 2.0, 2.0), (T, 30, 15.0, 1.5, 0.0, 1.0)]})
    settle(store, 1, {GAUGE: [(T, 1, 12.0, 0.0, 12.0, 12.0)], EVENT: [(T, 30, 30.0, 0.0, 1.0, 1.0)]})
    for _ in range(2):
        assert [row[:3] + row[4:] for row in level(store, GAUGE, 1)] == [
            (T - 300, 2, 3.0, 1.0, 2.0), (T, 4, 36.0, 5.0, 12.0)]
        assert [row[:3] + row[4:] for row in level(store, EVENT, 1)] == [
            (T - 300, 30, 60.0, 2.0, 2.0), (T, 30, 33.0 + 15.0 + 30.0, 1.0, 32.0)]
        assert len(level(store, GAUGE, 0)) == 2
        clock.advance(21 * 3600)
        store.compact()
    kinds = [(entry.kind, entry.whole) for entry in store.files.manifest.files if entry.level == 1]
    assert kinds.count((SETTLED, True)) == sum(kind == SETTLED for kind, _ in kinds) == 1


def test_they_expire_with_their_level(store: StatStore, clock: FakeClock) -> None:
    settle(store, 1, {GAUGE: [(T, 1, 12.0, 0.0, 12.0, 12.0)]})
    store.flush()
    for _ in range(16):
        clock.advance(86400)
        store.compact()
    assert not [entry for entry in store.files.manifest.files if entry.kind == SETTLED]


def test_a_store_of_version_2_with_imported_rows_is_read_as_ever(tmp_path: Path) -> None:
    """tests/fixtures/store/v2/imported: an istatd store of two counters, by the first `istat import`."""
    shutil.copytree(FIXTURES / "v2/imported", tmp_path / "store")
    wanted = json.loads((FIXTURES / "v2/imported.json").read_text())
    now = 1325404800
    store = StatStore.open(tmp_path / "store", Ladder.parse("10s:2h,5m:4d,1h:40d"), FakeClock(now))
    assert [one.finished for one in store.files.manifest.imports] == [True]
    assert {store.counter(id).name for id in range(store.count())} == set(wanted)
    for _ in range(2):
        for name, levels in wanted.items():
            counter = store.find(name.encode())
            assert counter is not None
            for number, rows in enumerate(levels):
                found = store.select([counter.id], number, 0, now)[0].rows()
                shown = found if len(found) < 12 else found[:6] + found[-6:]
                assert [row[:2] + row[4:] for row in shown] == [tuple(row[:2] + row[4:]) for row in rows]
                assert [row[2:4] for row in shown] == [pytest.approx(row[2:4], rel=1e-6, abs=1e-6) for row in rows]
        store.compact()
    store.close()
