"""Opening the stat port: addresses, free ports, and sentences for what goes wrong."""
from __future__ import annotations

import socket
import threading

import pytest

from istat.daemon.handover import Handover
from istat.errors import SettingsError
from istat.settings.types import OFF
from istat_server.ingest.endpoints import check_addresses
from istat_server.sockets import (
    ADMIN,
    PROMETHEUS,
    CannotListen,
    PortInUse,
    Sockets,
    addresses,
    grow_receive_buffer,
    open_service,
    service_claims,
)
from tests.ingest.fakes import port_of, stat_port, tcp_of, udp_of
from tests.ports import open_http_socket, own_port


def test_the_same_port_for_udp_and_tcp_on_every_loopback_address() -> None:
    sockets = stat_port("", 0)
    names = [sock.getsockname()[:2] for sock in tcp_of(sockets)]
    assert [sock.getsockname()[:2] for sock in udp_of(sockets)] == names
    assert ("127.0.0.1", port_of(sockets)) in names
    assert {host for host, _ in names} <= {"127.0.0.1", "::1"}
    assert {port for _, port in names} == {port_of(sockets)}
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
            stat_port("127.0.0.1", port)


def test_a_foreign_address_is_one_sentence() -> None:
    with pytest.raises(CannotListen, match="192.0.2.1 is not an address of this machine"):
        stat_port("192.0.2.1", 0)
    with pytest.raises(CannotListen, match="is not an address"):
        stat_port("no such host", 0)


@pytest.mark.parametrize(("host", "wanted"), [("127.0.0.1", "127.0.0.1"), ("", "127.0.0.1"), ("*", "0.0.0.0")])
def test_http_listens_on_one_address(host: str, wanted: str) -> None:
    with open_http_socket(host, 0) as sock:
        assert sock.getsockname()[0] == wanted
        with pytest.raises(PortInUse, match="is in use"):
            open_http_socket(host, sock.getsockname()[1])
    with pytest.raises(CannotListen, match="http-listen-address 'no such host'"):
        open_http_socket("no such host", 0)


def passed_on(sockets: Sockets) -> list[tuple[str, int]]:
    """What a service manager that kept these sockets would pass to the next process."""
    return [("kept", sock.detach()) for sock in sockets.all()]


def test_a_datagram_sent_between_two_processes_is_not_lost() -> None:
    first = stat_port("127.0.0.1", 0)
    port = port_of(first)
    handover = Handover(passed_on(first))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"a.b 1\n", ("127.0.0.1", port))
    second = stat_port("127.0.0.1", port, handover=handover)
    handover.close()
    assert udp_of(second)[0].recv(100) == b"a.b 1\n"
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        connection, _ = tcp_of(second)[0].accept()
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
    first = stat_port("127.0.0.1", 0, handover=kept)
    open_http_socket("127.0.0.1", 0, kept).close()
    assert kept.names == [], "a free port is another one the next time"
    first.close()
    port = own_port()
    second = stat_port("127.0.0.1", port, handover=kept)
    assert kept.names == [(socket.SOCK_STREAM, port), (socket.SOCK_DGRAM, port)]
    with pytest.raises(PortInUse):
        stat_port("127.0.0.1", port, handover=kept)
    assert len(kept.names) == 2, "what could not be opened whole is not kept"
    second.close()


def test_sockets_of_other_addresses_are_let_go(caplog: pytest.LogCaptureFixture) -> None:
    port = own_port()
    first = stat_port("127.0.0.1", port)
    handover = Handover(passed_on(first))
    second = stat_port("127.0.0.1", 0, handover=handover)
    handover.close()
    assert port_of(second) != port
    assert f"(udp-127.0.0.1-{port}) is not what the settings ask for" in caplog.text
    third = stat_port("127.0.0.1", port)
    third.close()
    second.close()


@pytest.mark.parametrize(("before", "after"), [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1"), ("", "*")])
def test_other_addresses_of_the_same_port_replace_those_that_were_kept(before: str, after: str) -> None:
    first = stat_port(before, own_port())      # one that no other program's connection has meanwhile
    copies = [sock.dup() for sock in first.all()]      # what the service manager holds
    handover = Handover(passed_on(first))
    closing = threading.Timer(0.1, lambda: [copy.close() for copy in copies])
    closing.start()
    second = stat_port(after, port_of(first), handover=handover)
    closing.join()
    assert [sock.getsockname()[0] for sock in udp_of(second)] == [host for _, host in addresses(after)]
    second.close()
    handover.close()


def test_a_receive_buffer_never_shrinks() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        large = grow_receive_buffer(sock, 128 << 10)
        assert large == 128 << 10
        assert grow_receive_buffer(sock, 16 << 10) == large
        assert grow_receive_buffer(sock, 1 << 40 >> 10) >= large


def services(**wanted: object) -> dict[str, object]:
    """Settings of the ports of our own services."""
    given = {f"{name}-{what}": value for name in ("http", "admin", "prometheus")
             for what, value in (("port", OFF), ("listen-address", "127.0.0.1"))}
    return {**given, **{name.replace("_", "-"): value for name, value in wanted.items()}}


def test_services_listen_and_are_told() -> None:
    sockets = Sockets()
    settings = services(admin_port=0, admin_listen_address="", prometheus_port=0)
    for name in (ADMIN, PROMETHEUS):
        sockets.services[name] = open_service(settings, name, Handover())
    admin, prometheus = sockets.services[ADMIN], sockets.services[PROMETHEUS]
    port = admin[0].getsockname()[1]
    assert {sock.getsockname()[:2] for sock in admin} == {(host, port) for _, host in addresses("")}
    assert sockets.told_services() == [f"admin-port={port}", f"prometheus-port={prometheus[0].getsockname()[1]}"]
    assert sockets.listening()["admin-port"] == port
    with socket.create_connection(("127.0.0.1", port), 5):
        pass
    with pytest.raises(PortInUse, match=f"port {port} of 127.0.0.1 is in use"):
        open_service(services(prometheus_port=port), PROMETHEUS, Handover())
    sockets.close()


def test_a_service_takes_what_was_handed_over() -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    settings = services(admin_port=port)
    first = open_service(settings, ADMIN, Handover())
    handover = Handover([("kept", sock.detach()) for sock in first])
    second = open_service(settings, ADMIN, handover)
    handover.close()
    with socket.create_connection(("127.0.0.1", port), 5):
        second[0].setblocking(True)
        second[0].accept()[0].close()
    for sock in second:
        sock.close()


def test_ports_of_services_are_claimed() -> None:
    claims = service_claims(services(http_port=8000, admin_port=8000))
    with pytest.raises(SettingsError, match="the setting http-port and the setting admin-port would both listen"):
        check_addresses(claims)
    assert service_claims(services()) == []
