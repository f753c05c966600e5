"""Images of DataSketches' HLL, against that library; and bytes that are none."""
from __future__ import annotations

import struct

import datasketches
import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.cube.interchange import from_datasketches, to_datasketches
from istat.errors import FormatError, SchemaMismatch

TYPES = [datasketches.tgt_hll_type.HLL_4, datasketches.tgt_hll_type.HLL_6, datasketches.tgt_hll_type.HLL_8]
FORMS = ("serialize_compact", "serialize_updatable")
#: Numbers of items in the modes LIST, SET and HLL of a lg_k of 12, and with exceptions of HLL_4.
NUMBERS = (0, 1, 7, 8, 384, 385, 600, 30_000)


def theirs_of(items, lg_k=12, kind=TYPES[2]):
    sketch = datasketches.hll_sketch(lg_k, kind)
    for item in items:
        sketch.update(item)
    return sketch


def ours_of(cubes, items, precision=12):
    sketch = cubes.HyperLogLog(precision, "datasketches")
    sketch.add_many(list(items))
    return sketch


@pytest.mark.parametrize("n", NUMBERS)
def test_theirs_come_over_register_by_register(cubes, n):
    ours = ours_of(cubes, range(n))
    for kind in TYPES:
        theirs = theirs_of(range(n), 12, kind)
        for form in FORMS:
            got = from_datasketches(getattr(theirs, form)())
            assert got.lost == ()
            assert (got.value.precision, got.value.hash) == (12, "datasketches")
            assert got.value.packed() == ours.packed()
            got.value.merge(ours)
            assert got.value.packed() == ours.packed()
            if n <= 384:
                assert (got.value.form, got.value.entries()) == (ours.form, ours.entries())


@pytest.mark.parametrize("lg_k", [4, 7, 8, 18])
def test_theirs_of_other_sizes(cubes, lg_k):
    for n in (5, 9, 100, 3000):
        for kind in TYPES:
            got = from_datasketches(theirs_of(range(n), lg_k, kind).serialize_compact()).value
            assert got.packed() == ours_of(cubes, range(n), lg_k).packed()


@pytest.mark.parametrize("n", [5, 200])
def test_theirs_of_more_registers_than_ours_may_have(cubes, n):
    theirs = theirs_of(range(n), 20)
    union = datasketches.hll_union(20)
    for at in range(50_000):
        union.update(at)
    got = from_datasketches(theirs.serialize_compact())
    assert (got.value.precision, got.lost) == (18, ("precision",))
    assert got.value.entries() == ours_of(cubes, range(n), 18).entries()
    dense = from_datasketches(union.get_result().serialize_compact()).value
    assert dense.estimate() == pytest.approx(50_000, rel=0.01)


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize("precision", [7, 12])
def test_a_union_of_ours_and_theirs_counts_items_once(cubes, n, precision):
    ours, theirs = ours_of(cubes, range(n), precision), theirs_of(range(n), precision)
    written = datasketches.hll_sketch.deserialize(to_datasketches(ours))
    assert (written.lg_config_k, written.is_empty()) == (precision, n == 0)
    assert from_datasketches(written.serialize_compact()).value.packed() == ours.packed()
    union = datasketches.hll_union(precision)
    union.update(written)
    alone = union.get_estimate()
    union.update(theirs)
    assert union.get_estimate() == pytest.approx(alone, rel=1e-6)
    assert union.get_estimate() == pytest.approx(n, rel=4 * 1.04 / 2 ** (precision / 2))
    assert ours.estimate() == pytest.approx(n, rel=4 * 1.04 / 2 ** (precision / 2))


@pytest.mark.parametrize("items", [["a", "user-5", "ü", "x" * 50], [0, 1, -1, 2**62, -(2**63)], ["", "a"]])
def test_items_are_hashed_as_theirs(cubes, items):
    assert from_datasketches(theirs_of(items).serialize_compact()).value.entries() == ours_of(cubes, items).entries()
    assert not ours_of(cubes, [""]).add(b"")


def test_kinds_do_not_mix(cubes):
    imported = from_datasketches(theirs_of(range(10)).serialize_compact()).value
    with pytest.raises(SchemaMismatch, match="hashed by datasketches"):
        cubes.HyperLogLog(12).merge(imported)
    with pytest.raises(SchemaMismatch, match="mean nothing to DataSketches"):
        to_datasketches(cubes.HyperLogLog(12))


# --- bytes that are none -----------------------------------------------------------------------------

def image(words=10, version=1, family=7, lg_k=4, room=0, flags=8, count=0, kind=2, mode=2, body=b"", exceptions=0):
    figures = struct.pack("<dddII", 0.0, 16.0, 0.0, 16, exceptions) if mode == 2 else b""
    return struct.pack("<8B", words, version, family, lg_k, room, flags, count, kind << 2 | mode) + figures + body


def coupons(*found):
    return struct.pack(f"<{len(found)}I", *found)


ONE = 1 << 26 | 5


@pytest.mark.parametrize(("data", "offset", "reason"), [
    (b"", 0, "too short"), (b"\2\1\7", 3, "too short"), (image(version=2), 1, "version 2"),
    (image(family=3), 1, "family 3"),
    (image(lg_k=3), 3, "lg_k of 3"), (image(lg_k=22), 3, "lg_k of 22"), (image(mode=3), 7, "mode 3"),
    (image(kind=3), 7, "type 3"), (image(words=2), 0, "2 words, not 10"), (image()[:39], 39, "head is cut off"),
    (image(), 40, "0 bytes for 16 registers"), (image(body=bytes(17)), 40, "17 bytes for 16"),
    (image(body=bytes(15) + b"\x40"), 40, "rank above 63"), (image(kind=1, body=bytes(12)), 40, "12 bytes"),
    (image(kind=0, body=bytes(7)), 40, "7 bytes"), (image(kind=0, body=bytes(9)), 48, "1 bytes of exceptions"),
    (image(kind=0, body=bytes(8 + 68)), 48, "68 bytes of exceptions"),
    (image(kind=0, body=bytes(8), exceptions=1), 48, "1 are"),
    (image(kind=0, body=b"\x0f" + bytes(7)), 48, "0 exceptions for 1"),
    (image(kind=0, count=60, body=b"\5" * 8), 6, "above 63"),
    (image(kind=0, body=b"\x0f" + bytes(7) + coupons(20 << 26 | 1), exceptions=1), 48, "1 exceptions for 1"),
    (image(words=2, mode=0, count=1), 8, "0 bytes for 1"), (image(words=2, mode=0, count=1, body=b"abc"), 8, "3 bytes"),
    (image(words=2, mode=0, count=1, body=coupons(ONE, ONE)), 8, "8 bytes for 1"),
    (image(words=2, mode=0, count=1, body=coupons(0)), 8, "0 coupons, not 1"),
    (image(words=2, mode=0, count=1, body=coupons(5)), 8, "without a rank"),
    (image(words=3, mode=1), 8, "head is cut off"),
    (image(words=3, mode=1, body=coupons(2**32 - 1)), 12, "0 bytes for 4"),
    (image(words=3, mode=1, flags=0, room=1, body=coupons(1, ONE, ONE)), 12, "2 coupons, not 1")])
def test_what_is_no_sketch_is_refused(data, offset, reason):
    with pytest.raises(FormatError, match=reason) as refused:
        from_datasketches(data)
    assert refused.value.offset == offset


def test_exceptions_of_four_bits(cubes):
    data = image(kind=0, count=1, body=b"\x2f" + bytes(7) + coupons(40 << 26 | 0), exceptions=1)
    assert from_datasketches(data).value.registers() == bytes([40, 3] + [1] * 14)


SAMPLES = [getattr(theirs_of(range(n), lg_k, kind), form)()
           for n, lg_k in ((5, 8), (20, 8), (300, 8), (3000, 4)) for kind in TYPES for form in FORMS]


@given(st.sampled_from(SAMPLES), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
       st.integers(0, 5), st.binary(max_size=60))
def test_any_bytes_are_a_sketch_or_refused(sample, changes, cut, noise):
    changed = bytearray(sample)
    for at, byte in changes:
        changed[at % len(changed)] = byte
    for data in (bytes(changed), bytes(changed[: len(changed) - cut]), noise, sample[:8] + noise):
        try:
            sketch = from_datasketches(data).value
        except FormatError as error:
            assert 0 <= error.offset <= len(data)
        else:
            assert sketch.estimate() >= 0
            assert from_datasketches(to_datasketches(sketch)).value.packed() == sketch.packed()
