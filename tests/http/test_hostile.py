"""What careless and hostile clients cost others, over real sockets: turns, places, bodies, answers, descriptors."""
from __future__ import annotations

import contextlib
import errno
import functools
import gc
import logging
import socket
import struct
import time
from typing import Any

import gevent
import pytest

from istat_server.http.transport import body, desk, flight, handler
from istat_server.http.transport.connections import Connections
from tests.http.hostile import HEALTH, MEMORY, OK, Tried, answered, closed, connect, posted, settle, stalled

# -- turns

def test_others_have_their_turn_between_requests_that_came_at_once(tried: Tried) -> None:
    """Whoever pipelines without end is answered one request a turn."""
    greedy, other = connect(tried.server), connect(tried.server)
    answered(greedy), answered(other)
    del tried.ended[:]
    greedy.sendall(b"GET /greedy HTTP/1.1\r\nHost: x\r\n\r\n" * 150)
    other.sendall(HEALTH)
    other.recv(1000)
    assert tried.ended.index("/health") < 10, tried.ended
    greedy.close(), other.close()


def test_a_quick_question_overtakes_long_ones_of_the_same_client(tried: Tried) -> None:
    long = connect(tried.server)
    long.sendall(b"GET /turns HTTP/1.1\r\nHost: x\r\n\r\n")
    settle()
    assert OK in answered(connect(tried.server))
    assert tried.ended == ["/health"]
    long.close()


def test_long_questions_of_a_client_beyond_some_wait(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "LONG_QUESTIONS", 1)
    clients = [connect(tried.server), connect(tried.server), connect(tried.server, "127.0.0.2")]
    for number, one in enumerate(clients):
        one.sendall(b"GET /turns%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
        settle()
    assert tried.turns.count("/turns1") == 1, "it waits with what its first slice has made"
    assert tried.turns.count("/turns0") > 1 < tried.turns.count("/turns2")
    tried.finish.add("/turns0")
    assert b"200 OK" in clients[0].recv(1000)
    settle()
    assert tried.turns.count("/turns1") > 1
    tried.finish |= {"/turns1", "/turns2"}
    for one in clients[1:]:
        assert b"200 OK" in one.recv(1000)
    assert not tried.server._server.desk._long      # type: ignore[attr-defined]


def test_a_question_ends_when_its_client_has_gone(tried: Tried, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    client = connect(tried.server)
    client.sendall(b"GET /turns HTTP/1.1\r\nHost: x\r\n\r\n")
    client.close()
    settle()
    assert tried.ended == ["/turns"] and 1 <= len(tried.turns) < 10
    assert tried.server.totals()["http.gone"] == 1 and not caplog.records
    assert OK in answered(connect(tried.server))


# -- places

def test_silent_connections_make_room(tried: Tried) -> None:
    silent = [connect(tried.server) for _ in range(20)]
    assert OK in answered(connect(tried.server))
    assert [closed(one, 0.2) for one in silent].count(True) == 19, "two places are one client's share of eight"
    assert tried.counted("http_made_room") == 19


def test_one_clients_connections_leave_places_to_others(tried: Tried) -> None:
    other = connect(tried.server, "127.0.0.2")
    assert OK in answered(other)
    silent = [connect(tried.server) for _ in range(20)]
    assert OK in answered(other), "it is idle longer than they, and not of their client"
    assert closed(silent[0])


def test_who_is_idle_longest_makes_room_when_all_places_are_taken(tried: Tried) -> None:
    held = [connect(tried.server, f"127.0.0.{2 + number // 2}") for number in range(8)]
    for one in (held[0], *held[2:]):
        assert OK in answered(one)
    assert OK in answered(connect(tried.server))
    assert closed(held[1]) and all(OK in answered(one) for one in (held[0], *held[2:]))


@pytest.mark.parametrize("part", [b"GET /health HT", posted("/body", b"1", 100)], ids=["head", "body"])
def test_a_request_that_has_not_come_whole_makes_room(tried: Tried, part: bytes) -> None:
    slow = [connect(tried.server, f"127.0.0.{2 + number // 2}") for number in range(8)]
    for one in slow:
        one.sendall(part)
    settle()
    assert OK in answered(connect(tried.server))
    slow[0].settimeout(5)
    slow[0].recv(1000)
    assert closed(slow[0]) and not closed(slow[1], 0.05)


def test_a_request_in_progress_makes_no_room(tried: Tried) -> None:
    working = [connect(tried.server) for _ in range(2)]
    for one in working:
        one.sendall(posted("/turns", b"12"))
    settle()
    assert closed(connect(tried.server)), "its client has its share in work"
    assert tried.counted("http_too_many") == 1
    assert OK in answered(connect(tried.server, "127.0.0.2"))
    tried.finish.add("/turns")
    for one in working:
        assert b"200 OK" in one.recv(1000)


def test_a_new_connection_waits_while_all_places_work() -> None:
    tried = Tried(connections=1)
    first = connect(tried.server, "127.0.0.2")
    first.sendall(b"GET /turns HTTP/1.1\r\nHost: x\r\n\r\n")
    settle()
    second = connect(tried.server)
    second.sendall(HEALTH)
    assert not closed(second, 0.1)
    tried.finish.add("/turns")
    assert b"200 OK" in first.recv(1000)
    second.settimeout(5)
    assert OK in second.recv(1000), "who has nothing to do any more makes room"
    assert closed(first)
    tried.server.stop()


# -- bodies

def test_a_body_of_a_byte_now_and_then_ends(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "SILENT_SECONDS", 0.2)
    client = connect(tried.server)
    client.sendall(posted("/body", b"", 1000))
    began = time.monotonic()
    with pytest.raises(OSError):
        while time.monotonic() - began < 5:
            client.sendall(b"x")
            gevent.sleep(0.02)
    assert tried.counted("http_slow") == 1


def test_a_body_that_nobody_reads_ends_as_well(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rest is thrown away, within the same time."""
    monkeypatch.setattr(body, "SILENT_SECONDS", 0.2)
    client = connect(tried.server)
    assert OK in answered(client, posted("/health", b"x", 1000))
    assert closed(client)
    assert tried.counted("http_slow") == 1


def test_an_upgrade_reads_no_more_than_the_body(tried: Tried) -> None:
    client = connect(tried.server)
    asked = posted("/body", b"12").replace(b"Host: x", b"Host: x\r\nUpgrade: websocket")
    assert answered(client, asked + b"34").endswith(b"\r\n2")


def test_bodies_are_held_up_to_a_total(tried: Tried) -> None:
    clients = [connect(tried.server, f"127.0.0.{number}") for number in range(2, 6)]
    for one in clients:
        one.sendall(posted("/body", b"x" * 400_000, 500_000))
        settle()
    assert 700_000 < tried.held() <= MEMORY
    gevent.sleep(0.1)
    for one in clients:
        one.sendall(b"x" * 100_000)
    found = [one.recv(1000) for one in clients]
    assert sum(answer.endswith(b"\r\n500000") for answer in found) == 2
    assert sum(answer.startswith(b"HTTP/1.1 503") for answer in found) == 2
    assert all(b"Retry-After: 1" in answer for answer in found if b" 503 " in answer)
    assert tried.held() == 0 and tried.counted("http_busy") == 2


# -- answers

def unread(tried: Tried, source: str) -> Any:
    """A client that asks for much and reads nothing."""
    client = connect(tried.server, source)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
    settle()
    return client


@pytest.fixture
def big(tried: Tried) -> Tried:
    tried.wanted = lambda: bytes(20 << 20)
    return tried


def test_answers_are_held_up_to_a_total(big: Tried) -> None:
    first = unread(big, "127.0.0.2")
    assert big.held() == 20 << 20, "who is alone gets it, however much"
    second = connect(big.server)
    answer = answered(second, b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503") and b"Retry-After: 1\r\n" in answer and b"http-memory" in answer
    assert OK in answered(connect(big.server)), "small ones go on"
    first.close()
    settle()
    assert big.held() == 0 and big.counted("http_busy") == 1


def test_an_answer_that_stands_still_makes_room(big: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "STILL_SECONDS", 0.05)
    first = unread(big, "127.0.0.2")
    gevent.sleep(0.1)
    second = connect(big.server)
    assert answered(second, b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert big.counted("http_unread") == 1
    with pytest.raises(ConnectionResetError):       # no end of an answer, but the end of the connection
        while first.recv(1 << 20):
            pass
    second.close()


def test_who_takes_a_byte_now_and_then_makes_room_too() -> None:
    now = 100.0
    room, cut = flight.Flight(100, lambda: now), list[str]()
    slow, quick = (flight.Cargo(one, functools.partial(cut.append, one)) for one in ("slow", "quick"))
    for one in (slow, quick):
        room.load(one, 50)
        room.starts(one)
    for _ in range(20):
        now += 0.5
        room.moves(slow, 1)
        room.moves(quick, flight.ANSWER_SPEED)
    room.load(flight.Cargo("new", list), 50)
    assert cut == ["slow"]
    with pytest.raises(flight.Busy):
        room.load(flight.Cargo("new", list), 50)


def test_small_answers_that_nobody_takes_make_room_for_another_connection(
    tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks again and again and takes nothing held all the places with answers that count in no total."""
    monkeypatch.setattr(flight, "STILL_SECONDS", 0.3)
    monkeypatch.setattr("istat_server.http.server.LOOK_SECONDS", 0.1)
    small = bytes(handler.UNCOUNTED_BYTES)
    tried.wanted = lambda: small
    asked = b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n" * 500
    clients = [connect(tried.server, f"127.0.0.{2 + number // 2}") for number in range(8)]
    for one in clients:
        one.sendall(asked)
    stalled(tried)
    assert tried.held() == 0 and len(tried.ended) < 8 * 500, "they hold no memory, and wait"
    other = connect(tried.server, "127.0.0.99")
    other.settimeout(5)
    assert OK in answered(other)
    assert tried.counted("http_unread") == 1, "no more of them than there were who waited"
    assert tried.server.totals()["http.connected"] == 8


def test_an_answer_that_is_not_taken_in_time_is_given_up(
    big: Tried, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    monkeypatch.setattr(handler, "IDLE_SECONDS", 0.2)
    client = unread(big, "127.0.0.2")
    gevent.sleep(0.4)
    assert big.held() == 0 and big.counted("http_unread") == 1
    assert not caplog.records, "and is no fault of ours"
    client.close()


def test_who_takes_no_answer_makes_no_room_beside_the_places(tried: Tried) -> None:
    """A body that the question needs not is read after the answer: connections whose answers nobody took counted as
    idle, made room, and stayed; one client had as many as it liked."""
    small = bytes(handler.UNCOUNTED_BYTES)
    tried.wanted = lambda: small
    clients = [connect(tried.server, f"127.0.0.{2 + number // 2}") for number in range(8)]
    for one in clients:
        one.sendall(posted("/big", b"x") * 500)
    stalled(tried)
    assert len(tried.ended) < 8 * 500
    others = [connect(tried.server, f"127.0.0.{20 + number}") for number in range(8)]
    settle()
    assert tried.counted("http_made_room") == 0 and tried.server.totals()["http.connected"] == 8
    for one in clients:
        one.close()
    for one in others:
        one.settimeout(5)
        assert OK in answered(one)


def test_answers_that_nobody_takes_do_not_hold_up_the_end(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("istat_server.http.server.ENDING_SECONDS", 0.1)
    small = bytes(handler.UNCOUNTED_BYTES)
    tried.wanted = lambda: small
    client = connect(tried.server)
    client.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
    stalled(tried)
    assert len(tried.ended) < 500
    began = time.monotonic()
    tried.server.stop()
    assert time.monotonic() - began < 0.8 and tried.server.totals()["http.connected"] == 0
    came = b""
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(1 << 20):
            came += piece
    assert came.startswith(b"HTTP/1.1 200") and b"Internal" not in came, "no other answer in the midst of one"


def test_a_long_answer_has_time_to_go_over_a_slow_line(big: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "IDLE_SECONDS", 2.0)
    client, came = connect(big.server), 0
    client.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    began = time.monotonic()
    while piece := client.recv(1 << 20):
        came += len(piece)
        gevent.sleep(3.0 * len(piece) / (20 << 20))
    assert time.monotonic() - began > 2, "longer than it may stand still"
    assert came > 20 << 20 and big.counted("http_unread") == 0


def test_bodies_are_read_in_turns(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    """However quickly a body comes, it is read for no longer than a slice before others have their turn."""
    monkeypatch.setattr("istat_server.http.transport.desk.SLICE_SECONDS", 0.0)
    server: Any = tried.server._server
    kept = server.desk.stay
    waited: list[str] = []
    monkeypatch.setattr(server.desk, "stay", lambda client: (waited.append(client), kept(client)))
    body = b"x" * (MEMORY // 2)
    client = connect(tried.server)
    client.sendall(posted("/body", body))
    assert b"%d" % len(body) in client.recv(1000)
    assert len(waited) >= len(body) // 16_384 - 1


# -- who comes all at once

def test_who_has_sent_a_request_already_makes_no_room_unread() -> None:
    """Many connections of one client that come in one turn of the hub: what they ask is answered first."""
    tried = Tried(connections=40)       # ten of a client's
    clients = []
    for _ in range(30):
        client = socket.create_connection(("127.0.0.1", tried.server.port))     # no turn of the hub
        client.sendall(HEALTH.replace(b"Host", b"Connection: close\r\nHost"))
        clients.append(client)
    stalled(tried)
    answers = [client.recv(1000) for client in clients]
    assert all(OK in answer for answer in answers)
    assert tried.counted("http_made_room") == tried.counted("http_too_many") == 0
    tried.server.stop()


def test_who_comes_behind_many_of_another_client_has_a_place_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("istat_server.http.server.SEAT_SECONDS", 0.0)
    monkeypatch.setattr("istat_server.http.server.ACCEPT_SECONDS", 10.0)    # all in one turn, on a busy machine too
    tried = Tried(connections=40)
    server: Any = tried.server._server
    monkeypatch.setattr(server._arrivals, "admit", functools.partial(_two_by_two, server._arrivals.admit))
    for number in range(30):
        client = socket.create_connection(("127.0.0.1", tried.server.port), source_address=("127.0.0.3", 0))
        client.sendall(f"GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    last = socket.create_connection(("127.0.0.1", tried.server.port), source_address=("127.0.0.4", 0))
    last.sendall(HEALTH)
    stalled(tried)
    assert OK in last.recv(1000)
    assert len(tried.ended) == 31 and tried.ended.index("/health") < 4
    last.close()
    tried.server.stop()


def _two_by_two(admit: Any, admitted: Any, _: Any) -> None:
    """Two of those who have arrived are admitted in a turn of the hub."""
    times = iter((True, True))
    admit(admitted, lambda: next(times, False))


def test_the_server_ends_with_those_who_have_no_place_yet() -> None:
    tried = Tried(connections=1)
    working = connect(tried.server)
    working.sendall(b"GET /turns HTTP/1.1\r\nHost: x\r\n\r\n")
    settle()
    waiting = connect(tried.server)
    settle()
    tried.finish.add("/turns")
    tried.server.stop()
    assert closed(waiting)


# -- descriptors

def test_accepting_without_descriptors_pauses_and_goes_on(
    tried: Tried, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    monkeypatch.setattr("istat_server.http.server.STARVED_SECONDS", 0.05)
    server: Any = tried.server._server
    accept, left = server.do_read, 3

    def starved() -> Any:
        nonlocal left
        if left:
            left -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return accept()

    monkeypatch.setattr(server, "do_read", starved)
    client = connect(tried.server)
    assert OK in answered(client)
    assert [record.levelname for record in caplog.records] == ["ERROR"] and "num-files" in caplog.text


def test_without_descriptors_who_is_idle_longest_gives_one(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    server: Any = tried.server._server
    idle = connect(tried.server, "127.0.0.2")
    settle()
    accept = server.do_read

    def starved() -> Any:
        if server.connections.count:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept()

    monkeypatch.setattr(server, "do_read", starved)
    assert OK in answered(connect(tried.server))
    assert closed(idle)


def test_who_has_made_room_has_to_end_before_another_makes_some(
    tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few descriptors: one makes room, and until it has ended nobody else has to; then it goes on at once."""
    monkeypatch.setattr("istat_server.http.server.ROOM_SECONDS", 10.0)
    idle = [connect(tried.server, f"127.0.0.{number}") for number in range(2, 5)]
    settle()
    monkeypatch.setattr(tried.server._server, "_reserved", 0)       # type: ignore[attr-defined]
    began = time.monotonic()
    assert OK in answered(connect(tried.server, "127.0.0.9"))
    assert OK in answered(connect(tried.server, "127.0.0.9"))
    assert time.monotonic() - began < 5
    assert tried.counted("http_made_room") == 2
    assert closed(idle[0]) and closed(idle[1]) and not closed(idle[2], 0.05)


def test_nothing_of_a_connection_is_left(tried: Tried) -> None:
    for number in range(30):
        client = connect(tried.server, f"127.0.0.{2 + number % 3}")
        client.sendall((HEALTH, b"GET", b"", posted("/body", b"1", 2), HEALTH * 3)[number % 5])
        client.close()
    settle()
    gc.collect()
    places: Connections = tried.server._server.connections      # type: ignore[attr-defined]
    assert (places.count, places._clients, places._idle) == (0, {}, {})
    assert (places.fresh, places.leaving) == (0, 0)


@pytest.mark.parametrize("sent", [
    b"", b"GET", b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"x" * 100_000,
    b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf", b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"\x16\x03\x01", HEALTH, HEALTH * 3,
])
@pytest.mark.parametrize("reset", [False, True])
def test_whatever_a_connection_ends_by_it_is_counted_no_more(tried: Tried, sent: bytes, reset: bool) -> None:
    tried.wanted = lambda: bytes(1 << 20)
    for pause in (0, 0.01):
        client = connect(tried.server)
        client.sendall(sent)
        gevent.sleep(pause)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    with gevent.Timeout(5):
        while tried.server.totals()["http.connected"]:
            gevent.sleep(0.01)
    assert tried.held() == 0
