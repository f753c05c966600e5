"""The kernels of cubes, and a core, of each build."""
from __future__ import annotations

import pytest

from tests.kernels.cubes.cores import ROOMS


@pytest.fixture
def cubes(kernels):
    return kernels.cubes


@pytest.fixture(params=ROOMS, ids=lambda room: room.build)
def room(request):
    return request.param


@pytest.fixture
def core(room):
    return room.Core(("method", "status"), room.Guard(origin=7, tick=5))
