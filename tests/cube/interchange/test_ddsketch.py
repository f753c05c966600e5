"""DDSketch's protobuf form, against its library for Python; and bytes that are none."""
from __future__ import annotations

import math
import random
import struct

import pytest
from ddsketch.ddsketch import BaseDDSketch, DDSketch
from ddsketch.mapping import CubicallyInterpolatedMapping, LinearlyInterpolatedMapping
from ddsketch.pb.proto import DDSketchProto
from ddsketch.store import DenseStore
from hypothesis import given
from hypothesis import strategies as st

from istat.cube.interchange import from_ddsketch
from istat.errors import FormatError
from istat.kernels import cubes as CHOSEN

SHAPE = {"highest": 10**12, "precision": 12}


def theirs_of(values, accuracy=0.01):
    sketch = DDSketch(accuracy)
    for value in values:
        sketch.add(value)
    return sketch, DDSketchProto.to_proto(sketch).SerializeToString()


def drawn(n=2000):
    rng = random.Random(2)
    return [rng.lognormvariate(9, 1.5) for _ in range(n)]


def test_theirs_come_over_within_both_errors(cubes):
    values = sorted(drawn())
    theirs, data = theirs_of(values)
    got = from_ddsketch(data, cubes.Shape(**SHAPE))
    assert got.value.count == len(values)
    assert got.lost == ("sum", "min", "max", "m2")
    for q in (1, 10, 50, 90, 99):
        assert got.value.percentile(q) == pytest.approx(theirs.get_quantile_value(q / 100), rel=0.001)
        assert got.value.percentile(q) == pytest.approx(values[int(q / 100 * len(values) + 0.5) - 1], rel=0.011)
    assert got.value.mean == pytest.approx(sum(values) / len(values), rel=0.011)


def test_zeros_negative_values_and_values_beyond_the_range(cubes):
    _, data = theirs_of([0.0, 0.0, -5.0, 7.0, 1e13, 1e300, -1e300])
    got = from_ddsketch(data, cubes.Shape(**SHAPE)).value
    assert (got.count, got.underflow, got.overflow) == (7, 2, 2)
    assert (got.min, got.max) == (-2**63, 2**63 - 1)
    assert got.buckets([0, 8]) == [4, 1, 2]


def test_a_scale_keeps_fractions(cubes):
    _, data = theirs_of([0.25] * 3)
    got = from_ddsketch(data, cubes.Shape(scale=1e6, **SHAPE)).value
    assert got.percentile(50) == pytest.approx(0.25, rel=0.011)


def test_none_comes_over_empty(cubes):
    assert from_ddsketch(theirs_of([])[1], cubes.Shape(**SHAPE)).value.is_empty


def test_bins_numbered_by_their_lower_end_are_one_further_up(cubes):
    """As the libraries for Go and Java do it: the same bytes stand for values larger by gamma."""
    _, data = theirs_of([10**6] * 5)
    upper, lower = (from_ddsketch(data, cubes.Shape(**SHAPE), numbered_by=end).value for end in ("upper", "lower"))
    assert lower.max / upper.max == pytest.approx(1.01 / 0.99, rel=1e-5)
    with pytest.raises(ValueError, match="upper or lower"):
        from_ddsketch(data, cubes.Shape(**SHAPE), numbered_by="middle")


@pytest.mark.parametrize("mapping", [LinearlyInterpolatedMapping, CubicallyInterpolatedMapping])
def test_interpolated_bins_are_refused(mapping):
    sketch = BaseDDSketch(mapping(0.01), DenseStore(), DenseStore(), 0.0)
    sketch.add(5.0)
    with pytest.raises(FormatError, match="interpolated"):
        from_ddsketch(DDSketchProto.to_proto(sketch).SerializeToString(), CHOSEN.Shape(**SHAPE))


# --- messages by hand --------------------------------------------------------------------------------

def varint(value):
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])


def part(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def double(number, value):
    return varint(number << 3 | 1) + struct.pack("<d", value)


GAMMA = 1.02
MAPPING = part(1, double(1, GAMMA))


def entry(index, count):
    return part(1, varint(1 << 3) + varint(index * 2 if index >= 0 else -index * 2 - 1) + double(2, count))


def test_the_map_of_counts_is_read_as_well(cubes):
    """A form that other libraries write: pairs instead of neighbours; unknown fields are passed over."""
    data = MAPPING + part(2, entry(300, 3.0) + entry(-2, 1.0)) + part(99, b"?") + varint(98 << 3) + b"\5" \
        + varint(97 << 3 | 5) + b"abcd" + double(4, 2.0)
    got = from_ddsketch(data, cubes.Shape(**SHAPE)).value
    assert got.count == 6
    assert got.max == round(GAMMA**300 * 2 / (1 + GAMMA))


@pytest.mark.parametrize(("data", "reason"), [
    (b"", "no mapping"), (part(1, double(1, 1.0)), "gamma is 1.0"), (part(1, double(1, math.nan)), "gamma is nan"),
    (part(1, double(1, 2.0) + double(2, math.inf)), "offset inf"), (b"\x0a\x05abc", "cut off"), (b"\x0a", "cut off"),
    (b"\x0b", "wire type 3"), (b"\x80" * 11, "too long"), (b"\1" + bytes(8), "number 0"), (b"\x21abc", "cut off"),
    (MAPPING + double(4, 1.5), "only whole"), (MAPPING + double(4, -1.0), "only whole"),
    (MAPPING + double(4, math.nan), "only whole"), (MAPPING + double(4, 1e30), "only whole"),
    (MAPPING + double(4, 2.0**62) * 2, "more than"), (MAPPING + part(2, part(2, b"abc")), "8 bytes each"),
    (MAPPING + part(2, entry(1, 0.5)), "only whole"), (MAPPING + part(2, part(2, bytes(8 * 65_537))), "65536 bins"),
    (MAPPING + part(2, part(1, b"") * 65_537), "65536 bins"), (bytes((4 << 20) + 1), "4194304 bytes")],
    ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_no_sketch_is_refused(data, reason):
    with pytest.raises(FormatError, match=reason) as refused:
        from_ddsketch(data, CHOSEN.Shape(**SHAPE))
    assert 0 <= refused.value.offset <= len(data)


TEMPLATE = MAPPING + part(2, entry(300, 3.0) + entry(-2, 1.0) + part(2, struct.pack("<3d", 1, 0, 2))) + double(4, 2.0)


@given(st.binary(max_size=60), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4))
def test_any_bytes_are_a_sketch_or_refused(tail, changes):
    changed = bytearray(TEMPLATE + tail)
    for at, byte in changes:
        changed[at % len(changed)] = byte
    for data in (tail, bytes(changed), bytes(changed[: len(tail)])):
        try:
            got = from_ddsketch(data, CHOSEN.Shape(**SHAPE)).value
        except FormatError as error:
            assert 0 <= error.offset <= len(data)
        else:
            assert got.is_empty or got.min <= got.percentile(50) <= got.max
