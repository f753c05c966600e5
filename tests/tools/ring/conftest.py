"""Tests of ring tools use the writer of istatd's layout, and run programs as a shell would."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

import pytest

from istat.clock import FakeClock
from istat_server.tools import ALIASES

sys.path.insert(0, str(Path(__file__).parents[2] / "foreign"))
sys.path.insert(0, str(Path(__file__).parents[1]))
NOW = 1325404800
Program = Callable[..., tuple[int, str, str]]


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """Run one of istatd's programs: its exit status, what it printed, what it told on standard error."""

    def run(name: str, *words: object, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        status = resolve_name(ALIASES[name]).main([str(word) for word in words], FakeClock(NOW))
        return status, *capsys.readouterr()

    return run
