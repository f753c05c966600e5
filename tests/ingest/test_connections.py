"""TCP listener: lines over real sockets on loopback, with an intake that only remembers."""
from __future__ import annotations

import contextlib
import json
import logging
import resource
import socket
import tracemalloc
from collections.abc import Callable, Iterator

import gevent
import gevent.socket
import pytest

from istat.daemon.ratelimit import LINES_AT_ONCE
from istat_server.ingest.connections import ConnectionInput
from istat_server.ingest.endpoints import Transport
from istat_server.ingest.places import LOOPBACK, Places
from tests.ingest.fakes import Bench, listening, until

Connect = Callable[[], socket.socket]
MAX_LINE = 1000


@pytest.fixture
def tcp(bench: Bench) -> Iterator[ConnectionInput]:
    bound = listening(Transport.TCP)
    listener = ConnectionInput([bound], bench, MAX_LINE, Places(50, 100))
    listener.address = bound.sockets[0].getsockname()     # type: ignore[attr-defined]
    listener.start()
    yield listener
    listener.stop()


@pytest.fixture
def connect(tcp: ConnectionInput) -> Iterator[Connect]:
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        opened.append(gevent.socket.create_connection(tcp.address, 10))    # type: ignore[attr-defined]
        return opened[-1]

    yield connect
    for sock in opened:
        sock.close()


def test_lines_of_a_connection_arrive_in_order(bench: Bench, tcp: ConnectionInput, connect: Connect) -> None:
    client = connect()
    client.sendall(b"a 1\nb 2\nc")
    until(lambda: bench.intake.lines == [b"a 1", b"b 2"])
    client.sendall(b" 3\r\nd 4\n")
    until(lambda: bench.intake.lines == [b"a 1", b"b 2", b"c 3\r", b"d 4"])
    sender = bench.intake.senders[0]
    assert (sender.transport, sender.address) == ("tcp", f"127.0.0.1:{client.getsockname()[1]}")
    assert sender.bytes == 17
    assert sender.connected


def test_nothing_is_ever_answered_to_lines_good_or_bad(bench: Bench, tcp: ConnectionInput, connect: Connect) -> None:
    client = connect()
    client.sendall(b"a 1\n#hostname x\n@reserved\nbad\n" + b"x" * (MAX_LINE + 1) + b"\nlast 1")
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    assert bench.mistakes.counts["incomplete"] == 1


def test_bytes_that_come_one_by_one_make_lines(bench: Bench, tcp: ConnectionInput, connect: Connect) -> None:
    client = connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in b"slow.name 5\nx 1\n":
        client.sendall(bytes([byte]))
        gevent.sleep(0)
    until(lambda: bench.intake.lines == [b"slow.name 5", b"x 1"])


def test_an_unfinished_last_line_is_discarded(bench: Bench, tcp: ConnectionInput, connect: Connect) -> None:
    client = connect()
    client.sendall(b"a 1\nhalf 2")
    client.close()
    until(lambda: tcp.totals()["connected"] == 0 and tcp.totals()["drops"] == 1)
    assert bench.intake.lines == [b"a 1"]
    assert bench.mistakes.counts["incomplete"] == 1
    assert [bench.roster.row(sender)["online"] for sender in bench.roster.senders()] == [False]


@pytest.mark.parametrize("piece", [100, 4096, 300_000])
def test_too_long_a_line_is_skipped(bench: Bench, tcp: ConnectionInput, connect: Connect, piece: int) -> None:
    client = connect()
    data = b"a 1\n" + b"x" * 600_000 + b"\nb 2\n"
    for start in range(0, len(data), piece):
        client.sendall(data[start:start + piece])
        gevent.sleep(0)
    until(lambda: bench.intake.lines[-1:] == [b"b 2"])
    assert bench.intake.lines == [b"a 1", b"b 2"]
    assert bench.mistakes.counts["long_line"] == 1


def test_an_endless_line_takes_no_memory(bench: Bench, tcp: ConnectionInput, connect: Connect) -> None:
    client = connect()
    client.sendall(b"x" * (MAX_LINE + 1))
    until(lambda: bench.mistakes.counts["long_line"] == 1)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(100):
        client.sendall(b"x" * 50_000)
        gevent.sleep(0)
    until(lambda: tcp.received[Transport.TCP] == MAX_LINE + 1 + 5_000_000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 100_000


def refused(bench: Bench) -> dict[str, int]:
    return {kind: count for kind, count in bench.mistakes.counts.items() if count}


def test_when_all_places_are_taken_whoever_is_silent_longest_makes_room(
        bench: Bench, tcp: ConnectionInput, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    clients = [connect() for _ in range(50)]
    until(lambda: len(tcp.connections) == 50)
    clients[0].sendall(b"a 1\n")
    clients[1].sendall(b"half a line")      # says nothing
    until(lambda: bench.intake.lines == [b"a 1"])
    bench.clock.advance(12)
    newer = [connect(), connect()]
    until(lambda: refused(bench) == {"too_many_connections": 2})
    assert [client.recv(1) for client in clients[1:3]] == [b"", b""]
    assert "silent for 12 s, it makes room: max-connections are open" in caplog.text
    for client in (clients[0], clients[3], *newer):
        client.sendall(b"b 2\n")
    until(lambda: bench.intake.lines[1:] == [b"b 2"] * 4)
    assert len(tcp.connections) == 50


def test_the_last_descriptors_are_for_others(bench: Bench, tcp: ConnectionInput, connect: Connect,
                                             caplog: pytest.LogCaptureFixture) -> None:
    """The store has taken more than is held back for it: what connections have must not grow."""
    first = connect()
    until(lambda: len(tcp.connections) == 1)
    tcp._reserved = 0
    second = connect()
    until(lambda: refused(bench) == {"too_many_connections": 1})
    assert first.recv(1) == b""
    assert "it makes room: few files can be open, raise num-files" in caplog.text
    second.sendall(b"a 1\n")
    until(lambda: bench.intake.lines == [b"a 1"])
    second.close()
    until(lambda: len(tcp.connections) == 0)
    assert connect().recv(1) == b"", "nobody can make room"
    assert refused(bench) == {"too_many_connections": 2}


def test_what_open_files_allow_holds_whatever_is_wanted(bench: Bench, tcp: ConnectionInput, connect: Connect) -> None:
    tcp.connections.affordable = 3
    tcp.reload({"max-connections": 50, "max-connections-per-address": 50})
    for _ in range(5):
        connect()
    until(lambda: refused(bench) == {"too_many_connections": 2})
    assert len(tcp.connections) == 3


def test_one_whose_bytes_wait_to_be_read_is_not_silent(bench: Bench, tcp: ConnectionInput, connect: Connect) -> None:
    clients = [connect() for _ in range(50)]
    until(lambda: len(tcp.connections) == 50)
    bench.pump.stop()       # nothing is read
    clients[0].sendall(b"a 1\n")
    connect()
    until(lambda: refused(bench) == {"too_many_connections": 1})
    assert clients[1].recv(1) == b""
    bench.pump.start()
    until(lambda: bench.intake.lines == [b"a 1"])


def test_one_address_has_its_share(bench: Bench, tcp: ConnectionInput, connect: Connect,
                                   caplog: pytest.LogCaptureFixture) -> None:
    tcp.reload({"max-connections": 50, "max-connections-per-address": 5})
    clients = [connect() for _ in range(5)]
    for client in clients:
        client.sendall(b"said 1\n")
    until(lambda: len(bench.intake.lines) == 5)
    surplus = [connect() for _ in range(30)]
    until(lambda: refused(bench) == {"too_many_of_address": 30})
    assert [client.recv(1) for client in surplus] == [b""] * 30
    assert len(tcp.connections) == 5
    assert f"{LOOPBACK} has max-connections-per-address already" in caplog.text
    assert len(caplog.records) == LINES_AT_ONCE
    clients[0].close()
    until(lambda: len(tcp.connections) == 4)
    connect().sendall(b"a 1\n")
    until(lambda: bench.intake.lines[5:] == [b"a 1"])


def test_of_an_address_that_has_its_share_the_mute_make_room(bench: Bench, tcp: ConnectionInput,
                                                             connect: Connect) -> None:
    """A host's own agent is not shut out by what is idle on that host, nor is anyone who has sent."""
    tcp.reload({"max-connections": 50, "max-connections-per-address": 3})
    spoke, mute, later = connect(), connect(), connect()
    until(lambda: len(tcp.connections) == 3)
    spoke.sendall(b"a 1\n")
    until(lambda: bench.intake.lines == [b"a 1"])
    connect().sendall(b"b 2\n")
    until(lambda: bench.intake.lines[1:] == [b"b 2"])
    assert mute.recv(1) == b""
    assert refused(bench) == {"too_many_of_address": 1}
    spoke.sendall(b"a 3\n")
    later.sendall(b"c 4\n")
    until(lambda: sorted(bench.intake.lines[2:]) == [b"a 3", b"c 4"])
    assert connect().recv(1) == b"", "all have said something by now"


POST = (b"POST /samples HTTP/1.1\r\nHost: localhost:8111\r\nContent-Type: text/plain\r\nContent-Length: 18\r\n\r\n"
        b"evil 1\nmore.evil 2\n")
OF_HTTP = {
    "POST": POST, "GET": b"GET / HTTP/1.0\n\n", "OPTIONS": b"OPTIONS * HTTP/1.1\r\n\r\n", "empty lines": b"\r\n" + POST,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nevil 1\n", "proxy": b"CONNECT a:80 HTTP/1.1\r\n\r\nevil 1\n",
    "other method": b"x-any~1 http://localhost/ HTTP/1.1\r\nevil 1\n",
    "line too long": b"POST /" + b"a" * (2 * MAX_LINE) + POST[13:],
    "line much too long": b"POST http://localhost/" + b"a" * 300_000 + POST[13:],
}


@pytest.mark.parametrize("piece", [1 << 20, 7, 1])
@pytest.mark.parametrize("what", OF_HTTP)
def test_nothing_of_a_request_of_http_is_taken(bench: Bench, tcp: ConnectionInput, connect: Connect, what: str,
                                               piece: int, caplog: pytest.LogCaptureFixture) -> None:
    client = connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    text = OF_HTTP[what]
    pieces = [text] if len(text) > 4 * MAX_LINE else [text[at:at + piece] for at in range(0, len(text), piece)]
    with contextlib.suppress(ConnectionError):      # it is closed in the midst
        for one in pieces:
            client.sendall(one)
            gevent.sleep(0)
    until(lambda: refused(bench) == {"http_request": 1})
    until(lambda: len(tcp.connections) == 0)
    assert bench.intake.lines == []
    assert "http_request from tcp 127.0.0.1" in caplog.text


@pytest.mark.parametrize(("port", "where"), [(0, b"ask the server's http-port"), (8123, b"ask port 8123")])
def test_who_asks_by_http_is_told_where_to(bench: Bench, port: int, where: bytes) -> None:
    bound = listening(Transport.TCP)
    listener = ConnectionInput([bound], bench, MAX_LINE, Places(50, 100), http_port=port)
    listener.start()
    with gevent.socket.create_connection(bound.sockets[0].getsockname(), 10) as client:
        client.sendall(POST)
        answer = b""
        while more := client.recv(1000):
            answer += more
    head, body = answer.split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 421 ") and b"Content-Length: %d\r\n" % len(body) in head
    assert where in body and "takes samples" in json.loads(body)["error"]
    listener.stop()


@pytest.mark.parametrize("text", [b"GET 5\n", b"POST 1700000000 5\nGET 5\n", b"a 1\nPOST / HTTP/1.1\n",
                                  b"HTTP/1.1 200\n", b"GET /x HTTP 1\n", b"GET  HTTP/1.1\n"])
def test_lines_that_look_a_little_like_it_are_lines(bench: Bench, tcp: ConnectionInput, connect: Connect,
                                                    text: bytes) -> None:
    connect().sendall(text + b"end 1\n")
    until(lambda: bench.intake.lines == [*text.split(b"\n")[:-1], b"end 1"])
    assert refused(bench) == {}


def test_a_first_line_that_is_too_long_is_no_request_for_that(bench: Bench, tcp: ConnectionInput,
                                                              connect: Connect) -> None:
    connect().sendall(b"get " + b"1" * 2000 + b"\nend 1\n")
    until(lambda: bench.intake.lines == [b"end 1"])
    assert refused(bench) == {"long_line": 1}


def test_an_endpoint_may_take_what_begins_like_it(bench: Bench) -> None:
    bound = listening(Transport.TCP, refuse_http=False)
    listener = ConnectionInput([bound], bench, MAX_LINE, Places(50, 100))
    listener.start()
    with gevent.socket.create_connection(bound.sockets[0].getsockname(), 10) as client:
        client.sendall(b"GET / HTTP/1.1\nx 1\n")
        until(lambda: bench.intake.lines == [b"GET / HTTP/1.1", b"x 1"])
    listener.stop()


def test_a_reset_is_an_ordinary_end(bench: Bench, tcp: ConnectionInput, connect: Connect) -> None:
    client = connect()
    client.sendall(b"a 1\n")
    until(lambda: bench.intake.lines == [b"a 1"])
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.close()
    until(lambda: tcp.totals()["connected"] == 0)


def test_stop_while_connections_rest_or_wait(bench: Bench, tcp: ConnectionInput, connect: Connect) -> None:
    clients = [connect() for _ in range(10)]
    for _ in range(3):
        for client in clients:
            client.sendall(b"a 1\n")
        gevent.sleep(0.002)
    tcp.stop()
    gevent.sleep(0.02)
    assert bench.errors == []


def test_stop_takes_what_has_arrived(bench: Bench, tcp: ConnectionInput, connect: Connect) -> None:
    client = connect()
    until(lambda: len(tcp.connections) == 1)
    bench.pump.stop()
    client.sendall(b"n 1\n" * 10_000)
    tcp.stop()
    assert len(bench.intake.lines) == 10_000
    assert client.recv(1) == b""


def test_running_out_of_descriptors_pauses_and_recovers(bench: Bench, tcp: ConnectionInput,
                                                        monkeypatch: pytest.MonkeyPatch,
                                                        caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("istat_server.ingest.connections.ACCEPT_PAUSE", 0.05)
    address = tcp.address       # type: ignore[attr-defined]
    clients = [socket.create_connection(address, 10) for _ in range(3)]     # blocking: not yet accepted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with caplog.at_level(logging.ERROR):
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))      # none, even if one of another test goes meanwhile
        try:
            gevent.sleep(0.2)
            assert len(tcp.connections) == 0
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        until(lambda: len(tcp.connections) == 3)
    assert [record.message for record in caplog.records if "cannot accept" in record.message] != []
    assert len(caplog.records) == 1
    clients[0].sendall(b"a 1\n")
    until(lambda: bench.intake.lines == [b"a 1"])
    for client in clients:
        client.close()


def test_a_fault_closes_only_the_connection_that_met_it(bench: Bench, tcp: ConnectionInput, connect: Connect,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = connect(), connect()
    until(lambda: len(tcp.connections) == 2)
    feed = bench.intake.feed

    def failing(view: memoryview, start: int, end: int, sender: object) -> int:
        if bytes(view[start:end]) == b"boom 1\n":
            raise RuntimeError("boom")
        return feed(view, start, end, sender)     # type: ignore[arg-type]

    monkeypatch.setattr(bench.intake, "feed", failing)
    bad.sendall(b"boom 1\n")
    until(lambda: len(tcp.connections) == 1)
    assert bad.recv(1) == b""
    good.sendall(b"a 1\n")
    until(lambda: bench.intake.lines == [b"a 1"])
    assert [str(error) for error in bench.errors] == ["boom"]
    bench.errors.clear()
