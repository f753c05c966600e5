"""The clock of a program that forwards is set back, and forward: nothing is too old by that, and all arrives once."""
from __future__ import annotations

from pathlib import Path

import pytest

from ftest.harness.shifted import SetClock
from ftest.harness.site import Site

pytestmark = pytest.mark.seconds(30)
DAY = 86_400


@pytest.mark.parametrize("offset", [-3600, -30 * DAY, 30 * DAY])
@pytest.mark.parametrize("kind", ["agent", "server"])
def test_a_clock_that_is_set_loses_nothing(tmp_path: Path, kind: str, offset: float) -> None:
    """The samples have times of their own, or their batch's, so that no clock but the generator's is in them. What this
    server refuses as of the future the next one takes."""
    with Site(tmp_path) as site:
        center = site.server("center")
        link = site.network(center)
        clock = SetClock(tmp_path, f"istat_{kind}.main")
        make = site.agent if kind == "agent" else site.server
        edge = make("edge", [link], spool_age=60, command=clock.command)
        load = site.load("a", edge)
        load.wait_for(10)
        link.cut()
        load.wait_for(10)
        clock.set(offset)
        load.wait_for(100)
        edge.restart(kill=True)     # and it begins with the wrong clock
        load.wait_for(20)
        link.heal()
        load.wait_for(10)
        clock.set(0)
        load.wait_for(10)
        load.drain(may_refuse=kind == "server")
        load.truth.check(center)
