"""Pins: what they hold stays, over restarts; what they let go goes; the clock ends them only when it is believed."""
from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat.errors import StoreError
from istat_server.store.files import journal, manifest
from istat_server.store.offline import backup, checking
from istat_server.store.pool import Delivering, InlinePool
from istat_server.store.statstore import StatStore
from istat_server.store.work import pinning
from tests.store.harness import NOW, crash, open_store, put, rows, send


def filled(folder: Path, clock: FakeClock) -> StatStore:
    """A store with files, and samples in its journal."""
    store = open_store(folder, clock)
    for at in range(3):
        put(store, f"a.b {NOW - 10 * at} 1", f"n{at} {NOW} 1")
        store.flush()
    put(store, f"a.b {NOW} 5")
    store._written()
    return store


def there(store: StatStore, paths: set[str]) -> set[str]:
    return {path for path in paths if (store.folder / path).exists()}


def segments(store: StatStore) -> set[int]:
    return {int(path.stem) for path in (store.folder / "journal").glob("*.journal")}


def churn(store: StatStore, clock: FakeClock) -> None:
    """Merge all that is there, and go through some segments."""
    for at in range(3):
        put(store, f"a.b {NOW + at} 1")
        store.compact()
    clock.advance(1)
    store.tick()


def test_what_a_pin_holds_stays_over_restarts_and_goes_with_it(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    store = filled(tmp_path, clock)
    held, position = manifest.live_paths(store.files.manifest), store.replay_position()
    pin = store.pinning.pin("replica", None, NOW + 3600)
    assert (set(pin.files), pin.position) == (held, position)
    for end in (crash, StatStore.close, crash):
        churn(store, clock)
        assert there(store, held) == held
        assert set(range(position.segment, store.position().segment + 1)) <= segments(store)
        assert not held & {entry.path for entry in store.files.manifest.files}
        assert store.status()["pinned_bytes"] > sum((tmp_path / path).stat().st_size for path in held) > 0
        assert store.status()["pins"] == [
            {"name": "replica", "segment": position.segment, "until": NOW + 3600, "files": len(held)}]
        end(store)
        assert checking.check(tmp_path).findings == []
        store = open_store(tmp_path, clock)
    before = rows(store, "a.b", 0)
    assert store.pinning.unpin("replica") and not store.pinning.unpin("replica")
    store.files.commit(lambda state: state, ())
    assert there(store, held) == held & manifest.live_paths(store.files.manifest)
    assert min(segments(store)) > position.segment
    assert store.status()["pinned_bytes"] == 0
    assert rows(store, "a.b", 0) == before
    store.close()


def test_a_pin_ends_by_a_clock_that_is_believed(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    store = filled(tmp_path, clock)
    store.pinning.pin("short", store.position(), NOW + 100)
    store.pinning.pin("long", store.position(), NOW + 1000)
    assert [pin.name for pin in store.files.manifest.pins] == ["short", "long"]
    for _ in range(11):
        clock.advance(10)
        store.tick()
    assert [pin.name for pin in store.files.manifest.pins] == ["long"]
    clock.set(clock.now() + 86400)          # a jump: not believed
    for _ in range(3):
        clock.advance(2)
        store.tick()
    assert store.watch.doubt()
    assert [pin.name for pin in store.files.manifest.pins] == ["long"]
    store.confirm_clock()
    clock.advance(2)
    store.tick()
    assert store.files.manifest.pins == ()
    store.close()


def test_a_pin_of_the_same_position_is_renewed_and_another_moves_on(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    store = filled(tmp_path, clock)
    position = store.replay_position()
    first = store.pinning.pin("r", position, NOW + 100)
    churn(store, clock)
    assert store.pinning.pin("r", position, NOW + 200) == dataclasses.replace(first, until=NOW + 200)
    later = store.pinning.pin("r", store.position(), NOW + 300)
    assert later.files != first.files and later.position > position
    store.close()
    epoch = store.files.manifest.epoch
    store = open_store(tmp_path, clock)
    assert store.files.manifest.epoch > epoch
    assert store.position() > later.position
    store.close()


def test_what_cannot_be_pinned_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(NOW)
    store = filled(tmp_path, clock)
    at, replace = store.position(), dataclasses.replace
    for name, position, until, words in (
            ("x", replace(at, store="00" * 16), NOW + 9, "is one of the store"),
            ("x", replace(at, epoch=at.epoch + 1), NOW + 9, "of epoch"),
            ("x", replace(at, segment=1), NOW + 9, "has no byte"),
            ("x", replace(at, offset=1 << 30), NOW + 9, "has no byte 1073741824"),
            ("x", at, NOW, "over before it begins"), ("", at, NOW + 9, "a pin's name")):
        with pytest.raises(StoreError, match=words):
            store.pinning.pin(name, position, until)
    monkeypatch.setattr(pinning, "MOST_PINS", 1)
    store.pinning.pin("one", at, NOW + 9)
    store.pinning.pin("one", at, NOW + 19)
    with pytest.raises(StoreError, match="there are 1 pins already: one"):
        store.pinning.pin("two", at, NOW + 9)
    store.close()


def test_what_is_refused_is_no_fault_in_the_thread_that_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool of threads tells the hub of all that is raised in it; the server's tell who waits only."""
    raised = []

    class Telling(InlinePool):
        def apply(self, function: Callable[..., object], args: tuple[object, ...] = ()) -> object:
            try:
                return function(*args)
            except BaseException as error:
                raised.append(error)
                raise

    store = filled(tmp_path, FakeClock(NOW))
    monkeypatch.setattr(store.pinning, "_pool", Delivering(Telling()))
    with pytest.raises(StoreError, match="has no byte"):
        store.pinning.pin("x", dataclasses.replace(store.position(), segment=1), NOW + 9)

    def fail(*_: object) -> None:
        raise OSError("Input/output error")

    monkeypatch.setattr(manifest, "save", fail)
    with pytest.raises(StoreError, match="the pins cannot be written: Input/output error"):
        store.pinning.pin("x", None, NOW + 9)
    monkeypatch.undo()
    assert raised == [] and store.files.manifest.pins == ()
    store.close()


def test_a_backup_has_no_pins(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    store = filled(tmp_path / "s", clock)
    store.pinning.pin("r", store.replay_position(), NOW + 100)
    churn(store, clock)
    store._written()
    backup.backup(tmp_path / "s", tmp_path / "b", clock, lambda _done, _all: None)
    wanted = rows(store, "a.b", 0)
    store.close()
    backup.restore(tmp_path / "b", tmp_path / "r", lambda _done, _all: None)
    again = open_store(tmp_path / "r", clock)
    assert again.files.manifest.pins == ()
    assert rows(again, "a.b", 0) == wanted
    again.close()


def test_a_position_is_a_place_in_the_journal(tmp_path: Path) -> None:
    """What lies between two positions is what came between them."""
    clock = FakeClock(NOW)
    store = filled(tmp_path, clock)
    before = store.position()
    put(store, f"a.b {NOW} 77")
    store._written()
    after = store.position()
    assert (after.store, after.epoch, after.segment) == (before.store, before.epoch, before.segment)
    path = journal.segment_path(tmp_path / "journal", before.segment)
    assert path.stat().st_size == after.offset > before.offset
    store.close()


def test_files_that_cannot_be_looked_at_end_no_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(NOW)
    store = filled(tmp_path, clock)
    store.pinning.pin("replica", store.replay_position(), NOW + 3600)
    churn(store, clock)
    put(store, "late 1")
    look = Path.stat

    def stat(path: Path, **how: bool) -> os.stat_result:
        if path.suffix == ".statfile":
            raise OSError(errno.EIO, "Input/output error")
        return look(path, **how)

    monkeypatch.setattr(Path, "stat", stat)
    store.flush()
    monkeypatch.undo()
    assert store.flushing.errors == 0
    store.close()
    store = open_store(tmp_path, clock)
    assert sum(row[1] for row in rows(store, "late", 0)) == 1
    store.close()


def test_a_full_disk_ends_what_is_held_for_others(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    store = open_store(tmp_path, clock)
    send(store, f"a {NOW} 1")
    store.flush()
    store.pinning.pin("idle", store.position(), NOW + 10 * 86400)
    store.pinning.tick(full=True)
    store.pinning.finish()
    assert [pin.name for pin in store.files.manifest.pins] == ["idle"], "it holds nothing"
    store.pinning.pin("behind", None, NOW + 10 * 86400)
    for _ in range(2):
        send(store, f"a {NOW} 1")
        store.flush()
    assert store.files.pinned_bytes
    clock.advance(2)
    store.pinning.tick(full=True)
    store.pinning.finish()
    assert store.files.manifest.pins == ()
    store.close()
