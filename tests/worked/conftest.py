"""A whole server at the moment of most worked examples, without sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from istat.clock import FakeClock
from tests.worked.site import NOW, Site


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., Site]]:
    """Makes sites of these words of a command line, whose clock is 1325395000 unless a test sets it."""
    clock.set(NOW)
    made: list[Site] = []

    def build(*words: str) -> Site:
        made.append(Site(tmp_path / "store", clock, *words))
        return made[-1]

    yield build
    for site in made:
        site.end()


@pytest.fixture
def site(make: Callable[..., Site]) -> Site:
    """One with the default settings."""
    return make()
