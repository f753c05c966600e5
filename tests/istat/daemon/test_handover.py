"""Sockets kept by the service manager: what it is told, and what is taken back."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from istat.daemon import service
from istat.daemon.handover import Handover


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without systemd-python, which has nothing for sockets that are kept."""
    monkeypatch.setattr(service, "_systemd", None)


def bound(kind: int, host: str = "127.0.0.1", family: int = socket.AF_INET) -> socket.socket:
    sock = socket.socket(family, kind)
    sock.bind((host, 0))
    return sock


def test_what_is_kept_comes_back_by_kind_address_and_port(manager: socket.socket) -> None:
    handover = Handover()
    udp, tcp = bound(socket.SOCK_DGRAM), bound(socket.SOCK_STREAM)
    kept = []
    for sock, transport in ((udp, "udp"), (tcp, "tcp")):
        handover.keep(sock)
        message, descriptors, _, _ = socket.recv_fds(manager, 500, 1)
        port = sock.getsockname()[1]
        assert message.decode() == f"FDSTORE=1\nFDNAME={transport}-127.0.0.1-{port}"
        kept.append((f"{transport}-127.0.0.1-{port}", descriptors[0]))
    again = Handover(kept)
    port = udp.getsockname()[1]
    assert again.take(socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.2", port) is None
    assert again.take(socket.AF_INET6, socket.SOCK_DGRAM, "127.0.0.1", port) is None
    assert again.take(socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1", 0) is None
    taken = again.take(socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1", port)
    assert taken is not None and taken.getsockname() == udp.getsockname()
    assert again.take(socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1", port) is None, "only once"
    again.keep(taken)       # says nothing: the manager has it
    again.close()
    assert manager.recv(500).decode() == f"FDSTOREREMOVE=1\nFDNAME=tcp-127.0.0.1-{tcp.getsockname()[1]}"
    for sock in (udp, tcp, taken):
        sock.close()


def test_a_name_has_no_colon(manager: socket.socket) -> None:
    try:
        sock = bound(socket.SOCK_DGRAM, "::1", socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with sock:
        Handover().keep(sock)
        message, descriptors, _, _ = socket.recv_fds(manager, 500, 1)
    os.close(descriptors[0])
    assert message.decode() == f"FDSTORE=1\nFDNAME=udp-__1-{message.decode().rpartition('-')[2]}"


@pytest.mark.parametrize(("kind", "transport"), [(socket.SOCK_STREAM, "unix"), (socket.SOCK_DGRAM, "unix-datagram")])
def test_unix_sockets_are_kept_by_their_paths(manager: socket.socket, tmp_path: Path, kind: int,
                                              transport: str) -> None:
    path = str(tmp_path / "a:b")
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(path)
        Handover().keep(sock)
        message, descriptors, _, _ = socket.recv_fds(manager, 500, 1)
        name = message.decode().partition("FDNAME=")[2]
        assert name == f"{transport}-{tmp_path}/a%3Ab"
        again = Handover([(name, descriptors[0])])
        assert again.take(socket.AF_UNIX, kind, path + "x", 0) is None
        assert again.take(socket.AF_INET, kind, path, 0) is None
        os.rename(path, path + "x")
        assert again.take(socket.AF_UNIX, kind, path, 0) is None, "without its file it reaches nobody"
        os.rename(path + "x", path)
        taken = again.take(socket.AF_UNIX, kind, path, 0)
        assert taken is not None and taken.getsockname() == path
        taken.close()


def test_a_long_path_makes_a_name_that_the_manager_takes(manager: socket.socket, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind("ü" * 50)
        Handover().keep(sock)
        message, descriptors, _, _ = socket.recv_fds(manager, 500, 1)
        os.close(descriptors[0])
    name = message.decode().partition("FDNAME=")[2]
    assert name.isascii() and ":" not in name and len(name) < 200


def test_what_is_no_ip_socket_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    read_end, write_end = os.pipe()
    pair = socket.socketpair()
    handover = Handover([("pipe", read_end), ("unix", pair[0].detach())])
    assert "passed as 'pipe' is no socket" in caplog.text
    assert handover.take(socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1", 1) is None
    handover.close()
    assert "socket unix" in caplog.text
    for descriptor in (read_end, write_end):
        os.close(descriptor)
    pair[1].close()


def test_without_a_manager_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with bound(socket.SOCK_DGRAM) as sock:
        Handover().keep(sock)
