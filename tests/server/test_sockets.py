"""Opening the stat port: addresses, free ports, and sentences for what goes wrong."""
from __future__ import annotations

import socket
import threading

import pytest

from istat.daemon.handover import Handover
from istat_server.sockets import (
    CannotListen,
    PortInUse,
    StatSockets,
    addresses,
    grow_receive_buffer,
    open_http_socket,
    open_stat_sockets,
)


def test_the_same_port_for_udp_and_tcp_on_every_loopback_address() -> None:
    sockets = open_stat_sockets("", 0, 64)
    names = [sock.getsockname()[:2] for sock in sockets.tcp]
    assert [sock.getsockname()[:2] for sock in sockets.udp] == names
    assert ("127.0.0.1", sockets.port) in names
    assert {host for host, _ in names} <= {"127.0.0.1", "::1"}
    assert {port for _, port in names} == {sockets.port}
    sockets.close()


def test_everyone_is_both_families_without_mapped_addresses() -> None:
    families = [family for family, _ in addresses("*")]
    assert families in ([socket.AF_INET], [socket.AF_INET, socket.AF_INET6])


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_in_use_is_one_sentence(kind: int) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} of 127.0.0.1 is in use"):
            open_stat_sockets("127.0.0.1", port, 64)


def test_a_foreign_address_is_one_sentence() -> None:
    with pytest.raises(CannotListen, match="192.0.2.1 is not an address of this machine"):
        open_stat_sockets("192.0.2.1", 0, 64)
    with pytest.raises(CannotListen, match="is not an address"):
        open_stat_sockets("no such host", 0, 64)


@pytest.mark.parametrize(("host", "wanted"), [("127.0.0.1", "127.0.0.1"), ("", "127.0.0.1"), ("*", "0.0.0.0")])
def test_http_listens_on_one_address(host: str, wanted: str) -> None:
    with open_http_socket(host, 0) as sock:
        assert sock.getsockname()[0] == wanted
        with pytest.raises(PortInUse, match="is in use"):
            open_http_socket(host, sock.getsockname()[1])
    with pytest.raises(CannotListen, match="http-listen-address 'no such host'"):
        open_http_socket("no such host", 0)


def passed_on(sockets: StatSockets) -> list[tuple[str, int]]:
    """What a service manager that kept these sockets would pass to the next process."""
    return [("kept", sock.detach()) for sock in (*sockets.udp, *sockets.tcp)]


def test_a_datagram_sent_between_two_processes_is_not_lost() -> None:
    first = open_stat_sockets("127.0.0.1", 0, 64)
    port = first.port
    handover = Handover(passed_on(first))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"a.b 1\n", ("127.0.0.1", port))
    second = open_stat_sockets("127.0.0.1", port, 64, handover)
    handover.close()
    assert second.udp[0].recv(100) == b"a.b 1\n"
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        connection, _ = second.tcp[0].accept()
        client.sendall(b"x")
        connection.settimeout(5)
        assert connection.recv(1) == b"x"
        connection.close()
    second.close()


class Kept(Handover):
    """A service manager that tells what was left with it."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[tuple[int, int]] = []

    def keep(self, sock: socket.socket) -> None:
        self.names.append((sock.type, sock.getsockname()[1]))


def test_only_what_the_next_start_asks_for_again_is_kept() -> None:
    kept = Kept()
    first = open_stat_sockets("127.0.0.1", 0, 64, kept)
    open_http_socket("127.0.0.1", 0, kept).close()
    assert kept.names == [], "a free port is another one the next time"
    first.close()
    second = open_stat_sockets("127.0.0.1", first.port, 64, kept)
    assert kept.names == [(socket.SOCK_STREAM, first.port), (socket.SOCK_DGRAM, first.port)]
    with pytest.raises(PortInUse):
        open_stat_sockets("127.0.0.1", first.port, 64, kept)
    assert len(kept.names) == 2, "what could not be opened whole is not kept"
    second.close()


def test_sockets_of_other_addresses_are_let_go(caplog: pytest.LogCaptureFixture) -> None:
    first = open_stat_sockets("127.0.0.1", 0, 64)
    port = first.port
    handover = Handover(passed_on(first))
    second = open_stat_sockets("127.0.0.1", 0, 64, handover)
    handover.close()
    assert second.port != port
    assert f"(udp-127.0.0.1-{port}) is not what the settings ask for" in caplog.text
    third = open_stat_sockets("127.0.0.1", port, 64)
    third.close()
    second.close()


@pytest.mark.parametrize(("before", "after"), [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1"), ("", "*")])
def test_other_addresses_of_the_same_port_replace_those_that_were_kept(before: str, after: str) -> None:
    first = open_stat_sockets(before, 0, 64)
    copies = [sock.dup() for sock in (*first.tcp, *first.udp)]      # what the service manager holds
    handover = Handover(passed_on(first))
    closing = threading.Timer(0.1, lambda: [copy.close() for copy in copies])
    closing.start()
    second = open_stat_sockets(after, first.port, 64, handover)
    closing.join()
    assert [sock.getsockname()[0] for sock in second.udp] == [host for _, host in addresses(after)]
    second.close()
    handover.close()


def test_a_receive_buffer_never_shrinks() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        large = grow_receive_buffer(sock, 128 << 10)
        assert large == 128 << 10
        assert grow_receive_buffer(sock, 16 << 10) == large
        assert grow_receive_buffer(sock, 1 << 40 >> 10) >= large
