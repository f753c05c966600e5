"""A keep-alive HTTP/1.1 client, small enough not to show in a latency. Knows lengths and chunks only."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import quote

from bench.servers.process import BenchError


class Client:
    """One connection to a server on the loopback address."""

    def __init__(self, port: int, timeout: float = 120.0) -> None:
        self._port = port
        self._timeout = timeout
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=self._timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def close(self) -> None:
        self._socket.close()

    def fetch(self, request: bytes) -> tuple[int, bytes]:
        """Sends one made-up request; returns the status code and the whole body.

        A server may close a kept connection before any request (VictoriaMetrics does, after some minutes):
        then it is opened anew and the request sent again, once; the caller's clock sees it.
        """
        try:
            self._socket.sendall(request)
            self._more()
        except (BenchError, OSError):
            if self._buffer:
                raise
            self.close()
            self._connect()
            self._socket.sendall(request)
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        fields = {
            key.strip().lower(): value.strip().lower()
            for key, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        }
        if fields.get(b"transfer-encoding") == b"chunked":
            return status, self._chunks()
        return status, self._take(int(fields.get(b"content-length", b"0")))

    def json(self, request: bytes) -> Any:
        """The body as JSON; raises BenchError unless the status is 200."""
        status, body = self.fetch(request)
        if status != 200:
            raise BenchError(f"port {self._port} answered {status} to {request[:200]!r}: {body[:300]!r}")
        return json.loads(body)

    def text(self, request: bytes) -> str:
        status, body = self.fetch(request)
        if status != 200:
            raise BenchError(f"port {self._port} answered {status} to {request[:200]!r}: {body[:300]!r}")
        return body.decode()

    def _more(self) -> None:
        data = self._socket.recv(1 << 20)
        if not data:
            raise BenchError(f"port {self._port} closed the connection within an answer")
        self._buffer += data

    def _take(self, length: int) -> bytes:
        parts, have = [self._buffer], len(self._buffer)
        while have < length:
            data = self._socket.recv(1 << 20)
            if not data:
                raise BenchError(f"port {self._port} closed the connection within an answer")
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self._buffer = whole[length:]
        return whole[:length]

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while True:
            while b"\r\n" not in self._buffer:
                self._more()
            size, _, self._buffer = self._buffer.partition(b"\r\n")
            part = self._take(int(size.split(b";")[0], 16) + 2)
            if len(part) == 2:
                return b"".join(parts)
            parts.append(part[:-2])


def get(path: str, **arguments: object) -> bytes:
    """The bytes of a GET request."""
    query = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in arguments.items())
    return f"GET {path}{'?' if query else ''}{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post(path: str, body: object) -> bytes:
    """The bytes of a POST request with a JSON body."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return head.encode() + f"Content-Length: {len(data)}\r\n\r\n".encode() + data
