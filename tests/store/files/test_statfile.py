"""StatFiles: what was written is read; any damaged byte is noticed; an aborted file leaves nothing."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from istat.errors import StoreCorrupt, StoreError, StoreFull
from istat.kernels import blocks, columns
from istat_server.store.files import container, containerwriter
from istat_server.store.files.statfile import StatFile, StatFileWriter
from istat_server.store.files.statformat import Header, StatFileInfo

FOR_EVER = 1 << 62
HEADER = Header(
    store="4f3a", policy="default", level=0, kind="fine", interval=10,
    start=1_700_000_000, end=1_700_086_400, seq_lo=7, seq_hi=7,
)  # fmt: skip
Row = tuple[int, int, float, float, float, float]


def single(time: int, value: float) -> Row:
    return (time, 1, value, 0.0, value, value)


def series(id: int, rows: int) -> list[Row]:
    return [single(1_700_000_000 + 10 * i, (id * 31 + i * i % 7) / 4) for i in range(rows)]


def write(
    folder: Path, ids: range, rows: int = 6, max_values: int = 16000, header: Header = HEADER, pack: bool = False
) -> StatFileInfo:
    writer = blocks.BlockWriter(max_values, header.interval)
    for id in ids:
        writer.add_run(id, False, columns.Columns.from_rows(series(id, rows)))
    with StatFileWriter(str(folder), header) as file:
        file.add(writer.finish(), pack)
        return file.finish()


def rows_of(file: StatFile, id: int, start: int = 0, end: int = FOR_EVER) -> list[Row]:
    into = columns.Columns()
    file.read(id, start, end, into)
    return into.rows()


@pytest.mark.parametrize("pack", [False, True])
def test_what_was_written_is_read(tmp_path: Path, pack: bool) -> None:
    info = write(tmp_path, range(2, 50, 3), 40, 200, pack=pack)
    assert os.listdir(tmp_path) == [HEADER.name] == ["1700000000-1700086400-7-7-fine-0.statfile"]
    assert info.size == os.path.getsize(info.path)
    assert (info.rows, info.first_time, info.last_time) == (640, 1_700_000_000, 1_700_000_390)
    with StatFile.open(info.path) as file:
        assert file.header == HEADER
        assert file.verify() == []
        for id in range(50):
            assert rows_of(file, id) == (series(id, 40) if id % 3 == 2 else [])
        assert rows_of(file, 5, 1_700_000_010, 1_700_000_030) == series(5, 40)[1:3]


def test_a_long_index_is_read_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containerwriter, "PAGE_ENTRIES", 4)
    info = write(tmp_path, range(100), 7, 7)
    with StatFile.open(info.path) as file:
        assert info.blocks == 100
        assert [rows_of(file, id) for id in range(100)] == [series(id, 7) for id in range(100)]
        assert [entry.first_id for entry in file.blocks_for(10, 13)] == [10, 11, 12, 13]
        assert file.verify() == []


def test_a_run_in_many_blocks_is_read_whole(tmp_path: Path) -> None:
    info = write(tmp_path, range(1, 4), 100, 30)
    with StatFile.open(info.path) as file:
        assert rows_of(file, 2) == series(2, 100)


def test_header_tells_all_about_the_file(tmp_path: Path) -> None:
    header = replace(HEADER, kind="derived", level=1, interval=300, seq_lo=3, part=2, replaces=("a", "b"))
    with StatFileWriter(tmp_path, header) as writer:
        info = writer.finish()
    with StatFile.open(info.path) as file:
        assert file.header == header
        assert file.header.columns[0] == "time:int64"
        assert (file.rows, file.blocks_for(0, 2**32 - 1)) == (0, [])


class Noticed(Exception):
    """verify() found something."""


def outcome(path: Path, expected: list[list[Row]]) -> None:
    """What a careful reader gets of a file: the right rows or a StoreError, never other rows."""
    with StatFile.open(path) as file:
        assert file.header == HEADER
        assert [rows_of(file, id) for id in range(4)] == expected
        if file.verify():
            raise Noticed


@pytest.mark.parametrize("pack", [False, True])
def test_damage_at_any_byte_is_noticed(tmp_path: Path, pack: bool) -> None:
    info = write(tmp_path, range(4), 30, 30, pack=pack)
    path = Path(info.path)
    sound = path.read_bytes()
    expected = [series(id, 30) for id in range(4)]
    outcome(path, expected)
    for at in range(len(sound)):
        for flip in (0x01, 0x80) if at % 5 else (0xFF,):
            data = bytearray(sound)
            data[at] ^= flip
            path.write_bytes(data)
            with pytest.raises((StoreError, Noticed)):
                outcome(path, expected)
    path.write_bytes(sound)
    outcome(path, expected)


def test_a_torn_or_lengthened_file_is_noticed(tmp_path: Path) -> None:
    path = Path(write(tmp_path, range(4)).path)
    sound = path.read_bytes()
    for length in range(len(sound)):
        path.write_bytes(sound[:length])
        with pytest.raises(StoreCorrupt):
            StatFile.open(path)
    path.write_bytes(sound + b"\0")
    with pytest.raises(StoreCorrupt):
        StatFile.open(path)


def test_a_damaged_block_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    path = Path(write(tmp_path, range(4), 30, 60).path)
    with StatFile.open(path) as file:
        [first, second] = file.blocks_for(0, 3)
    data = bytearray(path.read_bytes())
    data[second.offset + 20] ^= 4
    path.write_bytes(data)
    with StatFile.open(path) as file:
        assert rows_of(file, 1) == series(1, 30)
        with pytest.raises(StoreCorrupt, match=f"{HEADER.name}: block at {second.offset} is damaged"):
            rows_of(file, 3)
        assert len(file.verify()) == 1


def test_sound_parts_of_a_run_come_with_the_complaint(tmp_path: Path) -> None:
    path = Path(write(tmp_path, range(1), 90, 30).path)
    with StatFile.open(path) as file:
        middle = file.blocks_for(0, 0)[1]
    data = bytearray(path.read_bytes())
    data[middle.offset + 9] ^= 4
    path.write_bytes(data)
    into = columns.Columns()
    with StatFile.open(path) as file, pytest.raises(StoreCorrupt):
        file.read(0, 0, FOR_EVER, into)
    assert into.rows() == series(0, 90)[:30] + series(0, 90)[60:]


def test_an_unknown_version_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = write(tmp_path, range(2))
    monkeypatch.setattr(container, "READABLE", (1,))
    with pytest.raises(StoreError, match="version 2") as caught:
        StatFile.open(info.path)
    assert not isinstance(caught.value, StoreCorrupt)


def test_an_aborted_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), StatFileWriter(tmp_path, HEADER):
        assert len(os.listdir(tmp_path)) == 1
        1 / 0  # noqa: B018
    assert os.listdir(tmp_path) == []


def test_every_open_has_its_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advised: list[int] = []
    real = os.posix_fadvise
    monkeypatch.setattr(
        os, "posix_fadvise", lambda fd, at, n, advice: advised.append(advice) or real(fd, at, n, advice)
    )
    info = write(tmp_path, range(3))
    assert advised == [os.POSIX_FADV_DONTNEED]
    StatFile.open(info.path).close()
    assert advised[1:] == [os.POSIX_FADV_RANDOM]


def test_ids_that_descend_are_refused(tmp_path: Path) -> None:
    writer = blocks.BlockWriter(interval=10)
    writer.add_run(5, False, columns.Columns.from_rows([single(0, 1.0)]))
    later = writer.finish()
    writer.add_run(4, False, columns.Columns.from_rows([single(0, 1.0)]))
    with StatFileWriter(tmp_path, HEADER) as file:
        file.add(later)
        with pytest.raises(ValueError):
            file.add(writer.finish())


def test_many_threads_read_and_a_closed_file_says_so(tmp_path: Path) -> None:
    info = write(tmp_path, range(60), 50, 100)
    file = StatFile.open(info.path)
    wrong: list[int] = []

    def work() -> None:
        for id in range(60):
            if rows_of(file, id) != series(id, 50):
                wrong.append(id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    file.close()
    with pytest.raises(StoreError, match="closed"):
        rows_of(file, 1)


def test_a_file_that_does_not_even_fit_its_header_leaves_nothing(tmp_path, monkeypatch):
    def full(_handle, _data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreFull):
        StatFileWriter(tmp_path, HEADER)
    monkeypatch.undo()
    held = [link for link in Path("/proc/self/fd").iterdir() if os.path.realpath(link).startswith(str(tmp_path))]
    assert (os.listdir(tmp_path), held) == ([], [])
