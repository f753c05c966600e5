"""What is in doubt at a target that went away: it waits for that one, and after forward-doubt another gets it."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ftest.harness.commands import istat
from ftest.harness.serverprocess import ServerProcess
from ftest.harness.site import Site
from tests.ports import own_port

pytestmark = pytest.mark.seconds(45)
TOKEN, ADMIN = "r" * 32, "a" * 32


def group(edge: ServerProcess) -> dict[str, Any]:
    found: dict[str, Any] = edge.get("/api/v1/status")["forward"]["groups"][0]
    return found


def total(edge: ServerProcess, name: str) -> float:
    return float(edge.get("/api/v1/status")["forward"]["totals"][name])


def in_doubt(edge: ServerProcess) -> int:
    return sum(target["in_doubt"] for target in group(edge)["targets"])


def test_doubts_wait_for_their_target_and_then_go_to_the_other(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        one, two = site.server("one"), site.server("two")
        link = site.network(one)
        edge = site.server("edge", [f"127.0.0.1:{link.port} | 127.0.0.1:{two.stat_port}"], forward_doubt=5)
        before = site.load("a", edge)
        before.wait_for(10)
        before.drain()
        before.truth.check(one)
        edge.wait_until(lambda: not in_doubt(edge), "the first one has acknowledged it all")
        link.stall()                    # so nothing of what is sent now is taken there
        load = site.load("b", edge, truth=before.truth)
        load.wait_for(5)
        edge.wait_until(lambda: in_doubt(edge), "something is in doubt")
        one.kill9()
        link.cut()
        load.wait_for(20)
        load.drain()
        edge.wait_until(lambda: not in_doubt(edge), "the other one has been given it", 60)
        edge.wait_until(lambda: not group(edge)["waiting_lines"], "and has it")
        assert total(edge, "forward.doubted")
        one.start()
        load.truth.check(one, two)


def test_a_target_that_takes_nothing_now_says_so_and_the_next_one_takes_over(tmp_path: Path) -> None:
    """A replica takes nothing, and says so: what it was sent is in no doubt."""
    with Site(tmp_path) as site:
        master = site.server("master", replica_token=TOKEN)
        replica = site.server("replica", replica_of=f"http://127.0.0.1:{master.http_port}", replica_token=TOKEN)
        edge = site.server("edge", [f"127.0.0.1:{replica.stat_port} | 127.0.0.1:{master.stat_port}"])
        load = site.load("a", edge)
        load.wait_for(40)
        load.drain()
        load.truth.check(master)
        load.truth.check(replica)
        assert not in_doubt(edge) and not total(edge, "forward.doubted")


def test_senders_go_to_the_replica_that_took_the_masters_place(tmp_path: Path) -> None:
    """... and stay there when the old master comes back, which is fenced."""
    with Site(tmp_path) as site:
        port = own_port()
        master = site.server("master", replica_token=TOKEN)
        replica = site.server("replica", replica_of=f"http://127.0.0.1:{master.http_port}", replica_token=TOKEN,
                              http_port=port, replica_url=f"http://127.0.0.1:{port}", admin_token=ADMIN)
        edge = site.server("edge", [f"127.0.0.1:{master.stat_port} | 127.0.0.1:{replica.stat_port}"])
        before = site.load("a", edge)
        before.wait_for(20)
        before.drain()
        before.truth.check(replica)
        master.kill9()
        assert istat(replica, "replica", "promote", "--yes", admin_token=ADMIN).returncode == 0
        load = site.load("b", edge, truth=before.truth)
        load.wait_for(20)
        master.start()
        load.wait_for(100)
        load.drain()
        load.truth.check(replica)
        assert not master.get("/api/v1/names", match="*host.b")["names"], "the old master has taken nothing"


def test_a_target_that_is_oneself_is_refused(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        server = site.server("one", ["127.0.0.1:1"])
        server.options["forward"] = f"127.0.0.1:{server.stat_port}"
        server.restart()
        load = site.load("a", server)
        load.wait_for(10)
        server.wait_until(lambda: "own spool" in group(server)["targets"][0]["why"], "it is told")
        load.drain()
        load.truth.check(server)


@pytest.mark.slow
def test_what_is_too_old_goes_and_is_counted(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        center = site.server("center")
        link = site.network(center)
        link.cut()
        edge = site.server("edge", [link], spool_age=60)
        load = site.load("a", edge)
        load.wait_for(10)
        load.drain()
        edge.wait_until(lambda: edge.get("/api/v1/status")["forward"]["spool_lost"]["age"] >= load.truth.samples,
                        "what is older than a minute is lost", 120)
        link.heal()
        edge.wait_until(lambda: group(edge)["in_use"] and not group(edge)["waiting_lines"], "what is younger arrives",
                        90)
        assert not center.get("/api/v1/names", match="load.*")["names"]
