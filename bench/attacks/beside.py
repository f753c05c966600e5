"""Who stands beside an attack and should not notice it: a sender of datagrams, one by TCP, one who asks /health.

Each is a process of its own that comes from an address of its own, keeps its pace whatever the server does, and tells
at the end what it did and when, by the clock that all processes share (CLOCK_MONOTONIC). Knows no attack.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event

from bench.load.work import Work, datagrams

HOST = "127.0.0.1"
UDP_FROM, TCP_FROM, HEALTH_FROM = "127.0.0.2", "127.0.0.3", "127.0.0.4"
SERIES = 1_000  # of each sender
UDP_RATE = 50_000  # [samples/s]
TCP_RATE = 1_000_000  # [samples/s] a fifth of what the server can take, so that its share is a fair one
PERIOD = 0.001  # [s] between two bursts of datagrams
CATCH_UP = 5  # a burst after a delay is at most this many times the usual one: no flood
CONNECTION = 0.5  # [s] a TCP sender's connection lasts, so that whoever is not let in shows
TCP_PATIENCE = 5.0  # [s] without being read, after which it gives up and counts what was not confirmed as not sent
ASK_EVERY = 0.05  # [s]
ASK_PATIENCE = 30.0  # [s]
LAST_PATIENCE = 2.0  # [s] for what is unanswered at the end


def lines(group: str) -> bytes:
    """One sample of each series, without a time: it is now."""
    work = Work(SERIES, group=group)
    values = next(work.steps(1))
    return b"".join(b"%s %s\n" % pair for pair in zip(work.names, values, strict=True))


@dataclass
class Datagrams:
    """Samples sent, how many in each datagram, and how late a burst was at most [s]."""

    sent: int = 0
    each: float = 0.0
    late: float = 0.0


@dataclass
class Streams:
    """(begin, end, samples that the server has taken) of each connection."""

    connections: list[tuple[float, float, int]] = field(default_factory=list)
    failed: int = 0

    def rate(self, begin: float, end: float) -> float:
        """Samples per second in a span."""
        total = 0.0
        for first, last, samples in self.connections:
            inside = min(end, last) - max(begin, first)
            total += samples * max(0.0, inside) / (last - first)
        return total / (end - begin)


@dataclass
class Asked:
    """(begin, seconds, whether it was answered with 200) of each question."""

    waits: list[tuple[float, float, bool]] = field(default_factory=list)

    def within(self, begin: float, end: float) -> list[tuple[float, bool]]:
        """Seconds and success of the questions that began in a span."""
        return [(wait, good) for at, wait, good in self.waits if begin <= at < end]


def send_datagrams(port: int, over: Event, tell: Connection) -> None:
    """At an even rate until it is over."""
    tell.send("ready")
    pieces = datagrams([lines("udp")])
    counts = [bytes(piece).count(b"\n") for piece in pieces]
    per_second = UDP_RATE / SERIES * len(pieces)
    most = max(1, round(per_second * PERIOD)) * CATCH_UP
    done = Datagrams(each=SERIES / len(pieces))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.bind((UDP_FROM, 0))
        out.connect((HOST, port))
        sent, begin = 0, time.monotonic()
        while not over.is_set():
            due = int((time.monotonic() - begin) * per_second)
            done.late = max(done.late, (due - sent) / per_second)
            for _ in range(min(due - sent, most)):
                out.send(pieces[sent % len(pieces)])
                done.sent += counts[sent % len(pieces)]
                sent += 1
            time.sleep(PERIOD)
    tell.send(done)


def send_stream(port: int, over: Event, rate: Synchronized[float], tell: Connection) -> None:
    """Connection after connection, at `rate` samples per second; 0 is as fast as they are taken."""
    tell.send("ready")
    chunk = lines("tcp")
    done = Streams()
    while not over.is_set():
        begin, samples = time.monotonic(), 0
        try:
            with socket.create_connection((HOST, port), TCP_PATIENCE, (TCP_FROM, 0)) as link:
                for _ in paces(rate, over):
                    link.sendall(chunk)
                    samples += SERIES
                link.shutdown(socket.SHUT_WR)
                while link.recv(4096):
                    pass
        except OSError:
            done.failed += 1
            samples = 0  # who was cut off knows of nothing that it has arrived
            time.sleep(0.05)
        done.connections.append((begin, time.monotonic(), samples))
    tell.send(done)


def paces(rate: Synchronized[float], over: Event) -> Iterator[int]:
    """A step for each chunk that is due, as long as one connection lasts."""
    begin, steps = time.monotonic(), 0
    while (now := time.monotonic()) < begin + CONNECTION and not over.is_set():
        if rate.value and steps * SERIES > (now - begin) * rate.value:
            time.sleep(PERIOD)
            continue
        yield steps
        steps += 1


def ask_health(port: int, tls: bool, over: Event, tell: Connection) -> None:
    """A new connection and a question every 50 ms, whether or not the one before was answered."""
    tell.send("ready")
    with suppress(OSError):
        os.nice(-5)  # its own waiting for a core is not the server's doing
    tell.send(asyncio.run(_ask_health(port, tls, over)))


async def _ask_health(port: int, tls: bool, over: Event) -> Asked:
    done = Asked()
    context = ssl._create_unverified_context() if tls else None  # noqa: S323 - our own server's, on loopback
    tasks: set[asyncio.Task[None]] = set()
    due = time.monotonic()
    while not over.is_set():
        task = asyncio.create_task(_ask(port, context, done))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        due += ASK_EVERY
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    if tasks:
        await asyncio.wait(tasks, timeout=LAST_PATIENCE)
    for task in list(tasks):
        task.cancel()  # it tells of itself how long it has waited
    await asyncio.gather(*tasks, return_exceptions=True)
    return done


async def _ask(port: int, context: ssl.SSLContext | None, done: Asked) -> None:
    begin, good = time.monotonic(), False
    writer = None
    try:
        async with asyncio.timeout(ASK_PATIENCE):
            reader, writer = await asyncio.open_connection(HOST, port, ssl=context, local_addr=(HEALTH_FROM, 0))
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            good = (await reader.read(-1)).startswith(b"HTTP/1.1 200")
    except OSError:
        good = False
    finally:
        done.waits.append((begin, time.monotonic() - begin, good))
        if writer is not None:
            writer.transport.abort()
