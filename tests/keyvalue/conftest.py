"""A folder of namespaces, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat_server.keyvalue.bounds import Bounds
from istat_server.keyvalue.namespaces import Namespaces


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "settings"


@pytest.fixture
def opened(folder: Path, clock: FakeClock) -> Callable[..., Namespaces]:
    return lambda **bounds: Namespaces(folder, clock, bounds=Bounds(**bounds))
