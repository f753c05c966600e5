"""Packing, queueing and sending, on a fake link; and the real one on the loopback."""

import errno
import logging
import socket
from collections.abc import Sequence
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.clock import FakeClock
from istat_agent.counters import Counters
from istat_agent.shipping import links, ship
from tests.ports import own_port

IDENTITY = ship.identity("web1.example.net", "web1", "1.2")


@given(st.lists(st.binary(min_size=1, max_size=60)), st.integers(20, 200))
def test_datagrams_hold_whole_lines_in_order_below_the_limit(texts: list[bytes], limit: int) -> None:
    lines = [text.replace(b"\n", b"") + b"\n" for text in texts]
    datagrams, too_long = ship.pack(lines, limit)
    assert all(0 < len(d) <= limit and d.endswith(b"\n") for d in datagrams)
    kept = [line for line in lines if len(line) <= limit]
    assert b"".join(datagrams) == b"".join(kept)
    assert too_long == len(lines) - len(kept)


class FakeLink:
    """Keeps what is sent; refuses while `error` is set."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.error: OSError | None = None
        self.closed_port: OSError | None = None
        self.lost = self.opened = 0

    def close(self) -> None:
        pass

    def send(self, datagram: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append(datagram)

    def check(self) -> None:
        if self.closed_port is not None:
            raise self.closed_port

    def advice(self, error: OSError) -> str:
        return ""


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship, "PROBE", 0)


class Bench:
    def __init__(self, limit: int = 100) -> None:
        self.link, self.counters, self.clock = FakeLink(), Counters(), FakeClock(1000)
        self.shipper = ship.Shipper(self.link, IDENTITY, limit, self.counters, self.clock, "stats:8111")


def test_identity_comes_first_and_every_minute() -> None:
    bench = Bench()
    for second in range(0, 130, 10):
        bench.shipper.offer([b"a %d 1\n" % second])
        bench.shipper.flush()
        bench.clock.advance(10)
    assert bench.link.sent[0] == b"#hostname web1.example.net\n#version 1.2\n#proto istat 1\n#agent web1\n"
    assert [i for i, d in enumerate(bench.link.sent) if d == IDENTITY] == [0, 7, 14]
    assert (bench.counters.samples, bench.counters.datagrams) == (13, 13)


def test_news_follow_each_introduction_and_are_told_at_once_when_there_are_others() -> None:
    bench = Bench(limit=30)
    news = [b"#failing 1\n", b"#failing.1 1000 it: down\n"]
    shipper = ship.Shipper(bench.link, IDENTITY, 30, bench.counters, bench.clock, "stats:8111", lambda: news)
    for _ in range(2):
        shipper.flush()
    assert bench.link.sent == [IDENTITY, *news], "in datagrams of whole lines"
    news[:] = [b"#failing 0\n"]
    shipper.tell()
    shipper.flush()
    bench.clock.advance(60)
    shipper.flush()
    assert bench.link.sent[3:] == [b"#failing 0\n", IDENTITY, b"#failing 0\n"]
    assert bench.counters.datagrams == 0, "they are no samples"


def test_news_that_did_not_go_out_are_told_when_the_server_is_back() -> None:
    bench = Bench()
    shipper = ship.Shipper(bench.link, IDENTITY, 100, bench.counters, bench.clock, "", lambda: [b"#failing 0\n"])
    shipper.flush()
    bench.link.error = ConnectionRefusedError(111, "Connection refused")
    shipper.tell()
    shipper.flush()
    bench.link.error = None
    shipper.flush()
    assert bench.link.sent == [IDENTITY, b"#failing 0\n", IDENTITY, b"#failing 0\n"]


def declaring(bench: Bench, metrics: list[bytes]) -> ship.Shipper:
    return ship.Shipper(bench.link, IDENTITY, 1400, bench.counters, bench.clock, "stats", metrics=lambda: metrics)


def test_metrics_are_declared_once_each_hour_and_when_there_are_others() -> None:
    bench, metrics = Bench(), [b"#metric a {}\n", b"#metric b {}\n"]
    shipper = declaring(bench, metrics)
    for _ in range(2 * 360):
        shipper.flush()
        bench.clock.advance(10)
    told = [datagram for datagram in bench.link.sent if datagram != IDENTITY]
    assert told == [b"#metric a {}\n#metric b {}\n"] * 2 and bench.link.sent[:2] == [IDENTITY, told[0]]
    bench.link.sent.clear()
    metrics[:] = [b"#metric c {}\n"]
    shipper.declare()
    shipper.flush()
    assert bench.link.sent[-1] == b"#metric c {}\n" and bench.counters.datagrams == 0


def test_metrics_are_declared_again_over_a_new_connection_and_where_they_did_not_go_out() -> None:
    bench = Bench()
    shipper = declaring(bench, [b"#metric a {}\n"])
    shipper.flush()
    shipper.flush()
    assert bench.link.sent == [IDENTITY, b"#metric a {}\n"]
    bench.link.opened += 1
    shipper.flush()
    assert bench.link.sent[2:] == [b"#metric a {}\n"]
    bench.link.error = ConnectionRefusedError(111, "Connection refused")
    shipper.declare()
    shipper.flush()
    bench.link.error = None
    shipper.flush()
    assert bench.link.sent[3:] == [IDENTITY, b"#metric a {}\n"]


def test_lines_too_long_for_a_datagram_are_counted() -> None:
    bench = Bench(limit=20)
    bench.shipper.offer([b"a 1 1\n", b"x" * 30 + b" 1 1\n"])
    bench.shipper.flush()
    assert bench.link.sent[1:] == [b"a 1 1\n"]
    assert (bench.counters.samples, bench.counters.refused) == (1, 1)


def test_absent_server_is_told_once_and_gets_everything_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.link.error = ConnectionRefusedError(111, "Connection refused")
    with caplog.at_level(logging.INFO):
        for i in range(5):
            bench.shipper.offer([b"a %d 1\n" % i])
            bench.shipper.flush()
            bench.clock.advance(5)
        assert len(caplog.records) == 1
        assert "cannot reach the server stats:8111 (Connection refused); what comes waits" in caplog.text
        assert "Does istat-server run there" in caplog.text
        bench.clock.advance(60)
        bench.shipper.flush()
        assert len(caplog.records) == 1
        assert bench.counters.unreachable == 6
        bench.link.error = None
        bench.shipper.flush()
        assert caplog.messages[1:] == ["the server stats:8111 can be reached again, after 85 s; "
                                       "the 5 datagrams that waited are sent, 0 were lost"]
    assert bench.link.sent == [IDENTITY, *(b"a %d 1\n" % i for i in range(5))]


def test_server_that_comes_and_goes_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    with caplog.at_level(logging.INFO):
        for error in (ConnectionRefusedError(111, "Connection refused"), None) * 10:
            bench.link.error = error
            bench.shipper.offer([b"a 1 1\n"])
            bench.shipper.flush()
            bench.clock.advance(5)
    assert [message.startswith("cannot reach") for message in caplog.messages] == [True, False] * 2


def test_data_is_not_sent_to_a_port_that_is_still_closed() -> None:
    bench = Bench()
    bench.link.error = ConnectionRefusedError(111, "Connection refused")
    bench.shipper.offer([b"a 1 1\n"])
    bench.shipper.flush()
    bench.link.error, bench.link.closed_port = None, ConnectionRefusedError(111, "Connection refused")
    bench.shipper.flush()
    assert bench.link.sent == [IDENTITY]  # the probe only
    bench.link.closed_port = None
    bench.shipper.flush()
    assert bench.link.sent == [IDENTITY, IDENTITY, b"a 1 1\n"]


def test_queue_is_bounded_and_drops_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship, "QUEUE", 3)
    bench = Bench(limit=10)
    bench.link.error = OSError("no such name")
    for i in range(10):
        bench.shipper.offer([b"a %d 1\n" % i])
        bench.shipper.flush()
    assert bench.counters.dropped == 7
    bench.link.error = None
    bench.shipper.flush()
    assert bench.link.sent[-3:] == [b"a 7 1\n", b"a 8 1\n", b"a 9 1\n"]


def test_lines_are_bounded_too_when_nobody_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship, "QUEUE", 3)
    bench = Bench(limit=10)
    for i in range(1000):
        bench.shipper.offer([b"a %03d 1\n" % i])
    assert bench.counters.dropped >= 990


def test_datagram_that_never_fits_does_not_hold_up_the_others() -> None:
    bench = Bench(limit=10)
    send, bench.link.send = bench.link.send, None  # type: ignore[method-assign, assignment]

    def picky(datagram: bytes) -> None:
        if datagram == b"b 1 1\n":
            raise OSError(errno.EMSGSIZE, "Message too long")
        send(datagram)

    bench.link.send = picky  # type: ignore[method-assign]
    bench.shipper.offer([b"a 1 1\n", b"b 1 1\n", b"c 1 1\n"])
    bench.shipper.flush()
    assert bench.link.sent[1:] == [b"a 1 1\n", b"c 1 1\n"]
    assert bench.counters.refused == 1


def receiver(family: socket.AddressFamily, address: str) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.bind((address, 0))
    except OSError:
        made.close()
        pytest.skip(f"no {address} on this machine")
    made.settimeout(5)
    return made


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_udp_link_reaches_both_families(family: socket.AddressFamily, address: str) -> None:
    with receiver(family, address) as server:
        link = links.UdpLink(address, server.getsockname()[1], FakeClock())
        link.send(b"a 1\n")
        assert server.recv(100) == b"a 1\n"
        link.close()


def test_udp_link_notices_a_closed_port() -> None:
    link = links.UdpLink("127.0.0.1", own_port(), FakeClock())
    link.send(b"a 1\n")
    with pytest.raises(ConnectionRefusedError):
        for _ in range(50):
            gevent.sleep(0.01)
            link.check()


def test_udp_link_resolves_again_each_minute_and_after_errors() -> None:
    clock, asked = FakeClock(), []
    with receiver(socket.AF_INET, "127.0.0.1") as old, receiver(socket.AF_INET, "127.0.0.1") as new:
        target = old.getsockname()

        def resolve(host: str, port: int) -> Sequence[Any]:
            asked.append((host, port))
            if target is None:
                raise socket.gaierror(-3, "try again")
            return [(socket.AF_INET, socket.SOCK_DGRAM, 0, "", target)]

        link = links.UdpLink("stats", 8111, clock, resolve)
        link.send(b"1")
        link.send(b"2")
        assert asked == [("stats", 8111)]
        clock.advance(links.RESOLVE)
        target = new.getsockname()
        link.send(b"3")
        assert (old.recv(10), old.recv(10), new.recv(10)) == (b"1", b"2", b"3")
        link.close()
        target = None
        with pytest.raises(OSError):
            link.send(b"4")
