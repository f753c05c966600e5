"""A module that is not there: what to install."""

from __future__ import annotations

import sys

import pytest

from istat.daemon.missing import cure


def test_debians_package_and_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ModuleNotFoundError("No module named 'MySQLdb.cursors'", name="MySQLdb.cursors")
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert cure(error) == ("; install it: apt install python3-mysqldb, or where Debian has none: "
                           f"{sys.executable} -m pip install MySQLdb")
    monkeypatch.setattr(sys, "prefix", "/somewhere/venv")
    assert cure(error) == f"; install it: {sys.executable} -m pip install MySQLdb"


def test_other_errors_and_our_own_library() -> None:
    assert cure(ValueError("no")) == cure(ModuleNotFoundError("by hand")) == ""
    assert cure(ModuleNotFoundError("x", name="istat.plugin")) == "; install istatd for this Python"
