"""Checks 3, 4 and 10 of page-cache tools, as a user sees them: what is evicted, and why the rest stayed."""
from __future__ import annotations

import ctypes
import json
import mmap
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ftest.pagecache import pages
from ftest.pagecache.users import as_user
from istat.cli import command
from istat.cli.pagecache.fadvise import COMMAND
from istat.pagecache import advising, staying
from istat.pagecache.evicting import evict
from istat.pagecache.fleets.snapshots import Entry, save
from istat.pagecache.residency import residency
from istat.pagecache.syscalls import PAGE

FOLIO = 1 << 16         # [bytes] that one write of as many makes one folio of, where the file system has large ones


def fadvise(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> dict:
    """The row of one file, of `istat fadvise --json`."""
    capsys.readouterr()
    assert command.main(["fadvise", "--json", *map(str, words)]) == status
    (row,) = json.loads(capsys.readouterr().out)["files"]
    return row


def pair(row: dict) -> tuple[int, list[str]]:
    return row["left"], row["why"]


def map_and_touch(path: Path, page: int) -> mmap.mmap:
    with path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    mapping.madvise(mmap.MADV_RANDOM)
    assert len(mapping[page * PAGE:page * PAGE + 1]) == 1
    return mapping


def test_a_dirty_page_stays_without_sync_and_goes_with_it(folder, capsys):
    path = pages.make(folder / "a")

    def update():
        with path.open("r+b") as file:
            file.seek(5 * PAGE)
            file.write(b"x" * 16)

    update()
    row = fadvise(capsys, "--sync", "none", path)
    assert row["left"] == row["before"] == 1 and row["synced"] is None
    assert set(row["why"]) <= {"dirty", "writeback"} and row["why"]
    update()
    row = fadvise(capsys, path)
    assert (row["synced"], row["after"], *pair(row)) == ("fdatasync", 0, 0, [])
    pages.read_pages(path, [5])
    row = fadvise(capsys, path)
    assert (row["synced"], row["evicted"]) == (None, 1), "a clean file is not written"


@pytest.mark.parametrize("sync", ["fdatasync", "fsync", "range"])
def test_each_way_of_syncing_lets_dirty_pages_go(folder, capsys, sync):
    path = pages.make(folder / "a", cached=True)
    with path.open("r+b") as file:
        file.write(b"x" * pages.MRTG)
    row = fadvise(capsys, "--sync", sync, path)
    assert (row["before"], row["after"], row["evicted"], *pair(row)) == (26, 0, 26, 0, [])


def test_a_mapped_page_stays_and_the_others_go(folder, capsys):
    path = pages.make(folder / "a")
    mapping = map_and_touch(path, 3)        # first: a fault maps what is in memory around its page, too
    pages.read_pages(path, [0, 14])
    row = fadvise(capsys, path)
    assert (row["before"], row["after"], *pair(row)) == (3, 1, 1, ["mapped"])
    assert residency(path, pages=True).ranges == ((3, 3),)
    mapping.close()
    assert pair(fadvise(capsys, path)) == (0, [])


def test_a_page_that_another_program_holds_by_mlock_is_locked(folder, capsys):
    path = pages.make(folder / "a")
    with path.open("rb") as file, mmap.mmap(file.fileno(), PAGE, access=mmap.ACCESS_COPY) as mapping:
        first = ctypes.c_char.from_buffer(mapping)
        assert ctypes.CDLL(None).mlock(ctypes.c_void_p(ctypes.addressof(first)), PAGE) == 0
        del first
        assert pair(fadvise(capsys, path))[1] in (["locked"], [])      # a private copy may have taken its place
    with path.open("r+b") as file, mmap.mmap(file.fileno(), PAGE) as mapping:
        first = ctypes.c_char.from_buffer(mapping)
        assert ctypes.CDLL(None).mlock(ctypes.c_void_p(ctypes.addressof(first)), PAGE) == 0
        del first
        assert pair(fadvise(capsys, path)) == (1, ["locked"])
    assert pair(fadvise(capsys, path)) == (0, [])


def test_of_a_folio_no_page_goes_alone_and_whole_folios_do(folder, capsys):
    path = folder / "a"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(handle, bytes(FOLIO))
    os.fsync(handle)
    os.close(handle)
    many = FOLIO // PAGE
    with path.open("rb") as file:
        if staying.folio_of(file.fileno(), 3, FOLIO) != (0, many - 1):
            pytest.skip("this file system makes folios of one page")
    row = fadvise(capsys, "--range", f"{3 * PAGE}:{PAGE}", path)
    assert (row["before"], row["after"], *pair(row)) == (1, 1, many, ["folio"])
    assert residency(path).resident == many
    row = fadvise(capsys, "--range", f"{3 * PAGE}:{PAGE}", "--whole-folios", path)
    assert (row["after"], *pair(row)) == (0, 0, [])
    assert residency(path).resident == 0


def test_a_range_that_ends_inside_a_page_leaves_it_unless_rounded_outward(folder):
    path = pages.make(folder / "a")
    pages.read_pages(path, range(26))
    assert evict(path, range=(PAGE + 1, 3 * PAGE)).before == 2
    assert residency(path, pages=True).ranges == ((0, 1), (4, 25))
    assert evict(path, range=(PAGE + 1, 3 * PAGE), whole_folios=True).after == 0
    assert residency(path, pages=True).ranges == ((0, 0), (5, 25))
    assert evict(path, range=(1, PAGE)).before == 0
    assert evict(path, range=(20 * PAGE, 0)).evicted == 6


def test_what_a_snapshot_lists_stays(folder, capsys):
    inner = folder / "inner"
    inner.mkdir()
    (folder / "link").symlink_to("inner")
    path = pages.make(inner / "a")
    pages.read_pages(path, [0, 3])
    snapshot = folder / "before.snap"
    save(snapshot, [Entry(str(folder / "link" / "a"), pages.MRTG, ((0, 0), (3, 3)))], now=1_800_000_000)
    path.read_bytes()
    for name in (path, folder / "link" / "a"):
        fadvise(capsys, "--keep-resident", snapshot, name)
        assert residency(path, pages=True).ranges == ((0, 0), (3, 3))


def test_nothing_is_changed_by_a_dry_run_and_another_users_file_wants_a_word(folder, capsys):
    path = pages.make(folder / "a")
    pages.read_pages(path, [0, 3])
    assert fadvise(capsys, "--dry-run", path)["before"] == residency(path).resident == 2
    os.chown(path, 12345, -1)
    capsys.readouterr()
    assert command.main(["fadvise", str(path)]) == 1
    assert "it is another user's, whose cache it is; --not-owner" in capsys.readouterr().err
    assert residency(path).resident == 2
    assert fadvise(capsys, "--not-owner", path)["after"] == 0


def test_a_stranger_may_evict_and_gets_no_number(folder, capsys):
    path = pages.make(folder / "a")
    pages.read_pages(path, [0, 3])
    folder.chmod(0o755)
    path.chmod(0o644)
    brought = {"fadvise": lambda: COMMAND}      # loaded: that user may not be able to read it
    status = as_user(lambda: command.main(["fadvise", "--json", "--not-owner", str(path)], None, brought))
    assert status == 3
    assert residency(path).resident == 0
    told = as_user(lambda: evict(path))
    assert (told.before, told.after, told.left, told.why) == (None, None, None, ())


def test_willneed_reads_all_of_a_range_that_is_longer_than_readahead(folder, capsys):
    path = folder / "a"
    size = 64 << 20
    with path.open("wb") as file:
        file.write(bytes(size))
        os.fsync(file.fileno())
    pages.evict(path)
    with path.open("rb") as file:
        assert advising.piece_of(file.fileno()) < size
    fadvise(capsys, "-a", "willneed", path)
    assert pages.come_in(path, size // PAGE) == ((0, size // PAGE - 1),)
    pages.evict(path)
    fadvise(capsys, "-a", "willneed", "--range", "1M:2M", path)
    assert pages.come_in(path, (2 << 20) // PAGE) == (((1 << 20) // PAGE, (3 << 20) // PAGE - 1),)


def test_advice_that_would_end_with_the_tool_is_refused_but_for_a_descriptor(folder, capsys):
    path = pages.make(folder / "a")
    for how in ("random", "normal", "sequential", "noreuse"):
        assert command.main(["fadvise", "-a", how, str(path)]) == 2
        told = capsys.readouterr().err
        assert f"{how} belongs to the open file description" in told
        assert "advice inside the program" in told and "istat fadvise run --random|--no-advice -- CMD" in told
    # The shell opens the file; the advice is given to what it opened, and head reads through that.
    script = f'exec 3<"{path}"; "$0" -m istat.cli.command fadvise -n -a random --fd 3 || exit; head -c 1 <&3 >/dev/null'
    subprocess.run(["sh", "-c", script, sys.executable], check=True, timeout=60, stdout=subprocess.DEVNULL)
    assert residency(path).resident <= 2        # 1024 bytes are asked for: one page, or two
    with pytest.raises(SystemExit):
        command.main(["fadvise", "-a", "random", "--fd", "99"])
    with path.open("rb") as file:
        assert command.main(["fadvise", "--fd", str(file.fileno()), str(path)]) == 2


def test_a_file_that_is_read_all_the_time_does_not_hang_it(folder):
    path = pages.make(folder / "a")
    stop = threading.Event()

    def read() -> None:
        with path.open("rb", 0) as file:
            while not stop.is_set():
                file.seek(0)
                file.read()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        found = evict(path)
        assert found.after is not None and (found.why == () or set(found.why) <= {"unknown", "mapped"})
    finally:
        stop.set()
        reader.join()


def test_a_fleet_is_evicted_by_several_threads_and_summed(folder, capsys):
    for number in range(300):
        (folder / f"{number:03}").write_bytes(bytes(2 * PAGE))
    os.link(folder / "000", folder / "zzz")
    assert command.main(["fadvise", "--json", "--jobs", "4", str(folder)]) == 0
    totals = json.loads(capsys.readouterr().out)["totals"]
    assert totals == {"files": 300, "before": 600, "after": 0, "evicted": 600, "left": 0}
    assert residency(folder / "000").resident == 0
