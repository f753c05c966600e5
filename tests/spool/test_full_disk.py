"""A disk that takes nothing: a megabyte waits in memory and is forwarded from there; what is more is lost, counted."""
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from istat.spool.appending import MEMORY
from tests.spool.harness import GROUP, NOW, Disk, drain, kill, lost, open_spool, put


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk()
    monkeypatch.setattr(os, "pwrite", disk.pwrite)
    yield disk


@pytest.mark.parametrize("left", [0, 30, 69])
def test_what_waits_is_forwarded_meanwhile_and_written_later(tmp_path: Path, disk: Disk, left: int) -> None:
    spool = open_spool(tmp_path)
    put(spool, 1, 2)
    disk.left = left
    assert put(spool, 3, 4, 5) == [3, 4, 5]
    assert spool.written == 2 and "No space left on device" in spool.refusing
    assert "cannot be written" in str(spool.status()["spool_problem"])
    assert drain(spool, spool.group(GROUP), most=3) == [1, 2, 3]
    spool.tick()
    assert spool.refusing
    disk.left = None
    spool.tick()
    assert (spool.refusing, spool.written) == ("", 5)
    put(spool, 6)
    kill(spool)
    again = open_spool(tmp_path)
    again.group(GROUP).done("a", 3)
    assert drain(again, again.group(GROUP)) == [4, 5, 6]
    assert lost(again) == {}
    again.close()


def test_more_than_memory_holds_is_lost_and_counted(tmp_path: Path, disk: Disk) -> None:
    spool = open_spool(tmp_path)
    put(spool, 0)
    disk.left = 0
    given = [spool.append(b"a %d\n" % number + b"a 1\n" * 15_000, NOW, 15_001) for number in range(1, 31)]
    kept = [sequence for sequence in given if sequence]
    assert kept == list(range(2, 2 + len(kept))) and len(kept) == MEMORY // 60_000
    assert lost(spool) == {"disk": 15_001 * (30 - len(kept))}
    (loss,) = spool.losses()
    assert (loss.group, loss.first, loss.last) == ("", 2 + len(kept), 31)
    disk.left = None
    spool.tick()
    assert put(spool, 99) == [32]
    assert drain(spool, spool.group(GROUP)) == [*range(len(kept) + 1), 99]
    assert lost(spool) == {"disk": 15_001 * (30 - len(kept))}
    spool.close()


def test_a_target_that_is_there_gets_all_while_the_disk_is_full(tmp_path: Path, disk: Disk) -> None:
    spool = open_spool(tmp_path)
    disk.left = 0
    got = []
    for number in range(60):
        assert spool.append(b"a %d\n" % number + b"a 1\n" * 15_000, NOW, 15_001)
        got += drain(spool, spool.group(GROUP))
    assert got == list(range(60)) and lost(spool) == {}
    disk.left = None
    spool.close()
    again = open_spool(tmp_path)
    assert drain(again, again.group(GROUP)) == [] and lost(again) == {}
    again.close()


@pytest.mark.parametrize("clean", [True, False])
def test_what_an_end_with_a_full_disk_loses_is_counted_once(tmp_path: Path, disk: Disk, clean: bool) -> None:
    spool = open_spool(tmp_path)
    put(spool, 1)
    disk.left = 0
    put(spool, 2, 3, lines=4)
    spool.close() if clean else kill(spool)
    disk.left = None
    again = open_spool(tmp_path)
    assert drain(again, again.group(GROUP)) == [1]
    assert lost(again) == {"disk": 8} and again.lost()["disk"] == {"frames": 2, "lines": 8}
    again.close()


def test_what_was_sent_from_memory_is_not_lost_with_the_end(tmp_path: Path, disk: Disk) -> None:
    spool = open_spool(tmp_path)
    disk.left = 0
    put(spool, 1, 2, lines=4)
    assert drain(spool, spool.group(GROUP)) == [1, 2]
    kill(spool)
    disk.left = None
    again = open_spool(tmp_path)
    cursor = again.group(GROUP)
    cursor.done("a", 2)
    assert drain(again, cursor) == [] and lost(again) == {}
    again.close()


def test_a_cursor_without_room_is_kept_in_memory(tmp_path: Path, disk: Disk) -> None:
    spool = open_spool(tmp_path, groups=())
    disk.left = 0
    cursor = spool.group(GROUP)
    spool.keep([GROUP])
    assert "cursor cannot be written" in cursor.problem
    disk.left = None
    put(spool, 1)
    assert drain(spool, cursor) == [1] and cursor.problem == ""
    spool.close()


def test_a_batch_is_not_taken_into_memory_alone_where_the_spool_is_the_journal(tmp_path: Path, disk: Disk) -> None:
    """Its sender would be told that it is kept, and a kill would lose it."""
    spool = open_spool(tmp_path)
    put(spool, 1, mark=(b"s" * 16, 1, 1))
    disk.left = 10
    assert put(spool, 2, mark=(b"s" * 16, 1, 2)) == [0]
    assert spool.marks() == {(b"s" * 16, 1): 1} and lost(spool) == {} and not spool.refusing
    disk.left = None
    put(spool, 3, mark=(b"s" * 16, 1, 3))
    kill(spool)
    spool = open_spool(tmp_path)
    assert spool.marks() == {(b"s" * 16, 1): 3}
    assert drain(spool, spool.group(GROUP)) == [1, 3]
    spool.close()
