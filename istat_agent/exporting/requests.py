"""A request of HTTP for the exporter's page, read strictly, and its answer: bytes to bytes, without a socket.

One request a connection: /metrics by GET or HEAD. Whatever else comes is refused in a sentence.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, field

from istat.daemon.listening.binding import HERE, is_address

MOST_HEAD = 8192    # bytes of first line and headers
PAGE = "/metrics"
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 421: "Misdirected Request",
           431: "Request Header Fields Too Large"}
_FIRST = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (\S{1,4096}) HTTP/1\.[01]")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/?#@\s]*))(?::[0-9]*)?")


class Refused(Exception):
    """It is answered with this status and its text."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


@dataclass(frozen=True)
class Request:
    """A request that was understood."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def takes_gzip(self) -> bool:
        """Whether the answer may be packed."""
        codings = (word.partition(";") for word in self.headers.get("accept-encoding", "").split(","))
        return any(name.strip().lower() == "gzip" and not re.search(r"q=0(\.0*)?\s*$", more)
                   for name, _, more in codings)


def head_of(data: bytes) -> bytes | None:
    """The head of what has come, None while it is not whole. Refused (431) when it is too long."""
    found = re.search(rb"\r?\n\r?\n", data[:MOST_HEAD])
    if found is None and len(data) >= MOST_HEAD:
        raise Refused(431, f"a request has at most {MOST_HEAD} bytes before its body")
    return None if found is None else data[:found.start()]


def parse(head: bytes) -> Request:
    """A head without its empty line. Refused (400)."""
    first, *lines = head.decode("latin-1").replace("\r\n", "\n").split("\n")
    start = _FIRST.fullmatch(first)
    if start is None:
        raise Refused(400, "this is no request of HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise Refused(400, "a header cannot be understood")
        headers[found[1].lower()] = found[2].strip()
    return Request(start[1], start[2].partition("?")[0], headers)


def check(request: Request, at_home: bool) -> None:
    """Refused unless it is for the page. at_home: we listen on this machine only, and so are asked by address, or as
    localhost: by another name only a web page asks whose name was made to mean this machine."""
    if at_home and request.headers.get("host"):
        found = _AUTHORITY.fullmatch(request.headers["host"])
        name = (found[1] or found[2]).lower() if found is not None else ""
        if name != HERE and not is_address(name):
            raise Refused(421, "ask by address, or as localhost")
    if request.path != PAGE:
        raise Refused(404, f"there is {PAGE} only")
    if request.method not in ("GET", "HEAD"):
        raise Refused(405, f"{PAGE} answers GET and HEAD")


def answer(status: int, body: bytes, content_type: str, headers: tuple[str, ...] = (),
           head_only: bool = False) -> bytes:
    """A whole answer, after which the connection closes."""
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}",
             "X-Content-Type-Options: nosniff", "Connection: close", *headers]
    return "\r\n".join((*lines, "", "")).encode() + (b"" if head_only else body)


def refusal(error: Refused) -> bytes:
    """The answer to a request that is refused."""
    body = json.dumps({"error": str(error)}).encode()
    return answer(error.status, body, "application/json", ("Allow: GET, HEAD",) if error.status == 405 else ())


class Packer:
    """Puts a body together from parts, packed where the client takes that."""

    def __init__(self, packed: bool) -> None:
        self._packer = zlib.compressobj(6, zlib.DEFLATED, 31) if packed else None
        self._parts: list[bytes] = []

    def add(self, text: str) -> None:
        """One more part."""
        data = text.encode()
        self._parts.append(data if self._packer is None else self._packer.compress(data))

    def body(self) -> bytes:
        """All of it."""
        return b"".join((*self._parts, b"" if self._packer is None else self._packer.flush()))
