"""The agent's prometheus-port: requests without sockets, and connections of careless clients."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.socket
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from istat.clock import FakeClock
from istat.exporter.series import exporter_of
from istat_agent.exporting import port, requests
from istat_agent.exporting.port import ExporterPort, open_listener
from istat_agent.exporting.requests import Refused, check, head_of, parse
from istat_agent.options import DECLARATION

NOW = 1_700_000_000
ASK = b"GET /metrics HTTP/1.1\r\nHost: localhost:1\r\n\r\n"


def test_a_head_is_found_however_its_lines_end() -> None:
    assert head_of(ASK) == ASK[:-4]
    assert head_of(ASK.replace(b"\r\n", b"\n")) == ASK[:-4].replace(b"\r\n", b"\n")
    assert head_of(ASK[:-1]) is None
    with pytest.raises(Refused, match="at most 8192 bytes") as caught:
        head_of(b"GET /metrics HTTP/1.1\r\n" + b"x: y\r\n" * 2000)
    assert caught.value.status == 431


def test_a_request_is_understood() -> None:
    found = parse(b"GET /metrics?x=1 HTTP/1.0\r\nHOST: [::1]:8120\r\nAccept-Encoding: br, gzip;q=0.5")
    assert (found.method, found.path, found.headers["host"], found.takes_gzip) == ("GET", "/metrics", "[::1]:8120",
                                                                                 True)
    check(found, at_home=True)
    assert not parse(b"GET / HTTP/1.1\nAccept-Encoding: gzip;q=0, br").takes_gzip
    assert not parse(b"GET / HTTP/1.1").takes_gzip


@pytest.mark.parametrize(("head", "at_home", "status"), [
    (b"flush", True, 400), (b"GET /metrics", True, 400), (b"GET /metrics HTTP/2", True, 400), (b"", True, 400),
    (b"GET /metrics HTTP/1.1\r\nno colon", True, 400), (b"GET /metrics HTTP/1.1\r\n folded: x", True, 400),
    (b"GET /metrics HTTP/1.1\r\na: b\0c", True, 400),
    (b"GET / HTTP/1.1", True, 404), (b"GET /metrics/ HTTP/1.1", True, 404), (b"GET /../metrics HTTP/1.1", True, 404),
    (b"POST /metrics HTTP/1.1", True, 405), (b"DELETE /metrics HTTP/1.1", True, 405),
    (b"GET /metrics HTTP/1.1\r\nHost: evil.example", True, 421), (b"GET /metrics HTTP/1.1\r\nHost: a b", True, 421),
    (b"GET /metrics HTTP/1.1\r\nHost: evil.example", False, 200), (b"GET /metrics HTTP/1.1", True, 200),
    (b"HEAD /metrics HTTP/1.1\r\nHost: 127.0.0.1:8120", True, 200),
])
def test_what_is_refused(head: bytes, at_home: bool, status: int) -> None:
    try:
        check(parse(head), at_home)
        found = 200
    except Refused as error:
        found = error.status
        answer = requests.refusal(error)
        assert answer.startswith(b"HTTP/1.1 %d " % status) and b"Connection: close" in answer
    assert found == status


@given(st.binary(max_size=200) | st.lists(st.sampled_from(
    [b"GET", b" ", b"/metrics", b"HTTP/1.1", b"\r\n", b"\n", b"Host:", b"x", b":", b"\0", b"\xff"])).map(b"".join))
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    try:
        head = head_of(data + b"\r\n\r\n")
        assert head is not None
        check(parse(head), True)
    except Refused as error:
        assert error.status in requests.REASONS


@pytest.fixture
def served() -> Iterator[ExporterPort]:
    settings = DECLARATION.load(["--prometheus-port", "0"], {})
    listener = open_listener(settings)
    assert listener is not None
    found = ExporterPort(exporter_of(settings, "h1"), listener, FakeClock(NOW), settings)
    found.start()
    yield found
    found.stop()


def connect(found: ExporterPort) -> Any:
    return gevent.socket.create_connection(("127.0.0.1", found.port), 10)


def answer(client: Any) -> tuple[bytes, bytes]:
    """(head, body) of what comes until the connection closes."""
    data = b""
    while more := client.recv(65536):
        data += more
    client.close()
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head or not body
    return head, body


def asked(found: ExporterPort, request: bytes = ASK) -> tuple[bytes, bytes]:
    client = connect(found)
    client.sendall(request)
    return answer(client)


def test_what_is_shipped_is_told(served: ExporterPort) -> None:
    served.feed([b"cpu.idle^host.h1^class.web %d 97.5\n" % NOW, b"*net.rx^host.h1 %d 10\n" % NOW])
    served.feed([b"*net.rx^host.h1 %d 5\n" % NOW])
    head, body = asked(served)
    assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in head
    values = {sample.name: (sample.labels, sample.value) for family in text_string_to_metric_families(body.decode())
              for sample in family.samples}
    assert values == {"cpu_idle": ({"host": "h1", "class": "web"}, 97.5),
                      "net_rx_total": ({"host": "h1", "counter": "1"}, 15)}


def test_an_answer_is_packed_where_that_is_taken(served: ExporterPort) -> None:
    served.feed([b"cpu.idle 1\n"])
    head, body = asked(served, ASK[:-2] + b"Accept-Encoding: gzip\r\n\r\n")
    assert b"Content-Encoding: gzip" in head and gzip.decompress(body) == asked(served)[1]
    head, body = asked(served, ASK.replace(b"GET", b"HEAD"))
    assert not body and b"200 OK" in head


def test_a_request_may_come_in_pieces(served: ExporterPort) -> None:
    client = connect(served)
    for at in range(0, len(ASK), 7):
        client.sendall(ASK[at:at + 7])
        gevent.sleep(0.001)
    assert b"200 OK" in answer(client)[0]


def test_who_says_nothing_is_let_go(served: ExporterPort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "REQUEST_SECONDS", 0.05)
    client = connect(served)
    client.sendall(b"GET /metrics HTTP/1.1\r\n")
    assert answer(client) == (b"", b"")
    assert len(served._serving) == 0


def test_who_says_nothing_makes_room(served: ExporterPort) -> None:
    silent = [connect(served) for _ in range(3 * port.PLACES)]
    assert b"200 OK" in asked(served)[0]
    assert len(served._serving) <= port.PLACES
    assert answer(silent[0]) == (b"", b"")
    for client in silent:
        client.close()
    gevent.sleep(0.05)
    assert len(served._serving) == 0        # none is left behind


def test_who_takes_no_answer_holds_up_nobody(served: ExporterPort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "ANSWER_SECONDS", 0.5)
    served.feed([b"cpu.idle^host.%s%d %d 97.5\n" % (b"x" * 500, number, NOW) for number in range(20_000)])
    lazy = []
    for _ in range(3):
        client = gevent.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", served.port))
        client.sendall(ASK)
        lazy.append(client)
    assert b"404" in asked(served, b"GET / HTTP/1.1\r\n\r\n")[0]
    with gevent.Timeout(10):
        while len(served._serving):
            gevent.sleep(0.05)
    for client in lazy:
        client.close()


def test_who_takes_no_answer_makes_room(served: ExporterPort) -> None:
    """However long its answer may wait: as many as there are places keep nobody out."""
    served.feed([b"cpu.idle^host.%s%d %d 97.5\n" % (b"x" * 500, number, NOW) for number in range(20_000)])
    lazy = []
    for _ in range(port.PLACES):
        client = gevent.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", served.port))
        client.sendall(ASK)
        lazy.append(client)
    with gevent.Timeout(20):
        while not all(one.sends for one in served._serving._places):
            gevent.sleep(0.05)
    assert len(served._serving) == port.PLACES
    assert b"404" in asked(served, b"GET / HTTP/1.1\r\n\r\n")[0]
    for client in lazy:
        client.close()


def test_a_fault_is_told_and_others_are_served(served: ExporterPort, monkeypatch: pytest.MonkeyPatch,
                                               caplog: pytest.LogCaptureFixture) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(requests, "parse", lambda head: 1 / 0)
        assert asked(served) == (b"", b"")
    assert "prometheus-port: a fault of our own" in caplog.text
    assert b"200 OK" in asked(served)[0]


def test_nothing_listens_unless_it_is_wanted() -> None:
    assert open_listener(DECLARATION.load([], {})) is None
