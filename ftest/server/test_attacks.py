"""A real server under short attacks from one address: others are served meanwhile, nothing of theirs is lost, and what
was refused is counted. How quickly they are served is measured by bench/attack.py.
"""
from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from bench.attacks.sending import EVIL
from bench.attacks.table import ATTACKS
from ftest.harness.serverprocess import ROOT, ServerProcess

pytestmark = pytest.mark.seconds(15)
ATTACK_SECONDS = 20.0       # at most: it ends as soon as others have had their answers
SWING = 1.0                 # [s] until it is in full swing
ANSWERS = 5                 # that others get then
OTHERS = "127.0.0.2"        # attackers come from 127.0.0.1
PAUSE = 0.02                # [s] between two datagrams: a small rate


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("attacked"), admin_token="right") as server:
        yield server


@dataclass
class Seen:
    """What attackers saw, and the others: datagrams sent, and the answers that came when the attack was in swing."""

    attackers: dict[str, int] = field(default_factory=dict)
    datagrams: int = 0
    statuses: list[int] = field(default_factory=list)


def health(server: ServerProcess) -> int:
    """The status of /health, asked from another address than the attackers'."""
    link = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=10, source_address=(OTHERS, 0))
    try:
        link.request("GET", "/health")
        return link.getresponse().status
    except OSError:
        return 0
    finally:
        link.close()


def attack(server: ServerProcess, name: str) -> Seen:
    """Attack; send and ask meanwhile."""
    seen = Seen()
    command = [sys.executable, "-m", "bench.attacks", name, "--stat-port", str(server.stat_port), "--http-port",
               str(server.http_port), "--seconds", str(ATTACK_SECONDS)]
    if ATTACKS[name].before is not None:
        subprocess.run([*command, "--prepare"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        assert process.stdout is not None
        process.stdout.readline()       # it begins
        out.bind((OTHERS, 0))
        swings = time.monotonic() + SWING
        while len(seen.statuses) < ANSWERS and process.poll() is None:
            out.sendto(f"beside.{name} 1\n".encode(), ("127.0.0.1", server.stat_port))
            seen.datagrams += 1
            status = health(server)
            if time.monotonic() > swings and process.poll() is None:
                seen.statuses.append(status)
            time.sleep(PAUSE)
        process.terminate()
        seen.attackers = json.loads(process.stdout.read().splitlines()[-1])["seen"]
    return seen


def test_a_thousand_that_come_at_once_leave_room_for_another(server: ServerProcess) -> None:
    """They wait in the kernel. Without room there a connection is not refused, but tried again after a second."""
    server.signal(signal.SIGSTOP)       # it accepts none
    try:
        with contextlib.ExitStack() as opened:
            for port in (server.http_port, server.stat_port):
                for _ in range(1000):
                    opened.enter_context(socket.create_connection(("127.0.0.1", port), 0.9))
    finally:
        server.signal(signal.SIGCONT)
    server.wait_until(server.healthy, "it serves again")


def counted(server: ServerProcess, name: str) -> float:
    """Samples of a counter that the store has."""
    now = int(time.time())
    return sum(value or 0 for value in server.values(name, now - 600, now + 60, "count"))


@pytest.mark.parametrize("name", ["pipelining", "silent", "slow-bodies", "unfinished-bodies", "children", "stat-posts",
                                  "wrong-tokens", "handshakes"])
def test_others_are_served_and_lose_nothing(server: ServerProcess, name: str) -> None:
    before = server.refused()
    lines = server.log().count("\n")
    seen = attack(server, name)
    assert sum(seen.attackers.values()) > 0, "nobody attacked"
    assert seen.statuses == [200] * ANSWERS, seen
    server.wait_until(lambda: counted(server, f"beside.{name}") == seen.datagrams, "all datagrams are counted")
    assert server.log().count("\n") - lines <= 20, server.log()[-3000:]
    assert "\x1b" not in server.log()
    if name == "stat-posts":
        assert server.get("/api/v1/names", match=f"{EVIL}.*")["names"] == []
        assert server.refused()["http_request"] - before.get("http_request", 0) > 0
