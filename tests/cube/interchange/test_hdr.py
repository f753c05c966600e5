"""HdrHistogram's encoding V2, both ways, against its libraries for Python and JavaScript; and bytes that are none."""
from __future__ import annotations

import base64
import json
import random
import shutil
import struct
import subprocess
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from istat.cube.interchange import from_hdr, to_hdr
from istat.errors import FormatError
from istat.kernels import cubes as CHOSEN
from tests.skips import need

HIGHEST = 3_600_000_000
PERCENTILES = (1, 10, 50, 90, 99, 99.9)
PACKAGE = Path(__file__).parents[3] / "node_modules" / "hdr-histogram-js"


def drawn(n=2000, seed=1):
    rng = random.Random(seed)
    return [min(int(rng.lognormvariate(7, 2)) + 1, HIGHEST) for _ in range(n)]


def ours_of(cubes, values, digits):
    histogram = cubes.Histogram(cubes.Shape(1, HIGHEST, digits=digits))
    histogram.record_many(values)
    return histogram


def theirs_of(values, digits):
    histogram = HdrHistogram(1, HIGHEST, digits)
    for value in values:
        histogram.record_value(value)
    return histogram


def counts(histogram):
    parts = histogram.parts()
    return None if parts is None else parts[:2]


@pytest.mark.parametrize("digits", [1, 2, 3])
@pytest.mark.parametrize("values", [[], [1], [HIGHEST], [5] * 300, drawn()],
                         ids=["none", "1", "highest", "equal", "many"])
def test_theirs_come_over_slot_by_slot(cubes, values, digits):
    theirs = theirs_of(values, digits)
    got = from_hdr(base64.b64decode(theirs.encode()))
    assert counts(got.value) == counts(ours_of(cubes, values, digits))
    assert got.value.shape == cubes.Shape(1, HIGHEST, digits=digits)
    assert got.lost == ("sum", "min", "max", "m2")
    if values:
        assert got.value.min == theirs.get_min_value()
        assert got.value.max == min(theirs.get_max_value(), HIGHEST)
        assert got.value.mean == pytest.approx(theirs.get_mean_value(), rel=10.0**-digits)
        for q in PERCENTILES:
            assert got.value.percentile(q, "high") == min(theirs.get_value_at_percentile(q), HIGHEST)


@pytest.mark.parametrize("digits", [1, 2, 3])
@pytest.mark.parametrize("values", [[1], [HIGHEST], [5] * 300, drawn()], ids=["1", "highest", "equal", "many"])
def test_ours_are_read_by_theirs(cubes, values, digits):
    ours, theirs = ours_of(cubes, values, digits), theirs_of(values, digits)
    read = HdrHistogram.decode(base64.b64encode(to_hdr(ours)))
    assert (read.get_total_count(), read.get_min_value(), read.get_max_value()) == (
        len(values), theirs.get_min_value(), theirs.get_max_value())
    for q in PERCENTILES:
        assert read.get_value_at_percentile(q) == theirs.get_value_at_percentile(q)


def javascript(**asked):
    need(shutil.which("node") and PACKAGE.is_dir(), "npm's hdr-histogram-js (run npm ci)")
    script = Path(__file__).with_name("hdr.mjs")
    done = subprocess.run(["node", script], input=json.dumps({"percentiles": PERCENTILES, **asked}), text=True,
                          check=True, capture_output=True, timeout=120)
    return json.loads(done.stdout)


@pytest.mark.parametrize("digits", [1, 3])
def test_both_ways_with_javascript(digits):
    values = drawn()
    theirs, ours = javascript(digits=digits, highest=HIGHEST, values=values), ours_of(CHOSEN, values, digits)
    got = from_hdr(base64.b64decode(theirs["encoded"])).value
    assert counts(got) == counts(ours)
    assert [got.percentile(q, "high") for q in PERCENTILES] == theirs["percentiles"]
    read = javascript(encoded=base64.b64encode(to_hdr(ours)).decode())
    assert (read["count"], read["percentiles"]) == (len(values), theirs["percentiles"])


@given(st.lists(st.tuples(st.integers(0, HIGHEST), st.integers(1, 2**50)), max_size=30), st.booleans(),
       st.integers(1, 3))
def test_what_is_written_comes_back(rows, compress, digits):
    histogram = CHOSEN.Histogram(CHOSEN.Shape(1, HIGHEST, digits=digits))
    for value, count in rows:
        histogram.record(value, count)
    back = from_hdr(to_hdr(histogram, compress)).value
    assert counts(back) == counts(histogram)
    assert to_hdr(back, compress) == to_hdr(histogram, compress)
    if rows:        # the slots' ends hold what was recorded
        assert back.min <= histogram.min and histogram.max <= back.max
        for q in (1, 50, 99):
            assert back.percentile(q, "low") <= histogram.percentile(q) <= back.percentile(q, "high")


def test_values_above_the_highest_are_overflow(cubes):
    theirs = theirs_of([100], 2)
    theirs.record_value(4_200_000_000)      # theirs takes some of them
    got = from_hdr(base64.b64decode(theirs.encode())).value
    assert (got.count, got.overflow, got.percentile(100)) == (2, 1, theirs.get_max_value())


def test_values_of_a_scale(cubes):
    histogram = cubes.Histogram(cubes.Shape(1, HIGHEST, digits=3, scale=1000.0))
    histogram.record_many([0.5, 2.0])
    assert from_hdr(to_hdr(histogram)).value.percentile(100, "high") == 2000
    assert from_hdr(to_hdr(histogram), scale=1000.0).value.percentile(100, "high") == 2.0
    with pytest.raises(ValueError, match="a scale"):
        from_hdr(to_hdr(histogram), scale=0.0)


def test_shapes_that_theirs_do_not_have(cubes):
    with pytest.raises(ValueError, match="digits=1 to 5"):
        to_hdr(cubes.Histogram(cubes.Shape(precision=7)))
    with pytest.raises(ValueError, match="at least twice"):
        to_hdr(cubes.Histogram(cubes.Shape(10, 19, digits=1)))


# --- bytes that are none -----------------------------------------------------------------------------

def plain(payload=b"\2", cookie=0x1C849313, size=None, offset=0, digits=2, lowest=1, highest=HIGHEST, ratio=1.0):
    size = len(payload) if size is None else size
    return struct.pack(">iiiiqqd", cookie, size, offset, digits, lowest, highest, ratio) + payload


def wrapped(body, size=None):
    packed = zlib.compress(body)
    return struct.pack(">ii", 0x1C849314, len(packed) if size is None else size) + packed


@pytest.mark.parametrize(("data", "offset", "reason"), [
    (b"", 0, "too short"), (plain()[:39], 39, "too short"), (plain(cookie=0x1C849301), 0, "1c849301"),
    (plain(size=2), 4, "1 bytes follow, not 2"), (plain(size=-1), 4, "payload"), (plain() + b"x", 4, "follow"),
    (plain(offset=3), 8, "shifted"), (plain(ratio=2.0), 8, "shifted"), (plain(ratio=float("nan")), 8, "shifted"),
    (plain(digits=0), 12, "from 1 to 5"), (plain(digits=-7), 12, "from 1 to 5"), (plain(lowest=0), 12, "lowest"),
    (plain(highest=-1), 12, "lowest"), (plain(digits=5, highest=2**62), 12, "slots"), (plain(b"\x80"), 40, "cut off"),
    (plain(b"\xff" * 9), 40, "slots"), (plain(b"\xfe" + b"\xff" * 8 + b"\2"), 40, "more than 2"),
    (plain(b"\xff\xff\x7f\2", lowest=2**60, highest=2**61), 40, "64 bits"), (wrapped(plain())[:-1], 4, "follow"),
    (wrapped(plain(), size=5), 4, "follow"), (wrapped(b"abc"), 3, "too short"), (wrapped(plain(size=2)), 4, "2 bytes"),
    (wrapped(plain() + b"x"), 4, "1 bytes"), (b"\x1c\x84\x93\x14\0\0\0\3abc", 0, "no zlib")])
def test_what_is_no_histogram_is_refused(data, offset, reason):
    with pytest.raises(FormatError, match=reason) as refused:
        from_hdr(data)
    assert refused.value.offset == offset


def test_what_unpacks_to_much_is_refused_before_it_does():
    bomb = wrapped(plain(size=9) + bytes(1 << 25))
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="9 bytes"):
            from_hdr(bomb)
        with pytest.raises(FormatError, match="payload"):
            from_hdr(wrapped(plain(size=2**31 - 1)))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=80), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=3), st.booleans())
def test_any_bytes_are_a_histogram_or_refused(tail, changes, compress):
    data = bytearray(plain(b"\2\3\4" + tail) if compress else to_hdr(ours_of(CHOSEN, [1, 50, 3000], 2), False))
    for at, byte in changes:
        data[at % len(data)] = byte
    for one in (tail, bytes(data), wrapped(bytes(data))):
        try:
            histogram = from_hdr(one).value
        except FormatError as error:
            assert 0 <= error.offset <= len(data) + 8
        else:
            assert from_hdr(to_hdr(histogram)).value.count == histogram.count
