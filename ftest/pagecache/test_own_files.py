"""What our own files leave in the page cache, seen on a real disk: nothing but what questions need."""
from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat.pagecache import ownfiles
from istat.pagecache.residency import residency
from istat.pagecache.syscalls import PAGE
from istat_server.store.offline import backup, checking
from tests.store.harness import NOW, open_store, put, rows, send

PAGES = 1000        # of a file: 4 MB, read in pieces of 1 MiB
OPENED = 3          # pages that opening a StatFile brings in at most: its header, its footer, the top of its index


@pytest.fixture(params=["uncached reads", "refused"])
def reads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What this kernel does with RWF_DONTCACHE, and what kernels before 6.14 do."""
    real = os.preadv

    def preadv(fd: int, buffers: list[bytearray], offset: int, flags: int = 0) -> int:
        if flags:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(fd, buffers, offset)

    if request.param == "refused":
        monkeypatch.setattr(os, "preadv", preadv)
    return str(request.param)


def ranges(path: Path) -> tuple[tuple[int, int], ...]:
    found = residency(path, pages=True).ranges
    assert found is not None
    return tuple(found)


def pages_of(found: tuple[tuple[int, int], ...]) -> int:
    return sum(last - first + 1 for first, last in found)


def drop(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    ownfiles.put_away(handle)
    os.close(handle)
    assert residency(path).resident == 0


def test_a_whole_read_leaves_what_was_there_and_no_more(folder: Path, reads: str) -> None:
    path = folder / "file"
    path.write_bytes(os.urandom(PAGES * PAGE))
    drop(path)
    assert len(ownfiles.content(path)) == PAGES * PAGE
    assert ranges(path) == ()
    handle = ownfiles.descriptor(path, os.O_RDONLY, ownfiles.Use.PARTS)
    for page in (0, 300, 301, 999):
        os.pread(handle, 1, page * PAGE)
    os.close(handle)
    before = ((0, 0), (300, 301), (999, 999))
    assert ranges(path) == before
    ownfiles.content(path)
    assert ranges(path) == before


def test_a_line_at_a_time_leaves_nothing_either(folder: Path, reads: str) -> None:
    path = folder / "file"
    path.write_bytes(b"a line\n" * 300_000)
    drop(path)
    with ownfiles.reading(path) as file:
        assert sum(1 for _ in file) == 300_000
    assert ranges(path) == ()


def fed(folder: Path, clock: FakeClock) -> None:
    """A store of 5,000 counters with some minutes in files: a megabyte."""
    store, chance = open_store(folder, clock), random.Random(1)
    for _ in range(30):
        clock.advance(10)
        send(store, *(f"g.{one} {clock.now():.0f} {chance.random()}" for one in range(5000)))
    store.close()


def cached(folder: Path, pattern: str = "*.statfile") -> int:
    return sum(residency(path).resident or 0 for path in folder.rglob(pattern))


def test_what_a_store_has_written_is_not_in_memory(folder: Path) -> None:
    clock = FakeClock(NOW)
    fed(folder, clock)
    files = [*folder.rglob("*.statfile")]
    assert sum(residency(path).pages or 0 for path in files) > 200
    assert cached(folder) <= OPENED * len(files)
    assert cached(folder, "*.names") == 0


def test_a_segment_leaves_memory_when_the_next_one_has_begun(folder: Path) -> None:
    clock = FakeClock(NOW)
    store = open_store(folder, clock, journal_sync=0.2)
    send(store, *(f"g.{one} {NOW} 1" for one in range(20_000)))
    (first,) = (folder / "journal").glob("*.journal")
    store._hand_over()
    store._journal.drain(10)
    assert residency(first).resident
    store._journal.cut()
    put(store, f"g.1 {NOW} 2")
    store._hand_over()
    assert store._journal.sync(store._journal.handed, 10)
    store._journal.close()
    assert first.exists() and residency(first).resident == 0
    store._lock.close()


def test_a_question_brings_in_its_blocks_and_no_more(folder: Path) -> None:
    clock = FakeClock(NOW)
    fed(folder, clock)
    store = open_store(folder, clock)
    before = cached(folder)
    assert rows(store, "g.7", 0)
    brought = cached(folder) - before
    id = store.find(b"g.7").id
    wanted = [entry.length // PAGE + 2 for file in store.files.open_files().values()
              for entry in file.blocks_for(id, id)]
    index = sum(file.page_count for file in store.files.open_files().values())
    assert 0 < brought <= sum(wanted) + 2 * index
    assert brought < sum(residency(path).pages or 0 for path in folder.rglob("*.statfile")) / 2
    store.close()


def test_backup_and_check_leave_the_cache_as_it_was(folder: Path, reads: str) -> None:
    clock = FakeClock(NOW)
    fed(folder / "store", clock)
    store = open_store(folder / "store", clock)
    rows(store, "g.7", 0)
    store.close()
    before = {path: ranges(path) for path in (folder / "store").rglob("*.statfile")}
    assert any(before.values())
    backup.backup(folder / "store", folder / "copy", clock, lambda done, total: None, copy=True)
    assert {path: ranges(path) for path in before} == before
    assert cached(folder / "copy") == 0
    backup.restore(folder / "copy", folder / "back", lambda done, total: None)
    assert cached(folder / "copy") == 0
    assert checking.check(folder / "store").findings == []
    found = {path: ranges(path) for path in before}
    assert sum(map(pages_of, found.values())) - sum(map(pages_of, before.values())) <= OPENED * len(before)
