"""Errors: each command's exit status names one cause."""

from __future__ import annotations

from istat import errors
from istat.errors import BadLine, BadQuery, IstatError, SettingsError, UnknownCounter


def all_errors() -> list[type[IstatError]]:
    found = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, IstatError)]
    assert len(found) > 10
    return found


def test_exit_codes_are_distinct_and_fit_a_shell() -> None:
    codes = {e.__name__: e.exit_code for e in all_errors()}
    assert len(set(codes.values())) == len(codes), codes
    assert all(0 < code < 126 for code in codes.values())


def test_each_class_names_its_own_code() -> None:
    assert not [e for e in all_errors() if "exit_code" not in vars(e)]


def test_what_errors_carry() -> None:
    assert SettingsError(["a is wrong", "b is missing"]).problems == ["a is wrong", "b is missing"]
    assert str(SettingsError(["a is wrong", "b is missing"])) == "a is wrong\nb is missing"
    assert SettingsError("one").problems == ["one"]
    assert (BadLine("value").kind, str(BadLine("value", "no number"))) == ("value", "no number")
    assert (BadQuery("too many").status, BadQuery("too big", 413).status, UnknownCounter("x").status) == (
        400,
        413,
        404,
    )
