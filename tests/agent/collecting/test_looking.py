"""Which files of drop-in folders are taken, and when."""

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import gevent
import pytest

from istat.access import dropin
from istat.clock import FakeClock
from istat_agent.collecting import looking
from istat_agent.collecting.looking import STILL_SECONDS, Folders
from istat_agent.collecting.threads import Threads


class Bench:
    """A drop-in folder, and time that passes between two looks."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, FakeClock(1000.0)
        self.folders = Folders(self.clock)
        self.folders.take_all(self.where)

    @property
    def where(self) -> list[str]:
        return [str(self.folder)]

    def look(self, seconds: float = STILL_SECONDS) -> bool:
        self.clock.advance(seconds)
        return self.folders.look(self.where)

    def names(self) -> list[str]:
        return [os.path.basename(path) for path in self.folders.taken]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    (tmp_path / "d").mkdir()
    yield Bench(tmp_path / "d")


def test_a_file_is_taken_when_it_has_been_still_for_a_second(bench: Bench) -> None:
    path = bench.folder / "queue.py"
    path.write_text("half of")
    assert not bench.look()
    assert bench.folders.unsettled
    path.write_text("half of it, and more")
    assert not bench.look(), "it was written meanwhile"
    assert not bench.look(0.5)
    assert bench.look(0.5)
    assert bench.names() == ["queue.py"]
    assert not bench.folders.unsettled
    assert not bench.look()


def test_one_that_is_written_all_the_time_keeps_nobody_waiting(bench: Bench) -> None:
    busy, still = bench.folder / "busy.py", bench.folder / "still.py"
    still.write_text("1")
    for n in range(5):
        busy.write_text("x" * n)
        os.utime(busy, ns=(n, n))
        bench.look()
    assert bench.names() == ["still.py"]
    bench.look()
    assert bench.names() == ["busy.py", "still.py"]


def test_what_is_replaced_at_once_never_goes(bench: Bench) -> None:
    path, new = bench.folder / "queue.py", bench.folder / "queue.py.new"
    path.write_text("old")
    bench.folders.take_all(bench.where)
    before = bench.folders.taken[str(path)]
    new.write_text("new")
    os.utime(new, ns=(1, 1))
    os.rename(new, path)
    bench.look()
    assert bench.folders.taken == {str(path): before}
    assert bench.look()
    assert bench.folders.taken[str(path)] != before


def test_an_editor_that_moves_a_file_away_first_does_not_end_it(bench: Bench) -> None:
    path = bench.folder / "queue.py"
    path.write_text("old")
    bench.folders.take_all(bench.where)
    path.rename(bench.folder / "queue.py~")
    assert not bench.look()
    path.write_text("newer")
    assert not bench.look()
    assert bench.names() == ["queue.py"]
    assert bench.look()
    path.unlink()
    assert not bench.look()
    assert bench.look()
    assert bench.names() == []


@pytest.mark.parametrize("keep", ["size and time", "all but the right to execute"])
def test_a_change_in_place_is_seen(bench: Bench, keep: str) -> None:
    path = bench.folder / "check"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    bench.folders.take_all(bench.where)
    found = path.stat()
    if keep == "size and time":
        path.write_text("#!/bin/ss\n")
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    else:
        path.chmod(0o644)
    bench.look()
    assert bench.look()


def test_what_scripts_keep_beside_them_may_change_all_the_time(bench: Bench) -> None:
    state = bench.folder / "state"
    state.write_text("1")
    bench.folders.take_all(bench.where)
    state.write_text("22")
    assert not bench.look()
    assert not bench.folders.unsettled


def test_links_are_what_they_lead_to(bench: Bench, tmp_path: Path) -> None:
    target = tmp_path / "queue.py"
    target.write_text("1")
    link = bench.folder / "queue.py"
    link.symlink_to(target)
    (bench.folder / "nowhere.py").symlink_to(tmp_path / "none")
    (bench.folder / "folder.py").mkdir()
    bench.folders.take_all(bench.where)
    assert bench.names() == ["queue.py"]
    target.write_text("22")
    bench.look()
    assert bench.look()
    (tmp_path / "other.py").write_text("333")
    link.unlink()
    link.symlink_to(tmp_path / "other.py")
    bench.look()
    assert bench.look()
    (tmp_path / "other.py").unlink()
    bench.look()
    assert bench.look()
    assert bench.names() == []


def test_a_folder_that_comes_later_and_goes(bench: Bench) -> None:
    (bench.folder / "queue.py").write_text("1")
    bench.folder.rename(bench.folder.parent / "away")
    bench.folders.take_all(bench.where)
    assert bench.names() == []
    (bench.folder.parent / "away").rename(bench.folder)
    bench.look()
    assert bench.look()
    assert bench.names() == ["queue.py"]


def test_of_a_folder_that_cannot_be_read_all_stays_and_it_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bench.folder / "queue.py").write_text("1")
    bench.folders.take_all(bench.where)

    def refuse(folder: str) -> list[str]:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("istat.access.dropin.candidates", refuse)
        bench.look()
        bench.look()
        bench.folders.take_all(bench.where)
    assert bench.names() == ["queue.py"]
    assert bench.folders.problems == {str(bench.folder): "cannot be read: Permission denied"}
    bench.look()
    assert bench.folders.problems == {}


def test_python_files_are_those_of_the_drop_in_folders_in_their_order(tmp_path: Path) -> None:
    for name in ("b/z.py", "a/y.py", "a/x.py", "a/_hidden.py", "a/x.py.bak", "scripts/w.py", "b/script"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    folders = Folders(FakeClock())
    drop_ins = [f"{tmp_path}/b", f"{tmp_path}/a/"]
    folders.take_all([*drop_ins, f"{tmp_path}/scripts"])
    assert [os.path.basename(path) for path in folders.python_files(drop_ins)] == ["z.py", "x.py", "y.py"]


def test_a_folder_that_does_not_answer_keeps_no_other_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, there = tmp_path / "gone", tmp_path / "there"
    for folder in (gone, there):
        folder.mkdir()
        (folder / "before.py").write_text("1")
    where, clock, answers = [str(gone), str(there)], FakeClock(1000.0), threading.Event()
    answers.set()
    monkeypatch.setattr(looking, "LATE_SECONDS", 0.05)
    candidates = dropin.candidates

    def waits(folder: str) -> Iterable[str]:
        if folder == str(gone):
            answers.wait(30)
        return candidates(folder)

    monkeypatch.setattr(dropin, "candidates", waits)
    folders = Folders(clock, Threads(1, spare=1).call)
    folders.take_all(where)
    answers.clear()
    (there / "new.py").write_text("2")
    try:
        assert folders.look(where), "that it does not answer is told"
        assert "does not answer" in folders.problems[str(gone)]
        for _ in range(5):  # it takes one thread, and no more
            clock.advance(STILL_SECONDS)
            folders.look(where)
        assert sorted(folders.taken) == [str(gone / "before.py"), str(there / "before.py"), str(there / "new.py")]
        assert not folders.look(where)
    finally:
        answers.set()
    with gevent.Timeout(20):
        while folders.problems:
            gevent.sleep(0.01)
            told = folders.look(where)
    assert told, "and that it does again"
