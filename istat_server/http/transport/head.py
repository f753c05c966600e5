"""The head of a request: its header lines, bounded, and what is refused for them. Knows no sockets."""

from __future__ import annotations

import json
from typing import Any

from istat_server.http.numbers import digits

HEADER_LINES = 100
HEADER_BYTES = 32 * 1024
LINE_BYTES = 8192
VERSIONS = ("HTTP/1.1", "HTTP/1.0", "HTTP/0.9")     # as gevent calls a request line without one

REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


def error_body(text: str) -> bytes:
    """What every refusal has as its body."""
    return json.dumps({"error": text}, separators=(",", ":")).encode() + b"\n"


class Refused(ValueError):
    """A request that is answered by the server itself, without the application."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class TooSlow(Refused):
    """The request did not arrive in time."""

    def __init__(self) -> None:
        super().__init__(408, "the request did not arrive in time")


class Headers:
    """A request's header lines, with as much of the mail package's interface as gevent's handler uses."""

    __slots__ = ("headers", "status", "_values")

    def __init__(self, file: Any) -> None:
        self.headers: list[str] = []
        self.status = ""
        self._values: dict[str, str] = {}
        size = 0
        while True:
            line = file.readline(LINE_BYTES + 1)
            if line in (b"\r\n", b"\n", b""):
                return
            size += len(line)
            if len(line) > LINE_BYTES or size > HEADER_BYTES or len(self.headers) == HEADER_LINES:
                raise Refused(431, "the request's headers are too large")
            self._take(line.decode("latin-1"))

    def _take(self, text: str) -> None:
        key, colon, value = text.partition(":")
        if not colon or not key or key[0] in " \t" or key[-1] in " \t":
            raise Refused(400, "a header line cannot be read")
        self.headers.append(text)
        key, value = key.lower(), value.strip()
        if key == "transfer-encoding":
            raise Refused(411, "HTTP exception: Can't read body without content-length")
        if key == "content-length":
            if digits(value) is None:
                raise Refused(400, "Content-Length must be a whole number, in digits only")
            if self._values.get(key, value) != value:
                raise Refused(400, "two lengths of the body")
        self._values[key] = value

    def get(self, key: str, default: str | None = None) -> str | None:
        """The last value of a header, or the default."""
        return self._values.get(key.lower(), default)

    getheader = get

    @property
    def typeheader(self) -> str | None:
        """The content type, if any."""
        return self._values.get("content-type")
