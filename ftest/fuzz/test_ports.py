"""Random bytes at every port of a real server: it stays, keeps its size, and serves others meanwhile."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import subprocess
import sys
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ftest.fuzz.serving import ANSWER_SECONDS, fuzzed
from ftest.harness.serverprocess import ROOT, ServerProcess
from istat.wire.batches import HEADER, MAGIC, Ack, Hello, Lines, Meta, Ping, encode

SEED = 15
SHORT, LONG = 150, 5000         # connections of each port
AT_ONCE = 20                    # that are open at a time
AGENT_PLACES = 8                # of an agent's exporter: who comes beyond these waits for the kernel to ask again
MOST_BYTES = 200_000
MORE_PORTS = {"admin-port": 0, "prometheus-port": 0}
# What each port is meant for, to be broken at random places.
LINES = (b"fuzz.a 1\n", b"*fuzz.e 1325394000 5\n", b"a^b^^c 1 2 3 4 5 6\r\n", b"#hostname fuzz\n", b"fuzz.b nan\n",
         b"fuzz.c 1e308 -1e308\n", b"^^ 1\n", b"." * 50 + b" 1\n", b"x" * 3000 + b" 1\n")
REQUESTS = (b"GET /?q=* HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /fuzz.a?start=1&end=2 HTTP/1.0\r\n\r\n",
            b"POST /* HTTP/1.1\r\nHost: localhost\r\nContent-Length: 19\r\n\r\n{\"keys\":[\"fuzz.a\"]}",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nIf-None-Match: *\r\n\r\n",
            b"POST /* HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"HEAD /files/app.js HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n")
COMMANDS = (b"stats\r\n", b"help\r\n", b"flush\r\n", b"purge 1,2\r\n", b"auth right\r\n", b"delete.ctr fuzz.a\r\n",
            b"faketime x\r\n", b"settings.get a,b\r\n", b"debug 1,2\r\n", b"quit\r\n", b"delete.pattern *\r\n")

# What is put in where something else was.
BREAKS = (b"\n", b"\0", b" ", b"\xff", b"9" * 30)


def noise(chance: random.Random, known: Sequence[bytes]) -> bytes:
    """Bytes without a meaning, or what has one with some of them broken, left out or repeated."""
    if chance.random() < 0.3:
        return chance.randbytes(chance.choice((0, 1, 2, 100, 5000, MOST_BYTES if chance.random() < 0.05 else 10)))
    text = bytearray(b"".join(chance.choices(known, k=chance.choice((1, 1, 2, 20)))))
    for _ in range(chance.choice((0, 1, 5, 50))):
        at = chance.randrange(len(text))
        end = at + chance.choice((1, 1, 10))
        text[at:end] = chance.choice((chance.randbytes(1), b"", text[at:end] * 2, *BREAKS))
        text = text or bytearray(b"\n")
    return bytes(text)


def connect_at_random(port: int, known: Sequence[bytes], times: int, at_once: int = AT_ONCE,
                      first: bytes = b"") -> None:
    """Connections of noise, behind what comes first: some are read to their end, others are left. AssertionError when
    one has no end."""
    chance = random.Random(SEED)
    opened: list[socket.socket] = []
    for number in range(times):
        sock = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)
        opened.append(sock)
        with contextlib.suppress(ConnectionError):      # it need not take all of it
            sock.sendall(first)
            for _ in range(chance.choice((1, 1, 3))):
                sock.sendall(noise(chance, known))
            end_sending(sock)
        if len(opened) == at_once or number == times - 1:
            for one in opened:
                with contextlib.closing(one):
                    if chance.random() < 0.7:
                        read_to_end(one)
            opened.clear()


def end_sending(sock: socket.socket) -> None:
    """Say that nothing more comes, unless the other side has gone already."""
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise


def read_to_end(sock: socket.socket) -> None:
    """All that is answered. TimeoutError when the other side never ends."""
    with contextlib.suppress(ConnectionError):
        while sock.recv(1 << 20):
            pass


def datagrams_at_random(port: int, times: int) -> None:
    """Datagrams of noise, some of them empty."""
    chance = random.Random(SEED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect(("127.0.0.1", port))
        for _ in range(times):
            with contextlib.suppress(ConnectionError):
                out.send(noise(chance, LINES)[:60_000])


def stat_tcp(server: ServerProcess, times: int) -> None:
    connect_at_random(server.stat_port, LINES, times)


def frames() -> list[bytes]:
    """Frames of batches as they should be, and others whose checksum is right and whose bodies are not."""
    chance = random.Random(SEED)
    text = b"".join(LINES)
    told = (Hello(bytes(16), 1, "fuzz"), Hello(bytes(16), 2), Ping(), Meta("fuzz", b"#hostname fuzz\n#\n"), Ack(1),
            *(Lines(sequence, 1325394000, sequence % 3 * 10, text.count(b"\n"), text) for sequence in range(1, 9)))
    found = [encode(one) for one in told]
    for frame in found * 3:
        kind, body = chance.choice((frame[4], frame[4], chance.randrange(12))), bytearray(frame[HEADER.size:])
        for _ in range(chance.choice((0, 1, 5))):
            at = chance.randrange(len(body) + 1)
            body[at:at + 1] = chance.randbytes(chance.choice((0, 1, 1, 3)))
        crc = zlib.crc32(body, zlib.crc32(HEADER.pack(len(body), kind, 0)[:5]))
        found.append(HEADER.pack(len(body), kind, crc) + body)
    return found


def stat_batches(server: ServerProcess, times: int) -> None:
    connect_at_random(server.stat_port, frames(), times, first=MAGIC)


def stat_udp(server: ServerProcess, times: int) -> None:
    datagrams_at_random(server.stat_port, times)


def http(server: ServerProcess, times: int) -> None:
    connect_at_random(server.http_port, REQUESTS, times)


def admin(server: ServerProcess, times: int) -> None:
    connect_at_random(server.get("/api/v1/status")["listening"]["admin-port"], COMMANDS, times)


def prometheus(server: ServerProcess, times: int) -> None:
    connect_at_random(server.get("/api/v1/status")["listening"]["prometheus-port"], REQUESTS, times)


PORTS: tuple[Callable[[ServerProcess, int], None], ...] = (stat_tcp, stat_batches, stat_udp, http, admin,
                                                              prometheus)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with fuzzed(tmp_path_factory.mktemp("fuzzed"), **MORE_PORTS) as server:
        yield server


@pytest.mark.parametrize("port", PORTS)
def test_random_bytes(server: ServerProcess, port: Callable[[ServerProcess, int], None]) -> None:
    port(server, SHORT)
    assert server.healthy()


@pytest.mark.slow
@pytest.mark.seconds(600)
@pytest.mark.parametrize("port", PORTS)
def test_many_random_bytes(tmp_path: Path, port: Callable[[ServerProcess, int], None]) -> None:
    with fuzzed(tmp_path, **MORE_PORTS) as server:
        port(server, LONG)


@contextlib.contextmanager
def agent(server: ServerProcess, folder: Path) -> Iterator[int]:
    """The port of an agent's exporter. In the end it is there yet and has had no fault."""
    command = [sys.executable, "-m", "istat_agent.main", "--server", f"127.0.0.1:{server.stat_port}",
               "--prometheus-port", "0", "--plugin-dir", str(folder), "--enable", "load"]
    said = folder / "agent.log"
    with said.open("wb") as log, subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline().rpartition(b"=")[2])
            yield port
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=ANSWER_SECONDS) as answer:
                assert answer.status == 200
            assert process.poll() is None
        finally:
            process.terminate()
        assert process.wait(ANSWER_SECONDS) == 0
    assert "Traceback" not in said.read_text()


@pytest.mark.parametrize("times", [SHORT, pytest.param(LONG, marks=[pytest.mark.slow, pytest.mark.seconds(600)])])
def test_random_bytes_at_an_agents_exporter(server: ServerProcess, tmp_path: Path, times: int) -> None:
    with agent(server, tmp_path) as port:
        connect_at_random(port, REQUESTS, times, AGENT_PLACES)
