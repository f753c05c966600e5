"""pagecache, on real files: what is counted, what is told where nothing may be known, and at which pace."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from istat.pagecache import scanning
from istat.pagecache.residency import Residency, residency
from istat.pagecache.syscalls import PAGE
from istat.plugin import Config, Definition, Emit

from . import collector as module
from .collector import BATCH, PageCache


def read(trees: list[Path], one_in: int = 1, sleep: Callable[[float], None] = lambda seconds: None) -> Emit:
    """One reading of all trees."""
    instance = PageCache.target(sleep)
    instance.setup(Config({"trees": list(map(str, trees)), "one-in": one_in}, interval=300))
    emit = Emit()
    for job in instance.jobs():
        job.collect(emit)
    return emit


def named(folder: Path) -> str:
    return f"pagecache.{module.label(str(folder))}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of four pages, one of them below another folder; and what does not count."""
    (tmp_path / "inner").mkdir()
    for path in (tmp_path / "a", tmp_path / "b", tmp_path / "inner" / "c"):
        path.write_bytes(bytes(4 * PAGE))
    os.link(tmp_path / "a", tmp_path / "inner" / "a again")
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def test_pages_of_a_tree_are_counted(folder: Path, documented: Callable[[Definition, Emit], None]) -> None:
    emit = read([folder])
    documented(PageCache, emit)
    found = {name.removeprefix(f"{named(folder)}."): value for name, value in emit.gauges().items()}
    known = [residency(folder / name) for name in ("a", "b", "inner/c")]
    assert found["files"] == 3 and found["unknown_files"] == found["failed_files"] == 0
    assert found["size_bytes"] == 12 * PAGE
    assert found["resident_bytes"] == 12 * PAGE and found["resident_percent"] == 100     # just written
    assert found["pages_per_file"] == 4
    if all(one.dirty is not None for one in known):
        assert 0 <= found["dirty_bytes"] <= 12 * PAGE
        assert {"writeback_bytes", "recently_evicted_bytes"} <= found.keys()
    assert emit.problems == []


def test_one_in_so_many_is_multiplied(tmp_path: Path) -> None:
    for number in range(400):
        (tmp_path / f"file{number}").write_bytes(bytes(PAGE))
    all_of, some = read([tmp_path]).gauges(), read([tmp_path], 4).gauges()
    again, files = read([tmp_path], 4).gauges(), f"{named(tmp_path)}.files"
    assert some[files] == again[files]
    assert all_of[f"{named(tmp_path)}.files"] == 400
    for name in ("files", "size_bytes", "resident_bytes"):
        share = some[f"{named(tmp_path)}.{name}"] / all_of[f"{named(tmp_path)}.{name}"]
        assert 0.5 < share < 1.5
    assert some[f"{named(tmp_path)}.pages_per_file"] == 1


@pytest.mark.parametrize("one_in", [1, 2])
def test_files_that_come_and_go_are_no_failures(tmp_path: Path, one_in: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees of temporary files have such at any time; a folder that cannot be listed is one."""
    for number in range(100):
        (tmp_path / f"file{number}").touch()
    real = scanning.opened

    def opened(path: str, flags: int = 0) -> int:
        os.unlink(path)
        return real(path, flags)

    monkeypatch.setattr(scanning, "opened", opened)
    emit = read([tmp_path], one_in)
    counts = ("files", "unknown_files", "failed_files", "size_bytes", "resident_bytes")
    assert emit.gauges() == {f"{named(tmp_path)}.{what}": 0 for what in counts}


def test_what_may_not_be_known_is_absent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = Residency(4 * PAGE, 4, None, None, None, None, None, None, "unknown(permission)", None)
    monkeypatch.setattr(scanning, "measured", lambda *_: unknown)
    emit, name = read([folder]), named(folder)
    assert emit.gauges() == {f"{name}.files": 3, f"{name}.unknown_files": 3, f"{name}.failed_files": 0}
    assert "CAP_FOWNER" in emit.problems[0]


def test_by_mincore_nothing_is_known_of_dirty_pages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Residency(4 * PAGE, 4, 2, None, None, None, None, None, "ok", "mincore")
    monkeypatch.setattr(scanning, "measured", lambda *_: counted)
    found = read([folder]).gauges()
    assert found[f"{named(folder)}.resident_percent"] == 50
    assert not [name for name in found if "dirty" in name or "evicted" in name]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    emit = read([tmp_path / "none", tmp_path])
    assert [problem.split(" of the setting")[0] for problem in emit.problems] == [str(tmp_path / "none")]
    assert emit.gauges()[f"{named(tmp_path)}.files"] == 0


def test_each_tree_is_a_job_and_nothing_runs_before_one_is_named(tmp_path: Path) -> None:
    assert PageCache.start(Config({"trees": [], "one-in": 1})) == []
    jobs = PageCache.start(Config({"trees": ["/var/lib/a", "/var/lib_a", "/var/lib/a/"], "one-in": 1}))
    assert [job.name for job in jobs] == ["pagecache:var_lib_a", "pagecache:var_lib~5fa"]


def test_it_takes_a_share_of_a_core_only(tmp_path: Path) -> None:
    for number in range(2 * BATCH + 1):
        (tmp_path / f"file{number}").touch()
    slept: list[float] = []
    read([tmp_path], sleep=slept.append)
    assert len(slept) == 2 and all(seconds > 0 for seconds in slept)


def test_folders_of_which_nothing_is_counted_take_no_more(tmp_path: Path) -> None:
    for number in range(2 * BATCH):
        (tmp_path / f"folder{number}").mkdir()
    slept: list[float] = []
    read([tmp_path], 1_000_000, slept.append)
    assert len(slept) == 2 and all(seconds > 0 for seconds in slept)
