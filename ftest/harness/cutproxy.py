"""A network that fails when a test says so: a TCP proxy on loopback between two processes.

    with CutProxy(server.stat_port) as network:
        network.cut()           # every connection is reset, and new ones are too
        network.heal()
        network.stall()         # connections stay, and nothing passes any more, as when a router has died
        network.half_close()    # what goes towards the target ends; what it answers still comes back
        network.cut_after(1000) # reset after so many more bytes towards the target: in the middle of a frame

It knows bytes, and nothing of what they mean. A thread a direction, which end with their connection.
"""
from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType

CHUNK = 1 << 14
LOOK_SECONDS = 0.02         # how soon a direction sees that it is to stand, or to go on
CONNECT_SECONDS = 10.0
RESET = struct.pack("ii", 1, 0)     # SO_LINGER: close() resets


class CutProxy:
    """Passes connections to a port of this machine, which may change (`target`), as long as nothing else was said."""

    def __init__(self, target: int | Callable[[], int], port: int = 0) -> None:
        """`target`: the port, or who knows it at the time; `port`: ours, a free one otherwise."""
        self._target = target if callable(target) else lambda: target
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen(64)
        self.port: int = self._listener.getsockname()[1]
        self._open: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._is_cut = self._ended = False
        self._flowing = threading.Event()
        self._flowing.set()
        self._left: int | None = None       # bytes towards the target until all is cut
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    # -- what a test says

    def cut(self) -> None:
        """Reset what is there and what comes, until heal()."""
        with self._lock:
            self._is_cut = True
            pairs, self._open = self._open, []
        for pair in pairs:
            _reset(*pair)

    def cut_after(self, count: int) -> None:
        """Reset what is there once so many more bytes have gone to the target; what comes then is passed on."""
        with self._lock:
            self._left = count

    def stall(self) -> None:
        """Pass nothing on until heal(), and close nothing."""
        self._flowing.clear()

    def half_close(self) -> None:
        """End the direction towards the target of what is there: an orderly end for who reads only."""
        with self._lock:
            for _, there in self._open:
                _quietly(lambda there=there: there.shutdown(socket.SHUT_WR))       # type: ignore[misc]

    def heal(self) -> None:
        """Pass on again."""
        with self._lock:
            self._is_cut, self._left = False, None
        self._flowing.set()

    def __enter__(self) -> CutProxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._ended = True
        self._flowing.set()
        self.cut()
        for thread in self._threads:
            thread.join(CONNECT_SECONDS)
        self._listener.close()

    # -- inside

    def _accept(self) -> None:
        while not self._ended:
            if not select.select([self._listener], [], [], LOOK_SECONDS)[0]:
                continue
            here, _ = self._listener.accept()
            try:
                if self._is_cut:
                    raise OSError("the network is cut")
                there = socket.create_connection(("127.0.0.1", self._target()), timeout=CONNECT_SECONDS)
            except OSError:
                _reset(here)
                continue
            there.settimeout(None)
            self._pair(here, there)

    def _pair(self, here: socket.socket, there: socket.socket) -> None:
        with self._lock:
            cut = self._is_cut          # meanwhile
            if not cut:
                self._open.append((here, there))
        if cut:
            _reset(here, there)
            return
        for source, sink, towards in ((here, there, True), (there, here, False)):
            thread = threading.Thread(target=self._pass, args=(source, sink, towards), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _pass(self, source: socket.socket, sink: socket.socket, towards: bool) -> None:
        try:
            while True:
                if not select.select([source], [], [], LOOK_SECONDS)[0]:
                    continue
                self._flowing.wait()
                data = source.recv(CHUNK)
                if not data:
                    with self._lock:
                        reset = not any(source in pair for pair in self._open)
                    if not reset:       # else this end is the reset's own: the other side is not to see an orderly one
                        sink.shutdown(socket.SHUT_WR)
                    return
                if towards and self._must_cut(sink, data):
                    return
                sink.sendall(data)
        except (OSError, ValueError):       # ValueError: select on what was reset meanwhile
            _reset(source, sink)

    def _must_cut(self, sink: socket.socket, data: bytes) -> bool:
        """Count; pass on what may still go, and cut, where this is the end."""
        with self._lock:
            if self._left is None:
                return False
            left = self._left
            self._left = None if left < len(data) else left - len(data)
        if left >= len(data):
            return False
        sink.sendall(data[:left])
        with self._lock:
            pairs, self._open = self._open, []
        for pair in pairs:
            _reset(*pair)
        return True


def _reset(*sockets: socket.socket) -> None:
    for one in sockets:
        _quietly(lambda one=one: one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET))       # type: ignore[misc]
        # A thread may wait in select: shutdown wakes it, close alone does not.
        _quietly(lambda one=one: one.shutdown(socket.SHUT_RD))         # type: ignore[misc]
        one.close()


def _quietly(action: Callable[[], None]) -> None:
    """Do it, unless the socket has gone already."""
    try:
        action()
    except OSError:
        return
