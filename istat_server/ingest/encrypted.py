"""TLS over an accepted connection, without a greenlet of its own: it is read as a socket is, what comes out is plain.

Knows sockets and TLS' records, not what is in them. What it holds is bounded by one read and one record; what it has to
say goes out at once or ends it, so that nobody is waited for.
"""
from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from typing import Any

# Read at once [bytes], which is one whole record, and again where most of it was plain bytes: a sender may fill it with
# requests for new keys, of 27 bytes and some 20 us each, and an answer to somebody else takes some turns in between.
RAW_BYTES = 17 * 1024
PLENTY = RAW_BYTES // 2


class BadTls(Exception):
    """The sender's TLS is none, or comes to no end. `kind` is the mistake."""

    kind = "tls_failed"


class NotTls(BadTls):
    """The sender speaks without TLS where it must not."""

    kind = "plain_refused"


class Encrypted:
    """A connection's socket, with TLS around it; this side is the server. `shaken`: the handshake is over."""

    __slots__ = ("shaken", "_socket", "_in", "_out", "_tls")

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, first: bytes) -> None:
        """first: what has been read of the connection already."""
        self.shaken = False
        self._socket = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._in.write(first)

    def recv_into(self, view: memoryview) -> int:
        """As of a socket that does not block: how many plain bytes were put into the view, 0 at the end.
        BlockingIOError when there are none now; BadTls when there will be none."""
        got = self._decrypt(view)
        if got is not None:
            return got
        filled = 0
        while True:
            try:
                got = self._read(view[filled:])
            except (OSError, BadTls):
                if filled:
                    return filled       # what came before is good; the next read says so again
                raise
            if got is None and not filled:
                raise BlockingIOError(errno.EAGAIN, "no whole record")
            filled += got or 0
            if not got or got < PLENTY or filled == len(view):
                return filled

    def send(self, data: bytes) -> int:
        """Send plain bytes, once the handshake is over: how many, which is all of them, or none: then it is of no more
        use. OSError when the sender has gone."""
        self._tls.write(data)
        return len(data) if self._give(self._out.read()) else 0

    def _read(self, view: memoryview) -> int | None:
        """Plain bytes of what the socket has now, RAW_BYTES at most; as `_decrypt`."""
        data = self._socket.recv(RAW_BYTES)
        if data:
            self._in.write(data)
            return self._decrypt(view)
        if not self.shaken:
            raise BadTls("the sender has gone within the handshake")
        return 0

    def _decrypt(self, view: memoryview) -> int | None:
        """Plain bytes of what is there; None for none."""
        filled = 0
        read: Any = self._tls.read      # into a buffer, which its declared types do not know of
        try:
            if not self.shaken:
                self._tls.do_handshake()
                self.shaken = True
            while filled < len(view):
                got: int = read(len(view) - filled, view[filled:])
                if not got:
                    break
                filled += got
        except ssl.SSLWantReadError:
            return filled or None
        except ssl.SSLZeroReturnError:      # the sender has said that it ends
            return filled
        except ssl.SSLError as error:
            if filled:
                return filled       # what came before is good; the next read says so again
            raise BadTls(error.reason or str(error)) from error
        finally:
            self._answer()
        return filled

    def _answer(self) -> None:
        """Send what TLS has to say."""
        words = self._out.read()
        if words:
            with contextlib.suppress(OSError):      # the next read says so again
                self._give(words)

    def _give(self, words: bytes) -> bool:
        """Send records; whether they went. A sender that does not take some kilobytes has a connection that is of no
        use. OSError when it has gone."""
        whole = False
        try:
            with contextlib.suppress(BlockingIOError):
                whole = self._socket.send(words) == len(words)
            return whole
        finally:
            if not whole:
                self._in.write_eof()
