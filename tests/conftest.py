"""Fixtures for all unit tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from istat.clock import FakeClock
from istat.kernels import BUILDS, Implementation, implementation, native_missing


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands at a round moment: 2012-01-01 05:16:40 UTC, a multiple of 1000."""
    return FakeClock(1325395000)


@pytest.fixture(params=BUILDS)
def kernels(request: pytest.FixtureRequest) -> Iterator[Implementation]:
    """Each build of the kernels in turn; the native one is skipped where it is not complete."""
    if request.param == "native" and native_missing():
        pytest.skip(f"native kernels not built: {', '.join(native_missing())}")
    yield implementation(request.param)


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """What a daemon's main sets up for its log ends with the test: its stream is closed by then."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
