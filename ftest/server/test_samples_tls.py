"""Samples by TLS: a real server that takes nothing else from other machines, and a real agent."""
from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftest.harness.serverprocess import ROOT, ServerProcess
from istat.client import StatClient
from tests.certificates import Authority

pytestmark = pytest.mark.seconds(5)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(tmp_path: Path, authority: Authority) -> Iterator[ServerProcess]:
    pair = authority.pair()
    with ServerProcess(tmp_path, ca=authority.ca, tls_cert=pair.cert, tls_key=pair.key, samples_tls="required",
                       listen_address="*") as server:
        yield server


def names(server: ServerProcess, match: str) -> list[str]:
    return [found["name"] for found in server.get("/api/v1/names", match=match)["names"]]


def agent_of(server: ServerProcess, folder: Path, *words: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "istat_agent.main", "--server", f"localhost:{server.stat_port}", "--host", "web1",
               "--interval", "1", "--enable", "agent", "--plugin-dir", "", *map(str, words)]
    log = (folder / "agent.log").open("wb")
    return subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=log)


def test_only_tls_comes_in_and_a_certificate_is_renewed(server: ServerProcess, authority: Authority,
                                                        tmp_path: Path) -> None:
    server.send_tcp(b"plain.one 1\n")
    server.wait_until(lambda: server.refused() == {"plain_refused": 1}, "it is refused")
    server.send_udp(b"by.loopback 1\n")
    server.wait_until(lambda: names(server, "by.*"), "UDP of this machine is taken")
    assert "stat takes UDP on this machine only" in server.log()
    context = ssl.create_default_context(cafile=authority.ca)
    for number in range(2):
        with StatClient("127.0.0.1", server.stat_port, "tcp", tls=context) as client:
            client.gauge(f"secret.{number}", 1)
        assert (client.sent, client.dropped) == (1, 0)
        authority.pair()
        server.signal(signal.SIGHUP)
        server.wait_until(lambda: server.log().count("reloaded") == number + 1, "it is renewed")    # noqa: B023
    assert names(server, "secret.*") == ["secret.0", "secret.1"]
    assert server.ingest()["tls.connects"] == 2


def test_an_agent_sends_by_tls_until_the_end(server: ServerProcess, authority: Authority, tmp_path: Path) -> None:
    ours = authority.pair("agent")
    agent = agent_of(server, tmp_path, "--transport", "tcp", "--tls=true", "--tls-ca", authority.ca,
                     "--tls-cert", ours.cert, "--tls-key", ours.key)
    try:
        server.wait_until(lambda: names(server, "agent.samples.host.web1"), "the agent's counters are there")
        (row,) = [row for row in server.get("/api/v1/agents")["agents"] if row["online"]]
        assert (row["name"], row["transport"]) == ("web1", "tls")
    finally:
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(20) == 0
    server.wait_until(lambda: not any(row["online"] for row in server.get("/api/v1/agents")["agents"]), "it has ended")
    assert server.refused() == {}, "no line was left unfinished"


def test_an_agent_that_does_not_believe_the_server_says_why(server: ServerProcess, tmp_path: Path) -> None:
    agent = agent_of(server, tmp_path, "--transport", "tcp", "--tls=true")
    try:
        log = tmp_path / "agent.log"
        server.wait_until(lambda: "in our tls-ca" in log.read_text(), "the agent says what to look at")
        server.wait_until(lambda: server.refused().get("tls_failed"), "the server has counted it")
    finally:
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(20) == 0
