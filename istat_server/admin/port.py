"""The admin port: what connections say is given to a `Session`, and what that answers is sent.

After each command everything else has its turn. Whoever sends nothing, or takes no answer, is let go in time.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gevent

from istat.daemon.listening.serving import Connection, Serving
from istat.daemon.turns import turn_of_the_hub
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
# Behind which the connection closes: how far the command came is not known.
FAULT = b"huh? this failed by a fault of the server's own; its log has more\r\n"


class AdminPort:
    """A service."""

    name = "admin-port"

    def __init__(self, listeners: Sequence[socket.socket], operations: Operations, guard: Guard, mistakes: Mistakes,
                 failed: Callable[[str, BaseException], None], http_port: int = 0) -> None:
        """listeners: they are its own from now on. failed: told of exceptions that nothing expected."""
        self.guard = guard
        self.commands = 0
        self._operations, self._mistakes = operations, mistakes
        self._not_here = not_here("commands", http_port)
        self._serving = Serving(listeners, PLACES, self._serve,
                                lambda peer: self._mistake("admin_too_many", f"{PLACES} are open", peer),
                                lambda error: failed("the admin port", error))
        self.start, self.stop = self._serving.start, self._serving.stop

    def reload(self, settings: Mapping[str, Any]) -> None:
        """Take over tokens."""
        self.guard.take(settings)

    def totals(self) -> Mapping[str, float]:
        """For the self-metrics."""
        return {"admin.connections": self._serving.connects, "admin.commands": self.commands}

    def _serve(self, connection: Connection) -> None:
        """Read and answer until one of both sides has enough."""
        sock = connection.socket
        session = Session(self._operations, self.guard, lambda: self._mistake("admin_token", "", connection.peer))
        while not session.ended and not self._serving.ending:
            sock.settimeout(IDLE_SECONDS)
            data = sock.recv(READ_BYTES)
            if not data:
                return
            self._serving.works(connection, True)
            try:
                self._answer(connection, session, data)
            except OSError:     # of the connection
                raise
            except Exception:
                self._serving.send(connection, FAULT, ANSWER_SECONDS)
                raise
            self._serving.works(connection, False)
        if session.http:
            self._mistake("http_request", "at admin-port", connection.peer)
            self._serving.send(connection, self._not_here, ANSWER_SECONDS)

    def _answer(self, connection: Connection, session: Session, data: bytes) -> None:
        before, wrong = session.commands, session.wrong
        for part in session.take(data):
            if part is None:
                self.commands += session.commands - before
                before = session.commands
                log.debug("%s: %d lines so far", connection.peer, before)
            else:
                if session.wrong != wrong:
                    wrong = session.wrong
                    self._serving.works(connection, False)      # whoever guesses makes room for others meanwhile
                    gevent.sleep(WRONG_SECONDS)
                    self._serving.works(connection, True)
                self._serving.send(connection, part, ANSWER_SECONDS)
            turn_of_the_hub()

    def _mistake(self, kind: str, text: str, peer: str) -> None:
        self._mistakes.note(kind, text.encode(), Sender("admin", peer, 0))
