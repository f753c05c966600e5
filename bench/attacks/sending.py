"""Attackers who send: HTTP where samples are taken, handshakes without end."""

from __future__ import annotations

import ssl
import time

from gevent import socket

from bench.attacks.crowd import Target, again, connect, drain, run_all

POSTERS = 20
HANDSHAKERS = 50
EVIL = "evil"  # what the counters begin with that a web page tries to make
# What a browser sends for a page of another origin: no preflight, as it is plain text.
POST = ("POST / HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: http://evil.example\r\nContent-Type: text/plain\r\n"
        "Content-Length: {length}\r\n\r\n{body}")


def posts(target: Target) -> None:
    """HTTP at the port for samples, with samples in the body."""
    number = iter(range(1 << 60))

    def post() -> None:
        body = "".join(f"{EVIL}.k{next(number)} 1\n" for _ in range(10))
        with connect(target.stat_port) as link:
            link.sendall(POST.format(port=target.stat_port, length=len(body), body=body).encode())
            target.seen["sent"] += 1
            link.shutdown(socket.SHUT_WR)
            drain(link, target, "answer")

    run_all(target, [again(target, post, 0.02)] * POSTERS)


def client_hello() -> bytes:
    """What a client says first."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    begun = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        begun.do_handshake()
    except ssl.SSLWantReadError:
        pass  # it waits for the server, who is elsewhere
    return outgoing.read()


def handshakes(target: Target) -> None:
    """The first half of handshakes at both ports: it costs the client nothing, and the server its signature."""
    hello = client_hello()

    def shake(port: int) -> None:
        with connect(port) as link:
            link.sendall(hello)
            link.settimeout(min(2.0, target.left + 0.01))
            began = time.monotonic()
            target.seen["half done" if link.recv(65536) else "cut off"] += 1
            target.seen["waited ms"] += round(1000 * (time.monotonic() - began))

    ports = (target.http_port, target.stat_port)
    run_all(target, [again(target, lambda port=ports[k % 2]: shake(port)) for k in range(HANDSHAKERS)])
