"""A server of ours as a target sees one, on a port of this machine: it keeps what it takes, and does as it is told."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
from gevent.server import StreamServer

from istat.wire.batches import (
    HEADER,
    MAGIC,
    Ack,
    Hello,
    Later,
    Lines,
    Message,
    Meta,
    Ping,
    Pong,
    Refusal,
    Welcome,
    decode,
    encode,
    frame_size,
)


class Receiver:
    """Takes batches once. `later`: takes none, for this reason; `refusal`: lets nobody in; `mute`: never acknowledges;
    `deaf`: takes nothing that comes, and says nothing; `swallow`: the same of batches alone; `say`: before each
    acknowledgement."""

    def __init__(self, port: int = 0) -> None:
        self.taken: list[Lines] = []
        self.told: list[Meta] = []
        self.hellos: list[Hello] = []
        self.again = 0
        self.later, self.refusal = "", ""
        self.mute = self.deaf = self.swallow = False
        self.swallowed = 0
        self.say = b""
        self.last: dict[tuple[bytes, int], int] = {}
        self._port = port
        self._open: list[Any] = []
        self._server: StreamServer | None = None
        self.start()

    @property
    def lines(self) -> list[bytes]:
        """All lines that were taken, in the order in which they came."""
        return [line for batch in self.taken for line in batch.text.splitlines()]

    @property
    def port(self) -> int:
        return self._port

    def start(self) -> None:
        """Listen, again at the same port."""
        self._server = StreamServer(("127.0.0.1", self._port), self._serve)
        self._server.start()
        self._port = self._server.server_port

    def cut(self) -> None:
        """End all connections, at once."""
        for sock in self._open:
            sock.close()
        self._open.clear()

    def stop(self) -> None:
        """Be away: nobody listens, and all connections end."""
        if self._server is not None:
            self._server.stop(timeout=0)
            self._server = None
        self.cut()

    def _serve(self, sock: Any, _address: object) -> None:
        self._open.append(sock)
        try:
            if not self.deaf:
                assert sock.recv(len(MAGIC), gevent.socket.MSG_WAITALL) == MAGIC
            self._talk(sock)
        except OSError:
            pass        # it was cut
        finally:
            sock.close()

    def _talk(self, sock: Any) -> None:
        hello, put_off = Hello(bytes(16), 0), ""
        for message in self._messages(sock):
            if isinstance(message, Hello):
                hello = message
                self.hellos.append(hello)
                key = hello.sender, hello.epoch
                sock.sendall(encode(Refusal("token", self.refusal) if self.refusal else
                                    Welcome(self.last.get(key, 0))))
            elif isinstance(message, Lines):
                if self.swallow:
                    self.swallowed += 1
                    continue
                put_off = put_off or self.later
                if put_off:
                    sock.sendall(encode(Later(message.sequence, put_off)))
                    continue
                self._take(message, (hello.sender, hello.epoch))
                if not self.mute:
                    sock.sendall(self.say + encode(Ack(message.sequence, message.text.count(b"bad"))))
            elif isinstance(message, Meta):
                self.told.append(message)
            elif isinstance(message, Ping):
                sock.sendall(encode(Pong()))

    def _take(self, batch: Lines, key: tuple[bytes, int]) -> None:
        if batch.sequence <= self.last.get(key, 0):
            self.again += 1
        else:
            self.last[key] = batch.sequence
            self.taken.append(batch)

    def _messages(self, sock: Any) -> Iterator[Message]:
        data = bytearray()
        while True:
            got = sock.recv(1 << 16)
            if not got:
                return
            if self.deaf:
                continue
            data += got
            while len(data) >= HEADER.size and frame_size(memoryview(data), 0) <= len(data):
                size = frame_size(memoryview(data), 0)
                message = decode(bytes(data[:size]))
                del data[:size]
                yield message
