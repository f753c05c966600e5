"""For the tests of all built-in collectors: a fake /proc for psutil, and a check of documentation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from istat.plugin import Definition, Emit


@pytest.fixture
def fake_proc(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """A function that makes psutil read a folder instead of /proc."""

    def use(folder: Path) -> None:
        monkeypatch.setattr(psutil, "PROCFS_PATH", str(folder), raising=False)

    return use


@pytest.fixture
def documented() -> Callable[[Definition, Emit], None]:
    """A function that fails unless every value of a reading is a metric that the collector declares."""

    def check(definition: Definition, emit: Emit) -> None:
        assert emit.readings, "the collector reported nothing"
        for reading in emit.readings:
            fits = [m for m in definition.metrics if m.event == reading.event and m.matches(reading.name)]
            assert fits, f"{reading.name} is not among the metrics of {definition.name}"

    return check
