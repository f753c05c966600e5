"""Which build of the kernels is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from istat import kernels

ROOT = Path(__file__).parents[2]


def choose(wish: str, code: str = "pass") -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "ISTAT_KERNELS": wish, "PYTHONPATH": str(ROOT)}
    program = f"import istat.kernels as k; {code}; print(k.IMPLEMENTATION)"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environ, timeout=60
    )


def test_python_is_used_on_demand() -> None:
    assert choose("python", "assert k.lines.__name__ == 'istat.kernels.python.ingest.lines'").stdout == "python\n"


def test_native_on_demand_is_native_or_a_loud_error() -> None:
    result = choose("native")
    if kernels.native_missing():
        assert "python setup.py build_ext --inplace" in result.stderr
        assert kernels.native_missing()[0] in result.stderr
    else:
        assert result.stdout == "native\n"


def test_without_a_wish_the_fastest_complete_build_is_used() -> None:
    assert choose("").stdout == ("python\n" if kernels.native_missing() else "native\n")


def test_there_are_two_builds() -> None:
    assert "no kernels are called 'fortran'" in choose("fortran").stderr
    with pytest.raises(ImportError, match="fortran"):
        kernels.implementation("fortran")
    with pytest.raises(AttributeError, match="no kernel is called 'magic'"):
        kernels.implementation("python").magic  # noqa: B018


def test_a_build_is_a_namespace_of_modules() -> None:
    from istat.kernels.python.ingest import lines

    assert kernels.implementation("python").lines is lines
