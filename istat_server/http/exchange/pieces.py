"""An answer made piece by piece: no longer than it may be, and compressed as it grows where the client takes that.

What it holds counts among all that is held for clients (`turns.making`). Knows HTTP, and no route.
"""

from __future__ import annotations

import falcon
import gevent

from istat_server.http.exchange import coding
from istat_server.http.exchange.turns import making
from istat_server.http.reply import JSON

# What is compressed at once: about half a millisecond's work. [bytes]
PORTION = 64 * 1024


class Pieces:
    """The text of one answer. `most`: how many bytes of it there may be before it is compressed."""

    def __init__(self, req: falcon.Request, most: int = 0) -> None:
        self._most = most
        self._size = 0
        self._waiting: list[bytes] = []         # not compressed yet
        self._held = 0                          # bytes in there
        self._done: list[bytes] = []
        self._coding = coding.wanted(req)
        self._packer = coding.packer(self._coding) if self._coding else None

    def room(self) -> int:
        """How many bytes it may still have."""
        return self._most - self._size

    def add(self, text: bytes) -> None:
        """Whoever adds has looked at `room`; what ends an answer may go beyond."""
        self._size += len(text)
        self._held += len(text)
        self._waiting.append(text)
        if self._held >= PORTION:
            self._rest()

    def _rest(self) -> None:
        """Bring what waits to rest."""
        text = b"".join(self._waiting)
        self._waiting, self._held = [], 0
        if self._packer is not None and len(text) >= coding.IN_THREAD:
            text = gevent.get_hub().threadpool.apply(self._packer.compress, (text,))
        elif self._packer is not None:
            text = self._packer.compress(text)
        making(len(text))
        self._done.append(text)

    def send(self, resp: falcon.Response, content_type: str = JSON) -> None:
        """Answer with all of it."""
        resp.content_type = content_type
        if self._size <= coding.LEAST:
            resp.data = b"".join(self._waiting)
            return
        self._rest()
        resp.append_header("Vary", "Accept-Encoding")
        if self._packer is not None:
            resp.set_header("Content-Encoding", self._coding)
            self._done.append(self._packer.flush())
        resp.data = b"".join(self._done)
