"""The end of the journal: its loss is noticed by a start and by a check, and no crash is ever taken for one."""
from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat.errors import StoreCorrupt, StoreError, StoreLocked
from istat_server.store import opening
from istat_server.store.files import journal, safeend
from istat_server.store.files.safeend import End, SafeEnd
from istat_server.store.offline import checking, repairing
from tests.store.harness import FIXTURES, NOW, crash, open_store, put, rows

UUID = bytes(range(16))


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "journal").glob("*.journal"))


def lost(folder: Path) -> list[tuple[str, str]]:
    return [(finding.kind, finding.file) for finding in checking.check(folder).errors]


@pytest.fixture
def folder(tmp_path: Path, clock: FakeClock) -> Path:
    """A store whose process was killed, with two segments to be replayed."""
    where = tmp_path / "s"
    store = open_store(where, clock)
    put(store, f"first {NOW} 1", f"both {NOW} 1")
    crash(store)
    store = open_store(where, clock)
    put(store, f"last {NOW} 2", f"both {NOW} 2")
    crash(store)
    assert checking.check(where).errors == []
    return where


def opened_with(folder: Path, clock: FakeClock) -> tuple[int, list[str]]:
    """The bytes that a start counts as lost, and the counters that it has then."""
    store = open_store(folder, clock)
    found = [store.counter(id).name for id in range(store.count())]
    figure = store.figures["journal_lost_bytes"]
    assert isinstance(figure, int)
    crash(store)
    return figure, found


@pytest.mark.parametrize("left", [0, 1, journal.HEADER_BYTES, journal.HEADER_BYTES + 30])
def test_an_end_that_was_cut_off_is_counted_and_told(folder: Path, clock: FakeClock, left: int,
                                                     caplog: pytest.LogCaptureFixture) -> None:
    last = segments(folder)[-1]
    size = last.stat().st_size
    os.truncate(last, left)
    assert lost(folder)[0] == (checking.DAMAGED, f"journal/{last.name}")
    whole = left if left == journal.HEADER_BYTES else 0 if left < journal.HEADER_BYTES else journal.HEADER_BYTES
    assert opened_with(folder, clock) == (size - whole, ["first", "both"])
    assert f"{last.name}: {size - whole} bytes at its end are gone or damaged that had been safely on the disk" \
        in caplog.text


@pytest.mark.parametrize("left", [0, journal.HEADER_BYTES + 30])
def test_a_repair_goes_on_without_an_end_that_was_cut_off(folder: Path, clock: FakeClock, left: int) -> None:
    os.truncate(segments(folder)[-1], left)
    assert any("bytes at its end are lost" in text for text in repairing.repair(folder).done)
    assert lost(folder) == []
    assert repairing.repair(folder) == repairing.Repair()
    assert opened_with(folder, clock) == (0, ["first", "both"])


@pytest.mark.parametrize("gone", [1, 2])
def test_a_start_refuses_to_go_on_without_the_last_segments(folder: Path, clock: FakeClock, gone: int) -> None:
    removed = segments(folder)[-gone:]
    kept = {path: path.read_bytes() for path in removed}
    for path in removed:
        path.unlink()
    assert lost(folder) == [(checking.MISSING, f"journal/{path.name}") for path in removed]
    with pytest.raises(StoreCorrupt, match=f"{removed[0].name}: is missing; put it back, or let `istat check "):
        open_store(folder, clock)
    shutil.copytree(folder, folder.with_name("copy"))
    for path, data in kept.items():
        path.write_bytes(data)
    assert opened_with(folder, clock) == (0, ["first", "both", "last"])
    repaired = folder.with_name("copy")
    assert sum("was missing: its samples are lost" in text for text in repairing.repair(repaired).done) == gone
    assert lost(repaired) == []
    assert opened_with(repaired, clock) == (0, ["first", "both"][:2 * (2 - gone)])


def test_damage_of_the_end_is_no_torn_tail(folder: Path, clock: FakeClock) -> None:
    last = segments(folder)[-1]
    data = bytearray(last.read_bytes())
    data[-1] ^= 1
    last.write_bytes(data)
    assert set(lost(folder)) == {(checking.DAMAGED, f"journal/{last.name}")}
    assert opened_with(folder, clock)[0] == len(data) - journal.HEADER_BYTES
    assert opened_with(folder, clock)[0] == 0, "a start that went on is not told again of what is behind it"


def test_what_a_crash_leaves_is_no_loss(folder: Path, clock: FakeClock) -> None:
    """Frames that were being written, a segment that was about to begin, and a note that is behind or in pieces."""
    end = safeend.read(folder / "journal", bytes.fromhex(opening_uuid(folder)))
    assert end == End(2, segments(folder)[-1].stat().st_size)
    with segments(folder)[-1].open("ab") as file:
        file.write(b"a frame that was cut sho")
    journal.segment_path(folder / "journal", 3).touch()
    assert lost(folder) == []
    for data in (b"", b"\0" * 48, (folder / "journal" / safeend.NAME).read_bytes()[:47]):
        (folder / "journal" / safeend.NAME).write_bytes(data)
        assert lost(folder) == []
    assert opened_with(folder, clock) == (0, ["first", "both", "last"])


def opening_uuid(folder: Path) -> str:
    state, _problem = checking.manifest.load(folder)
    assert state is not None
    return state.uuid


def test_after_a_clean_end_nothing_is_missed_but_what_held_something(tmp_path: Path, clock: FakeClock) -> None:
    store = open_store(tmp_path / "s", clock)
    put(store, f"some {NOW} 1")
    store.close()
    for path in segments(tmp_path / "s"):
        path.unlink()
    assert lost(tmp_path / "s") == []
    store = open_store(tmp_path / "s", clock)
    assert len(rows(store, "some", 0)) == 1
    store.close()


@pytest.mark.parametrize("name", ["v1/store", "v2/imported", "v2/policies", "v3/store"])
def test_stores_of_before_have_no_note_and_nothing_is_missed(tmp_path: Path, name: str) -> None:
    shutil.copytree(FIXTURES / name, tmp_path / "s")
    assert not (tmp_path / "s" / "journal" / safeend.NAME).exists()
    assert lost(tmp_path / "s") == []


def test_the_note_is_of_one_store_and_version(tmp_path: Path) -> None:
    assert safeend.read(tmp_path, UUID) is None
    safe = SafeEnd(tmp_path, UUID)
    safe.note(7, 1 << 40)
    safe.note(8, 44, last=True)
    safe.close()
    assert safeend.read(tmp_path, UUID) == End(8, 44)
    assert safeend.read(tmp_path, bytes(16)) is None
    data = bytearray((tmp_path / safeend.NAME).read_bytes())
    assert len(data) == 48
    for at in range(48):
        (tmp_path / safeend.NAME).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
        assert safeend.read(tmp_path, UUID) is None
    safeend.forget(tmp_path)
    safeend.forget(tmp_path)
    assert safeend.read(tmp_path, UUID) is None


def test_a_note_that_cannot_be_written_is_told_once_and_harms_nothing(tmp_path: Path,
                                                                      caplog: pytest.LogCaptureFixture) -> None:
    safe = SafeEnd(tmp_path / "missing", UUID)
    for size in (1, 2):
        safe.note(1, size)
    safe.close()
    assert caplog.text.count("safe-end cannot be written, so that the loss of the journal's end would go unnoti") == 1


def test_without_its_file_the_lock_holds(tmp_path: Path, clock: FakeClock) -> None:
    store = open_store(tmp_path / "s", clock)
    (tmp_path / "s" / "LOCK").unlink()
    with pytest.raises(StoreLocked):
        open_store(tmp_path / "s", clock)
    with pytest.raises(StoreLocked):
        repairing.repair(tmp_path / "s")
    store.close()
    open_store(tmp_path / "s", clock).close()


def test_a_folder_that_cannot_be_locked_has_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As over NFS, where flock(2) wants a file that is open for writing."""
    kept = opening.fcntl.flock

    def flock(handle: int, how: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(9, "Bad file descriptor")
        kept(handle, how)

    monkeypatch.setattr(opening.fcntl, "flock", flock)
    lock = opening.Lock(tmp_path)
    with pytest.raises(StoreLocked):
        opening.Lock(tmp_path)
    lock.close()
    opening.Lock(tmp_path).close()


def test_where_nothing_can_be_locked_nobody_else_is_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As over NFS without a service for locks."""
    def flock(handle: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(opening.fcntl, "flock", flock)
    with pytest.raises(StoreError, match=r"LOCK cannot be locked: No locks available; name a folder") as told:
        opening.Lock(tmp_path)
    assert not isinstance(told.value, StoreLocked)


def test_whoever_may_read_the_folder_keeps_no_server_out(tmp_path: Path, clock: FakeClock) -> None:
    folder = tmp_path / "s"
    folder.mkdir(0o755)
    handle = os.open(folder, os.O_RDONLY)
    opening.fcntl.flock(handle, opening.fcntl.LOCK_EX)
    open_store(folder, clock).close()
    os.close(handle)
    assert (folder / "journal").stat().st_mode & 0o007 == 0


def test_a_lock_is_no_way_to_make_files_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "LOCK").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="LOCK"):
        opening.Lock(tmp_path / "store")
    assert not (tmp_path / "elsewhere").exists()
