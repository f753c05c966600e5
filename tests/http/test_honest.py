"""Clients that do nothing wrong are answered as they may expect, whatever is done against others: over real sockets."""
from __future__ import annotations

import errno
import socket
import struct
from typing import Any

import gevent
import pytest
from gevent.event import Event

from istat_server.http.transport import body, handler
from istat_server.http.transport.flight import Busy
from istat_server.http.transport.head import TooSlow
from tests.http.hostile import HEALTH, MEMORY, OK, Tried, answered, closed, connect, posted, settle


def test_who_was_told_to_ask_again_does_so_on_the_same_connection(
    tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had come of the body before it was refused is not waited for once more."""
    def work(path: str, environ: dict[str, Any]) -> bytes:
        try:
            return b"%d" % len(environ["wsgi.input"].read())
        except Busy:        # as falcon does it
            return b"busy"

    monkeypatch.setattr(tried, "work", work)
    other = connect(tried.server, "127.0.0.2")
    other.sendall(posted("/body", b"x" * (MEMORY * 7 // 10), MEMORY))
    settle()
    client = connect(tried.server)
    client.settimeout(5)
    assert answered(client, posted("/body", b"x" * (MEMORY * 5 // 10))).endswith(b"busy")
    assert OK in answered(client)
    assert tried.counted("http_busy") == 1 and tried.counted("http_slow") == 0
    other.sendall(b"x" * (MEMORY - MEMORY * 7 // 10))
    assert other.recv(1000).endswith(b"%d" % MEMORY)


def test_a_second_request_is_answered_however_the_first_came(tried: Tried) -> None:
    for size in (1, 3, 4, len(HEALTH) - 1):
        client = connect(tried.server)
        client.sendall(HEALTH[:size])
        settle()
        client.settimeout(5)
        assert OK in answered(client, HEALTH[size:] + HEALTH)
        while tried.ended.count("/health") < 2:
            assert OK in client.recv(1000)
        del tried.ended[:]
        client.close()


def test_a_request_that_has_come_makes_no_room_while_it_waits_for_its_turn(
    tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    its_turn = Event()
    monkeypatch.setattr(tried.server._server.desk, "begin", lambda client: its_turn.wait())     # type: ignore[attr-defined]
    clients = []
    for number in range(9):
        clients.append(connect(tried.server, f"127.0.0.{2 + number // 2}"))
        clients[-1].sendall(HEALTH)
        settle()
    assert tried.counted("http_made_room") == 0 and tried.server.totals()["http.connected"] == 8
    its_turn.set()
    for one in clients:
        one.settimeout(5)
        assert OK in one.recv(1000)


def test_an_answer_has_the_time_of_answers_when_there_was_a_body(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "SILENT_SECONDS", 0.1)
    client, count = connect(tried.server), 300
    asked = posted("/body", b"x" * 10)
    monkeypatch.setattr(tried, "work", lambda path, environ: environ["wsgi.input"].read() + bytes(60_000))
    sender = gevent.spawn(client.sendall, asked * count)
    gevent.sleep(0.5)
    client.settimeout(5)
    found = 0
    while found < count * 60_000 and (part := client.recv(1 << 20)):
        found += len(part)
    assert found >= count * 60_000
    sender.join()
    assert tried.counted("http_unread") == 0


def test_a_body_that_was_not_asked_for_is_not_waited_for(tried: Tried) -> None:
    """Whoever waits for `100 Continue` and gets an answer instead sends no body: the connection ends."""
    client = connect(tried.server)
    asked = posted("/health", b"", 100).replace(b"Host: x", b"Host: x\r\nExpect: 100-continue")
    answer = answered(client, asked)
    assert OK in answer and b"\r\nConnection: close\r\n" in answer
    assert closed(client, 5) and tried.counted("http_slow") == 0


def test_a_body_that_was_asked_for_is_read_and_the_connection_goes_on(tried: Tried) -> None:
    client = connect(tried.server)
    asked = posted("/body", b"", 2).replace(b"Host: x", b"Host: x\r\nExpect: 100-continue")
    assert answered(client, asked) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answered(client, b"12").endswith(b"\r\n2")
    assert OK in answered(client)


def test_a_head_that_breaks_off_leaves_no_clock_behind(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    clocks: list[Any] = []

    def start(*arguments: Any, **named: Any) -> Any:
        clock = started(*arguments, **named)
        clocks.extend([clock] if isinstance(clock.exception, TooSlow) else [])
        return clock

    started = handler.gevent.Timeout.start_new
    monkeypatch.setattr(handler.gevent.Timeout, "start_new", start)
    client = connect(tried.server)
    client.sendall(b"GET /hea")
    settle()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    settle()
    assert len(clocks) == 1 and not clocks[0].pending


# -- descriptors

def test_what_is_held_back_of_descriptors_is_no_new_connections(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is idle longest makes room for it; where nobody is idle, it is refused."""
    idle = connect(tried.server, "127.0.0.2")
    settle()
    monkeypatch.setattr(tried.server._server, "_reserved", 0)       # type: ignore[attr-defined]
    working = connect(tried.server)
    working.sendall(b"GET /turns HTTP/1.1\r\nHost: x\r\n\r\n")
    assert closed(idle) and tried.counted("http_made_room") == 1
    gevent.sleep(0.2)
    assert closed(connect(tried.server, "127.0.0.3")) and tried.counted("http_too_many") == 1
    tried.finish.add("/turns")
    assert b"200 OK" in working.recv(1000)


def test_want_of_descriptors_is_told_once_though_some_are_accepted(
    tried: Tried, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("istat_server.http.server.STARVED_SECONDS", 0.01)
    server: Any = tried.server._server
    accept, wants = server.do_read, False

    def starved() -> Any:
        nonlocal wants
        if wants:
            wants = False
            raise OSError(errno.EMFILE, "Too many open files")
        return accept()

    monkeypatch.setattr(server, "do_read", starved)
    for _ in range(4):
        wants = True
        client = connect(tried.server)
        assert OK in answered(client)
        client.close()
        settle()
    assert [record.levelname for record in caplog.records].count("ERROR") == 1
