"""A real server and senders that mean harm, or mistake it for another: web pages, those who take all places, those who
want to fill the log or take all open files."""
from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftest.harness.serverprocess import ServerProcess

pytestmark = pytest.mark.seconds(9)

MANY = 2000
FORGED = "/x%0A2026-01-01 ERROR forged%1B[31m"


@pytest.fixture
def opened() -> Iterator[list[socket.socket]]:
    """Sockets that are closed in the end."""
    sockets: list[socket.socket] = []
    yield sockets
    for sock in sockets:
        sock.close()


def names(server: ServerProcess, match: str) -> list[str]:
    return [found["name"] for found in server.get("/api/v1/names", match=match)["names"]]


def test_a_web_page_sends_no_samples(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        page = http.client.HTTPConnection("127.0.0.1", server.stat_port, timeout=10)
        page.putrequest("POST", "/", skip_accept_encoding=True)
        page.putheader("Origin", "http://evil.example")
        page.putheader("Content-Length", "1000000")
        page.endheaders()
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                page.send(b"evil.counter 1\n" * 100)
        page.close()
        server.send_tcp(b"GET 5\ngood.counter 1\n")
        server.wait_until(lambda: names(server, "good.*"), "a counter named GET, and what follows it, is taken")
        assert names(server, "evil.*") == [] and names(server, "get") == ["get"]
        assert server.refused() == {"http_request": 1}
        helped = server.get("/api/v1/status")["refused_help"]["http_request"]
        assert "http-port" in helped["cure"]


def test_whoever_is_refused_does_not_fill_the_log(tmp_path: Path) -> None:
    """Wrong tokens, thousands, for paths that look like lines of ours: some lines, each with what was left out."""
    with ServerProcess(tmp_path, admin_token="secret", read_token="reads") as server:
        server.ask["headers"] = {"Authorization": "Bearer reads"}
        began = time.monotonic()
        client = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=10)
        for number in range(MANY):
            headers = {"Authorization": "Bearer guessed"}
            client.request("GET" if number % 2 else "POST", FORGED.replace(" ", "%20"), headers=headers)
            client.getresponse().read()
        seconds = time.monotonic() - began
        lines = [line for line in server.log().splitlines() if "token is wrong" in line]
        assert 0 < len(lines) <= 2 + seconds
        server.wait_until(lambda: _told_later(server, client), "what was left out is told with the next line")
        log = server.log()
        assert not any(line.startswith("2026-01-01") for line in log.splitlines())
        assert "\x1b" not in log and "guessed" not in log


def _told_later(server: ServerProcess, client: http.client.HTTPConnection) -> bool:
    client.request("GET", "/api/v1/names", headers={"Authorization": "Bearer guessed"})
    client.getresponse().read()
    return "more not shown" in server.log()


def test_whoever_takes_all_places_shuts_nobody_out(tmp_path: Path, opened: list[socket.socket]) -> None:
    """Of one address its share; of several, those who say nothing make room. A sender that works stays."""
    with ServerProcess(tmp_path, max_connections=60, max_connections_per_address=40) as server:
        working = server.connect()
        opened.append(working)
        working.sendall(b"is.here 1\n")
        server.wait_until(lambda: names(server, "is.here"), "it has said something")
        opened += [server.connect() for _ in range(100)]
        server.wait_until(lambda: server.refused().get("too_many_of_address", 0) == 61, "one address has 40 places")
        working.sendall(b"still.here 1\n")
        server.wait_until(lambda: names(server, "still.here"), "who works goes on")
        opened.pop().close()
        assert "max-connections-per-address" in server.log()
    with ServerProcess(tmp_path, max_connections=60) as server:
        opened += [server.connect() for _ in range(100)]
        server.wait_until(lambda: server.refused() == {"too_many_connections": 40}, "the oldest of them made room")
        server.send_tcp(b"new.one 1\n")
        server.wait_until(lambda: names(server, "new.one"), "a new sender is served")


def test_clients_take_no_open_files_from_the_store(tmp_path: Path, opened: list[socket.socket]) -> None:
    """With 64 of them, and more connections of both kinds than that, samples are taken and written all the while."""
    server = ServerProcess(tmp_path, flush=1)
    server.command = ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh", *server.command]
    with server:
        assert "for that max-connections is 8 instead of 10000, and HTTP has 8 connections instead of" in server.log()
        opened += [server.connect() for _ in range(100)]
        asking = [socket.socket() for _ in range(100)]
        for sock in asking:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", server.http_port))
        for second in range(2):
            server.send_udp(b"".join(b"taken.n%d.s%d 1\n" % (number, second) for number in range(50)))
            time.sleep(1.0)
        for sock in asking:
            sock.close()
        server.wait_until(server.healthy, "it can be asked again")
        server.wait_until(lambda: server.get("/api/v1/status")["store"]["files"] > 0, "what came was written")
        status = server.get("/api/v1/status")
        assert status["ingest"]["samples"] >= 100 and status["store"]["flush_errors"] == 0
        assert server.refused()["too_many_connections"] == 92
        assert status["system"]["connections_granted"] == 8
        server.send_tcp(b"last.one 1\n")
        server.wait_until(lambda: names(server, "last.one"), "a new sender is served")
        told = [line for line in server.log().splitlines() if "Too many open files" in line and "http" not in line]
        assert not told
