"""How a real agent delivers: by the way that its settings mean, with no write to the disk while the server is there,
and one an interval while it is away."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ftest.harness.agentprocess import AgentProcess
from ftest.harness.serverprocess import ROOT, ServerProcess
from istat.errors import SpoolError
from tests.ports import own_port

pytestmark = pytest.mark.seconds(40)
EVERY = 2               # its interval [s]
# The same where the server is there: an answer that takes longer, as of a disk that others keep busy, is a reason to
# write.
HEALTHY = 4
SECONDS = 3.0 * HEALTHY     # in which it is watched
LOOK = 0.02


def written(agent: AgentProcess) -> int:
    """Bytes that it has had written to disks (proc(5))."""
    assert agent.process is not None
    with open(f"/proc/{agent.process.pid}/io") as file:
        return int(dict(line.split(": ") for line in file)["write_bytes"])


def changed(folder: Path) -> dict[str, tuple[int, int]]:
    """When each of the files was written to, and how long it is."""
    found = {}
    for path in folder.rglob("*"):
        try:
            found[path.name] = path.stat().st_mtime_ns, path.stat().st_size
        except FileNotFoundError:       # a segment that is done
            continue
    return found


def samples(server: ServerProcess) -> int:
    """How many it has taken."""
    return int(server.ingest()["samples"])


def test_a_healthy_agent_writes_nothing_to_its_disk(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server") as server, AgentProcess(
            tmp_path / "agent", [f"127.0.0.1:{server.stat_port}"], interval=HEALTHY,
            enable="agent,cpu,memory") as agent:
        server.wait_until(lambda: server.get("/api/v1/names", match="cpu.*")["names"], "it delivers", 30)
        server.wait_until(lambda: settled(agent.spool), "it has written what it writes at its start", 60)
        had, before, bytes_before = samples(server), changed(agent.folder), written(agent)
        time.sleep(SECONDS)
        server.wait_until(lambda: samples(server) > had + 10, "it goes on")
        assert changed(agent.folder) == before
        assert written(agent) == bytes_before


def settled(spool: Path) -> bool:
    """Whether nothing in it has been written to for two intervals."""
    return all(time.time() - at / 1e9 > 2 * HEALTHY for at, _size in changed(spool).values())


def test_while_the_server_is_away_it_writes_once_an_interval(tmp_path: Path) -> None:
    port = own_port()
    with ServerProcess(tmp_path / "server", stat_port=port) as server, AgentProcess(
            tmp_path / "agent", [f"127.0.0.1:{port}"], interval=EVERY, enable="agent,cpu,memory") as agent:
        server.wait_until(lambda: server.get("/api/v1/names", match="cpu.*")["names"], "it delivers")
        server.terminate()
        end, begun = time.monotonic() + 60, time.monotonic()
        seen: set[int] = set()      # when the segment was written to
        while time.monotonic() < end and len(seen) < 3:
            seen |= {path.stat().st_mtime_ns // 100_000_000 for path in agent.spool.glob("*.spool")}
            time.sleep(LOOK)
        assert 3 <= len(seen) <= (time.monotonic() - begun) / EVERY + 2
        server.start()
        server.wait_until(lambda: samples(server) > 3 * EVERY, "what waited arrives", 90)


class WithoutFolder(AgentProcess):
    """An agent whose default folder of the spool is another one; it listens nowhere."""

    def __init__(self, folder: Path, spool: Path, **options: object) -> None:
        super().__init__(folder, None, **options)
        del self.options["spool"], self.options["stat-port"]
        self.command = [sys.executable, "-c", SPOOL_ELSEWHERE, str(spool)]

    def _listens(self) -> bool:
        return f" as host {self.options['host']}" in self.log()


SPOOL_ELSEWHERE = """
import dataclasses, pathlib, sys
from istat_agent.options import DECLARATION
spool = pathlib.Path(sys.argv.pop(1))
DECLARATION.settings["spool"] = dataclasses.replace(DECLARATION.settings["spool"], default=spool)
from istat_agent.main import main
sys.exit(main())
"""


def transports(server: ServerProcess) -> dict[str, str]:
    """By which way senders reached it, by their names."""
    return {row["name"]: row["transport"] for row in server.get("/api/v1/agents")["agents"]}


def test_to_a_server_on_another_machine_it_forwards_with_the_token(tmp_path: Path) -> None:
    """127.1 is this machine, and nobody knows that who does not ask for it."""
    with ServerProcess(tmp_path / "server", samples_token="secret") as server, WithoutFolder(
            tmp_path / "agent", tmp_path / "spool", server=f"127.1:{server.stat_port}", token="secret") as agent:
        server.wait_until(lambda: "web1" in transports(server), "it is there")
        assert "forwarding to 127.1:" in agent.log() and (tmp_path / "spool" / "identity").exists()
        assert server.get("/api/v1/status")["refused"].get("token", 0) == 0


def test_to_a_server_on_this_machine_it_sends_datagrams(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server") as server, WithoutFolder(
            tmp_path / "agent", tmp_path / "spool", server=f"localhost:{server.stat_port}") as agent:
        server.wait_until(lambda: transports(server).get("web1") == "udp", "it is there")
        assert "sending to localhost:" in agent.log() and not (tmp_path / "spool").exists()


@pytest.mark.parametrize("why", ["no folder", "in use"])
def test_without_a_folder_for_the_spool_it_sends_by_tcp_and_says_so(tmp_path: Path, why: str) -> None:
    (tmp_path / "file").write_text("")
    spool = tmp_path / ("file/spool" if why == "no folder" else "spool")
    with ServerProcess(tmp_path / "server") as server, contextlib.ExitStack() as others:
        if why == "in use":
            others.enter_context(WithoutFolder(tmp_path / "other", spool, server=f"127.1:{server.stat_port}",
                                               host="other1"))
            server.wait_until(lambda: "other1" in transports(server), "the other one is there")
        with WithoutFolder(tmp_path / "agent", spool, server=f"127.1:{server.stat_port}") as agent:
            server.wait_until(lambda: transports(server).get("web1") == "tcp", "it is there")
            assert "Samples are sent by plain TCP" in agent.log() and "sending to 127.1:" in agent.log()
            assert agent.process is not None
            agent.process.send_signal(signal.SIGHUP)
            server.wait_until(lambda: "settings read again; changed: nothing" in agent.log(), "it reads them again")
            assert "restart only" not in agent.log()


def test_a_spool_that_was_asked_for_is_not_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = subprocess.run([sys.executable, "-m", "istat_agent.main", "--enable", "agent", "--server", "127.1:1",
                           "--spool", str(tmp_path / "file/spool")], cwd=ROOT, capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == SpoolError.exit_code and "cannot be made" in done.stderr
