"""The real WSGI server on a free port: connections that stay open, bounds, broken requests."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.socket
import pytest
import requests

from istat_server.http.server import HttpServer
from istat_server.http.transport import handler
from istat_server.sockets import CannotListen
from istat_server.testing.memory import MemoryStore
from tests.ports import open_http_socket

T = 1325394000


@pytest.fixture
def server(app: Any) -> Iterator[HttpServer]:
    server = HttpServer(app, open_http_socket("127.0.0.1", 0))
    server.start()
    yield server
    server.stop()


def in_thread(work: Any, *arguments: Any, **options: Any) -> Any:
    """Run a blocking client while the hub serves."""
    return gevent.get_hub().threadpool.apply(work, arguments, options)



def talk(server: HttpServer, sent: bytes, timeout: float = 5) -> bytes:
    """Send bytes on a connection of its own and read until the server closes it (or the timeout)."""
    with gevent.Timeout(timeout, False):
        client = gevent.socket.create_connection(("127.0.0.1", server.port), 10)
        answer = b""
        try:
            client.sendall(sent)
            while part := client.recv(65536):
                answer += part
        except OSError:
            pass  # the server may close before it has read all
        finally:
            client.close()
        return answer
    return b"(timeout)"


def test_no_name_service_is_asked_at_start(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> None:
        pytest.fail("asked the name service")

    monkeypatch.setattr("gevent.pywsgi.socket.getfqdn", asked)
    server = HttpServer(app, open_http_socket("127.0.0.1", 0))
    server.start()
    server.stop()


def test_requests_over_one_connection(server: HttpServer) -> None:
    url = f"http://127.0.0.1:{server.port}"

    def work() -> list[Any]:
        with requests.Session() as session:
            first = session.get(url + "/health")
            bulk = {"names": ["foo.bar"], "from": T - 80000, "to": T, "points": 2000}
            answers = [session.post(url + "/api/v1/series", json=bulk) for _ in range(3)]
            head = session.head(url + "/foo.bar", params={"start": T})
            last = session.get(url + "/foo.bar", params={"start": T})
        return [first, *answers, head, last]

    first, *bulk, head, last = in_thread(work)
    assert first.json() == {"status": "ok"}
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    assert {answer.headers["Content-Encoding"] for answer in bulk} == {"gzip"}
    assert len(bulk[0].json()["series"][0]["avg"]) == 2000
    assert (head.status_code, head.content) == (200, b"")
    assert all("Content-Length" in answer.headers for answer in (first, *bulk, head, last))
    assert len(last.json()["buckets"]) == 2


def test_small_answers_do_not_wait_for_an_acknowledgement(server: HttpServer) -> None:
    def work() -> float:
        with requests.Session() as session:
            times = [session.get(f"http://127.0.0.1:{server.port}/health").elapsed for _ in range(20)]
        return sorted(time.total_seconds() for time in times)[10]

    assert in_thread(work) < 0.03  # a delayed acknowledgement is 0.04 s


def test_a_connection_stays_open_and_closes_when_asked(server: HttpServer) -> None:
    one = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    closing = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = talk(server, one * 3 + closing)
    assert answer.count(b'{"status":"ok"}') == 4


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01 binary\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n folded: x\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nA: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (b"GET /health HTTP/1.1\r\n" + b"A: x\r\n" * 200 + b"\r\n", 431),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"POST /* HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST /* HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /* HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /* HTTP/1.1\r\nContent-Length: 1_0\r\n\r\n0123456789", 400),
        (b"POST /* HTTP/1.1\r\nContent-Length: +2\r\n\r\n{}", 400),
        (b"GET /health HTTP/1.0_1\r\n\r\n", 400),
        (b"POST /* HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12", 400),
        (b"POST /* HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n", 411),
        (b"POST /* HTTP/1.1\r\nConnection: close\r\n\r\n", 411),
    ],
)  # fmt: skip
def test_broken_and_greedy_requests(server: HttpServer, sent: bytes, status: int) -> None:
    answer = talk(server, sent)
    assert answer.split(b" ")[1] == str(status).encode()
    if status != 414:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_what_could_not_be_read_is_counted_and_a_bad_question_is_not_among_it(server: HttpServer) -> None:
    for sent, errors in ((b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 0),
                         (b"GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 0),
                         (b"GET /health HTTP/1.1\r\nno colon\r\n\r\n", 1), (b"\x16\x03\x01 binary\r\n\r\n", 2)):
        talk(server, sent)
        assert server.totals()["http.errors.server"] == errors


def test_slow_requests_are_ended(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "REQUEST_SECONDS", 0.05)
    assert b" 408 " in talk(server, b"GET /health HTTP/1.1\r\nHost: ")
    assert talk(server, b"GET /hea") == b""


def test_a_quick_request_is_not_ended_later(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "REQUEST_SECONDS", 0.05)
    client = gevent.socket.create_connection(("127.0.0.1", server.port), 10)
    for _ in range(2):
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b'{"status":"ok"}' in client.recv(65536)
        gevent.sleep(0.1)
    client.close()


def test_idle_connections_are_closed(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "IDLE_SECONDS", 0.05)
    server = HttpServer(app, open_http_socket("127.0.0.1", 0))
    server.start()
    assert talk(server, b"") == b""
    assert talk(server, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").endswith(b'{"status":"ok"}')
    server.stop()


def test_stopping_does_not_wait_for_idle_connections(app: Any) -> None:
    server = HttpServer(app, open_http_socket("127.0.0.1", 0))
    server.start()
    client = gevent.socket.create_connection(("127.0.0.1", server.port), 10)
    client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    client.recv(65536)
    with gevent.Timeout(1):
        server.stop()
    assert client.recv(10) == b""
    client.close()


def test_ipv6(app: Any) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        server = HttpServer(app, open_http_socket("::1", 0))
    except CannotListen:
        pytest.skip("no IPv6 here")
    server.start()
    client = gevent.socket.create_connection(("::1", server.port), 10)
    client.sendall(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert client.recv(65536).endswith(b'{"status":"ok"}')
    client.close()
    server.stop()


def test_long_answers_let_others_in(app: Any, server: HttpServer, store: MemoryStore) -> None:
    for k in range(1000):
        store.add("long", T - k * 10, k / 7)
    longest = 0.0

    def watch() -> None:
        nonlocal longest
        last = gevent.get_hub().loop.now()
        while True:
            gevent.sleep(0.001)
            gevent.get_hub().loop.update_now()
            now = gevent.get_hub().loop.now()
            longest, last = max(longest, now - last), now

    watcher = gevent.spawn(watch)
    body = json.dumps({"names": ["long"] * 5, "from": T - 10000, "to": T, "points": 1000}).encode()
    head = b"POST /api/v1/series HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert b'"series"' in talk(server, head + body)
    watcher.kill()
    assert longest < 0.5  # generous: catches accidents only


def test_a_body_that_is_cut_off_is_refused(server: HttpServer) -> None:
    with gevent.Timeout(5):
        client = gevent.socket.create_connection(("127.0.0.1", server.port), 10)
        client.sendall(b"POST /api/v1/series HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(65536)
        client.close()
    assert answer.startswith(b"HTTP/1.1 400")
