"""UDP listener: datagrams over real sockets on loopback, with an intake that only remembers."""
from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import gevent
import pytest

from istat.daemon.handover import Handover
from istat_server.ingest.datagrams import DatagramInput
from istat_server.ingest.endpoints import Transport
from tests.ingest.fakes import Bench, listening, port_of, stat_port, tcp_of, udp_of, until


@pytest.fixture
def udp(bench: Bench) -> Iterator[DatagramInput]:
    bound = listening(Transport.UDP)
    listener = DatagramInput([bound], bench)
    listener.address = bound.sockets[0].getsockname()     # type: ignore[attr-defined]
    listener.start()
    yield listener
    listener.stop()


@pytest.fixture
def sender(udp: DatagramInput) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(udp.address)       # type: ignore[attr-defined]
        yield sock


def test_a_datagram_may_be_as_long_as_there_are_any(bench: Bench, udp: DatagramInput, sender: socket.socket) -> None:
    longest = 65_535 - 20 - 8       # without the headers of IPv4 and UDP
    text = b"a 1\n" * 16_375 + b"b 1234\n"
    assert len(text) == longest
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sender.send(text)
    until(lambda: bench.intake.lines == text.split(b"\n")[:-1])
    assert udp.totals()["udp.bytes"] == longest


def test_lines_arrive_with_their_sender(bench: Bench, udp: DatagramInput, sender: socket.socket) -> None:
    sender.send(b"#hostname db1\na 1\n")
    sender.send(b"b 2\n")
    until(lambda: bench.intake.lines == [b"#hostname db1", b"a 1", b"b 2"])
    assert {sender.address for sender in bench.intake.senders} == {f"127.0.0.1:{sender.getsockname()[1]}"}
    assert bench.intake.senders[0].bytes == 22
    assert udp.totals()["udp.datagrams"] == 2
    assert udp.totals()["udp.bytes"] == 22


def test_a_last_line_without_line_feed_is_counted_and_shown(bench: Bench, udp: DatagramInput, sender: socket.socket,
                                                            caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for data in (b"a 1\n", b"b 2\nc \xff3", b"", b"d 4\n"):
            sender.send(data)
        # Feeding gives others a turn when time is short, so what was refused may be counted a turn later.
        until(lambda: bench.intake.lines == [b"a 1", b"b 2", b"d 4"] and bench.mistakes.counts["unterminated"] > 1)
    assert bench.mistakes.counts["unterminated"] == 2
    assert ": 'c \\xff3'" in caplog.text


def test_short_datagrams_count_and_odd_ones_hold_up_nobody(bench: Bench, udp: DatagramInput,
                                                           sender: socket.socket) -> None:
    """As short as a sample can be; and lines of one byte, empty lines and halves of lines beside good ones."""
    for data in (b"a 1\n", b"x\nb 2\n", b"\n\nc 3\n", b"no end", b"", b"\n", b"d 4\n"):
        sender.send(data)
    until(lambda: bench.intake.lines == [b"a 1", b"x", b"b 2", b"", b"", b"c 3", b"", b"d 4"])
    assert udp.totals()["udp.datagrams"] == 7


def test_many_datagrams_are_few_wakeups(bench: Bench, udp: DatagramInput, sender: socket.socket) -> None:
    for i in range(400):
        sender.send(b"n %d\n" % i)
    until(lambda: len(bench.intake.lines) == 400)
    assert bench.intake.feeds <= 4
    for i in range(50):
        sender.send(b"n %d\n" % i)
        gevent.sleep(0)
    until(lambda: len(bench.intake.lines) == 450)
    assert udp.drains < 40
    assert udp.totals()["udp.drops"] == 0


def test_what_a_kept_socket_lost_before_is_not_counted_again(bench: Bench) -> None:
    first = stat_port(buffer=1)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(500):
        sender.sendto(b"lost.before 1\n" * 50, udp_of(first)[0].getsockname())
    kept = [("kept", sock.detach()) for sock in first.all()]
    sockets = stat_port(port=port_of(first), buffer=1, handover=Handover(kept))
    (before,) = sockets.of(Transport.UDP)[0].drops_before
    assert 0 < before < 500
    udp = DatagramInput(sockets.of(Transport.UDP), bench)
    udp.start()
    until(lambda: udp.totals()["udp.datagrams"] == 500 - before)
    sender.sendto(b"a 1\n", udp_of(sockets)[0].getsockname())
    until(lambda: udp.totals()["udp.datagrams"] == 501 - before)
    assert udp.totals()["udp.drops"] == 0
    for sock in [*tcp_of(sockets), sender]:
        sock.close()
    udp.stop()


def test_stop_takes_what_has_arrived(bench: Bench, udp: DatagramInput, sender: socket.socket) -> None:
    bench.pump.stop()
    for i in range(300):
        sender.send(b"n %d\n" % i)
    udp.stop()
    assert bench.intake.lines == [b"n %d" % i for i in range(300)]


def test_a_fault_does_not_close_the_port(bench: Bench, udp: DatagramInput, sender: socket.socket,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(bench.intake, "feed", lambda *_: 1 / 0)
        sender.send(b"a 1\n")
        until(lambda: bench.errors != [])
    sender.send(b"b 2\n")
    until(lambda: bench.intake.lines == [b"b 2"])
    bench.errors.clear()


def test_a_small_receive_buffer_is_told_once_with_the_remedy(caplog: pytest.LogCaptureFixture,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("istat_server.sockets.SO_RCVBUFFORCE", -1)      # as without CAP_NET_ADMIN
    with caplog.at_level(logging.WARNING):
        sockets = stat_port("", buffer=1 << 20)
    sockets.close()
    assert sockets.udp_buffer < 1 << 30
    assert caplog.text.count("net.core.rmem_max=1073741824 >") == 1, "not once for each address"
