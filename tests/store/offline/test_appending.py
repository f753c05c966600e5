"""Appending buckets to a closed store: everything of a batch or nothing, and never twice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest

from istat.clock import FakeClock
from istat.errors import StoreError, StoreFull, StoreLocked
from istat.kernels import columns
from istat_server.query import select as query
from istat_server.store.files import manifest
from istat_server.store.files.manifest import Import
from istat_server.store.levels.placing import Archive
from istat_server.store.offline import appending, checking
from istat_server.store.offline.appending import Appender, Series, noted, open_store
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore
from istat_server.store.work.workshop import Workshop

NOW = 1325404800
RETENTION = "10s:1h,5m:1d,1h:10d"
Row = tuple[int, int, float, float, float, float]


def single(time: int, value: float) -> Row:
    return (time, 1, value, 0.0, value, value)


def series(name: str, *rows: Row, interval: int = 10, event: bool = False) -> Series:
    return Series(name.encode(), event, (Archive(interval, columns.Columns.from_rows(rows)),), name)


def note(mark: str = "", finished: bool = False) -> Import:
    return Import("test:/a", "d1", mark, finished, 0)


def opened(folder: Path, **options: int) -> StatStore:
    return open_store(folder, FakeClock(NOW), RETENTION, Options(**options))


def everything(store: StatStore) -> dict[tuple[str, int], list[Row]]:
    found = {}
    for id in range(store.count()):
        for level in range(3):
            [rows] = store.select([id], level, 0, NOW + 3600)
            found[store.counter(id).name, level] = rows.rows()
    return found


def crash(store: StatStore) -> None:
    """What kill -9 leaves: nothing is written any more."""
    store._journal.close()
    store._lock.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StatStore]:
    store = opened(tmp_path / "store")
    yield store
    store.close()


def test_buckets_appended_are_answered_now_and_after_compaction_and_a_restart(tmp_path: Path) -> None:
    store = opened(tmp_path)
    appender = Appender(store, FakeClock(NOW))
    appender.append(series("b.Two", single(NOW - 7200, 1.0), single(NOW - 60, 2.0), single(NOW - 50, 4.0)))
    appender.append(series("a.one", single(NOW - 60, 3.0), event=True))
    appender.append(series("b.two", single(NOW - 90000, 5.0), single(NOW - 7200, 7.0), interval=300))
    done = appender.commit(note("b.two", finished=True))
    assert done.totals == {"counters": 2, "buckets": 6, "covered": 0}
    wanted = everything(store)
    assert [row[2] for row in wanted["b.two", 0]] == [2.0, 4.0]
    assert [row[:3] for row in wanted["b.two", 1]] == [(NOW - 7200, 2, 8.0), (NOW - 300, 2, 6.0)]
    assert wanted["a.one", 0] == [single(NOW - 60, 3.0)]
    assert wanted["a.one", 1] == [(NOW - 300, 30, 3.0, wanted["a.one", 1][0][3], 0.0, 3.0)]
    store.compact()
    assert everything(store) == wanted
    store.close()
    store = opened(tmp_path)
    assert everything(store) == wanted
    assert noted(store.files.manifest.imports, "test:/a") == done
    store.close()


def test_what_a_crash_leaves_uncommitted_is_gone_and_is_appended_once(tmp_path: Path) -> None:
    store = opened(tmp_path)
    appender = Appender(store, FakeClock(NOW))
    appender.append(series("a", single(NOW - 60, 1.0)))
    appender.commit(note("a"))
    appender.append(series("b", single(NOW - 60, 2.0), single(NOW - 7200, 9.0)))
    appender._code()
    appender._end_files()
    workshop = Workshop(store.files, store._clock, store.engine.policy)
    for where, made in appender._coded:
        workshop.write_blocks(*where, made, store.files.number())        # killed just before the MANIFEST
    crash(store)
    store = opened(tmp_path)
    assert [store.counter(id).name for id in range(store.count())] == ["a"]
    found = noted(store.files.manifest.imports, "test:/a")
    assert found is not None and (found.mark, found.finished) == ("a", False)
    live = {entry.path for entry in store.files.manifest.files}
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.statfile")} == live
    appender = Appender(store, FakeClock(NOW))
    appender.append(series("b", single(NOW - 60, 2.0)))
    done = appender.commit(note("b", finished=True))
    assert [row[2] for row in everything(store)["b", 0]] == [2.0]
    assert [one.mark for one in store.files.manifest.imports] == ["b"]
    assert done.totals["counters"] == 1
    store.close()


def test_ids_that_descend_and_batches_of_rows_make_more_files_not_more_rows(
        store: StatStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appending, "ROWS_AT_ONCE", 2)
    appender = Appender(store, FakeClock(NOW))
    for name in ("a", "b", "c", "b", "a"):
        appender.append(series(name, single(NOW - 60, 1.0), single(NOW - 50, 1.0)))
    appender.commit(note())
    assert {key: [row[2] for row in rows] for key, rows in everything(store).items() if key[1] == 0} == {
        ("a", 0): [2.0, 2.0], ("b", 0): [2.0, 2.0], ("c", 0): [1.0, 1.0]}
    assert len(store.files.manifest.files) == 3


def test_counters_that_cannot_be_are_counted(tmp_path: Path) -> None:
    store = opened(tmp_path, max_counters=2)
    appender = Appender(store, FakeClock(NOW))
    appender.append(series("a", single(NOW - 60, 1.0)))
    appender.append(series("a", single(NOW - 60, 1.0), event=True))
    appender.append(series("b", single(NOW - 60, 1.0)))
    appender.append(series("c", single(NOW - 60, 1.0)))
    appender.append(series("", single(NOW - 60, 1.0)))
    appender.append(series("d" * 1001, single(NOW - 60, 1.0)))
    appender.append(series("old", single(NOW - 99 * 86400, 1.0)))
    assert appender.totals == {"counters": 2, "buckets": 2, "covered": 0, "other_kind": 1, "name_refused": 1,
                               "name_empty": 1, "name_too_long": 1, "from_past": 1}
    appender.abandon()
    store.close()
    assert opened(tmp_path).count() == 0


def test_a_full_disk_leaves_the_store_as_it_was(store: StatStore, monkeypatch: pytest.MonkeyPatch) -> None:
    appender = Appender(store, FakeClock(NOW))
    appender.append(series("a", single(NOW - 60, 1.0)))

    def full(*_: object) -> None:
        raise StoreFull("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "save", full)
        with pytest.raises(StoreError):
            appender.commit(note())
    appender.abandon()
    assert not list(store.folder.rglob("*.statfile")) and not store.files.manifest.imports


def ask(store: StatStore, name: str, start: int, end: int) -> tuple[int, list[float]]:
    found = query.series(store, [name], start, end, 3600, NOW)
    return found.grid.interval, [row[2] for row in found.rows[0].rows()]


def test_coarse_buckets_are_answered_where_finer_levels_have_nothing_so_old(tmp_path: Path) -> None:
    store = opened(tmp_path)
    appender = Appender(store, FakeClock(NOW))
    appender.append(series("coarse", *(single(NOW - age, 2.0) for age in range(300, 86400, 300)), interval=300))
    appender.commit(note("1"))
    for _ in range(2):
        assert ask(store, "coarse", NOW - 3000, NOW) == (300, [2.0] * 10)
        assert ask(store, "coarse", NOW, NOW + 60)[0] == 10         # samples that come now are at the finest level
        store.close()
        store = opened(tmp_path)
    appender = Appender(store, FakeClock(NOW))      # finer ones that come later do not hide those
    appender.append(series("fine", *(single(NOW - age, 1.0) for age in range(10, 3600, 10))))
    appender.commit(note("2"))
    assert ask(store, "coarse", NOW - 3000, NOW) == (300, [2.0] * 10)
    assert ask(store, "fine", NOW - 3000, NOW) == (10, [1.0] * 300)
    store.close()


def test_a_source_with_fine_and_coarse_buckets_is_answered_from_both(store: StatStore) -> None:
    appender = Appender(store, FakeClock(NOW))
    for commit, age in enumerate((1200, 600)):      # whatever the commits that they come in
        fine = Archive(10, columns.Columns.from_rows([single(NOW - age + at, 1.0) for at in range(0, 600, 10)]))
        coarse = Archive(300, columns.Columns.from_rows([single(NOW - 3600 * at, 2.0) for at in range(1, 20)]))
        appender.append(Series(b"both%d" % commit, False, (fine, coarse), ""))
        appender.commit(note(str(commit)))
    assert ask(store, "both0", NOW - 1200, NOW) == (10, [1.0] * 60)
    assert ask(store, "both1", NOW - 600, NOW) == (10, [1.0] * 60)
    assert ask(store, "both1", NOW - 4500, NOW - 3000) == (300, [2.0])
    appender.append(series("more", single(NOW - 2410, 1.0)))    # two thirds of an hour
    appender.commit(note())
    assert ask(store, "both1", NOW - 3000, NOW)[0] == 10


def test_a_coarse_bucket_of_the_time_of_finer_ones_is_not_older(store: StatStore) -> None:
    appender = Appender(store, FakeClock(NOW))
    fine = Archive(10, columns.Columns.from_rows([single(NOW - 290, 1.0)]))
    coarse = Archive(300, columns.Columns.from_rows([(NOW - 300, 2, 5.0, 4.5, 1.0, 4.0)]))
    appender.append(Series(b"both", False, (fine, coarse), ""))
    appender.commit(note())
    assert ask(store, "both", NOW - 600, NOW) == (10, [1.0])


def failing(where: str, left: list[int]) -> Callable[..., object]:
    """The function of that name, once it has raised as often as `left` says."""
    function = resolve_name(where)

    def stand_in(*args: object, **options: object) -> object:
        if left[0]:
            left[0] -= 1
            raise OSError(5, "Input/output error")
        return function(*args, **options)

    return stand_in


@pytest.mark.parametrize("where", ["istat_server.store.files.manifest.save", "istat_server.store.names.namefiles.write",
                                   "istat_server.store.work.workshop.Workshop.write_blocks",
                                   "istat_server.store.files.manifest.sync_folder"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_commit_that_failed_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str,
                                                 times: int) -> None:
    store = opened(tmp_path)
    appender = Appender(store, FakeClock(NOW))
    appender.append(series("first", single(NOW - 60, 1.0)))
    appender.commit(note("0"))
    appender.append(series("a", single(NOW - 60, 1.0), single(NOW - 7200, 2.0)))
    appender.append(series("first", single(NOW - 50, 3.0)))
    monkeypatch.setattr(where, failing(where, [times]))
    for _ in range(times):
        with contextlib.suppress(OSError):
            appender.commit(note("1"))
            break
        appender.append(series("b", single(NOW - 60, 4.0)))
    done = appender.commit(note("2"))
    found = everything(store)
    crash(store)                # no second chance for what a close would write
    store = opened(tmp_path)
    assert everything(store) == found
    assert {name for name, _level in found} >= {"first", "a"}
    assert [row[2] for row in found["a", 0]] == [1.0]
    assert [row[2] for row in found["first", 0]] == [1.0, 3.0]
    if "sync" not in where:     # which is no failure: the MANIFEST is there
        assert [row[2] for row in found["b", 0]] == [4.0 * times]
        assert done.totals == {"counters": 2, "buckets": 3 + times, "covered": 0}      # `first` was counted before
    assert checking.check(tmp_path).findings == []
    live = {entry.path for entry in store.files.manifest.files}
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.statfile")} == live
    store.close()


def test_late_rows_make_their_span_underived(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    store = opened(tmp_path)
    appender = Appender(store, clock)
    appender.append(series("a", single(NOW - 3000, 1.0)))
    appender.commit(note())
    store._clock.set(NOW + 7200)
    store.housekeeping._clock.set(NOW + 7200)
    store.compact()
    assert store.files.manifest.default.derived
    appender = Appender(store, clock)
    appender.append(series("a", single(NOW - 2990, 2.0)))
    appender.commit(note())
    assert [row[:3] for row in store.select([0], 2, 0, NOW)[0].rows()] == [(NOW - 3600, 2, 3.0)]
    store.close()


def test_a_store_in_use_says_what_to_do(store: StatStore) -> None:
    with pytest.raises(StoreLocked, match="stop it"):
        opened(store.folder)
