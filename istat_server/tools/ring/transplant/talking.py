"""A connection of a transplant: whole messages go out and come in, of bounded length and within a bounded time."""

from __future__ import annotations

import socket
import time

from istat_server.tools.ring.transplant.messages import LENGTH, MOST_MESSAGE, Message, TransplantError, decode, encode

PIECE = 1 << 16         # [bytes] read at once: what is announced is not allocated before it comes
MESSAGE_SECONDS = 300.0
IDLE_SECONDS = 600.0    # a client may be slow on purpose
AUTH = b"auth"          # the path of a message that only shows a token: `auth TOKEN`


class Talk:
    """One end of a connection."""

    def __init__(self, peer: socket.socket, most: int) -> None:
        """most: the longest message that is taken [bytes]."""
        self._peer, self.most = peer, min(most, MOST_MESSAGE)

    def send(self, message: Message) -> None:
        """Send a message. OSError."""
        self._peer.settimeout(MESSAGE_SECONDS)
        self._peer.sendall(encode(message))

    def receive(self, wait: float, whole: float = MESSAGE_SECONDS) -> Message | None:
        """The next message, None when the other side has ended. It must begin within `wait` seconds, and from then on
        be there within `whole`. TransplantError; OSError, also when it takes too long."""
        head = self._exactly(LENGTH.size, time.monotonic() + wait, may_end=True)
        if not head:
            return None
        length = LENGTH.unpack(head)[0]
        if length > self.most:
            raise TransplantError(f"a message of {length:,} bytes: at most {self.most:,} are taken")
        return decode(self._exactly(length, time.monotonic() + whole))

    def _exactly(self, length: int, until: float, may_end: bool = False) -> bytes:
        data = bytearray()
        while len(data) < length:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("the other side is silent")
            self._peer.settimeout(left)
            piece = self._peer.recv(min(PIECE, length - len(data)))
            if not piece:
                if may_end and not data:
                    return b""
                raise TransplantError("the connection ended within a message")
            data += piece
        return bytes(data)
