"""A real agent with local ports before a real server: what programs send it arrives, once, over ends and kills."""
from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ftest.harness.agentprocess import AgentProcess
from ftest.harness.original import Original
from ftest.harness.serverprocess import ROOT, ServerProcess
from ftest.harness.truth import Sample, Truth
from istat.daemon.listening.binding import PortInUse
from istat.errors import SpoolError, SpoolLocked
from tests.ports import own_port

pytestmark = pytest.mark.seconds(30)


def send(agent: AgentProcess, truth: Truth, samples: list[Sample], udp: bool = False) -> None:
    """Give the agent samples that have their time."""
    text = b"".join(sample.line for sample in samples)
    if udp:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(text, ("127.0.0.1", agent.stat_port))
    else:
        with socket.create_connection(("127.0.0.1", agent.stat_port), timeout=10) as sock:
            sock.sendall(text)
    for sample in samples:
        truth.add(sample, 0)


def samples(name: str, count: int) -> list[Sample]:
    now = int(time.time()) - 60
    return [Sample(f"{name}.{at % 7}", now + at % 30, (at,)) for at in range(count)] + [Sample(f"*{name}.e", now, (3,))]


def until_in_spool(agent: AgentProcess, text: bytes) -> None:
    """Wait until the agent could be killed and would have it all the same."""
    end = time.monotonic() + 10
    while not any(text in path.read_bytes() for path in agent.spool.glob("*.spool")):
        assert time.monotonic() < end, f"{text!r} is not in the spool"
        time.sleep(0.02)


def test_what_programs_send_arrives_at_the_server(tmp_path: Path) -> None:
    path, truth = tmp_path / "stat.sock", Truth()
    with ServerProcess(tmp_path / "server") as server, AgentProcess(
            tmp_path / "agent", [f"127.0.0.1:{server.stat_port}"], stat_path=path) as agent:
        send(agent, truth, samples("tcp", 500))
        send(agent, truth, samples("udp", 20), udp=True)
        with socket.socket(socket.AF_UNIX) as unix:
            unix.connect(str(path))
            more = samples("unix", 50)
            unix.sendall(b"#hostname db1\n#class web\nnonsense\n" + b"".join(sample.line for sample in more))
        for sample in more:
            truth.add(sample, 0)
        truth.check(server)
        server.wait_until(lambda: any(one["name"] == "db1" for one in server.get("/api/v1/agents")["agents"]),
                          "the origin is on the roster")
        rows = {one["name"]: one for one in server.get("/api/v1/agents")["agents"]}
        assert rows["db1"]["via"] == "web1" and rows["db1"]["metadata"]["class"] == "web"
        assert rows["web1"]["via"] is None and rows["web1"]["online"] is True
        server.wait_until(lambda: server.get("/api/v1/names", match="agent.local.*")["names"], "its own lines come too")
        assert "sending" not in agent.log() and "forwarding to 127.0.0.1" in agent.log()


def test_what_came_while_the_server_was_away_outlives_a_kill_of_the_agent(tmp_path: Path) -> None:
    truth = Truth()
    port = own_port()
    with ServerProcess(tmp_path / "server", stat_port=port) as server, \
            AgentProcess(tmp_path / "agent", [f"127.0.0.1:{port}"]) as agent:
        send(agent, truth, samples("before", 100))
        truth.check(server)
        assert server.terminate() == 0
        send(agent, truth, samples("meanwhile", 100))
        until_in_spool(agent, b"*meanwhile.e ")
        agent.restart(kill=True)
        send(agent, truth, samples("after", 100))
        server.start()
        truth.check(server, seconds=90.0)


def test_a_reload_loses_nothing_and_keeps_the_ports(tmp_path: Path) -> None:
    truth = Truth()
    with ServerProcess(tmp_path / "server") as server, AgentProcess(
            tmp_path / "agent", [f"127.0.0.1:{server.stat_port}"]) as agent:
        send(agent, truth, samples("one", 50))
        assert agent.process is not None
        agent.process.send_signal(signal.SIGHUP)
        send(agent, truth, samples("two", 50))
        server.wait_until(lambda: "settings read again" in agent.log(), "it has read its settings again")
        send(agent, truth, samples("three", 50))
        truth.check(server)


def test_settings_that_cannot_be_are_told(tmp_path: Path) -> None:
    def refused(*flags: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, "-m", "istat_agent.main", "--enable", "agent", *flags], cwd=ROOT,
                              capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stderr

    code, said = refused("--stat-port", "8125", "--check-config")
    assert code == 78 and "set forward in place of server" in said
    (tmp_path / "file").write_text("")
    code, said = refused("--forward", "127.0.0.1:1", "--spool", str(tmp_path / "file"))
    assert code == SpoolError.exit_code and "Traceback" not in said
    with AgentProcess(tmp_path / "agent", ["127.0.0.1:1"]) as agent:
        code, said = refused("--forward", "127.0.0.1:1", "--spool", str(tmp_path / "other"), "--stat-port",
                             str(agent.stat_port))
        assert code == PortInUse.exit_code and "in use" in said
        code, said = refused("--forward", "127.0.0.1:1", "--spool", str(agent.spool))
        assert code == SpoolLocked.exit_code and "Traceback" not in said


def test_an_original_istatd_is_sent_lines(tmp_path: Path) -> None:
    with Original() as original, AgentProcess(tmp_path / "agent", [f"istatd:127.0.0.1:{original.port}"]) as agent:
        send(agent, Truth(), [Sample("a.b", 1325395000, (5,)), Sample("*c", 1325395001, (2,))])
        original.wait_until(lambda: {b"a.b 1325395000 5", b"*c 1325395001 2"} <= {
            line.rstrip(b"\r") for line in original.lines}, "the lines are there")
        original.wait_until(lambda: original.metadata().get("agent") == "web1", "it is introduced")


def test_an_agents_file_of_istatds_forwards_as_it_did(tmp_path: Path) -> None:
    truth = Truth()
    with ServerProcess(tmp_path / "server") as server:
        agent = AgentProcess(tmp_path / "agent", [])
        file = tmp_path / "istatd-agent.cfg"
        file.write_text(f"--agent 127.0.0.1:{server.stat_port}\n--stat-port {agent.stat_port}\n--local-stats .h1\n")
        agent.options = {"config": file, "spool": agent.spool, "enable": "agent", "plugin-dir": ""}
        with agent:
            send(agent, truth, samples("old", 200))
            truth.check(server)
            assert "--stat-port: from programs of this machine only" in agent.log()


def test_who_sent_is_known_at_the_end_of_a_chain(tmp_path: Path) -> None:
    truth = Truth()
    with ServerProcess(tmp_path / "last") as last, ServerProcess(
            tmp_path / "middle", forward=f"127.0.0.1:{last.stat_port}") as middle, AgentProcess(
            tmp_path / "agent", [f"127.0.0.1:{middle.stat_port}"]) as agent:
        with socket.create_connection(("127.0.0.1", agent.stat_port), timeout=10) as program:
            program.sendall(b"#hostname db1\n#class web\n")
            middle.send_tcp(b"#hostname plain1\n#class mail\n")     # one that sends lines to the server itself
            send(agent, truth, samples("chain", 100))
            truth.check(last)

            def known() -> dict[str, dict[str, object]]:
                return {row["name"]: row for row in last.get("/api/v1/agents")["agents"]}

            last.wait_until(lambda: {"web1", "db1", "plain1"} <= known().keys(), "all of them are on the roster")
        rows = known()
        assert all(rows[name]["via"] for name in ("web1", "db1", "plain1"))
        assert [rows[name]["metadata"]["class"] for name in ("db1", "plain1")] == ["web", "mail"]
        assert [row["via"] for row in rows.values()].count(None) == 1, "the server between them sends itself"
