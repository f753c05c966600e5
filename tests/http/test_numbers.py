"""Numbers of requests: digits 0 to 9, finite, and nothing that only Python takes for one."""
from __future__ import annotations

import json

import pytest

from istat_server.http import numbers

NO_NUMBERS = ["", " ", "1_0", " 10", "10 ", "+10", "\uff11\uff10", "\u0663", "\xb2", "x", "nan", "inf", "-inf",
              "Infinity", "0x10", "1,5", "--1", "1\n", "1\0"]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_only_python_takes_for_a_number_is_none(text: str) -> None:
    assert numbers.digits(text) is None
    assert numbers.whole(text) is None
    assert numbers.decimal(text) is None
    assert numbers.cut(text) is None


def test_a_length_is_digits_only() -> None:
    assert numbers.digits("0") == 0
    assert numbers.digits("007") == 7
    assert numbers.digits(str(numbers.MOST)) == numbers.MOST
    for text in ("-1", "1.0", "1e3", str(numbers.MOST + 1), "9" * 5000):
        assert numbers.digits(text) is None


def test_a_whole_number_may_have_a_minus() -> None:
    assert numbers.whole("-12") == -12
    assert numbers.whole(str(numbers.LEAST)) == numbers.LEAST
    for text in ("1.5", "1e3", str(numbers.LEAST - 1), "-" + "9" * 5000):
        assert numbers.whole(text) is None


@pytest.mark.parametrize(("text", "value"), [("1", 1.0), ("-0.25", -0.25), (".5", 0.5), ("2.", 2.0), ("1e3", 1000.0),
                                             ("1E-3", 0.001)])
def test_a_decimal_is_finite(text: str, value: float) -> None:
    assert numbers.decimal(text) == value


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1e99999", "9" * 400, ".", "e3", "1e", "1e+"])
def test_what_is_not_finite_or_no_decimal_is_none(text: str) -> None:
    assert numbers.decimal(text) is None


@pytest.mark.parametrize(("value", "whole"), [
    (5, 5), (5.9, 5), (-5.9, -5), ("5.9", 5), ("-5.", -5), ("17", 17),
    (True, None), (False, None), (None, None), ([], None), ({}, None), (10**400, None), (1e300, None),
    (float("nan"), None), (json.loads("1e400"), None), ("1.5e3", None), ("1.\uff15", None), ("9" * 20 + ".5", None),
])  # fmt: skip
def test_fractions_are_cut_off(value: object, whole: int | None) -> None:
    assert numbers.cut(value) == whole


def test_a_plain_number_of_json_has_no_fraction_and_is_no_truth() -> None:
    assert numbers.plain(5) == 5
    for value in (5.0, "5", True, None, 10**400):
        assert numbers.plain(value) is None
