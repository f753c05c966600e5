"""A real server with a blacklist: who is on it is cut off, and the file may change while it runs."""
from __future__ import annotations

import signal
import socket
from pathlib import Path

from ftest.harness.serverprocess import ServerProcess


def is_closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_listed_host_is_cut_off_counted_and_shown_and_let_in_again(tmp_path: Path) -> None:
    black = tmp_path / "black"
    black.write_text("# by name\nDB1\n198.51.100.0/24\n")
    with ServerProcess(tmp_path, blacklist_path=black, blacklist_period=1) as server:
        with server.connect() as bad:
            bad.sendall(b"#hostname db1\nbad.one 1\n")
            assert is_closed(bad)
        server.send_tcp(b"#hostname web1\ngood.one 1\n")
        server.wait_until(lambda: known(server) == ["good.one"], "the other one is served")
        agents = {one["hostname"]: one for one in server.get("/", a="*")["agents"]}
        assert agents["db1"]["blacklisted"] == "true" and agents["db1"]["_online"] is False
        assert "blacklisted" not in agents["web1"]
        status = server.get("/api/v1/status")
        assert status["refused"]["blacklisted"] == 1
        assert [row["sender"] for row in status["refused_by"] if row["kind"] == "blacklisted"] == ["db1"]
        black.write_text("web1\n")
        server.wait_until(lambda: takes(server, "db1", "bad.two"), "the changed file holds")
        black.write_text("127.0.0.0/8\n")
        server.signal(signal.SIGHUP)
        server.wait_until(lambda: not takes(server, "db1", "bad.three"), "an address is barred")


def known(server: ServerProcess) -> list[str]:
    return [row["name"] for row in server.get("/api/v1/names", match="*.one")["names"]]


def takes(server: ServerProcess, host: str, name: str) -> bool:
    """Whether a connection of this host is kept."""
    with server.connect() as sock:
        try:
            sock.sendall(f"#hostname {host}\n{name} 1\n".encode())
            sock.settimeout(0.3)        # a server that bars it has closed by then
            return not is_closed(sock)
        except TimeoutError:
            return True
        except ConnectionError:
            return False
