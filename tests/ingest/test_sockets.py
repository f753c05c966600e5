"""Opening the stat port: addresses, free ports, and sentences for what goes wrong."""
from __future__ import annotations

import socket

import pytest

from istat_server.ingest.sockets import CannotListen, PortInUse, addresses, open_stat_sockets


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
