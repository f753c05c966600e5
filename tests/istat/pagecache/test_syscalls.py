"""System calls about the page cache, as thin as they are."""
from __future__ import annotations

import errno
import mmap
import os

import pytest

from istat.pagecache import syscalls
from istat.pagecache.syscalls import PAGE


@pytest.fixture
def handle(tmp_path):
    made = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    os.write(made, b"x" * (3 * PAGE + 1))
    yield made
    os.close(made)


@pytest.mark.parametrize("call", [
    lambda fd: syscalls.cachestat(fd), lambda fd: syscalls.resident(fd, 0, PAGE),
    lambda fd: syscalls.fadvise(fd, 0, 0, os.POSIX_FADV_NORMAL), lambda fd: syscalls.sync_range(fd, 0, 0),
    lambda fd: syscalls.filesystem_type(fd)])
def test_what_the_kernel_refuses_is_its_error(call):
    with pytest.raises(OSError) as refused:
        call(1 << 20)
    assert refused.value.errno == errno.EBADF
    assert refused.value.strerror == "Bad file descriptor"


def test_a_byte_for_each_page_of_a_range(handle):
    assert syscalls.resident(handle, 0, 0) == b""
    assert len(syscalls.resident(handle, 0, 3 * PAGE + 1)) == 4
    assert len(syscalls.resident(handle, PAGE, PAGE + 1)) == 2
    assert set(syscalls.resident(handle, 0, 4 * PAGE)) <= {0, 1}
    with pytest.raises(OSError):
        syscalls.resident(handle, 1, PAGE)


def test_long_ranges_are_asked_about_in_parts(handle, monkeypatch):
    whole = syscalls.resident(handle, 0, 3 * PAGE + 1)
    monkeypatch.setattr(syscalls, "MINCORE_PAGES", 2)
    assert syscalls.resident(handle, 0, 3 * PAGE + 1) == whole


def test_pages_beyond_four_gigabytes_are_asked_about(handle):
    """As offsets of 32 bits would be those of the beginning."""
    os.ftruncate(handle, (1 << 33) + PAGE)
    assert syscalls.resident(handle, 0, PAGE) == b"\1"
    assert syscalls.resident(handle, 1 << 33, PAGE) == b"\0"


def test_a_range_is_counted_by_its_pages(handle):
    assert syscalls.cachestat(handle, PAGE, 1).cache <= 1
    assert syscalls.cachestat(handle).cache <= 4
    syscalls.sync_range(handle, 0, 0)
    assert syscalls.cachestat(handle).dirty == 0


def test_advice_for_a_mapping(handle):
    os.ftruncate(handle, 4 * PAGE)
    with mmap.mmap(handle, 4 * PAGE, prot=mmap.PROT_READ) as made:
        syscalls.madvise(made, mmap.MADV_RANDOM)
        syscalls.madvise(made, mmap.MADV_WILLNEED, PAGE, PAGE)
        with pytest.raises(ValueError):
            syscalls.madvise(made, mmap.MADV_RANDOM, 5 * PAGE)


def test_the_type_of_a_file_system_is_its_magic_number():
    with open("/proc/self/status") as file:
        assert syscalls.filesystem_type(file.fileno()) == 0x9FA0
