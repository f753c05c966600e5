"""TCP listener: lines over real sockets on loopback, with an intake that only remembers."""
from __future__ import annotations

import logging
import os
import resource
import socket
import tracemalloc
from collections.abc import Callable, Iterator

import gevent
import gevent.socket
import pytest

from istat_server.ingest.connections import ConnectionInput
from istat_server.ingest.endpoints import Transport
from tests.ingest.fakes import Bench, listening, until

Connect = Callable[[], socket.socket]
MAX_LINE = 1000


@pytest.fixture
def tcp(bench: Bench) -> Iterator[ConnectionInput]:
    bound = listening(Transport.TCP)
    listener = ConnectionInput([bound], bench, MAX_LINE, 50)
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
    assert [row["online"] for row in bench.roster.agents()] == [False]


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


def test_one_connection_too_many_is_closed_and_counted(bench: Bench, tcp: ConnectionInput, connect: Connect) -> None:
    for _ in range(50):
        connect()
    until(lambda: len(tcp.connections) == 50)
    surplus = connect()
    until(lambda: bench.mistakes.counts["too_many_connections"] == 1)
    assert surplus.recv(1) == b""
    assert len(tcp.connections) == 50


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
    next_free = os.dup(0)
    os.close(next_free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with caplog.at_level(logging.ERROR):
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_free, hard))
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


