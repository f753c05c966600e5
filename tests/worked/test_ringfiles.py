"""Ring files and the store's folder: the layout and the arithmetic of part 6 of istatd's behaviour, to the byte."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from istat.errors import StoreLocked
from istat.kernels import columns
from istat_server.foreign import ring
from istat_server.store.statstore import StatStore
from tests.worked.site import HOUR, NOW, Site

T = NOW
EVENT_HEADER = """
    69 73 74 61 74 64 20 34 2e 30 0a 00 f5 14 07 00
    d0 01 00 00 0a 00 00 00 01 00 00 00 08 00 00 00 04 00 00 00 00 00 00 00
    00 20 00 00 00 00 00 00  02 00 00 00 00 00 00 00  fc ff ff ff ff ff ff ff  09 00 00 00 00 00 00 00
    92 ec ff 4e 00 00 00 00"""
CREATED = bytes.fromhex("38 ec ff 4e 00 00 00 00")
FIRST_BUCKET = bytes.fromhex("38 ec ff 4e 00 00 00 00 00 00 00 00 00 00 f0 3f"
                             "00 00 80 3f 00 00 80 3f 01 00 00 00 00 00 80 3f")


def test_the_header_and_the_first_bucket_of_the_worked_example_are_read(tmp_path: Path) -> None:
    head = bytes.fromhex(EVENT_HEADER) + bytes(24) + CREATED * 2
    path = tmp_path / "10s"
    path.write_bytes(head.ljust(8192, b"\0") + FIRST_BUCKET + bytes(2 * 8192 - 32))
    found = ring.read(path)
    header = found.header
    assert (header.size, header.interval, header.flags, header.version, header.reader) == (464, 10, 1, 8, 4)
    assert (header.page_size, header.page_count, header.first_bucket, header.last_bucket) == (8192, 2, -4, 9)
    assert (header.last_time, header.created) == (1325395090, 1325395000)
    assert (header.capacity, header.file_size) == (512, 24_576)
    assert found.slot(0) == (1325395000, 1, 1, 1, 1, 1)
    assert found.event and not found.trailing


def test_what_we_write_has_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "10s"
    rows = [(T, 1, 1.0, 0.0, 1.0, 1.0), (T + 90, 1, 2.0, 0.0, 2.0, 2.0)]
    assert ring.write(path, columns.Columns.from_rows(rows), 10, 5120, ring.EVENT, 0) == 0
    data = path.read_bytes()
    theirs = bytearray(bytes.fromhex(EVENT_HEADER))
    theirs[56:64] = struct.pack("<q", 0)        # nothing came before the file began
    assert data[:80] == bytes(theirs)
    assert struct.unpack_from("<ddqqq", data, 80) == (3.0, 5.0, 2, T, T), "totals, then the creation twice"
    assert data[120:184] == bytes(64), "the unit"
    assert data[184:440].rstrip(b"\0") == bytes(path)
    assert data[440:8192] == bytes(8192 - 440)
    assert data[0x2000:0x2020] == FIRST_BUCKET
    assert data[8480:8488] == struct.pack("<q", T + 90), "index 9"
    assert len(data) == 3 * 8192


@pytest.mark.parametrize(("time", "index", "slot", "offset"), [
    (1325395000, 0, 0, 8192), (1325395090, 9, 9, 8480), (1325395099, 9, 9, 8480), (1325394999, -1, 511, 24_544),
    (1325394960, -4, 508, 24_448), (1325394955, -5, 507, 24_416), (1325400120, 512, 0, 8192)])
def test_where_a_bucket_lies(time: int, index: int, slot: int, offset: int) -> None:
    """Indexes divide downwards, also before the file began."""
    header = ring.Header(10, 1, 8, 4, 8192, 2, 0, 0, 0, 0.0, 0.0, 0, T, T)
    assert (time - header.created) // header.interval == index
    assert header.slot(index) == slot
    assert header.page_size * (1 + slot // 256) + 32 * (slot % 256) == offset


@pytest.mark.parametrize(("keep", "interval", "pages", "size"), [
    (10 * 86400, 10, 338, 2_777_088), (374 * 86400, 300, 421, 3_457_024), (2202 * 86400, 3600, 207, 1_703_936),
    (5120, 10, 2, 24_576), (10, 10, 2, 24_576)])
def test_sizes_of_files(tmp_path: Path, keep: int, interval: int, pages: int, size: int) -> None:
    path = tmp_path / "level"
    at = T - T % interval
    ring.write(path, columns.Columns.from_rows([(at, 1, 1.0, 0.0, 1.0, 1.0)]), interval, keep, 0, 0)
    assert (ring.read(path).header.page_count, path.stat().st_size) == (pages, size)


def test_a_coarse_level_of_events_has_its_count_fixed(tmp_path: Path) -> None:
    path = tmp_path / "5m"
    at = T - T % 300
    ring.write(path, columns.Columns.from_rows([(at, 30, 33.0, 272.7, 0.0, 10.0)]), 300, 86400, ring.COARSE, 30)
    data = path.read_bytes()
    assert struct.unpack_from("<i", data, 24) == (4,)
    assert struct.unpack_from("<q", data, 456) == (30,)
    assert struct.unpack_from("<qdffif", data, 8192) == (at, 33.0, 0.0, 10.0, 30, pytest.approx(309))


def test_stale_slots_are_known_by_their_times(tmp_path: Path) -> None:
    path = tmp_path / "10s"
    rows = [(T + 10 * index, 1, 1.0, 0.0, 1.0, 1.0) for index in range(512)]
    ring.write(path, columns.Columns.from_rows(rows), 10, 5120, 0, 0)
    data = bytearray(path.read_bytes())
    struct.pack_into("<qq", data, 64, 600, T + 6000)            # the ring went on, and nothing was written there
    path.write_bytes(data)
    assert [(row[0] - T) // 10 for row in ring.read(path).rows(NOW, 10).rows()] == list(range(89, 512))


@pytest.mark.parametrize("content", [b"", b"\0" * 24_576, b"hello\n" * 100, b"istatd 4.0\n\0\xf5\x14\x07\0"])
def test_what_is_no_ring_file_is_refused_and_keeps_its_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "10s"
    path.write_bytes(content)
    with pytest.raises(ring.RingError):
        ring.read(path)
    assert path.read_bytes() == content


def test_a_file_of_another_size_is_refused_and_keeps_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "10s"
    ring.write(path, columns.Columns.from_rows([(T, 1, 1.0, 0.0, 1.0, 1.0)]), 10, 5120, 0, 0)
    whole = path.read_bytes()
    path.write_bytes(whole[:10_000])
    with pytest.raises(ring.RingError, match="10000 bytes, 24576 expected"):
        ring.read(path)
    assert path.stat().st_size == 10_000


def test_a_store_has_few_files_that_are_never_changed_in_place(site: Site) -> None:
    names = [f"host{number}.cpu" for number in range(200)]
    site.feed(*(f"{name} {HOUR} 1" for name in names))
    site.store.flush()
    before = {path: path.read_bytes() for path in site.folder.rglob("*.statfile")}
    assert 0 < len(before) <= 4, "not one for each counter and level"
    site.feed(*(f"{name} {HOUR} 2" for name in names))
    site.store.flush()
    assert all(path.read_bytes() == data for path, data in before.items() if path.exists())
    assert site.buckets("host7.cpu", HOUR, HOUR + 10, "sum", "count") == [(HOUR, 3, 2)]
    assert str(site.folder) not in Path("/proc/self/maps").read_text(), "none is mapped"


def test_one_server_has_a_store(site: Site) -> None:
    with pytest.raises(StoreLocked):
        StatStore.open(site.folder, site.store.ladder, site.clock)


def test_a_store_that_is_missing_is_made(make: Callable[..., Site], tmp_path: Path) -> None:
    site = make()
    assert (tmp_path / "store" / "MANIFEST").is_file()
    assert site.listed() == {}
