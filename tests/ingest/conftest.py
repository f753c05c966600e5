from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ingest.fakes import Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    bench.pump.start()
    yield bench
    bench.pump.stop()
    assert bench.errors == []
