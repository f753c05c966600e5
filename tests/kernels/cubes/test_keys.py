"""Keys of cells: the bytes of each type, what is refused, and the columns of a batch; both builds alike."""
from __future__ import annotations

import array
import importlib
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import KeyTooLong

VALUES = st.none() | st.booleans() | st.integers(-2**63, 2**63 - 1) | st.floats(allow_nan=False) | \
    st.text(max_size=200) | st.binary(max_size=200)


def build(name):
    try:
        return importlib.import_module(f"istat.kernels.{name}.cubes.keys")
    except ImportError:
        return None


BUILDS = [keys for keys in map(build, ("python", "native")) if keys is not None]


@pytest.fixture(params=BUILDS, ids=lambda keys: keys.__name__.split(".")[2])
def keys(request):
    return request.param


@pytest.fixture(params=["python", "native"])
def core(request):
    module = pytest.importorskip(f"istat.kernels.{request.param}.cubes.core")
    cells = importlib.import_module(f"istat.kernels.{request.param}.cubes.cells")
    return module.Core(("name",), cells.Guard())


def columns(core, column):
    """The values of a column's rows, as cells get them."""
    counter = core.add_counter("n")
    assert counter.incrby_many(core.rows([column])) == counter.total
    return [core.key(slot)[0] for slot in core.slots()]


@pytest.mark.parametrize("value, expected", [
    (None, "00"),
    (1, "010100000000000000"), (-2, "01feffffffffffffff"), (True, "010100000000000000"),
    (1.0, "02000000000000f03f"), (-0.0, "020000000000000000"),
    ("GET", "0303474554"), ("", "0300"), ("é", "0302c3a9"),
    (b"\x00x", "04020078"),
    ("x" * 200, "03c801" + "78" * 200),
])
def test_a_value_is_a_tag_and_a_body(keys, value, expected):
    assert keys.encoded((value,)).hex() == expected
    assert keys.decoded(bytes.fromhex(expected), 1) == (value,)


def test_values_stand_one_after_another(keys):
    key = keys.encoded(("GET", None, 200))
    assert key.hex() == "0303474554" "00" "01c800000000000000"
    assert keys.decoded(key, 3) == ("GET", None, 200)
    assert keys.encoded(()) == b"" and keys.decoded(b"", 0) == ()


def test_one_as_int_and_as_float_are_two_keys(keys):
    assert keys.encoded((1,)) != keys.encoded((1.0,))


def test_numbers_of_numpy_are_numbers(keys):
    numpy = pytest.importorskip("numpy")
    assert keys.encoded((numpy.int32(5), numpy.float64(0.5), numpy.str_("a"))) == keys.encoded((5, 0.5, "a"))


@pytest.mark.parametrize("value, error", [
    (math.nan, ValueError), (2**63, OverflowError), (-2**63 - 1, OverflowError), ("\ud800", ValueError),
    ([1], TypeError), (object(), TypeError), (1j, TypeError), ({}, TypeError),
    ("x" * 4094, KeyTooLong), (b"x" * 5000, KeyTooLong),
])
def test_what_is_no_value_is_refused(keys, value, error):
    with pytest.raises(error):
        keys.encoded((value,))


def test_the_longest_key_has_4096_bytes(keys):
    longest = ("x" * 4093,)
    assert len(keys.encoded(longest)) == 4096
    assert keys.decoded(keys.encoded(longest), 1) == longest


@given(st.lists(VALUES, max_size=6))
def test_keys_of_all_values_come_back_and_are_alike_in_both_builds(values):
    expected = tuple(int(value) if isinstance(value, bool) else value for value in values)
    for keys in BUILDS:
        key = keys.encoded(tuple(values))
        assert keys.decoded(key, len(values)) == expected
        assert key == BUILDS[0].encoded(tuple(values))


@pytest.mark.parametrize("damaged", [
    "", "05", "01ff", "02000000000000f07f"[:-2], "0302c3", "0302c328", "03c8", "038000", "03ff00", "04ff",
    "0000", "02000000000000f87f", "020000000000000080", "03808001", "03ffff7f",
])
def test_bytes_that_are_no_key_are_refused(keys, damaged):
    with pytest.raises(ValueError):
        keys.decoded(bytes.fromhex(damaged), 1)


@given(st.binary(max_size=40))
def test_bytes_are_a_key_or_refused_and_a_key_has_one_form_only(data):
    for keys in BUILDS:
        try:
            values = keys.decoded(data, 2)
        except ValueError:
            continue
        assert keys.encoded(values) == data


@pytest.mark.parametrize("column, expected", [
    (["a", "b", "a"], ["a", "b"]),
    (("a", b"b", 3, 0.5, None), ["a", b"b", 3, 0.5, None]),
    ([1, 1.0, True], [1, 1.0]),
    (array.array("q", [-5, 7]), [-5, 7]),
    (array.array("i", [-5, 7]), [-5, 7]),
    (array.array("I", [2**32 - 1]), [2**32 - 1]),
    (array.array("Q", [2**63 - 1]), [2**63 - 1]),
    (array.array("d", [0.5, -0.0]), [0.5, 0.0]),
    ((array.array("i", [0, 2, 2, 5]), b"abcde"), [b"ab", b"", b"cde"]),
    ((array.array("q", [1, 3]), bytearray(b"abcde")), [b"bc"]),
    ((array.array("i", [1, 0, 1]), ["a", "b"]), ["b", "a"]),
    (([0, 2], ("a", None, 7)), ["a", 7]),
    ("one", ["one"]), (b"one", [b"one"]), (5, [5]), (None, [None]),
])
def test_columns_of_all_kinds(core, column, expected):
    found = columns(core, column)
    assert found == expected and list(map(type, found)) == list(map(type, expected))


def test_arrays_of_numpy(core):
    numpy = pytest.importorskip("numpy")
    assert columns(core, numpy.array([b"GET", b"", b"a\0b"], dtype="S5")) == [b"GET", b"", b"a\0b"]
    core.reset()
    assert columns_again(core, numpy.array(["GET", "", "é"])) == ["GET", "", "é"]
    core.reset()
    assert columns_again(core, numpy.arange(20, dtype=numpy.int64)[::7]) == [0, 7, 14]


def columns_again(core, column):
    core.metrics[0].incrby_many(core.rows([column]))
    return [core.key(slot)[0] for slot in core.slots()]


@pytest.mark.parametrize("column, error", [
    (array.array("d", [1.0, math.nan]), ValueError),
    (array.array("Q", [1, 2**63]), OverflowError),
    (["a", math.nan], ValueError),
    (["a", []], TypeError),
    (["a", "x" * 5000], KeyTooLong),
    ((array.array("i", [0, 3, 2]), b"abcde"), ValueError),
    ((array.array("i", [0, 6]), b"abcde"), ValueError),
    ((array.array("i", [-1, 2]), b"abcde"), ValueError),
    ((array.array("i", []), b""), ValueError),
    ((array.array("i", [0, 2]), ["a", "b"]), ValueError),
    ((array.array("i", [-1]), ["a", "b"]), ValueError),
    ((array.array("i", [0]), 5), TypeError),
    (array.array("f", [1.0]), TypeError),
    (object(), TypeError),
    ({"a": 1}, TypeError),
])
def test_a_column_that_cannot_be_leaves_the_cube_as_it_was(core, column, error):
    counter = core.add_counter("n")
    with pytest.raises(error):
        core.update([column], {counter: 1})
    with pytest.raises(error):
        counter.incrby_many(core.rows([column]))
    assert core.slots() == [] and counter.total == 0


def test_what_is_no_value_is_told_with_what_is_one(core):
    counter = core.add_counter("n")
    with pytest.raises(TypeError, match="^float is no type .*: 1.5; .* a counter int, and float with dtype=float$"):
        counter.incrby(("a",), 1.5)
    with pytest.raises(TypeError, match="^list is no .*; a dimension takes str, bytes, int, float and None"):
        counter.incrby(([],))
    with pytest.raises(TypeError, match="not a buffer of format 'f': convert it, as by NumPy's astype$"):
        core.update([array.array("f", [1.0])], {counter: 1})


def test_columns_of_two_lengths_are_told(core):
    with pytest.raises(ValueError, match="2.*3|3.*2"):
        core.update([["a", "b"]], {core.add_counter("n"): array.array("q", [1, 2, 3])})
    with pytest.raises(ValueError, match="1 dimension.* 2 columns"):
        core.rows([["a"], ["b"]])


def test_floats_are_packed_as_ieee(keys):
    assert keys.encoded((math.pi,)) == b"\x02" + struct.pack("<d", math.pi)
