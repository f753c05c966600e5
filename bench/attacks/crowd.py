"""What attacks are made of: who is attacked, connections from an address, crowds of them that come again.

Attackers are greenlets of one process. They reach loopback only, and end when their time is over. Knows nothing of HTTP
nor of lines.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import gevent
from gevent import socket
from gevent.lock import BoundedSemaphore

LOOPBACK = "127.0.0.1"
ATTACKER = "127.0.0.1"  # whence attackers come; bystanders have other addresses (beside.py)
PATIENCE = 10.0  # [s] for a connection
COME_AGAIN = 5.0  # [s] after which an attacker who was shut out or cut off comes again
AT_ONCE = 64  # connections of a crowd that are being opened at once
RECEIVE = 1 << 18  # [bytes] read at once and thrown away

Talk = Callable[[socket.socket], None]


@dataclass
class Target:
    """A server on loopback, how long it is attacked, and what the attackers saw: counts by word."""

    stat_port: int
    http_port: int
    seconds: float
    seen: Counter[str] = field(default_factory=Counter)
    end: float = 0.0

    def begin(self) -> None:
        """The time runs."""
        self.end = time.monotonic() + self.seconds

    @property
    def left(self) -> float:
        """Seconds left, 0 when it is over."""
        return max(0.0, self.end - time.monotonic())


def connect(port: int) -> socket.socket:
    """A connection to the attacked server. OSError."""
    link = socket.socket()
    try:
        link.bind((ATTACKER, 0))
        # gevent's own would ask a thread who 127.0.0.1 is: ten thousand times.
        if link._sock.connect_ex((LOOPBACK, port)):
            socket.wait_write(link.fileno(), PATIENCE, TimeoutError("nobody answers"))
            error = link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
    except BaseException:
        link.close()
        raise
    return link


def drain(link: socket.socket, target: Target, word: str) -> int:
    """Read until the server closes or the time is over, and throw away; how many bytes. Counts answers by status."""
    size, head = 0, b""
    while True:
        link.settimeout(max(0.01, target.left))
        piece = link.recv(RECEIVE)
        if not piece:
            break
        if len(head) < 12:
            head += piece[:12]
        size += len(piece)
    if head[9:12].isdigit():
        target.seen[f"{word}.{head[9:12].decode()}"] += 1
    return size


def crowd(target: Target, size: int, port: int, talk: Talk) -> None:
    """So many clients, each with one connection on which it does `talk`; whoever was cut off comes again later."""
    gate = BoundedSemaphore(AT_ONCE)

    def client() -> None:
        while target.left:
            try:
                with gate:
                    link = connect(port)
                with link:
                    target.seen["opened"] += 1
                    talk(link)
                    target.seen["ended"] += 1
            except OSError as error:
                target.seen[type(error).__name__] += 1
            gevent.sleep(min(COME_AGAIN, target.left))

    run_all(target, [client] * size)


def run_all(target: Target, clients: list[Callable[[], None]]) -> None:
    """All at once until the time is over."""
    greenlets = [gevent.spawn(client) for client in clients]
    gevent.joinall(greenlets, timeout=target.left)
    gevent.killall(greenlets, timeout=PATIENCE)


def again(target: Target, act: Callable[[], None], pause: float = 0.0) -> Callable[[], None]:
    """A client that does this again and again; what fails is counted and tried anew."""

    def client() -> None:
        while target.left:
            try:
                act()
            except OSError as error:
                target.seen[type(error).__name__] += 1
                gevent.sleep(0.1)
            gevent.sleep(pause)

    return client


def send_lines(port: int, lines: bytes) -> None:
    """Hand lines to the server, and wait until it has read them."""
    with connect(port) as link:
        link.settimeout(120.0)
        link.sendall(lines)
        link.shutdown(socket.SHUT_WR)
        while link.recv(RECEIVE):
            pass
