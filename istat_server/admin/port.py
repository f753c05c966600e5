"""The admin port: connections are accepted and read, and a `Session` answers.

Connections have places, so many in all: where one more comes, the one that has asked for nothing longest makes room.
Each has a greenlet; after each command everything else has its turn. Whoever sends nothing, or takes no answer, is let
go in time.
"""

from __future__ import annotations

import logging
import socket
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gevent
from gevent.socket import socket as green_socket

from istat.daemon import descriptors, peers
from istat.wire.strangers import not_here
from istat_server.admin.guard import Guard
from istat_server.admin.operations import Operations
from istat_server.admin.session import READ_BYTES, Session
from istat_server.mistakes import Mistakes
from istat_server.roster import Sender

log = logging.getLogger(__name__)

# Connections at once.
PLACES = 16
# How long a connection may say nothing, and how long a part of an answer may wait to be taken [s].
IDLE_SECONDS, ANSWER_SECONDS = 300.0, 30.0
# What a wrong token costs whoever sent it [s].
WRONG_SECONDS = 1.0
# How long accepting pauses when file descriptors have run out [s].
ACCEPT_PAUSE = 1.0
# What commands in work get when the server ends [s].
ENDING_SECONDS = 2.0


class AdminPort:
    """A service: the listeners and their connections."""

    name = "admin-port"

    def __init__(self, listeners: Sequence[socket.socket], operations: Operations, guard: Guard, mistakes: Mistakes,
                 failed: Callable[[str, BaseException], None], http_port: int = 0) -> None:
        """listeners: they are its own from now on. failed: told of exceptions that nothing expected."""
        self.guard = guard
        self.connects = self.commands = 0
        self._operations, self._mistakes, self._failed = operations, mistakes, failed
        self._not_here = not_here("commands", http_port)
        loop = gevent.get_hub().loop
        self._listening = [(sock, loop.io(sock.fileno(), 1)) for sock in listeners]
        self._pause: Any = None
        # Of each connection whether it works; who has asked for nothing longest comes first.
        self._places: OrderedDict[_Connection, bool] = OrderedDict()

    def start(self) -> None:
        """Begin to accept."""
        for sock, watcher in self._listening:
            watcher.start(self._accept, sock)

    def stop(self) -> None:
        """Accept no more; commands in work have a moment to end."""
        if self._pause is not None:
            self._pause.stop()
        for sock, watcher in self._listening:
            watcher.stop()
            sock.close()
        greenlets = [one.greenlet for one in self._places]
        gevent.killall([one.greenlet for one, works in self._places.items() if not works], block=False)
        gevent.joinall(greenlets, timeout=ENDING_SECONDS)
        gevent.killall(greenlets, block=False)

    def reload(self, settings: Mapping[str, Any]) -> None:
        """Take over tokens."""
        self.guard.take(settings)

    def totals(self) -> Mapping[str, float]:
        """For the self-metrics."""
        return {"admin.connections": self.connects, "admin.commands": self.commands}

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except OSError as error:        # nobody, or one that was gone before it was accepted
            if error.errno in descriptors.OUT:
                self._rest()
            return
        peer = peers.in_words(address)
        self.connects += 1
        if len(self._places) >= PLACES and not self._make_room(peer):
            sock.close()
            return
        connection = _Connection(self, sock, peer)
        self._places[connection] = False
        connection.greenlet.start()

    def _make_room(self, peer: str) -> bool:
        longest = next((one for one, works in self._places.items() if not works), None)
        who = peer if longest is None else longest.peer
        self._mistakes.note("admin_too_many", f"{PLACES} are open".encode(), Sender("admin", who, 0))
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

    def works(self, connection: _Connection, whether: bool) -> None:
        """A connection begins to answer, or has done so."""
        if connection in self._places:
            self._places[connection] = whether
            self._places.move_to_end(connection)

    def ended(self, connection: _Connection) -> None:
        """It has closed."""
        self._places.pop(connection, None)

    def serve(self, connection: _Connection, sock: Any) -> None:
        """Read and answer until one of both sides has enough."""
        session = Session(self._operations, self.guard, lambda: self._wrong_token(connection))
        while not session.ended:
            sock.settimeout(IDLE_SECONDS)
            data = sock.recv(READ_BYTES)
            if not data:
                return
            sock.settimeout(ANSWER_SECONDS)
            self.works(connection, True)
            before, wrong = session.commands, session.wrong
            for part in session.take(data):
                if part is not None:
                    if session.wrong != wrong:
                        wrong = session.wrong
                        gevent.sleep(WRONG_SECONDS)
                    sock.sendall(part)
                    continue
                self.commands += session.commands - before
                before = session.commands
                log.debug("%s: %d commands so far", connection.peer, before)
                _turn_of_the_hub()
            self.works(connection, False)
        if session.http:
            self._mistakes.note("http_request", b"at admin-port", Sender("admin", connection.peer, 0))
            sock.sendall(self._not_here)

    def _wrong_token(self, connection: _Connection) -> None:
        self._mistakes.note("admin_token", b"", Sender("admin", connection.peer, 0))

    def failed(self, error: BaseException) -> None:
        """Something of ours went wrong."""
        self._failed("the admin port", error)


class _Connection:
    """An accepted connection and its greenlet."""

    def __init__(self, owner: AdminPort, sock: socket.socket, peer: str) -> None:
        self.peer = peer
        self._owner = owner
        self._socket = green_socket(sock.family, sock.type, fileno=sock.detach())
        self.greenlet = gevent.Greenlet(self._run)
        self.greenlet.link(self._close)

    def _run(self) -> None:
        try:
            self._owner.serve(self, self._socket)
        except OSError as error:        # it has gone, says nothing, or takes nothing
            log.debug("%s is let go: %s", self.peer, error)
        except Exception as error:  # noqa: BLE001 - of a store of a plugin's, say: the others go on
            self._owner.failed(error)

    def _close(self, _: object) -> None:
        """Whatever its greenlet ended by, before it had begun too."""
        self._socket.close()
        self._owner.ended(self)


def _turn_of_the_hub() -> None:
    """Let the hub look at all sockets once and run what is due."""
    hub = gevent.get_hub()
    hub.wait(hub.loop.timer(0))
