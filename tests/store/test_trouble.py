"""The store when things go wrong: full disks, damaged files, writers that fail between any two steps."""
from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat.errors import StoreCorrupt, StoreError, StoreFull
from istat_server.store import opening
from istat_server.store.files import journal, manifest
from istat_server.store.files.statfile import StatFileWriter
from istat_server.store.offline import backup, checking, repairing
from istat_server.store.options import Options
from istat_server.store.pool import InlinePool
from istat_server.store.statstore import StatStore
from tests.store.harness import LADDER, NOW, crash, open_store, put, rows

FULL = OSError(errno.ENOSPC, "No space left on device")


class LatePool(InlinePool):
    """A call begins only when someone waits for it; `meanwhile` happens first, as other greenlets do."""

    def __init__(self):
        self.meanwhile = []

    def spawn(self, function, *args):
        return _Late(self, function, args)


class _Late:
    def __init__(self, pool, function, args):
        self.pool, self.function, self.args = pool, function, args
        self.done = False

    def ready(self):
        return self.done

    def get(self):
        while self.pool.meanwhile:
            self.pool.meanwhile.pop()()
        if not self.done:
            self.result = self.function(*self.args)
            self.done = True
        return self.result


def count(store, name, level=0):
    return sum(row[1] for row in rows(store, name, level))


def files_on_disk(store):
    return {str(path.relative_to(store.folder)) for path in store.folder.glob("*/*.statfile")}


def refuse(monkeypatch, where, name, error=FULL):
    """From now on a call fails; gives the function that ends it."""
    kept = getattr(where, name)

    def fail(*_args, **_more):
        raise error

    monkeypatch.setattr(where, name, fail)
    return lambda: monkeypatch.setattr(where, name, kept)


def test_a_tick_while_a_feed_waits_for_a_flush_begins_no_second_one(tmp_path, clock):
    pool = LatePool()
    store = StatStore.open(tmp_path, LADDER, clock, background=pool, options=Options(key=1, cut_seconds=1))
    put(store, "a 1")
    clock.advance(1)
    store.tick()                                        # a cut; its flush is under way
    put(store, "a 1")
    clock.advance(1)
    seen = []
    pool.meanwhile = [lambda: (store.tick(), seen.append((store.figures["cuts"], count(store, "a"))))]
    store.flushing.finish()
    assert seen == [(1, 2)]                             # all visible, and no second cut
    store.close()


def test_a_flush_that_fails_late_leaves_no_files_behind_and_counts_nothing_twice(tmp_path, clock, monkeypatch):
    store = open_store(tmp_path, clock, cut_seconds=10)
    put(store, "a 1", f"a {NOW - 5000} 1")              # the second one is too old for the finest level
    heal = refuse(monkeypatch, manifest, "save")
    for _ in range(4):
        clock.advance(100)
        store.tick()
        assert (count(store, "a", 1), files_on_disk(store)) == (2, set())
    assert "No space left" in str(store.status()["flush_problem"])
    heal()
    clock.advance(100)
    store.tick()
    store.tick()
    assert count(store, "a", 1) == 2
    assert store.status()["flush_problem"] == ""
    assert files_on_disk(store) == {entry.path for entry in store.files.manifest.files}
    store.close()


def test_a_first_file_written_is_removed_when_the_second_does_not_fit(tmp_path, clock, monkeypatch):
    store = open_store(tmp_path, clock, cut_seconds=10)
    put(store, "a 1", f"a {NOW - 5000} 1")
    finish, finished = StatFileWriter.finish, []

    def once(self):
        if finished:
            raise StoreFull("full")
        finished.append(1)
        return finish(self)

    monkeypatch.setattr(StatFileWriter, "finish", once)
    clock.advance(100)
    store.tick()
    assert finished and files_on_disk(store) == set()
    monkeypatch.setattr(StatFileWriter, "finish", finish)
    store.close()


def test_files_that_cannot_be_removed_do_not_make_a_flush_happen_again(tmp_path, clock, monkeypatch):
    store = open_store(tmp_path, clock)
    put(store, "a 1")
    unlink = type(tmp_path).unlink

    def fail(path, missing_ok=False):
        if path.suffix in (".statfile", ".journal"):
            raise OSError(errno.EROFS, "Read-only file system")
        unlink(path, missing_ok)

    monkeypatch.setattr(type(tmp_path), "unlink", fail)
    store.flush()
    put(store, "a 1")
    store.flush()
    put(store, "a 1")
    store.flush()
    assert (count(store, "a"), store.flushing.errors) == (3, 0)
    monkeypatch.undo()
    store.close()


def test_a_failing_flush_refuses_samples_when_memory_is_full_and_blocks_nobody(tmp_path, clock, monkeypatch):
    store = open_store(tmp_path, clock, cut_seconds=10, cut_bytes=4096)
    heal = refuse(monkeypatch, StatFileWriter, "finish", StoreFull("10s/x: the disk is full"))
    put(store, "a 1")
    clock.advance(10)
    store.tick()
    store.tick()
    assert store.refusing == ""                         # there is room in memory and in the journal
    put(store, *(f"a {NOW - 10 * at} 1" for at in range(200)))
    store.after_feed()
    store.tick()
    assert "the disk is full" in store.refusing
    heal()
    clock.advance(60)
    store.tick()
    store.tick()
    store.tick()
    assert (store.refusing, count(store, "a")) == ("", 201)
    store.close()


def test_a_store_that_cannot_be_written_still_ends_and_the_journal_keeps_it(tmp_path, clock, monkeypatch):
    store = open_store(tmp_path, clock)
    put(store, "a 1")
    heal = refuse(monkeypatch, StatFileWriter, "finish", StoreFull("the disk is full"))
    with pytest.raises(StoreError, match="the journal keeps it"):
        store.close()
    heal()
    store = open_store(tmp_path, clock)
    assert count(store, "a") == 1
    store.close()


def test_a_merge_before_the_first_cut_forgets_no_names(tmp_path, clock):
    store = open_store(tmp_path, clock)
    for at in range(20):
        put(store, f"name{at} 1")
        store.flush()
    crash(store)
    store = open_store(tmp_path, clock)
    store.housekeeping._background.apply(store.housekeeping.do, (store.housekeeping.next_job(force=True),))
    crash(store)
    store = open_store(tmp_path, clock)
    assert [count(store, f"name{at}") for at in range(20)] == [1] * 20
    store.close()


def test_names_files_stay_few_in_a_long_life(tmp_path, clock):
    store = open_store(tmp_path, clock)
    for at in range(100):
        put(store, f"name{at}^host.x^class.y 1")
        store.flush()
    assert len(store.files.manifest.names) <= 30
    crash(store)
    store = open_store(tmp_path, clock)
    assert store.count() == 200
    assert [count(store, f"name{at}.host.x") for at in range(100)] == [1] * 100
    store.close()


def test_a_file_that_cannot_be_opened_does_not_keep_the_server_from_starting(tmp_path, clock, caplog):
    store = open_store(tmp_path, clock)
    put(store, "a 1", "b 2")
    store.flush()
    put(store, "a 3")
    store.flush()
    first = tmp_path / store.files.manifest.files[0].path
    store.close()
    first.write_bytes(first.read_bytes()[:-1] + b"?")
    store = open_store(tmp_path, clock)
    assert str(first) in caplog.text
    assert [row[2] for row in rows(store, "a", 0)] == [3.0]
    assert store.status()["damaged_files"] == 1
    clock.advance(7200)
    store.tick()
    store.compact()
    assert first.exists()                               # for someone to look at
    store.close()


def test_the_previous_manifest_has_everything_still(tmp_path, clock):
    store = open_store(tmp_path, clock)
    put(store, "x 1", "a 1")
    store.flush()
    put(store, "b 1", "a 1")
    store.flush()
    put(store, "c 1", "a 1")
    store.compact()
    put(store, "d 1", "a 1")
    crash(store)
    (tmp_path / "MANIFEST").write_bytes(b"nonsense")
    store = open_store(tmp_path, clock)
    assert [(name, count(store, name)) for name in "xabcd"] == [("x", 1), ("a", 4), ("b", 1), ("c", 1), ("d", 1)]
    store.close()
    store = open_store(tmp_path, clock)
    assert count(store, "a") == 4
    store.close()


def test_a_missing_journal_segment_is_told_and_gives_no_counter_another_ones_samples(tmp_path, clock):
    store = open_store(tmp_path, clock)
    put(store, "a 1")
    crash(store)
    store = open_store(tmp_path, clock)
    put(store, "b 1")
    crash(store)
    numbers = sorted((tmp_path / "journal").iterdir())
    numbers[0].unlink()
    with pytest.raises(StoreCorrupt, match="is missing"):
        open_store(tmp_path, clock)


def test_missing_and_malformed_names_files_are_told(tmp_path, clock):
    store = open_store(tmp_path, clock)
    put(store, "a 1")
    store.close()
    (path,) = (tmp_path / "names").iterdir()
    journal.write_names(path, 1, bytes.fromhex(store.files.manifest.uuid), b"\x00\x01")
    with pytest.raises(StoreCorrupt, match="malformed"):
        open_store(tmp_path, clock)
    path.unlink()
    with pytest.raises(StoreCorrupt, match="is missing"):
        open_store(tmp_path, clock)


def test_names_of_more_than_one_frame_are_read_back(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(journal, "MAX_PAYLOAD", 100)
    store = open_store(tmp_path, clock)
    put(store, *(f"counter.number.{at} 1" for at in range(40)))
    store.close()
    monkeypatch.setattr(journal, "MAX_PAYLOAD", 256 << 20)
    assert open_store(tmp_path, clock).count() == 40


def test_an_empty_format_file_is_what_a_crash_left(tmp_path, clock, monkeypatch):
    heal = refuse(monkeypatch, opening.os, "rename")
    with pytest.raises(OSError):
        open_store(tmp_path, clock)
    assert not (tmp_path / "FORMAT").exists()
    heal()
    open_store(tmp_path, clock).close()


def test_a_clock_set_back_costs_no_rollups_whose_finest_rows_are_gone(tmp_path):
    clock = FakeClock(NOW)
    store = open_store(tmp_path, clock)
    put(store, *(f"a {NOW - at} 1" for at in range(0, 600, 10)), *(f"*e {NOW - at} 1" for at in range(0, 600, 10)))
    clock.advance(4 * 3600)
    store.tick()
    store.compact()
    clock.advance(3 * 3600)
    store.tick()
    store.compact()
    assert not [entry for entry in store.files.manifest.files if entry.level == 0]
    clock.set(NOW)
    store.tick()
    put(store, f"a {NOW - 100} 1")
    clock.advance(3 * 3600)
    store.tick()
    store.compact()
    assert count(store, "a", 2) == 61
    store.close()


def test_files_of_a_future_that_was_none_come_to_rest(tmp_path):
    clock = FakeClock(NOW)
    store = open_store(tmp_path, clock)
    clock.set(NOW + 10 ** 8)
    store.tick()
    put(store, f"a {NOW + 10 ** 8} 1")
    store.flush()
    clock.set(NOW)
    store.tick()
    for at in range(3):
        put(store, f"a {NOW - at * 10} 1")
        store.flush()
    for _ in range(3):
        clock.advance(7200)
        store.tick()
        store.tick()
        store.tick()
    assert any(entry.kind == "derived" for entry in store.files.manifest.files)
    store.close()


def test_merges_wait_while_the_disk_is_nearly_full(tmp_path, clock, monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    store = open_store(tmp_path, clock)
    for at in range(9):
        put(store, f"a {NOW - at} 1")
        store.flush()
    from istat_server.store.work import housekeeping
    monkeypatch.setattr(housekeeping, "free_bytes", lambda _folder: 1000)
    clock.advance(10)
    store.tick()
    assert len(store.files.manifest.files) == 9
    assert "free space" in str(store.status()["work_problem"])
    monkeypatch.undo()
    clock.advance(10)
    store.tick()
    clock.advance(10)
    store.tick()
    assert len(store.files.manifest.files) < 9
    assert (store.status()["work_problem"], count(store, "a")) == ("", 9)
    store.close()


def test_segments_that_only_the_previous_manifest_needs_go_after_a_restart_too(tmp_path, clock):
    store = open_store(tmp_path, clock)
    put(store, "a 1")
    store.flush()
    put(store, "a 1")
    store.flush()
    kept = set((tmp_path / "journal").iterdir())
    crash(store)
    store = open_store(tmp_path, clock)
    put(store, "a 1")
    store.flush()
    oldest = manifest.load_previous(tmp_path).replay_from
    assert min(journal.segment_numbers(tmp_path / "journal")) == oldest
    assert kept - set((tmp_path / "journal").iterdir())
    store.close()


def test_a_store_without_any_manifest_is_not_taken_for_a_new_one(tmp_path, clock):
    store = open_store(tmp_path, clock)
    put(store, "a 1")
    store.close()
    files = files_on_disk(store)
    (tmp_path / "MANIFEST").unlink()
    (tmp_path / "MANIFEST.previous").unlink()
    with pytest.raises(StoreCorrupt, match="istat restore"):
        open_store(tmp_path, clock)
    assert files_on_disk(store) == files


def test_a_newer_manifest_is_refused_though_the_one_before_could_be_read(tmp_path, clock):
    open_store(tmp_path, clock).close()
    path = tmp_path / "MANIFEST"
    (tmp_path / "MANIFEST.previous").write_bytes(path.read_bytes())
    path.write_bytes(path.read_bytes().replace(b"istat-manifest %d" % manifest.VERSION, b"istat-manifest 99", 1))
    with pytest.raises(StoreError, match="newer istatd") as caught:
        open_store(tmp_path, clock)
    assert not isinstance(caught.value, StoreCorrupt)
    assert path.read_bytes().startswith(b"istat-manifest 99")


@pytest.mark.parametrize("text", [b"", b"istat", b"istatd store 1", b"\xff\xfe\x00"])
def test_what_a_crash_or_damage_left_of_format_is_written_anew(tmp_path, clock, text):
    open_store(tmp_path, clock).close()
    (tmp_path / "FORMAT").write_bytes(text)
    open_store(tmp_path, clock).close()
    assert (tmp_path / "FORMAT").read_bytes() == b"istatd store 1\n"


@pytest.mark.parametrize("text", [b"istatd store 2\n", b"something else"])
def test_a_folder_of_something_else_is_left_alone(tmp_path, clock, text):
    (tmp_path / "FORMAT").write_bytes(text)
    with pytest.raises(StoreError):
        open_store(tmp_path, clock)
    assert (tmp_path / "FORMAT").read_bytes() == text


def test_a_file_of_someone_else_in_the_journals_folder_ends_no_flush(tmp_path, clock):
    store = open_store(tmp_path, clock)
    stray = tmp_path / "journal" / "copy of 1.journal"
    stray.write_bytes(b"x")
    for turn in range(3):
        put(store, f"name{turn} 1")
        store.flush()
    assert store.flushing.errors == 0 and stray.exists()
    store.close()
    again = open_store(tmp_path, clock)
    assert [count(again, f"name{turn}") for turn in range(3)] == [1, 1, 1]
    again.close()
    assert checking.check(tmp_path).errors == []
    repairing.repair(tmp_path)
    backup.backup(tmp_path, tmp_path.parent / "copy", clock, lambda _done, _all: None)
    assert stray.exists() and not list((tmp_path.parent / "copy" / "journal").glob("copy*"))


def test_a_journals_folder_that_cannot_be_read_for_a_while_ends_no_flush(tmp_path, clock, monkeypatch, caplog):
    store = open_store(tmp_path, clock)
    put(store, "name 1")
    store.flush()
    mend = refuse(monkeypatch, Path, "glob", OSError(errno.EMFILE, "Too many open files"))
    put(store, "other 1")
    store.flush()
    assert store.flushing.errors == 0 and "Too many open files" in caplog.text
    mend()
    put(store, "name 2")
    store.flush()
    first = store.files.manifest.replay_from
    assert len(list((tmp_path / "journal").glob("*.journal"))) <= 3 and first > 3
    store.close()
    again = open_store(tmp_path, clock)
    assert (count(again, "name"), count(again, "other")) == (2, 1)
    again.close()
