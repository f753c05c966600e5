"""What collectors, scripts and programs declare of their metrics, at real servers: over UDP and batches, forwarded,
replicated, and after a restart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ftest.harness.agentprocess import AgentProcess
from ftest.harness.commands import istat
from ftest.harness.replicas import replica_of, running, server_of
from ftest.harness.serverprocess import ROOT, ServerProcess
from istat.client import StatClient

pytestmark = pytest.mark.seconds(40)

COLLECTOR = """
from istat.plugin import Metric, collector

@collector(metrics=[Metric("mail.<queue>.waiting", "mails", "mails that wait", link="https://example.net/mail")])
def collect(emit):
    emit.gauge("mail.outgoing.waiting", 3)
"""
SCRIPT = """#!/bin/sh
echo '#metric files.open {"unit":"files","help":"open files of the machine"}'
echo "files.open 7"
"""


@contextmanager
def agent_of(server: ServerProcess, folder: Path) -> Iterator[None]:
    """An agent that sends to a server over UDP, with a collector and a script."""
    (folder / "d").mkdir(parents=True)
    (folder / "d/mail.py").write_text(COLLECTOR)
    (folder / "d/files").write_text(SCRIPT)
    (folder / "d/files").chmod(0o755)
    command = [sys.executable, "-m", "istat_agent.main", "--server", f"127.0.0.1:{server.stat_port}", "--interval", "1",
               "--plugin-dir", str(folder / "d"), "--enable", "mail,exec", "--host", "web1", "--transport", "udp"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(30) == 0, (folder / "log").read_text()


def told(server: ServerProcess, name: str) -> dict[str, str]:
    """What a server says of a counter; nothing where it knows neither the counter nor its metric."""
    counters = server.get("/api/v1/describe", name=name)["counters"]
    return counters[0] if counters and counters[0]["metric"] else {}


def test_collectors_and_scripts_are_described_and_a_restart_forgets_nothing(tmp_path: Path) -> None:
    mail, files = "mail.outgoing.waiting.host.web1", "files.open.host.web1"
    with ServerProcess(tmp_path / "server") as server:
        with agent_of(server, tmp_path / "agent"):
            server.wait_until(lambda: told(server, mail) and told(server, files), "all is declared", 30)
            server.wait_until(lambda: server.get("/api/v1/names", match=mail)["names"], "samples have come", 30)
        assert told(server, mail) == {
            "name": mail, "kind": "gauge", "metric": "mail.<queue>.waiting", "unit": "mails", "help": "mails that wait",
            "link": "https://example.net/mail"}
        found = istat(server, "ls", "--long", "mail.*")
        assert found.returncode == 0, found.stderr
        (row,) = found.stdout.splitlines()[1:]
        assert row.startswith(mail) and row.endswith("mails that wait") and row.split()[1:3] == ["mails", "gauge"]
        server.restart(kill=False)
        assert told(server, mail) and told(server, files)
        found = istat(server, "describe", files)
        assert "open files of the machine" in found.stdout and "declared as  files.open" in found.stdout
        assert not server.refused().get("bad_metadata")


def test_declarations_are_forwarded_with_what_programs_tell_an_agent(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "center") as center, ServerProcess(
            tmp_path / "middle", forward=f"127.0.0.1:{center.stat_port}", spool=tmp_path / "spool"
            ) as middle, AgentProcess(tmp_path / "agent", [f"127.0.0.1:{middle.stat_port}"]) as agent:
        with StatClient("127.0.0.1", agent.stat_port, "tcp") as client:
            client.describe("jobs.<kind>.done", "jobs", "<b>done</b>", event=True)
            client.event("jobs.mail.done", 3)
        for server in (middle, center):
            server.wait_until(lambda at=server: told(at, "jobs.mail.done"), "it is declared there", 30)
            assert told(server, "jobs.mail.done")["help"] == "<b>done</b>"
            server.wait_until(lambda at=server: told(at, "agent.samples.host.web1"), "the agent's own are, too", 30)


def test_a_replica_describes_as_its_master_does(tmp_path: Path) -> None:
    master = server_of(tmp_path / "one")
    replica = replica_of(master, tmp_path / "two")
    with running(master, replica):
        master.send_tcp(b'#metric queue.length {"unit":"jobs"}\nqueue.length.host.a 7\n')
        replica.send_tcp(b'#metric mine {"unit":"none"}\n')
        replica.wait_until(lambda: told(replica, "queue.length.host.a"), "the replica has it", 40)
        assert not told(replica, "mine")
        assert told(replica, "istatd.counters")["unit"] == "counters"
