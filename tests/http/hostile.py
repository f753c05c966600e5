"""Connections of careless and hostile clients to an HTTP server in this process, and who is served beside them."""
from __future__ import annotations

from typing import Any

import gevent
import gevent.socket

from istat_server.http.server import HttpServer

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b'{"status":"ok"}'


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


def settle() -> None:
    """Let the server see what has happened."""
    gevent.sleep(0.05)
