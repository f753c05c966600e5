"""Samples by TLS on the port that takes them plain: told by the first byte, within the same bounds."""
from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import ssl as green

from istat.clock import FakeClock
from istat.daemon.tls import HANDSHAKE_SECONDS, Certificate, client_context
from istat_server.ingest import connections
from istat_server.ingest.connections import ConnectionInput
from istat_server.ingest.encrypted import Encrypted
from istat_server.ingest.endpoints import Transport
from istat_server.ingest.places import Places
from tests.certificates import Authority
from tests.ingest.fakes import Bench, listening, until

MAX_LINE = 1000
Open = Callable[..., ConnectionInput]


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    pair = authority.pair()
    return Certificate(pair.cert, pair.key)


@pytest.fixture
def opened(bench: Bench) -> Iterator[Open]:
    made: list[ConnectionInput] = []

    def begin(certificate: Certificate | None, **more: Any) -> ConnectionInput:
        bound = listening(Transport.TCP, tls=more.pop("tls", True))
        listener = ConnectionInput([bound], bench, MAX_LINE, Places(50, 100), certificate, **more)
        listener.address = bound.sockets[0].getsockname()     # type: ignore[attr-defined]
        listener.start()
        made.append(listener)
        return listener

    yield begin
    for listener in made:
        listener.stop()


def plain(listener: ConnectionInput) -> Any:
    return gevent.socket.create_connection(listener.address, 10)      # type: ignore[attr-defined]


def secret(listener: ConnectionInput, context: ssl.SSLContext) -> Any:
    return context.wrap_socket(plain(listener), server_hostname="localhost")


def test_both_on_one_port(bench: Bench, opened: Open, certificate: Certificate, authority: Authority) -> None:
    listener = opened(certificate)
    with secret(listener, client_context(authority.ca)) as client, plain(listener) as other:
        client.sendall(b"a 1\nb 2\nc")
        other.sendall(b"x 1\n")
        until(lambda: sorted(bench.intake.lines) == [b"a 1", b"b 2", b"x 1"])
        client.sendall(b" 3\n")
        until(lambda: bench.intake.lines[-1] == b"c 3")
        many = b"".join(b"n.%d %d\n" % (i, i) for i in range(100_000))      # far more than a record, and than a read
        client.sendall(many)
        until(lambda: len(bench.intake.lines) == 100_004)
    assert bench.intake.lines[4:] == many.split(b"\n")[:-1]
    assert listener.totals()["tls.connects"] == 1
    until(lambda: listener.totals()["connected"] == 0)
    assert sum(bench.mistakes.counts.values()) == 0
    assert listener._clearing is None or not listener._shaking


def test_a_sender_has_nothing_to_read(bench: Bench, opened: Open, certificate: Certificate,
                                      authority: Authority) -> None:
    """One that closes with something unread resets the connection, and what it had not sent yet is lost."""
    listener = opened(certificate)
    with secret(listener, client_context(authority.ca)) as client:
        assert client.version() == "TLSv1.3"
        client.sendall(b"a 1\n")
        until(lambda: bench.intake.lines == [b"a 1"])
        with pytest.raises(TimeoutError):
            gevent.socket.wait_read(client.fileno(), 0.1, TimeoutError())
    for _ in range(100):
        client = secret(listener, client_context(authority.ca))
        client.sendall(b"b 1\n")
        client.sendall(b"b 2\n")
        client.close()
    until(lambda: len(bench.intake.lines) == 201)


@pytest.mark.parametrize("piece", [1000, 1])
def test_a_request_of_http_through_tls_is_refused_as_well(bench: Bench, opened: Open, certificate: Certificate,
                                                          authority: Authority, piece: int) -> None:
    listener = opened(certificate)
    text = b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nevil 1\n"
    with secret(listener, client_context(authority.ca)) as client, contextlib.suppress(OSError):
        for at in range(0, len(text), piece):
            client.sendall(text[at:at + piece])
    until(lambda: bench.mistakes.counts["http_request"] == 1)
    until(lambda: listener.totals()["connected"] == 0)
    assert bench.intake.lines == []


def test_what_is_not_plain_is_read_in_small_portions(certificate: Certificate) -> None:
    """A sender that asks for new keys all the time is read no more of at once than takes some milliseconds."""
    class Nothing(Encrypted):
        def _decrypt(self, view: memoryview) -> int | None:
            return None

    here, there = socket.socketpair()
    with here, there:
        there.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                there.send(bytes(10_000))
        here.setblocking(False)
        with pytest.raises(BlockingIOError):
            Nothing(here, certificate.context, b"").recv_into(memoryview(bytearray(300_000)))
        left = 0
        with pytest.raises(BlockingIOError):
            while True:
                left += len(here.recv(1_000_000))
    assert left > 100_000


def test_bytes_that_come_one_by_one_make_a_handshake(bench: Bench, opened: Open, certificate: Certificate,
                                                     authority: Authority) -> None:
    listener = opened(certificate)
    inwards, outwards = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(authority.ca).wrap_bio(inwards, outwards, server_hostname="localhost")
    with plain(listener) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outwards.read():
                    client.sendall(bytes([byte]))
                    gevent.sleep(0)
                inwards.write(client.recv(10_000))
        tls.write(b"a 1\n")
        for byte in outwards.read():
            client.sendall(bytes([byte]))
            gevent.sleep(0)
        until(lambda: bench.intake.lines == [b"a 1"])


@pytest.mark.parametrize("first", [b"\x16\x03\x01\x00\x05hello", b"\x16", b"\x16garbage that is none\n"])
def test_what_is_no_handshake_is_the_senders_mistake(bench: Bench, opened: Open, certificate: Certificate,
                                                     first: bytes) -> None:
    listener = opened(certificate)
    with plain(listener) as client:
        client.sendall(first)
        client.shutdown(socket.SHUT_WR)
        until(lambda: bench.mistakes.counts["tls_failed"] == 1)
        until(lambda: listener.totals()["connected"] == 0)
    assert bench.intake.lines == []


def test_a_sender_that_does_not_believe_the_certificate_is_counted(bench: Bench, opened: Open, certificate: Certificate,
                                                                   tmp_path: Path) -> None:
    listener = opened(certificate)
    with pytest.raises(ssl.SSLCertVerificationError):
        secret(listener, client_context(Authority(tmp_path, "other").ca))
    until(lambda: bench.mistakes.counts["tls_failed"] == 1)


def test_clients_without_a_certificate_are_refused_where_one_is_wanted(bench: Bench, opened: Open,
                                                                       authority: Authority) -> None:
    pair, client = authority.pair("wanting"), authority.pair("client")
    listener = opened(Certificate(pair.cert, pair.key, authority.ca))
    with secret(listener, client_context(authority.ca)) as without:
        until(lambda: bench.mistakes.counts["tls_failed"] == 1)
        with pytest.raises(OSError):
            without.recv(1)
    with secret(listener, client_context(authority.ca, client.cert, client.key)) as with_one:
        with_one.sendall(b"a 1\n")
        until(lambda: bench.intake.lines == [b"a 1"])


def test_a_handshake_has_its_time(bench: Bench, opened: Open, certificate: Certificate,
                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CLEARING", 0.01)
    clock = FakeClock()
    listener = opened(certificate, monotonic=clock.monotonic)
    with plain(listener) as slow, plain(listener) as idle:
        slow.sendall(b"\x16\x03")
        until(lambda: len(listener._shaking) == 1)
        clock.advance(HANDSHAKE_SECONDS - 1)
        gevent.sleep(0.03)
        assert listener.totals()["connected"] == 2
        clock.advance(2)
        until(lambda: bench.mistakes.counts["tls_failed"] == 1)
        assert slow.recv(1) == b""
        idle.sendall(b"a 1\n")
        until(lambda: bench.intake.lines == [b"a 1"])
    assert listener._clearing is None


def test_required_refuses_what_is_plain(bench: Bench, opened: Open, certificate: Certificate,
                                        authority: Authority) -> None:
    listener = opened(certificate, tls_only=True)
    with plain(listener) as client:
        client.sendall(b"a 1\n")
        until(lambda: bench.mistakes.counts["plain_refused"] == 1)
        assert client.recv(1) == b""
    with secret(listener, client_context(authority.ca)) as client:
        client.sendall(b"b 1\n")
        until(lambda: bench.intake.lines == [b"b 1"])


def test_without_a_certificate_there_is_no_tls(bench: Bench, opened: Open) -> None:
    listener = opened(None)
    with pytest.raises(OSError):
        secret(listener, client_context())
    assert bench.mistakes.counts["tls_failed"] == 1


def test_a_protocol_whose_messages_may_begin_so_has_none(bench: Bench, opened: Open, certificate: Certificate) -> None:
    listener = opened(certificate, tls=False)
    with plain(listener) as client:
        client.sendall(b"\x16 1\n")
        until(lambda: bench.intake.lines == [b"\x16 1"])


def test_new_connections_are_shown_a_renewed_certificate(bench: Bench, opened: Open, authority: Authority) -> None:
    pair = authority.pair("renewed")
    certificate = Certificate(pair.cert, pair.key)
    listener = opened(certificate)
    shown = []
    for _ in range(2):
        with secret(listener, client_context(authority.ca)) as client:
            shown.append(client.getpeercert()["serialNumber"])
        authority.pair("renewed")
        certificate.renew()
    assert shown[0] != shown[1]
    assert isinstance(certificate.context, green.SSLContext)


def test_stop_ends_handshakes_too(bench: Bench, opened: Open, certificate: Certificate) -> None:
    listener = opened(certificate)
    with plain(listener) as client:
        client.sendall(b"\x16\x03")
        until(lambda: len(listener._shaking) == 1)
        listener.stop()
        assert client.recv(1) == b""
    assert not listener._shaking
