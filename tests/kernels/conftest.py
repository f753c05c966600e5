"""Fixtures of the kernels' tests."""
from __future__ import annotations

import pytest

from istat.kernels import Implementation, implementation, native_missing


@pytest.fixture(scope="session")
def native() -> Implementation:
    """The native build, for comparison with its twin."""
    if native_missing():
        pytest.skip(f"native kernels not built: {', '.join(native_missing())}")
    return implementation("native")
