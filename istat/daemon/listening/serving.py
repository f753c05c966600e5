"""A port that few ask: connections are accepted, and each is served by a greenlet of its own.

There are so many places: where one more comes, the connection that has waited longest for its client makes room, be it
to ask or to take its answer; one whose answer is being worked out does not. Knows nothing of what is said.
"""
from __future__ import annotations

import contextlib
import logging
import socket
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import gevent
from gevent.socket import socket as green_socket

from istat.daemon import descriptors, peers

log = logging.getLogger(__name__)

# How long accepting pauses when file descriptors have run out [s].
ACCEPT_PAUSE = 1.0
# What answers in work get when the service ends [s].
ENDING_SECONDS = 2.0


class Connection:
    """An accepted connection. `socket` is gevent's; `peer` is who is at its other end, in words."""

    def __init__(self, sock: socket.socket, peer: str, serve: Callable[[Connection], None]) -> None:
        self.peer = peer
        with contextlib.suppress(OSError):      # it may have gone already, which is found out soon enough
            # Else a small answer waits until the one before it is acknowledged, which may take 40 ms.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket: Any = green_socket(sock.family, sock.type, fileno=sock.detach())
        self.greenlet = gevent.Greenlet(serve, self)
        self.works = False      # on an answer
        self.sends = False      # a part of it, which its client has not taken yet


class Serving:
    """The listeners and their connections."""

    def __init__(self, listeners: Sequence[socket.socket], places: int, serve: Callable[[Connection], None],
                 crowded: Callable[[str], None], failed: Callable[[BaseException], None]) -> None:
        """The listeners are its own from now on. serve: speaks with one client until it returns or raises OSError;
        crowded: told who has to go for want of places; failed: told of exceptions that nothing expected."""
        self._serve, self._crowded, self._failed = serve, crowded, failed
        self._most = places
        self._listening = [(sock, gevent.get_hub().loop.io(sock.fileno(), 1)) for sock in listeners]
        self._pause: Any = None
        self._places: OrderedDict[Connection, None] = OrderedDict()     # who has asked for nothing longest comes first
        self.connects = 0
        self.ending = False     # whoever has answered is to return

    def __len__(self) -> int:
        return len(self._places)

    def start(self) -> None:
        """Begin to accept."""
        for sock, watcher in self._listening:
            watcher.start(self._accept, sock)

    def stop(self) -> None:
        """Accept no more; answers in work have a moment to end."""
        self.ending = True
        if self._pause is not None:
            self._pause.stop()
        for sock, watcher in self._listening:
            watcher.stop()
            sock.close()
        greenlets = [one.greenlet for one in self._places]
        gevent.killall([one.greenlet for one in self._places if not one.works], block=False)
        gevent.joinall(greenlets, timeout=ENDING_SECONDS)
        gevent.killall(greenlets, block=False)

    def works(self, connection: Connection, whether: bool) -> None:
        """A connection begins to answer, or has done so."""
        connection.works = whether
        if connection in self._places:
            self._places.move_to_end(connection)

    def send(self, connection: Connection, data: bytes, seconds: float) -> None:
        """Send a part of an answer. OSError, also when it is not taken within `seconds`."""
        connection.sends = True
        try:
            connection.socket.settimeout(seconds)
            connection.socket.sendall(data)
        finally:
            connection.sends = False

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except OSError as error:        # nobody, or one that was gone before it was accepted
            if error.errno in descriptors.OUT:
                self._rest()
            return
        peer = peers.in_words(address)
        self.connects += 1
        if len(self._places) >= self._most and not self._make_room(peer):
            sock.close()
            return
        connection = Connection(sock, peer, self._run)
        self._places[connection] = None
        connection.greenlet.link(lambda _: self._end(connection))
        connection.greenlet.start()

    def _make_room(self, peer: str) -> bool:
        longest = next((one for one in self._places if one.sends or not one.works), None)
        self._crowded(peer if longest is None else longest.peer)
        if longest is None:
            return False
        del self._places[longest]
        longest.greenlet.kill(block=False)
        return True

    def _rest(self) -> None:
        """Out of file descriptors: accept nothing for a while."""
        for _, watcher in self._listening:
            watcher.stop()
        self._pause = gevent.get_hub().loop.timer(ACCEPT_PAUSE)
        self._pause.start(self.start)

    def _run(self, connection: Connection) -> None:
        try:
            self._serve(connection)
        except OSError as error:        # it has gone, says nothing, or takes nothing
            log.debug("%s is let go: %s", connection.peer, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            self._failed(error)

    def _end(self, connection: Connection) -> None:
        """Whatever it ended by, before it had begun too."""
        connection.socket.close()
        self._places.pop(connection, None)
