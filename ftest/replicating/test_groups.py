"""Groups of targets: in one a target takes over from the other and nothing counts twice; of several each has all."""
from __future__ import annotations

from pathlib import Path

import pytest

from ftest.harness.site import Site

pytestmark = pytest.mark.seconds(90)
SECONDS = [20, pytest.param(600, marks=pytest.mark.slow)]


@pytest.mark.parametrize("seconds", SECONDS)
def test_fail_over_below_one_server_counts_nothing_twice(tmp_path: Path, seconds: float) -> None:
    """agent -> (one | two) -> center: whichever way a sample goes, and however often it changes."""
    with Site(tmp_path) as site:
        center = site.server("center")
        one, two = (site.server(name, [f"127.0.0.1:{center.stat_port}"]) for name in ("one", "two"))
        first, second = site.network(one), site.network(two)
        edge = site.agent("edge", [f"127.0.0.1:{first.port} | 127.0.0.1:{second.port}"])
        load = site.load("a", edge)
        site.trouble(load, seconds, [*site.kills(one, two, edge), *site.cuts(first, second)])
        site.settle()
        load.drain()
        load.truth.check(center, seconds=120)
        load.truth.check(one, two)


@pytest.mark.parametrize("seconds", SECONDS)
def test_each_of_several_groups_gets_everything(tmp_path: Path, seconds: float) -> None:
    with Site(tmp_path) as site:
        servers = [site.server("one"), site.server("two")]
        links = [site.network(server) for server in servers]
        edge = site.agent("edge", links)
        load = site.load("a", edge)
        site.trouble(load, seconds, [*site.kills(edge, *servers), *site.cuts(*links)])
        site.settle()
        load.drain()
        for server in servers:
            load.truth.check(server)


def test_a_group_that_is_away_holds_up_no_other(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        here, away = site.server("here"), site.server("away")
        link = site.network(away)
        edge = site.agent("edge", [f"127.0.0.1:{here.stat_port}", link])
        load = site.load("a", edge)
        load.wait_for(5)
        link.stall()
        load.wait_for(40)
        load.drain()
        load.truth.check(here)
        assert load.truth.differences(away)
        link.heal()
        load.truth.check(away)
