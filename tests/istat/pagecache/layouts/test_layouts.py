"""Layouts of files: sizes, offsets, parts and touched pages, as rrdtool and istatd make them."""

from __future__ import annotations

import random
import struct
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import LayoutError
from istat.pagecache import layouts
from istat.pagecache.layouts import ringfile, rrd

RING = Path(__file__).parents[3] / "fixtures/foreign/10s"


def made_head(archives: list[rrd.Archive], pointers: list[int], last_update: int, sources: int = 2) -> bytes:
    """The header of an RRD file, by the structs of rrd_format.h."""
    out = struct.pack("<4s5s7xdQQQ80x", b"RRD\0", b"0003\0", 8.642135e130, sources, len(archives), 300)
    out += bytes(120 * sources)
    out += b"".join(struct.pack("<20s4xQQ80x", name.encode(), rows, steps) for name, steps, rows in archives)
    out += struct.pack("<qq", last_update, 0) + bytes(112 * sources + 80 * sources * len(archives))
    return out + struct.pack(f"<{len(pointers)}Q", *pointers)


def test_the_file_of_the_paper_has_26_pages_and_these_offsets() -> None:
    layout, = layouts.parse("mrtg")
    assert (layout.size, layout.pages(), layout.touched_header) == (105312, 26, 2912)
    assert [ring.offset for ring in layout.rings] == [2912, 15712, 28512, 41312, 54112, 66912, 79712, 92512]


@pytest.mark.parametrize(("update", "pages"), [(1, [0, 13]), (6, [0, 3, 13, 16]), (24, [0, 3, 6, 13, 16, 19]),
                                               (288, [0, 1, 4, 7, 10, 14, 16, 19, 22])])
def test_an_update_touches_the_header_and_the_rows_whose_turn_it_is(update: int, pages: list[int]) -> None:
    layout = rrd.mrtg()
    assert layout.touched(update, layout.zero_starts()) == pages


def test_parts_of_pages_have_names() -> None:
    layout = rrd.mrtg()
    assert layout.names(0) == ("header", "state", "row pointers", "rra[0] AVERAGE/1")
    assert layout.names(3) == ("rra[0] AVERAGE/1", "rra[1] AVERAGE/6")
    assert layout.names(25) == ("rra[7] MAX/288",)
    assert layout.names(26) == ()


def test_mean_pages_of_30_days() -> None:
    layout = rrd.mrtg()
    source, seen = random.Random(1), Counter[int]()
    starts = layout.random_starts(source)
    for update in range(1, 8641):
        seen[len(layout.touched(update, starts))] += 1
    mean = sum(pages * times for pages, times in seen.items()) / 8640
    assert 3.2 < mean < 3.4
    assert seen.most_common(1)[0][0] == 3


def test_a_row_of_a_ring_may_lie_on_two_pages() -> None:
    layout = rrd.layout(3, [("AVERAGE", 1, 1000)])      # 24 bytes a row
    across = [row for row in range(1000) if len(layout.rings[0].pages(row)) == 2]
    assert across
    assert layout.touched(across[0], [0])[-2:] == list(layout.rings[0].pages(across[0]))


def test_an_rrd_file_s_header_gives_its_layout_and_pointers() -> None:
    pointers = [5, 6, 7, 8, 9, 10, 11, 799]
    head = made_head(list(rrd.MRTG_ARCHIVES), pointers, 1_700_000_100)
    assert rrd.header_bytes(head[:128]) == len(head) == 2912
    found = rrd.read(head)
    assert found.layout == rrd.mrtg()
    assert (found.pointers, found.last_update) == (tuple(pointers), 1_700_000_100)
    assert [ring.row(found.updates, start) for ring, start in zip(found.layout.rings, found.starts)] == pointers


@given(st.binary(max_size=400) | st.binary(max_size=300).map(lambda tail: b"RRD\x000003\0" + tail)
       | st.binary(max_size=60).map(lambda tail: ringfile.MAGIC + tail))
def test_bytes_that_are_no_header_are_refused(head: bytes) -> None:
    try:
        assert layouts.of_head(head).size > 0
    except LayoutError as error:
        assert str(error)


@given(st.integers(0, 2911), st.integers(0, 255))
def test_a_damaged_header_is_read_or_refused(at: int, byte: int) -> None:
    head = bytearray(made_head(list(rrd.MRTG_ARCHIVES), [0] * 8, 0))
    head[at] = byte
    try:
        rrd.read(bytes(head))
    except LayoutError as error:
        assert str(error)


def test_ring_files_are_a_page_of_header_and_pages_of_buckets() -> None:
    fine, middle, coarse = layouts.parse("statfile:10s:10d,5m:1y9d,1h:6y12d")
    assert fine.size == 8192 * (1 + -(-86400 // 256))
    assert (fine.interval, middle.interval, coarse.interval) == (10, 300, 3600)
    assert fine.names(0) == ("header",)
    assert fine.names(2) == ("buckets 10s",)
    assert fine.touched(1, [0]) == [0, 2]               # buckets begin at 8192
    assert fine.touched(128, [0]) == [0, 3]
    assert layouts.parse("statfile") == layouts.parse("statfile:10s:10d,5m:1y9d,1h:6y12d")


def test_a_ring_file_s_header_gives_its_layout() -> None:
    head = RING.read_bytes()
    found = layouts.of_head(head)
    assert (found.interval, found.size) == (10, len(head))


@pytest.mark.parametrize("text", ["", "mrtg:1", "rra", "statfile:10", "rrd:", "rrd:2:AVERAGE/0/800", "rrd:x:A/1/1",
                                  "rrd:0:AVERAGE/1/800", "rrd:1:AVERAGE/1", "rrd", "rrd:1:AVERAGE/1/8,",
                                  "rrd:1_0:A/1/1", "rrd:1:A/+1/1", "rrd:1:A/1/\u0661", "rrd:1:A/1/" + "9" * 5000,
                                  "rrd:1:\x1b/1/1"])
def test_what_is_no_layout_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(LayoutError, match="no layout") as caught:
        layouts.parse(text)
    assert "unpack" not in str(caught.value) and "int()" not in str(caught.value), "words of Python's"


def test_archives_may_be_given_one_by_one() -> None:
    listed = ",".join(f"{name}/{steps}/{rows}" for name, steps, rows in rrd.MRTG_ARCHIVES)
    assert layouts.parse("rrd:2:" + listed) == (rrd.mrtg(),)
