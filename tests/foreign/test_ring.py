"""Ring files: read to the byte as part 6 of istatd's behaviour has them, damaged ones refused, ours readable again."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from istatd_writer import Ring as Theirs

from istat.kernels import columns
from istat_server.foreign import ring

T = 1325395000
NOW = T + 86400


def stored(tmp_path: Path, theirs: Theirs) -> ring.Ring:
    path = tmp_path / "10s"
    path.write_bytes(theirs.encode())
    return ring.read(path)


def test_the_worked_example_of_the_specification(tmp_path: Path) -> None:
    """Part 6.8: an event file with first bucket -4, last bucket 9, created 1325395000."""
    head = bytes.fromhex("69737461746420342e300a00f5140700"
                         "d0010000 0a000000 01000000 08000000 04000000 00000000"
                         "0020000000000000 0200000000000000 fcffffffffffffff 0900000000000000 92ecff4e00000000"
                         .replace(" ", "")) + bytes(24) + struct.pack("<qq", T, T)
    slot = bytes.fromhex("38ecff4e00000000 000000000000f03f 0000803f 0000803f 01000000 0000803f".replace(" ", ""))
    path = tmp_path / "10s"
    path.write_bytes((head.ljust(8192, b"\0") + slot).ljust(3 * 8192, b"\0"))
    found = ring.read(path)
    header = found.header
    assert (header.interval, header.first_bucket, header.last_bucket, header.last_time) == (10, -4, 9, 1325395090)
    assert (header.created, header.capacity, header.slot(-4), header.slot(9)) == (T, 512, 508, 9)
    assert found.event and found.rows(NOW, 10).rows() == [(T, 1, 1.0, 0.0, 1.0, 1.0)]


@pytest.mark.parametrize("version", [4, 5, 6, 7, 8])
def test_every_version_with_negative_indexes_and_a_ring_that_went_round(tmp_path: Path, version: int) -> None:
    theirs = Theirs(10, 512, T, version=version)
    for slot in (3, -4, 500, 700, 700, 150, 600):
        theirs.sample(T + 10 * slot + (3 if slot > 0 else 0), 0.1 * slot)
    found = stored(tmp_path, theirs)
    rows = found.rows(NOW, 10).rows()
    assert [(row[0] - T) // 10 for row in rows] == [500, 600, 700]      # 3, -4 and 150 fell out of the ring
    expected = theirs.buckets()
    for time, count, total, m2, low, high in rows:
        assert [total, ring.to_float(low), ring.to_float(high), count] == expected[time][:4]
        assert m2 == pytest.approx(0.0, abs=1e-3)
    assert rows[-1][1] == 2


def test_samples_that_istatd_put_one_slot_further_are_found(tmp_path: Path) -> None:
    """Part 3.6: late samples from before the creation go to the wrong slot, with the right time."""
    theirs = Theirs(3600, 512, T - T % 3600)
    theirs.sample(theirs.created - 5, 4.0)
    theirs.sample(theirs.created - 13, 6.0)
    [row] = stored(tmp_path, theirs).rows(NOW, 10).rows()
    assert row[:3] == (theirs.created - 3600, 2, 10.0)


def test_event_buckets_newer_than_the_header_count_and_those_of_gauges_do_not(tmp_path: Path) -> None:
    for flags, wanted in ((1, [0, 1]), (0, [0])):
        theirs = Theirs(10, 512, T, flags)
        theirs.sample(T, 1.0)
        theirs.sample(T + 10, 2.0)
        theirs.last = 0                                # the header was not flushed
        rows = stored(tmp_path, theirs).rows(NOW, 10).rows()
        assert [(row[0] - T) // 10 for row in rows] == wanted


def test_coarse_event_buckets_count_all_fine_ones_also_where_an_old_version_did_not(tmp_path: Path) -> None:
    theirs = Theirs(300, 512, T - T % 300, ring.COARSE, version=7)
    for rate in (3.0, 10.0, 10.0, 10.0):
        theirs.put(T, rate, rate * rate, rate, rate, 1)
    theirs.slots = {number: [*slot[:4], 4, slot[5]] for number, slot in theirs.slots.items()}
    [(_, count, total, m2, low, high)] = stored(tmp_path, theirs).rows(NOW, 10).rows()
    assert (count, total, low, high) == (30, 33.0, 3.0, 10.0)
    assert (m2 / 29) ** 0.5 == pytest.approx(3.0665, abs=1e-4)


@pytest.mark.parametrize(("at", "data", "words"), [
    (0, b"X", "no istatd file"), (32, struct.pack("<i", 9), "too new"), (28, struct.pack("<i", 3), "version 3"),
    (20, struct.pack("<i", 0), "interval"), (40, struct.pack("<q", 100), "pages"), (48, struct.pack("<q", 0), "pages"),
    (48, struct.pack("<q", 1 << 50), "pages"), (48, struct.pack("<q", 3), "expected"), (16, b"\x00\x00", "header"),
])
def test_damaged_headers_are_refused_in_words(tmp_path: Path, at: int, data: bytes, words: str) -> None:
    path = tmp_path / "10s"
    whole = bytearray(Theirs(10, 512, T).encode())
    whole[at : at + len(data)] = data
    path.write_bytes(whole)
    with pytest.raises(ring.RingError, match=words):
        ring.read(path)
    assert path.read_bytes() == bytes(whole)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 463), st.integers(0, 255)), max_size=8), st.integers(0, 3 * 8192))
def test_any_damage_is_refused_or_read(flips: list[tuple[int, int]], length: int) -> None:
    theirs = Theirs(10, 512, T)
    theirs.sample(T, 1.0)
    whole = bytearray(theirs.encode())
    for at, value in flips:
        whole[at] = value
    try:
        header = ring.read_header(bytes(whole[:length]))
    except ring.RingError:
        return
    if header.file_size <= len(whole):
        ring.Ring(header, bytes(whole[header.page_size : header.file_size])).rows(NOW, 10)


values = st.floats(-(2.0**100), 2.0**100, width=32)


@settings(max_examples=60)
@given(st.dictionaries(st.integers(0, 900), st.tuples(st.integers(1, 9), values, values), min_size=1), st.booleans())
def test_files_that_we_write_are_read_with_equal_buckets(
    tmp_path_factory: pytest.TempPathFactory, content: dict[int, tuple[int, float, float]], event: bool
) -> None:
    rows = []
    for slot, (count, one, other) in sorted(content.items()):
        low, high = sorted((one, other))
        if event or count == 1:
            rows.append((T + 10 * slot, 1, one, 0.0, one, one))
        else:
            rows.append((T + 10 * slot, count, low + high, 0.0, low, high))
    path = tmp_path_factory.mktemp("ring") / "10s"
    dropped = ring.write(path, columns.Columns.from_rows(rows), 10, 10000, ring.EVENT if event else 0, 0)
    found = ring.read(path)
    assert dropped == 0 and found.header.version == 8 and path.stat().st_size == found.header.file_size
    got = found.rows(NOW, 10).rows()
    assert [row[:3] + row[4:] for row in got] == [row[:3] + row[4:] for row in rows]
    assert not list(path.parent.glob(".*"))


def test_a_ring_that_is_too_short_keeps_the_newest(tmp_path: Path) -> None:
    rows = [(T + 10 * i, 1, float(i), 0.0, float(i), float(i)) for i in range(600)]
    assert ring.write(tmp_path / "10s", columns.Columns.from_rows(rows), 10, 5120, 0, 0) == 88
    found = ring.read(tmp_path / "10s")
    assert [row[2] for row in found.rows(NOW, 10).rows()] == [float(i) for i in range(88, 600)]
    assert (found.header.first_bucket, found.header.last_bucket) == (88, 599)


def test_buckets_whose_numbers_are_not_finite_are_left_out_and_counted(tmp_path: Path) -> None:
    theirs = Theirs(10, 512, T)
    for slot in range(5):
        theirs.sample(T + 10 * slot, 1.0)
    found = stored(tmp_path, theirs)
    assert found.not_finite(NOW, 10) == 0
    slots = bytearray(found.slots)
    struct.pack_into("<d", slots, 1 * ring.SLOT.size + 8, float("inf"))         # a sum
    struct.pack_into("<f", slots, 3 * ring.SLOT.size + 28, float("nan"))        # a sum of squares
    ring.SLOT.pack_into(slots, 100 * ring.SLOT.size, T - 50000, float("nan"), 1.0, 1.0, 1, 1.0)     # of no bucket
    odd = ring.Ring(found.header, bytes(slots))
    assert [(row[0] - T) // 10 for row in odd.rows(NOW, 10).rows()] == [0, 2, 4]
    assert odd.not_finite(NOW, 10) == 2
