"""Senders: pre-made bytes go out over TCP as fast as they are taken, or over UDP at an even rate."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from istat.wire.batches import MAGIC, MOST_UNDER_WAY, Ack, Hello, Welcome, encode

TCP_PATIENCE = 120.0  # [s] for the server to read the rest and close
BURST_PERIOD = 0.001  # [s] between two bursts of datagrams
CATCH_UP = 3  # a burst after a delay is at most this many times the usual one: no flood
UDP_SEND_BUFFER = 4 << 20  # [bytes]


def tcp(port: int, chunks: Iterable[bytes]) -> float:
    """Sends all chunks on one connection; returns the seconds until the server had read all and closed."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(TCP_PATIENCE)
        start = time.perf_counter()
        for chunk in chunks:
            connection.sendall(chunk)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
        return time.perf_counter() - start


def batches(port: int, frames: Sequence[bytes], epoch: int = 1) -> None:
    """Sends the frames of acknowledged batches on one connection, as many at once as may be; returns when all are
    acknowledged."""
    hello = MAGIC + encode(Hello(bytes(range(16)), epoch))
    welcome, answer = len(encode(Welcome(0))), len(encode(Ack(1, 0)))
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(TCP_PATIENCE)
        connection.sendall(hello)
        heard = -welcome        # [bytes] of acknowledgements
        for number, frame in enumerate(frames):
            while heard < max(0, number + 1 - MOST_UNDER_WAY) * answer:
                heard += len(_some(connection))
            connection.sendall(frame)
        while heard < len(frames) * answer:
            heard += len(_some(connection))


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError("the receiver has closed the connection")
    return data


@dataclass
class UdpRun:
    """What the sender did. Rates in samples per second."""

    seconds: float
    rate: float
    sent: int  # datagrams
    late: float  # [s] the longest that a burst was behind its time


def udp(port: int, pieces: Sequence[memoryview], samples: int, rate: float) -> UdpRun:
    """Sends the pieces, which hold `samples` lines in all, evenly at `rate` samples per second."""
    per_second = rate * len(pieces) / samples
    burst = max(1, round(per_second * BURST_PERIOD)) * CATCH_UP
    late = 0.0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UDP_SEND_BUFFER)
        out.connect(("127.0.0.1", port))
        send = out.send
        sent, total = 0, len(pieces)
        start = time.perf_counter()
        while sent < total:
            due = min(total, int((time.perf_counter() - start) * per_second) + 1)
            late = max(late, (due - sent) / per_second)
            end = min(due, sent + burst)
            for piece in pieces[sent:end]:
                send(piece)
            sent = end
            time.sleep(BURST_PERIOD)
        seconds = time.perf_counter() - start
    return UdpRun(seconds=seconds, rate=samples / seconds, sent=sent, late=late)
