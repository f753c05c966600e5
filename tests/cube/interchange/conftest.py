"""Fixtures of the tests of what crosses to other libraries."""
from __future__ import annotations

from types import ModuleType

import pytest

from istat.kernels import Implementation


@pytest.fixture
def cubes(kernels: Implementation, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Each build in turn, which the readers and writers use as well."""
    for module in ("hdr", "ddsketch", "datasketches"):
        monkeypatch.setattr(f"istat.cube.interchange.{module}.cubes", kernels.cubes)
    return kernels.cubes
