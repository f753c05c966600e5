"""The server's prometheus-port: fed by whatever comes in, answering as HTTP does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent.socket
import pytest
from prometheus_client.parser import text_string_to_metric_families

from istat.clock import FakeClock
from istat.daemon.handover import Handover
from istat.exporter.series import exporter_of
from istat_server.exporting.port import ExporterPort
from istat_server.http import origins
from istat_server.ingest.intake import Intake
from istat_server.mistakes import Mistakes
from istat_server.options import DECLARATION
from istat_server.roster import Roster
from istat_server.sockets import PROMETHEUS, open_service
from istat_server.testing.memory import MemoryStore

NOW = 1_700_000_000


class Served:
    """An intake over a model of a store, and the port that watches it."""

    def __init__(self, *words: str, address: str = "127.0.0.1") -> None:
        """address: what the port is told that it listens on, which is loopback all the same."""
        self.clock = FakeClock(NOW)
        self.settings = DECLARATION.load(["--prometheus-port", "0", *words], {})
        self.store = MemoryStore(clock=self.clock)
        self.mistakes = Mistakes(self.clock)
        self.intake = Intake(self.store, self.mistakes)
        self.roster = Roster(self.clock)
        (listener,) = open_service(self.settings, PROMETHEUS, Handover())
        self.number = listener.getsockname()[1]
        told = {**self.settings, "prometheus-listen-address": address}
        self.port = ExporterPort(exporter_of(self.settings, "h1"), listener, self.intake, self.clock, told,
                                 self.mistakes, breathe=self.breathe)
        self.turns = 0
        self.port.start()

    def breathe(self) -> None:
        self.turns += 1

    def feed(self, text: bytes, transport: str = "tcp") -> None:
        self.intake.feed(memoryview(text), 0, len(text), self.roster.connected(transport, "192.0.2.7:1"))

    def ask(self, path: str = "/metrics", method: str = "GET", headers: str = "",
            host: str = "localhost") -> tuple[str, str]:
        """(head, body)."""
        client = gevent.socket.create_connection(("127.0.0.1", self.number), 10)
        client.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n".encode())
        data = b""
        while more := client.recv(65536):
            data += more
        client.close()
        head, _, body = data.decode().partition("\r\n\r\n")
        return head, body


@pytest.fixture
def served() -> Iterator[Served]:
    found = Served()
    yield found
    found.port.stop()


def values_of(body: str) -> dict[str, Any]:
    return {sample.name: sample.value for family in text_string_to_metric_families(body) for sample in family.samples}


def test_what_comes_in_is_told_with_the_right_type(served: Served) -> None:
    served.feed(b"load.one^host.h1 0.5\n*hits 2\n#hostname h1\nbad line here x\n*hits 3\n")
    head, body = served.ask()
    assert head.startswith("HTTP/1.1 200 OK")
    assert "content-type: text/plain; version=0.0.4; charset=utf-8" in head.lower()
    assert values_of(body) == {"load_one": 0.5, "hits_total": 5}
    assert served.port.totals() == {"exporter.series": 2, "exporter.dropped": 0}


def test_what_the_store_refuses_is_told_all_the_same(served: Served) -> None:
    served.store.refusing = "its disk is full"
    served.feed(b"load 1\nload 2\nunfinished")
    assert values_of(served.ask()[1]) == {"load": 2}


def test_others_have_turns_while_many_lines_come(served: Served) -> None:
    served.feed(b"".join(b"n%d 1\n" % number for number in range(1000)))
    assert served.turns == 10
    # In the hub itself there is nobody to wait for.
    gevent.get_hub().loop.run_callback(served.feed, b"".join(b"m%d 1\n" % number for number in range(1000)))
    gevent.sleep(0.01)
    assert served.turns == 10 and served.port.totals()["exporter.series"] == 2000


def test_self_metrics_are_not_told_here(served: Served) -> None:
    served.feed(b"istatd.counters 5\n", transport="self")
    assert served.ask()[1] == ""


@pytest.mark.parametrize(("path", "method", "status"), [
    ("/", "GET", 404), ("/metrics/x", "GET", 404), ("/?q=*", "GET", 404), ("/api/v1/status", "GET", 404),
    ("/metrics", "POST", 405), ("/metrics", "HEAD", 200), ("/metrics", "OPTIONS", 204),
])
def test_there_is_one_page(served: Served, path: str, method: str, status: int) -> None:
    assert served.ask(path, method)[0].startswith(f"HTTP/1.1 {status} ")


def test_tokens_and_names_hold_here_too() -> None:
    found = Served("--read-token", "r3ads")
    try:
        assert found.ask()[0].startswith("HTTP/1.1 401 ")
        assert found.ask(headers="Authorization: Bearer r3ads\r\n")[0].startswith("HTTP/1.1 200 ")
        assert found.ask(headers="Host: evil.example\r\n")[0].startswith("HTTP/1.1 4")
        found.port.reload({**found.settings, "read-token": ""})
        assert found.ask()[0].startswith("HTTP/1.1 200 ")
    finally:
        found.port.stop()


@pytest.mark.parametrize("words", [(), ("--disallow-compressed-responses",)])
def test_answers_are_packed_unless_the_setting_forbids_it(words: tuple[str, ...]) -> None:
    found = Served(*words)
    try:
        found.feed(b"".join(b"a.counter.%d 1\n" % number for number in range(100)))
        client = gevent.socket.create_connection(("127.0.0.1", found.number), 10)
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                       b"Accept-Encoding: gzip\r\n\r\n")
        data = b""
        while more := client.recv(65536):
            data += more
        client.close()
        assert (b"content-encoding: gzip" in data.lower()) == (not words) and (b"a_counter_7 1" in data) == bool(words)
    finally:
        found.port.stop()


def test_it_is_asked_by_the_names_of_its_machine_where_others_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "machine_names", lambda: ["stats.example.net"])
    found = Served(address="*")
    try:
        with gevent.Timeout(10):
            while found.ask(host="stats.example.net:8120")[0].startswith("HTTP/1.1 421 "):
                gevent.sleep(0.01)
        assert found.ask(host="Stats.Example.Net")[0].startswith("HTTP/1.1 200 ")
        assert found.ask(host="evil.example")[0].startswith("HTTP/1.1 421 ")
    finally:
        found.port.stop()


def test_nothing_is_watched_when_it_has_stopped(served: Served) -> None:
    assert served.intake.watcher is not None
    served.port.stop()
    assert served.intake.watcher is None
    with pytest.raises(OSError):
        served.ask()


def test_old_gauges_are_let_go_while_it_runs() -> None:
    found = Served("--metrics-cleanup-period", "1s")
    try:
        found.feed(b"load 1\n")
        assert found.port.totals()["exporter.series"] == 1
        found.clock.advance(2)
        with gevent.Timeout(10):
            while found.port.totals()["exporter.series"]:
                gevent.sleep(0.05)
    finally:
        found.port.stop()
