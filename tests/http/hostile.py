"""Connections of careless and hostile clients to an HTTP server in this process, and who is served beside them."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import gevent.socket

from istat.clock import SystemClock
from istat_server.http.exchange.turns import turn
from istat_server.http.server import HttpServer
from istat_server.mistakes import Mistakes
from tests.ports import open_http_socket

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b'{"status":"ok"}'
MEMORY = 1 << 20


class Tried:
    """A server, what it counts, and an application that is told what to do by the path."""

    def __init__(self, connections: int = 8) -> None:
        self.mistakes = Mistakes(SystemClock())
        self.turns: list[str] = []
        self.finish: set[str] = set()       # paths whose long work is over
        self.ended: list[str] = []
        self.wanted: Callable[[], bytes] = lambda: b"x"
        self.server = HttpServer(self.app, open_http_socket("127.0.0.1", 0), connections=connections,
                                 mistakes=self.mistakes, memory=MEMORY)
        self.server.start()

    def app(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        path = environ["PATH_INFO"]
        try:
            answer = OK if path == "/health" else self.work(path, environ)
        finally:
            self.ended.append(path)
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]

    def work(self, path: str, environ: dict[str, Any]) -> bytes:
        if path.startswith("/turns"):
            environ["wsgi.input"].read()
            while path not in self.finish:
                self.turns.append(path)
                turn()
        elif path == "/body":
            return b"%d" % len(environ["wsgi.input"].read())
        elif path == "/big":
            return self.wanted()
        return b"x"

    def counted(self, kind: str) -> int:
        return self.mistakes.counts[kind]

    def held(self) -> float:
        return self.server.totals()["http.held"]


def connect(server: HttpServer, source: str = "127.0.0.1") -> Any:
    """A connection from an address of this machine."""
    return gevent.socket.create_connection(("127.0.0.1", server.port), 10, source_address=(source, 0))


def closed(client: Any, seconds: float = 5.0) -> bool:
    """Whether the server ends the connection in time, without a word."""
    client.settimeout(seconds)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def answered(client: Any, sent: bytes = HEALTH) -> bytes:
    """What comes back at once."""
    client.sendall(sent)
    found: bytes = client.recv(65536)
    return found


def posted(path: str, body: bytes, length: int | None = None) -> bytes:
    """A POST, whose length may be told wrongly."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n"
    return head.encode() + body


def stalled(tried: Tried, seconds: float = 30.0) -> None:
    """Wait until no answer ends any more, as nobody takes them: a busy machine takes long to fill all buffers."""
    with gevent.Timeout(seconds, AssertionError("answers do not cease to be taken")):
        ended, still = -1, 0
        while still < 10:
            gevent.sleep(0.05)
            still = still + 1 if len(tried.ended) == ended else 0
            ended = len(tried.ended)


def settle() -> None:
    """Let the server see what has happened."""
    gevent.sleep(0.05)
