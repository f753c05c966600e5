"""Checks 1, 2, 5 and 6 of page-cache tools, by the library: which pages of a file are in memory."""
from __future__ import annotations

import ctypes
import errno
import mmap
import os
import subprocess
from pathlib import Path

import pytest

from ftest.pagecache import pages
from ftest.pagecache.users import NOBODY, as_user
from istat.pagecache import readahead, syscalls
from istat.pagecache.residency import residency


def refuse(number):
    def cachestat(fd, offset=0, length=0):
        raise OSError(number, os.strerror(number))
    return cachestat


def test_an_evicted_file_has_no_page_and_three_read_ones_are_listed(folder):
    path = pages.make(folder / "a")
    assert residency(path).resident == 0
    pages.read_pages(path, [0, 3, 14])
    found = residency(path, pages=True)
    assert (found.size, found.pages, found.resident, found.state) == (pages.MRTG, 26, 3, "ok")
    assert found.ranges == ((0, 0), (3, 3), (14, 14))


def test_a_touch_of_a_mapping_without_advice_brings_what_the_device_reads_ahead(folder):
    path = pages.make(folder / "a")
    pages.map_page(path, 13)
    ahead = readahead.readahead_kb(path) * 1024 // syscalls.PAGE
    # The kernel reads half of the window before the page and half behind it.
    assert residency(path).resident >= min(26, ahead)


def test_advice_for_the_mapping_brings_one_page_and_for_the_descriptor_changes_nothing(folder):
    path = pages.make(folder / "a")
    pages.map_page(path, 13, advice=mmap.MADV_RANDOM)
    assert residency(path, pages=True).ranges == ((13, 13),)
    pages.evict(path)
    pages.map_page(path, 13)
    without = residency(path).resident
    pages.evict(path)
    pages.map_page(path, 13, descriptor=os.POSIX_FADV_RANDOM)
    assert residency(path).resident == without


def test_a_range_is_counted_by_the_pages_that_it_touches(folder):
    path = pages.make(folder / "a")
    pages.read_pages(path, [0, 3, 14, 25])
    inside = residency(path, pages=True, range=(3 * 4096 + 1, 11 * 4096))
    assert (inside.pages, inside.resident, inside.ranges) == (12, 2, ((3, 3), (14, 14)))
    end = residency(path, pages=True, range=(20 * 4096, 0))
    assert (end.pages, end.resident, end.ranges) == (6, 1, ((25, 25),))
    assert residency(path, range=(1 << 40, 0)).state == "empty"


def test_dirty_pages_are_counted(folder):
    path = pages.make(folder / "a")
    with path.open("r+b") as file:
        file.write(b"x")
        file.flush()
        assert residency(path).dirty == 1
        os.fsync(file.fileno())
        assert residency(path).dirty == 0


@pytest.mark.parametrize("backend", ["auto", "cachestat", "mincore"])
def test_a_stranger_gets_no_number(folder, backend):
    path = pages.make(folder / "a")
    pages.read_pages(path, [0])
    folder.chmod(0o755)
    path.chmod(0o644)
    for lists in (False, True):
        found = as_user(lambda lists=lists: residency(path, pages=lists, backend=backend))
        assert (found.state, found.resident, found.ranges) == ("unknown(permission)", None, None)
        assert (found.size, found.pages) == (pages.MRTG, 26)


def test_the_owner_and_who_may_write_get_exact_numbers(folder):
    path = pages.make(folder / "a")
    pages.read_pages(path, [0, 3])
    folder.chmod(0o755)
    path.chmod(0o666)
    for backend in ("auto", "mincore"):
        assert as_user(lambda backend=backend: residency(path, pages=True, backend=backend)).ranges == ((0, 0), (3, 3))
    path.chmod(0o444)
    os.chown(path, 65534, 65534)
    assert as_user(lambda: residency(path)).resident == 2


def test_a_descriptor_that_may_not_be_asked_about_is_unknown_too(folder):
    path = pages.make(folder / "a")
    folder.chmod(0o755)

    def asked():
        with path.open("rb") as file:
            return residency(file.fileno())

    assert as_user(asked).state == "unknown(permission)"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_an_older_kernel_and_a_filter_of_system_calls_give_the_same_counts_by_mincore(folder, monkeypatch, number):
    path = pages.make(folder / "a")
    pages.read_pages(path, [0, 3, 14])
    before = residency(path, pages=True)
    monkeypatch.setattr(syscalls, "cachestat", refuse(number))
    found = residency(path, pages=True)
    assert (found.resident, found.ranges, found.backend) == (before.resident, before.ranges, "mincore")
    assert (found.dirty, found.evicted) == (None, None)
    forced = residency(path, backend="cachestat")
    assert forced.failed and forced.resident is None


def test_both_backends_agree_on_a_quiet_file(folder):
    path = pages.make(folder / "a", 3_000_000)
    pages.read_pages(path, [*range(5, 90), 200, 401, 732])
    assert residency(path).resident == residency(path, backend="mincore").resident == 88


def test_a_large_sparse_file_is_listed_where_it_has_pages(folder):
    path = folder / "sparse"
    with path.open("wb") as file:
        file.truncate(8 << 40)
        for at in (0, 5 << 40, (8 << 40) - 1):
            os.pwrite(file.fileno(), b"x", at)
    found = residency(path, pages=True)
    last = (8 << 40) // 4096 - 1
    assert found.ranges == ((0, 0), (5 << 28, 5 << 28), (last, last))
    assert found.resident == 3


def test_a_file_of_a_container_is_counted_where_its_pages_are(folder):
    """On an overlay cachestat sees no page at all, whatever is in memory."""
    below, above, work, merged = (folder / name for name in ("below", "above", "work", "merged"))
    for one in (below, above, work, merged):
        one.mkdir()
    pages.make(below / "a")
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={below},upperdir={above},workdir={work}",
                    str(merged)], check=True)
    try:
        assert residency(merged / "a").resident == 0
        pages.read_pages(merged / "a", [0, 3, 14])
        found = residency(merged / "a", pages=True)
        assert (found.resident, found.ranges, found.backend) == (3, ((0, 0), (3, 3), (14, 14)), "mincore")
        assert residency(below / "a").resident == 3
    finally:
        subprocess.run(["umount", str(merged)], check=True)


def test_root_of_a_user_namespace_knows_nothing_of_users_outside(folder):
    """There root's files seem to be those of the overflow user, who the caller may be as well."""
    path = pages.make(folder / "a")
    pages.read_pages(path, [0])
    folder.chmod(0o755)

    def inside(mapped):
        libc = ctypes.CDLL(None)
        libc.prctl(4, 1, 0, 0, 0)               # dumpable: who has changed its user may not write its own map else
        if libc.unshare(0x10000000):            # a new user namespace
            return None
        if mapped:
            Path("/proc/self/uid_map").write_text(f"0 {NOBODY} 1")
        return os.geteuid(), os.stat(path).st_uid, residency(path, pages=True), residency(path, backend="mincore")

    for mapped, user in ((False, NOBODY), (True, 0)):
        found = as_user(lambda mapped=mapped: inside(mapped))
        if found is not None:       # a system may forbid it; tests/istat/pagecache/test_residency.py has the rest
            assert found[:2] == (user, NOBODY)
            assert {one.state for one in found[2:]} == {"unknown(permission)"}
