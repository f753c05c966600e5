"""Our own files: what each use reads, writes and advises. What then is in memory: ftest/pagecache/test_own_files.py."""
from __future__ import annotations

import errno
import io
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.pagecache import ownfiles, syscalls
from istat.pagecache.ownfiles import PIECE, Use

PAGE = syscalls.PAGE
Advice = list[tuple[int, int, int]]


@pytest.fixture
def advice(monkeypatch: pytest.MonkeyPatch) -> Advice:
    """(offset, length, advice) of each call."""
    given: Advice = []
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, offset, length, how: given.append((offset, length, how)))
    return given


@pytest.fixture(params=[False, True], ids=["uncached reads", "refused by the kernel"])
def refusing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Kernels that know RWF_DONTCACHE and those before 6.14."""
    real = os.preadv

    def preadv(fd: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        if flags:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(fd, buffers, offset)

    if request.param:
        monkeypatch.setattr(os, "preadv", preadv)
    return bool(request.param)


def made(folder: Path, size: int) -> tuple[Path, bytes]:
    path, data = folder / "file", os.urandom(size)
    path.write_bytes(data)
    return path, data


def test_what_is_read_in_parts_has_no_read_ahead(tmp_path: Path, advice: Advice) -> None:
    path, _ = made(tmp_path, 10)
    os.close(ownfiles.descriptor(path, os.O_RDONLY, Use.PARTS))
    assert advice == [(0, 0, os.POSIX_FADV_RANDOM)]


def test_descriptors_are_not_inherited(tmp_path: Path) -> None:
    handle = ownfiles.descriptor(tmp_path / "new", os.O_WRONLY | os.O_CREAT, Use.SMALL)
    assert not os.get_inheritable(handle)
    assert os.fstat(handle).st_mode & 0o777 == 0o640
    os.close(handle)


@pytest.mark.parametrize("size", [0, 1, PAGE, PIECE - 1, PIECE, 2 * PIECE + 5])
def test_a_whole_file_is_its_bytes(tmp_path: Path, refusing: bool, size: int) -> None:
    path, data = made(tmp_path, size)
    assert ownfiles.content(path) == data
    with ownfiles.reading(path) as file:
        assert file.read(3) == data[:3]
        assert file.read() == data[3:]
        assert file.read() == b""


def test_a_whole_file_is_in_memory_but_once(tmp_path: Path, refusing: bool) -> None:
    size = 32 * PIECE + 1
    (tmp_path / "a").write_bytes(bytes(size))
    tracemalloc.start()
    try:
        assert len(ownfiles.content(tmp_path / "a")) == size
        assert tracemalloc.get_traced_memory()[1] < 1.5 * size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("refusal", [NotImplementedError("preadv2: flags unavailable on this platform"),
                                     *(OSError(one, os.strerror(one)) for one in (errno.ENOSYS, errno.EPERM))])
def test_where_there_is_no_preadv2_it_is_read_all_the_same(tmp_path: Path, refusal: Exception,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """By a Python for older C libraries, an older kernel, a filter of system calls."""
    def preadv(fd: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        raise refusal

    monkeypatch.setattr(os, "preadv", preadv)
    path, data = made(tmp_path, PIECE + 1)
    assert ownfiles.content(path) == data


def test_where_uncached_reads_are_refused_what_was_absent_is_dropped(tmp_path: Path, advice: Advice,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    def preadv(fd: int, buffers: list[bytearray], offset: int, flags: int = 0) -> int:
        if flags:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return len(buffers[0])

    monkeypatch.setattr(os, "preadv", preadv)
    monkeypatch.setattr(syscalls, "resident", lambda fd, offset, length: bytes([0, 1, 0, 0, 1, 0]))
    path, _ = made(tmp_path, 6 * PAGE)
    with open(path, "rb") as file:
        ownfiles.read_once(file.fileno(), 0, 6 * PAGE)
    drop = os.POSIX_FADV_DONTNEED
    assert advice == [(0, 0, os.POSIX_FADV_RANDOM), (0, PAGE, drop), (2 * PAGE, 2 * PAGE, drop), (5 * PAGE, PAGE, drop)]


def test_what_may_not_be_known_is_not_dropped(tmp_path: Path, advice: Advice, refusing: bool,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    def resident(fd: int, offset: int, length: int) -> bytes:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(syscalls, "resident", resident)
    path, data = made(tmp_path, 3 * PAGE)
    assert ownfiles.content(path) == data
    assert os.POSIX_FADV_DONTNEED not in [how for _, _, how in advice]


def test_other_errors_are_the_callers(tmp_path: Path) -> None:
    handle = os.open(tmp_path / "new", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="Bad file"):
        ownfiles.read_once(handle, 0, 1)
    os.close(handle)


@given(st.binary(max_size=300), st.lists(st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 80)), st.tuples(st.just("seek"), st.integers(0, 400)),
    st.tuples(st.just("line"), st.just(0)), st.tuples(st.just("back"), st.integers(0, 50))), max_size=12))
def test_a_file_read_once_is_like_any_other(tmp_path_factory: pytest.TempPathFactory, data: bytes,
                                            steps: list[tuple[str, int]]) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    with ownfiles.reading(path) as ours, open(path, "rb") as theirs:
        for what, number in steps:
            found = []
            for file in (ours, theirs):
                if what == "read":
                    found.append(file.read(number))
                elif what == "line":
                    found.append(file.readline())
                elif what == "seek":
                    found.append(file.seek(number))
                else:
                    found.append(file.seek(-min(number, len(data)), os.SEEK_END))
                found.append(file.tell())
            assert found[:2] == found[2:]


def test_a_place_before_the_beginning_is_refused(tmp_path: Path) -> None:
    path, _ = made(tmp_path, 10)
    with ownfiles.reading(path) as file, pytest.raises(OSError, match="Invalid"):
        file.seek(-11, os.SEEK_END)


def test_a_file_is_closed_once(tmp_path: Path) -> None:
    path, _ = made(tmp_path, 10)
    file = ownfiles.reading(path)
    handle = file.fileno()
    file.close()
    file.close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(handle)


def test_folders_and_pipes(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(IsADirectoryError):
        ownfiles.content(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
    reader, writer = os.pipe()
    os.write(writer, b"text")
    os.close(writer)
    assert ownfiles.content(f"/proc/self/fd/{reader}") == b"text"
    os.close(reader)


def test_what_is_put_away_is_on_the_disk_and_let_go(tmp_path: Path, advice: Advice,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fdatasync", lambda fd: advice.append((0, 0, -1)))
    with ownfiles.writing(tmp_path / "new", lambda path, flags: os.open(path, flags | os.O_CREAT)) as file:
        assert isinstance(file, io.BufferedWriter)
        file.write(b"text")
        file.flush()
        ownfiles.put_away(file.fileno())
    assert advice == [(0, 0, -1), (0, 0, os.POSIX_FADV_DONTNEED)]
    assert (tmp_path / "new").read_bytes() == b"text"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.EBADF])
def test_where_no_advice_can_be_given_files_are_read_and_written_all_the_same(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusing: bool, number: int) -> None:
    def refused(fd: int, offset: int, length: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    path, data = made(tmp_path, PIECE + 1)
    monkeypatch.setattr(os, "posix_fadvise", refused)
    if number == errno.EBADF:       # a mistake of ours is none of the system's
        with pytest.raises(OSError, match="Bad file"):
            ownfiles.descriptor(path, os.O_RDONLY, Use.PARTS)
        return
    os.close(ownfiles.descriptor(path, os.O_RDONLY, Use.PARTS))
    assert ownfiles.content(path) == data
    with ownfiles.writing(path) as file:
        file.write(b"x")
        file.flush()
        ownfiles.put_away(file.fileno())
    ownfiles.read_ahead(99, [(0, ownfiles.LONG + 1)])


def test_only_much_is_told_of_beforehand_and_in_pieces(tmp_path: Path, advice: Advice) -> None:
    ownfiles.read_ahead(0, [(0, 1 << 20)])
    assert advice == []
    ownfiles.read_ahead(0, [(5, 1 << 20), (2 << 20, 10)])
    assert {how for _, _, how in advice} == {os.POSIX_FADV_WILLNEED}
    assert advice[0] == (5, 128 << 10, os.POSIX_FADV_WILLNEED) and advice[-1][:2] == (2 << 20, 10)
    assert sum(length for _, length, _ in advice) == (1 << 20) + 10
