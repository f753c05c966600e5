"""The settings in docs/replicating.md, taken literally: each is accepted as it stands, and each set-up does what the
page says, with this machine's ports and files in place of the names."""
from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ftest.harness.agentprocess import AgentProcess
from ftest.harness.commands import istat
from ftest.harness.generator import Generator
from ftest.harness.original import Original
from ftest.harness.serverprocess import ROOT, START_SECONDS, ServerProcess
from ftest.harness.site import Site
from ftest.harness.truth import Truth
from tests.certificates import Authority
from tests.ports import own_port

pytestmark = pytest.mark.seconds(40)
ADMIN = "a-secret-of-who-promotes"      # as the page has it
PAGE = ROOT / "docs" / "replicating.md"
BLOCK = re.compile(r"```toml\n# (?P<title>(?P<machines>[a-z0-9, ]+): (?P<program>agent|server)\.toml[^\n]*)\n"
                   r"(?P<settings>.*?)```", re.DOTALL)
BLOCKS = {found["title"]: found for found in BLOCK.finditer(PAGE.read_text())}


def with_files(text: str, authority: Authority) -> str:
    """Settings that name files which are there."""
    pair = authority.pair()
    for path, here in (("ca.pem", authority.ca), ("cert.pem", pair.cert), ("key.pem", pair.key)):
        text = text.replace(f"/etc/istatd/{path}", str(here))
    return text


class Machines:
    """This machine's ports for the names of the page."""

    def __init__(self, folder: Path, authority: Authority | None = None) -> None:
        self.folder, self.authority = folder, authority
        self.ports: dict[tuple[str, str], int] = {}

    def port(self, name: str, kind: str = "8111") -> int:
        """`kind`: the port as the page has it."""
        return self.ports.setdefault((name, kind), own_port())

    def written(self, title: str, machine: str) -> Path:
        """The settings of a block as a file for one machine."""
        found = BLOCKS[title]
        assert machine in found["machines"].split(", ")
        text = re.sub(r"(\w+)\.example\.net:(\d+)", lambda name: f"localhost:{self.port(name[1], name[2])}",
                      found["settings"])
        text = re.sub(r"(?m)^stat-port = 8111$", f"stat-port = {self.port(machine)}", text)
        path = self.folder / f"{machine}.toml"
        path.write_text(text if self.authority is None else with_files(text, self.authority))
        return path

    def server(self, machine: str, title: str | None = None, **more: object) -> ServerProcess:
        """A server by a block, not started yet."""
        options: dict[str, object] = {"stat_port": self.port(machine), "http_port": self.port(machine, "8000"),
                                      "listen_address": "127.0.0.1", "http_listen_address": "127.0.0.1"}
        if title is not None:
            options["config"] = self.written(title, machine)
        return ServerProcess(self.folder / machine, **{**options, "spool": self.folder / f"{machine}-spool", **more})

    def agent(self, machine: str, title: str) -> AgentProcess:
        """An agent by a block, not started yet."""
        return AgentProcess(self.folder / machine, None, config=self.written(title, machine),
                            stat_port=self.port(machine))


@pytest.mark.parametrize("title", BLOCKS)
def test_the_settings_are_accepted_as_they_stand(tmp_path: Path, authority: Authority, title: str) -> None:
    found = BLOCKS[title]
    path = tmp_path / f"{found['program']}.toml"
    tomllib.loads(found["settings"])
    path.write_text(with_files(found["settings"], authority))
    done = subprocess.run([sys.executable, "-m", f"istat_{found['program']}.main", "--config", str(path),
                           "--check-config"], cwd=ROOT, text=True, capture_output=True, timeout=START_SECONDS)
    assert done.returncode == 0, done.stderr


def test_an_agent_and_two_servers(tmp_path: Path) -> None:
    machines = Machines(tmp_path)
    title = "stats1, stats2: server.toml"
    with machines.server("stats1", title) as one, machines.server("stats2", title) as two, \
            machines.agent("web1", "web1: agent.toml") as agent, \
            Generator("a", lambda: agent.stat_port) as load:
        load.wait_for(10)
        two.kill9()                 # one that is away does not hold up the other
        with Generator("b", lambda: agent.stat_port, gauges=("load.meanwhile",), events=()) as meanwhile:
            meanwhile.wait_for(10)
            meanwhile.drain()
            meanwhile.truth.check(one)
        two.start()
        load.drain()
        for server in (one, two):
            load.truth.check(server)
            meanwhile.truth.check(server)
            server.wait_until(lambda server=server: server.get("/api/v1/names", match="agent.*.host.web1")["names"],
                              "what the agent's own collectors report is there")


def test_fail_over(tmp_path: Path) -> None:
    machines = Machines(tmp_path)
    title = "stats1, stats2: server.toml"
    with machines.server("stats1", title) as one, machines.server("stats2", title) as two, \
            machines.agent("web1", "web1: agent.toml, fail-over") as agent, \
            Generator("a", lambda: agent.stat_port) as load:
        load.wait_for(10)
        one.wait_until(lambda: one.ingest()["samples"] > 100, "the first one gets it")
        assert two.get("/api/v1/names", match="load.*")["names"] == []
        one.kill9()
        load.wait_for(10)
        two.wait_until(lambda: two.get("/api/v1/names", match="load.*")["names"], "the second one gets it")
        one.start()
        before = one.ingest()["samples"]
        one.wait_until(lambda: one.ingest()["samples"] > before + 100, "it is gone back to", 90)
        load.drain()
        load.truth.check(one, two)


def test_a_tree_of_servers(tmp_path: Path, authority: Authority) -> None:
    machines = Machines(tmp_path, authority)
    site = Site(tmp_path)
    with site, machines.server("center", "center: server.toml", ca=authority.ca) as center, \
            machines.server("berlin", "berlin, paris: server.toml") as berlin, \
            machines.server("paris", "berlin, paris: server.toml") as paris:
        truth = Truth()
        loads = [site.load("a", berlin, truth=truth), site.load("a", paris, truth=truth)]
        for load in loads:
            load.wait_for(10)
        for load in loads:
            load.drain()
        truth.check(center)


def test_an_original(tmp_path: Path) -> None:
    machines = Machines(tmp_path)
    with Original(machines.port("old")) as old, machines.agent("web1", "web1: agent.toml, to an original") as agent, \
            Generator("a", lambda: agent.stat_port) as load:
        load.wait_for(20)
        load.drain()
        old.wait_until(lambda: old.count(b"load.", b"*hits", b"*sent") == load.truth.samples, "all is there, once")
        assert {"proto", "version", "hostname"} <= old.metadata().keys()


def test_a_replica_that_takes_the_masters_place(tmp_path: Path) -> None:
    machines = Machines(tmp_path)
    with machines.server("stats1", "stats1: server.toml") as master, \
            machines.server("stats2", "stats2: server.toml", token=ADMIN) as replica, \
            Generator("a", lambda: master.stat_port) as load:
        load.wait_for(10)
        load.drain()
        load.truth.check(master)
        load.truth.check(replica)
        said = istat(replica, "replica", "status", admin_token=ADMIN)
        assert said.returncode == 0 and f"localhost:{master.http_port}" in said.stdout, said
        with Generator("b", lambda: replica.stat_port) as refused:
            replica.wait_until(lambda: refused.later, "it refuses samples")
            assert refused.acknowledged == 0 and f"localhost:{master.http_port}" in refused.said, refused.said
        master.kill9()
        promoted = istat(replica, "replica", "promote", "--yes", admin_token=ADMIN)
        assert promoted.returncode == 0, promoted
        with Generator("c", lambda: replica.stat_port, truth=load.truth) as after:
            after.wait_for(10)
            after.drain()
        load.truth.check(replica)
        master.start()
        with Generator("d", lambda: master.stat_port) as late:
            master.wait_until(lambda: late.later > 3, "the old master refuses samples")
            assert late.acknowledged == 0 and f":{replica.http_port}" in late.said, late.said
        assert not replica.get("/api/v1/names", match="*host.d")["names"]
