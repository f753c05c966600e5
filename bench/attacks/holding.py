"""Attackers who hold on to something: a connection, a place in memory, a descriptor."""

from __future__ import annotations

import json
import time

import gevent
from gevent import socket

from bench.attacks.crowd import Target, crowd, drain, run_all
from bench.load.work import Work

SILENT = 1_000
IDLE_SAMPLES = 10_200  # a few more than there are places
SLOW_BODIES = 1_000
UNFINISHED = 400
UNREAD = 100
FEW = 200  # of each kind, where the server has 64 descriptors
BODY = 1 << 20  # [bytes] the most that the server takes
# One answer: 1,000 counters of 1,900 points, some 10 MB. The names are those that the sender of datagrams sends.
NAMES, POINTS, STEP = 1_000, 1_900, 10
SMALL_WINDOW = 4096  # [bytes] receive buffer of those who do not read


def wait(target: Target, link: socket.socket) -> None:
    """Say nothing until the server closes."""
    link.settimeout(target.left + 1)
    link.recv(1)


def silent(target: Target) -> None:
    """Connections over HTTP on which nothing is said."""
    crowd(target, SILENT, target.http_port, lambda link: wait(target, link))


def idle_samples(target: Target) -> None:
    """The same on the port for samples."""
    crowd(target, IDLE_SAMPLES, target.stat_port, lambda link: wait(target, link))


def head(length: int) -> bytes:
    """Of a question whose body is so long."""
    return (b"POST /api/v1/series HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % length)


def slow_bodies(target: Target) -> None:
    """Bodies of which a byte comes each second."""

    def talk(link: socket.socket) -> None:
        link.sendall(head(100_000))
        while target.left:
            link.sendall(b" ")
            link.settimeout(1.0)
            try:
                answer = link.recv(4096)
                target.seen[f"answer.{answer[9:12].decode('latin-1')}"] += 1
                return
            except TimeoutError:
                link.settimeout(10.0)

    crowd(target, SLOW_BODIES, target.http_port, talk)


def unfinished_bodies(target: Target) -> None:
    """Bodies of which the last byte never comes."""
    body = b" " * (BODY - 1)

    def talk(link: socket.socket) -> None:
        link.sendall(head(BODY) + body)
        target.seen["sent"] += 1
        drain(link, target, "answer")

    crowd(target, UNFINISHED, target.http_port, talk)


def question() -> bytes:
    """For an answer as large as one may be."""
    now = int(time.time())
    body = json.dumps({"names": [name.decode() for name in Work(NAMES, group="udp").names], "points": POINTS,
                       "from": now - POINTS * STEP, "to": now, "columns": ["avg"]}).encode()
    return head(len(body)) + body


def unread(target: Target) -> None:
    """Large answers that nobody reads."""

    def talk(link: socket.socket) -> None:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW)
        link.sendall(question())
        gevent.sleep(target.left)
        drain(link, target, "answer")

    crowd(target, UNREAD, target.http_port, talk)


def few_descriptors(target: Target) -> None:
    """More connections of both kinds than the server has descriptors."""
    ports = (target.http_port, target.stat_port)
    run_all(target, [lambda port=port: crowd(target, FEW, port, lambda link: wait(target, link))
                     for port in ports])
