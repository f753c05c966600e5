"""Hashes of items: published values, the independent xxhash, and the twin."""
from __future__ import annotations

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from istat.kernels import implementation
from istat.kernels.python.cubes.hashing import coupon, murmur3

XXH64, DATASKETCHES = 1, 2


def test_published_values(cubes):
    assert [f"{cubes.xxh64(data):016x}" for data in (b"", b"a", b"abc")] == [
        "ef46db3751d8e999", "d24ec4f1a98c6e5b", "44bc2cf5ad770999"]  # fmt: skip
    assert f"{cubes.hash_item(5):016x}" == "89be0b2dd5c2593d"


@given(st.binary(max_size=200))
def test_xxh64_is_what_xxhash_says(data):
    for build in ("python", "native"):
        assert implementation(build).cubes.xxh64(data) == xxhash.xxh64_intdigest(data)


def test_murmur3_of_published_values():
    """Of the reference implementation: x64-128 with seed 0."""
    assert murmur3(b"hello", 0) == (0xCBD8A7B341BD9B02, 0x5B1E906A48AE1D19)
    assert murmur3(b"The quick brown fox jumps over the lazy dog", 0) == (0xE34BBC7BBC071B6C, 0x7A433CA9C49A9347)


@given(st.binary(max_size=70))
def test_both_builds_make_the_same_coupon(data):
    made = [implementation(build).cubes.hashed(data, DATASKETCHES) for build in ("python", "native")]
    assert made == [coupon(data)] * 2
    assert 0 <= made[0] < 2**32


def test_no_bytes_are_no_coupon(cubes):
    assert cubes.hashed("", DATASKETCHES) == cubes.hashed(b"", DATASKETCHES) == 0


def test_an_int_hashes_its_eight_bytes(cubes):
    for number in (0, 5, -1, 2**63 - 1, -2**63):
        assert cubes.hash_item(number) == cubes.xxh64(number.to_bytes(8, "little", signed=True))
    assert cubes.hash_item(2**64 - 1) == cubes.hash_item(-1)
    assert cubes.hash_item(True) == cubes.hash_item(1) == cubes.hash_item(np.int16(1))
    assert cubes.hash_item("é") == cubes.hash_item("é".encode())


@pytest.mark.parametrize("number", [2**64, -2**63 - 1])
def test_an_int_of_more_than_64_bits_is_refused(cubes, number):
    with pytest.raises(OverflowError, match="2\\*\\*64 - 1"):
        cubes.hash_item(number)


@pytest.mark.parametrize("item", [1.0, None, (1,), bytearray(b"a"), np.float64(1)])
def test_other_types_are_refused(cubes, item):
    with pytest.raises(TypeError, match="str, bytes or int"):
        cubes.hash_item(item)
