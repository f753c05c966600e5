"""Questions of strangers: asked by other names, from other pages, for lists without end; a real server bears them."""
from __future__ import annotations

import re
import signal
import socket
import threading
from pathlib import Path

import pytest
import requests

from ftest.harness.serverprocess import ServerProcess

pytestmark = pytest.mark.seconds(10)
DEEP = 1000         # names of 480 components each: with their prefixes 250 MB of names
WIDE = 10_000       # children below one prefix
AT_ONCE = 12
MIB = 1 << 20


def talk(server: ServerProcess, request: str) -> str:
    """What is answered to a request as it stands here."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as client:
        client.sendall(request.replace("\n", "\r\n").encode())
        said = b""
        while part := client.recv(65536):
            said += part
    return said.decode()


def by_name(server: ServerProcess, host: str, method: str = "GET", more: str = "") -> str:
    """The first line and the headers of an answer."""
    head = f"Host: {host}\n" if host else ""
    return talk(server, f"{method} /health HTTP/1.1\n{head}{more}Connection: close\n\n").partition("\r\n\r\n")[0]


def test_names_and_origins_of_the_settings_and_no_others(tmp_path: Path) -> None:
    settings = tmp_path / "server.toml"
    settings.write_text('http-names = ["stats.example.net"]\nhttp-origins = ["https://a.example"]\n')
    with ServerProcess(tmp_path, config=settings) as server:
        for host in ("stats.example.net", f"127.0.0.1:{server.http_port}", "localhost", "[::1]:1", ""):
            assert " 200 " in by_name(server, host), host
        for method in ("GET", "OPTIONS", "POST", "HEAD"):
            assert " 421 " in by_name(server, "rebound.example", method)
        assert "http-names" in talk(server, "GET / HTTP/1.1\nHost: b.example\nConnection: close\n\n")
        assert server.get("/api/v1/status")["http"]["refused.host"] == 5
        assert 'istatd_http_refused_total{kind="host"} 5' in requests.get(server.url + "/metrics", timeout=30).text
        assert server.log().count("does not answer to the name") == 1
        told = re.compile("access-control-allow-origin: https://a.example", re.IGNORECASE)
        assert told.search(by_name(server, "localhost", more="Origin: https://a.example\n"))
        assert not told.search(by_name(server, "localhost", more="Origin: https://b.example\n"))
        settings.write_text('http-names = ["b.example"]\n')
        server.signal(signal.SIGHUP)
        server.wait_until(lambda: " 200 " in by_name(server, "b.example"), "the new names hold")
        assert " 421 " in by_name(server, "stats.example.net")
        assert not told.search(by_name(server, "localhost", more="Origin: https://a.example\n"))


def test_lists_without_end_are_cut_and_hold_up_nobody(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        before = server.resident_bytes()
        server.send_tcp(b"".join(b"deep.%04d" % at + b".x" * 478 + b" 1\n" for at in range(DEEP)))
        server.send_tcp(b"".join(b"wide.%05d.x 1\n" % at for at in range(WIDE)))
        server.wait_for_samples(DEEP + WIDE)
        answer = requests.get(server.url + "/?q=*", headers={"Accept-Encoding": "identity"}, timeout=60)
        assert (answer.status_code, answer.headers["X-Truncated"]) == (200, "true")
        assert 8 * MIB < len(answer.content) <= 17 * MIB
        assert server.resident_bytes() - before < 150 * MIB

        def ask() -> None:
            found = requests.get(server.url + "/api/v1/children?prefix=wide", timeout=60).json()["children"]
            assert len(found) == WIDE
            done.append(len(found))

        done: list[int] = []
        asking = [threading.Thread(target=ask) for _ in range(AT_ONCE)]
        for one in asking:
            one.start()
        others = 0
        while len(done) < AT_ONCE and any(one.is_alive() for one in asking):
            others += server.get("/health")["status"] == "ok"
        assert len(done) == AT_ONCE
        # Each list has ten portions; somebody who asks for little comes in between.
        assert others >= AT_ONCE
