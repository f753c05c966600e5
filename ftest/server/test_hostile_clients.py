"""A real server and clients of HTTP that mean harm or take no care: others are served beside them."""
from __future__ import annotations

import contextlib
import json
import resource
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftest.harness.serverprocess import ServerProcess
from tests.certificates import Authority

pytestmark = pytest.mark.seconds(12)

# The greedy have an address of their own on this machine.
GREEDY = ("127.0.0.9", 0)
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
COUNTERS, POINTS = 100, 1600
ATTEMPTS = 10


@pytest.fixture
def opened() -> Iterator[list[socket.socket]]:
    """Sockets, up to two thousand, that are closed in the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    sockets: list[socket.socket] = []
    yield sockets
    for sock in sockets:
        sock.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(server: ServerProcess, opened: list[socket.socket]) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.http_port), 30, source_address=GREEDY)
    opened.append(client)
    return client


def pipeline(client: socket.socket) -> None:
    """Ask without end, and read what comes."""
    def read() -> None:
        with contextlib.suppress(OSError):
            while client.recv(1 << 20):
                pass

    threading.Thread(target=read, daemon=True).start()
    with contextlib.suppress(OSError):
        while True:
            client.sendall(HEALTH * 500)


def is_served(server: ServerProcess) -> None:
    """Others are answered, within the harness' time-out, which only a server that stands reaches."""
    for _ in range(ATTEMPTS):
        assert server.healthy(), server.log()


def requests_of(server: ServerProcess) -> float:
    lines = requests_text(server).splitlines()
    return float(next(line for line in lines if line.startswith("istatd_http_requests_total")).split()[1])


def requests_text(server: ServerProcess) -> str:
    with socket.create_connection(("127.0.0.1", server.http_port), 10) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        found = b""
        while part := client.recv(65536):
            found += part
    return found.decode()


def test_one_that_pipelines_without_end_is_one_among_others(tmp_path: Path, opened: list[socket.socket]) -> None:
    with ServerProcess(tmp_path) as server:
        before = requests_of(server)
        threading.Thread(target=pipeline, args=(connect(server, opened),), daemon=True).start()
        server.wait_until(lambda: requests_of(server) > before + 1000, "a thousand of its questions are answered")
        is_served(server)
        opened[0].shutdown(socket.SHUT_RDWR)


def test_over_tls_too(tmp_path: Path, authority: Authority, opened: list[socket.socket]) -> None:
    options = {"tls-cert": authority.folder / "server.pem", "tls-key": authority.folder / "server.key"}
    with ServerProcess(tmp_path, ca=authority.ca, **options) as server:
        context = ssl.create_default_context(cafile=str(authority.ca))
        greedy = context.wrap_socket(connect(server, opened), server_hostname="localhost")
        opened.append(greedy)
        end = time.monotonic() + 2

        def ask() -> None:
            with contextlib.suppress(OSError):
                while time.monotonic() < end:
                    greedy.sendall(HEALTH * 50)
                    for _ in range(50):
                        greedy.recv(1000)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        is_served(server)
        silent = [connect(server, opened) for _ in range(300)]
        is_served(server)
        asking.join()
        assert silent and server.refused()["http_made_room"] > 0


def test_silent_ones_shut_nobody_out(tmp_path: Path, opened: list[socket.socket]) -> None:
    wanted = 1100
    with ServerProcess(tmp_path) as server:
        for number in range(wanted):
            client = connect(server, opened)
            if number % 2:
                client.sendall(b"POST /api/v1/series HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
        is_served(server)
        assert server.refused()["http_made_room"] >= wanted - 1000 // 4 - 1


def test_answers_that_nobody_reads_are_held_up_to_a_total(tmp_path: Path, opened: list[socket.socket]) -> None:
    now = int(time.time())
    question = json.dumps({"names": [f"big.n{number}" for number in range(COUNTERS)], "from": now - 86_400, "to": now,
                           "points": POINTS, "columns": "count,sum,avg,min,max,sdev"}).encode()
    with ServerProcess(tmp_path, **{"http-memory": 8}) as server:
        server.send_tcp(b"".join(b"big.n%d %d 1.5\n" % (number, now - 30) for number in range(COUNTERS)))
        server.wait_for_samples(COUNTERS)
        before = server.resident_bytes()
        for _ in range(30):
            client = socket.socket()
            opened.append(client)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.bind(GREEDY)
            client.connect(("127.0.0.1", server.http_port))
            client.sendall(b"POST /api/v1/series HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
                           % len(question) + question)
        server.wait_until(lambda: server.refused().get("http_busy", 0) > 10, "there is no room for more", 30)
        is_served(server)
        assert server.resident_bytes() - before < 150 << 20


def test_questions_of_clients_that_have_gone_end(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        server.send_tcp(b"".join(b"gone.%d.x 1\n" % number for number in range(30_000)))
        server.wait_for_samples(30_000)
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", server.http_port), 30, source_address=GREEDY) as client:
                client.sendall(b"GET /?q=gone.* HTTP/1.1\r\nHost: localhost\r\n\r\n")
        server.wait_until(lambda: "\nistatd_http_current 1\n" in requests_text(server), "none is worked on", 30)
        assert "\nistatd_http_gone_total 0\n" not in requests_text(server)
