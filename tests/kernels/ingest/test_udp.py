"""Both builds of `Receiver`: runs of whole lines, refusals, totals and the kernel's drop counter."""
from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(params=["python", "native"])
def receiver_class(request: pytest.FixtureRequest) -> Any:
    try:
        return importlib.import_module(f"istat.kernels.{request.param}.ingest.udp").Receiver
    except ImportError:
        pytest.skip("the native kernels are not built")


@pytest.fixture(params=["127.0.0.1", "::1"])
def bound(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((request.param, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        yield sock


def sender_to(bound: socket.socket) -> socket.socket:
    sock = socket.socket(bound.family, socket.SOCK_DGRAM)
    sock.connect(bound.getsockname())
    return sock


def key_of(sock: socket.socket) -> bytes:
    host, port = sock.getsockname()[:2]
    return port.to_bytes(2, "big") + socket.inet_pton(sock.family, host)


def lines_of(receiver: Any) -> list[tuple[bytes, bytes, int]]:
    return [(sender, bytes(receiver.buffer[start:end]), n) for start, end, sender, n in receiver.runs]


def test_neighbouring_datagrams_become_one_run(receiver_class: Any, bound: socket.socket) -> None:
    receiver = receiver_class(bound.fileno())
    with sender_to(bound) as a, sender_to(bound) as b:
        for sock, data in ((a, b"x 1\n"), (a, b"y 2\nz 3\n"), (b, b"q 4\n"), (a, b"w 5\n")):
            sock.send(data)
        assert receiver.drain() == 4
        assert lines_of(receiver) == [
            (key_of(a), b"x 1\ny 2\nz 3\n", 2), (key_of(b), b"q 4\n", 1), (key_of(a), b"w 5\n", 1)]
    assert (receiver.datagrams, receiver.received) == (4, 20)
    assert receiver.drain() == 0
    assert receiver.runs == []
    receiver.close()


def test_whole_lines_count_and_what_follows_the_last_is_taken_out(receiver_class: Any, bound: socket.socket) -> None:
    receiver = receiver_class(bound.fileno(), 8, 100)
    with sender_to(bound) as a, sender_to(bound) as b:
        for sock, data in ((a, b"x 1\ny 2\nz 3"), (a, b"u 4\n"), (b, b"no end"), (b, b"v 5\nw"), (a, b"\nt")):
            sock.send(data)
        assert receiver.drain() == 5
        assert lines_of(receiver) == [
            (key_of(a), b"x 1\ny 2\nu 4\n", 2), (key_of(b), b"v 5\n", 1), (key_of(a), b"\n", 1)]
        assert receiver.refused == [("unterminated", key_of(sock), text)
                                    for sock, text in ((a, b"z 3"), (b, b"no end"), (b, b"w"), (a, b"t"))]
    assert (receiver.unterminated, receiver.truncated, receiver.datagrams, receiver.received) == (4, 0, 5, 28)
    receiver.close()


def test_what_does_not_end_with_a_line_feed_is_taken_out(receiver_class: Any, bound: socket.socket) -> None:
    receiver = receiver_class(bound.fileno(), 8, 16)
    with sender_to(bound) as a:
        for data in (b"x 1\n", b"no end", b"", b"y 2\n", b"longer than sixteen 3\n"):
            a.send(data)
        assert receiver.drain() == 5
        assert lines_of(receiver) == [(key_of(a), b"x 1\ny 2\n", 2)]
        assert [(reason, shown) for reason, _, shown in receiver.refused] == [
            ("unterminated", b"no end"), ("unterminated", b""), ("truncated", b"longer than sixt")]
        assert {sender for _, sender, _ in receiver.refused} == {key_of(a)}
    assert (receiver.unterminated, receiver.truncated) == (2, 1)
    receiver.close()


def test_a_drain_takes_at_most_one_batch(receiver_class: Any, bound: socket.socket) -> None:
    receiver = receiver_class(bound.fileno(), 4)
    with sender_to(bound) as a:
        for i in range(10):
            a.send(b"n %d\n" % i)
        assert [receiver.drain() for _ in range(4)] == [4, 4, 2, 0]
    assert receiver.datagrams == 10
    receiver.close()


def test_only_a_few_refusals_are_shown(receiver_class: Any, bound: socket.socket) -> None:
    receiver = receiver_class(bound.fileno())
    with sender_to(bound) as a:
        for _ in range(20):
            a.send(b"?" * 1000)
        assert receiver.drain() == 20
    assert receiver.unterminated == 20
    assert [len(shown) for _, _, shown in receiver.refused] == [200] * 4
    receiver.close()


def test_the_kernels_drops_are_counted(receiver_class: Any, bound: socket.socket) -> None:
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    receiver = receiver_class(bound.fileno())
    with sender_to(bound) as a:
        for _ in range(100):
            a.send(b"x" * 1000 + b" 1\n")
        kept = receiver.drain()
        assert 0 < kept < 100
        a.send(b"x 1\n")        # the counter comes with the next datagram that was queued after a drop
        assert receiver.drain() == 1
    assert receiver.drops == 100 - kept
    receiver.close()


def test_the_socket_stays_with_its_owner(receiver_class: Any, bound: socket.socket) -> None:
    before = len(os.listdir("/proc/self/fd"))
    receiver = receiver_class(bound.fileno())
    receiver.close()
    assert len(os.listdir("/proc/self/fd")) == before
    with sender_to(bound) as a:
        a.send(b"x\n")
        assert bound.recv(10) == b"x\n"
    with pytest.raises((ValueError, OSError)):
        receiver.drain()


def test_an_empty_batch_is_refused(receiver_class: Any, bound: socket.socket) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        receiver_class(bound.fileno(), 0)
