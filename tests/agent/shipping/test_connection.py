"""The agent's connection: opened when needed and again, encrypted if asked for, and honest about what was lost."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import pytest

from istat.clock import FakeClock
from istat.daemon.tls import client_context, server_context
from istat.errors import SettingsError
from istat_agent.agent import link_of
from istat_agent.counters import Counters
from istat_agent.options import DECLARATION
from istat_agent.shipping import connection, ship
from istat_agent.shipping.connection import TcpLink
from istat_agent.shipping.links import Broken
from tests.certificates import Authority
from tests.ports import own_port

HELLO = b"#hello me\n"


class Server:
    """Accepts connections in greenlets, and keeps what each brought."""

    def __init__(self, port: int = 0, context: ssl.SSLContext | None = None) -> None:
        self.taken: list[bytes] = []
        self.connections: list[Any] = []
        self.context = context
        self.socket = gevent.socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.bind(("0.0.0.0" if context else "127.0.0.1", port))
        self.socket.listen(5)
        self.port = self.socket.getsockname()[1]
        self.reading = True
        self.greenlets = [gevent.spawn(self._accept)]

    def _accept(self) -> None:
        while True:
            sock, _ = self.socket.accept()
            self.greenlets.append(gevent.spawn(self._serve, sock, len(self.taken)))
            self.taken.append(b"")

    def _serve(self, sock: Any, number: int) -> None:
        try:
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
            self.connections.append(sock)
            while self.reading and (data := sock.recv(10_000)):
                self.taken[number] += data
        except OSError:
            return

    def hang_up(self) -> None:
        """End all connections, as a server does that is started anew."""
        for sock in self.connections:
            with contextlib.suppress(OSError):      # the other side was first
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self.connections.clear()

    def end(self) -> None:
        gevent.killall(self.greenlets)
        self.hang_up()
        self.socket.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.end()


def until(condition: Any) -> None:
    with gevent.Timeout(5):
        while not condition():
            gevent.sleep(0.002)


def test_a_greeting_comes_first_over_each_connection(server: Server) -> None:
    link = TcpLink("127.0.0.1", server.port, HELLO)
    link.send(b"a 1\n")
    link.send(b"b 2\n")
    until(lambda: server.taken == [HELLO + b"a 1\nb 2\n"])
    server.hang_up()
    gevent.sleep(0.02)
    link.send(b"c 3\n")     # nothing is lost: that the server has gone was seen before
    until(lambda: server.taken[1:] == [HELLO + b"c 3\n"])
    assert link.lost == 0
    link.check()
    server.hang_up()
    gevent.sleep(0.02)
    with pytest.raises(ConnectionError):
        link.check()
    link.close()


def test_a_server_that_is_away_takes_nothing() -> None:
    link = TcpLink("127.0.0.1", own_port())
    with pytest.raises(ConnectionRefusedError):
        link.send(b"a 1\n")
    assert link.lost == 0


def test_what_a_server_that_reads_nothing_has_not_taken_is_counted(server: Server,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STUCK", 0.2)
    server.reading = False
    link = TcpLink("127.0.0.1", server.port)
    sent = 0
    with pytest.raises(Broken):
        while sent < 100_000:
            link.send(b"x" * 1400)
            sent += 1
    assert 0 < link.lost <= sent + 1, "the kernel of the other side has taken some"
    assert sent + 1 - link.lost < 200


def test_the_queue_waits_while_it_is_away_and_a_broken_one_is_not_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship, "PROBE", 0.01)
    port, counters, clock = own_port(), Counters(), FakeClock(1000)
    shipper = ship.Shipper(TcpLink("127.0.0.1", port, HELLO), HELLO, 100, counters, clock, "stats")
    shipper.offer([b"a 1\n"])
    shipper.flush()
    assert (counters.datagrams, counters.unreachable) == (0, 1)
    server = Server(port)
    shipper.offer([b"b 2\n"])
    shipper.flush()
    until(lambda: server.taken and server.taken[0].endswith(b"a 1\nb 2\n"))
    assert server.taken[0].startswith(HELLO)
    link = shipper._link
    monkeypatch.setattr(link, "_ended", lambda: None)      # as when it ends between the look and the sending
    server.hang_up()
    gevent.sleep(0.02)
    for name in (b"c", b"d"):       # the first is what the other side answers with a reset
        shipper.offer([name + b" 1\n"])
        shipper.flush()
        gevent.sleep(0.02)
    monkeypatch.undo()
    shipper.offer([b"e 1\n"])
    shipper.flush()
    until(lambda: len(server.taken) > 1 and server.taken[-1].endswith(b"e 1\n"))
    assert b"c 1\n" not in server.taken[-1]
    assert counters.dropped >= 1
    shipper.close()
    server.end()


# --- TLS ----------------------------------------------------------------------------------------------------


def test_tls_with_both_certificates(authority: Authority) -> None:
    pair, ours = authority.pair(), authority.pair("agent")
    server = Server(context=server_context(pair.cert, pair.key, authority.ca))
    link = TcpLink("localhost", server.port, HELLO, client_context(authority.ca, ours.cert, ours.key))
    link.send(b"a 1\n")
    link.send(b"b 2\n")
    until(lambda: server.taken == [HELLO + b"a 1\nb 2\n"])
    server.hang_up()
    gevent.sleep(0.02)
    link.send(b"c 3\n")
    until(lambda: server.taken[-1] == HELLO + b"c 3\n")
    link.close()
    server.end()


@pytest.mark.parametrize("wrong", ["name", "authority"])
def test_a_server_of_another_name_or_authority_gets_nothing(authority: Authority, tmp_path: Path, wrong: str) -> None:
    pair = authority.pair()
    server = Server(context=server_context(pair.cert, pair.key))
    believed = authority.ca if wrong == "name" else Authority(tmp_path, "other").ca
    host = "127.0.0.2" if wrong == "name" else "127.0.0.1"
    link = TcpLink(host, server.port, HELLO, client_context(believed))
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        link.send(b"a 1\n")
    assert "tls-ca" in ship._advice(link, caught.value)
    assert b"".join(server.taken) == b"" and link.lost == 0
    server.end()


def test_what_to_try_where_the_server_does_not_like_our_certificate(authority: Authority) -> None:
    pair = authority.pair()
    server = Server(context=server_context(pair.cert, pair.key, authority.ca))
    link = TcpLink("localhost", server.port, HELLO, client_context(authority.ca))
    with pytest.raises(ssl.SSLError) as caught:
        link.send(b"a 1\n")
    assert "tls-client-ca" in ship._advice(link, caught.value)
    assert b"".join(server.taken) == b"" and link.lost == 1, "the greeting"
    server.end()


def test_a_server_that_closes_at_once_gets_nothing_but_the_greeting() -> None:
    """It wants TLS, or has too many connections: what is sent unasked would go nowhere, and count as sent."""
    with gevent.socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        heard: list[bytes] = []

        def refuse() -> None:
            with listener.accept()[0] as sock:
                heard.append(sock.recv(100))

        refusing = gevent.spawn(refuse)
        link = TcpLink("127.0.0.1", listener.getsockname()[1], HELLO)
        with pytest.raises(ConnectionResetError) as caught:
            link.send(b"a 1\n")
        refusing.join()
    assert heard == [HELLO] and not isinstance(caught.value, Broken)
    assert "samples-tls" in ship._advice(link, caught.value)


def test_tls_wants_a_servers_name() -> None:
    with pytest.raises(SettingsError, match="server has no name that its certificate could be for"):
        DECLARATION.load(["--server", ":8111", "--transport", "tcp", "--tls"], {})


def test_settings_that_do_not_fit_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        DECLARATION.load(["--tls-ca", "/x", "--tls-key", "/y"], {})
    assert caught.value.problems == ["tls-ca is set and tls is not: set that, too, or leave tls-ca out",
                                     "tls-key is set and tls is not: set that, too, or leave tls-key out",
                                     "tls-key is set without tls-cert: name the certificate, too"]
    with pytest.raises(SettingsError, match="tls is for transport = tcp only"):
        DECLARATION.load(["--tls=true"], {})
    values = DECLARATION.load(["--transport=tcp", "--tls=true", "--tls-ca", str(tmp_path / "none")], {})
    with pytest.raises(SettingsError, match="none cannot be read"):
        link_of(values, HELLO, FakeClock())


def test_who_answers_takes_no_samples(caplog: pytest.LogCaptureFixture) -> None:
    """As an http-port does, with status 400, and closes the connection."""

    def answer() -> None:
        while True:
            with contextlib.closing(listener.accept()[0]) as sock:
                sock.recv(100)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    listener = gevent.socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(5)
    answering = gevent.spawn(answer)
    counters, clock = Counters(), FakeClock(1325395000)
    link = TcpLink("127.0.0.1", listener.getsockname()[1], HELLO)
    shipper = ship.Shipper(link, HELLO, 100, counters, clock, "stats")
    for _ in range(3):
        shipper.offer([b"a 1\n"])
        shipper.flush()
    gevent.kill(answering)
    listener.close()
    assert counters.datagrams == 0
    assert counters.unreachable == 3
    assert caplog.messages == [
        "cannot reach the server stats (who is there answers, and takes no samples); what comes waits, the newest 1000 "
        "datagrams of it. Is the port in the setting server its stat-port? http-port is another one."]
