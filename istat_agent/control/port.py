"""The control socket: root and the agent's own user ask, one line of JSON each, and are answered by one.

docs/protocols/control.md has what is said. A connection has a greenlet of its own, so that one that says nothing or
takes nothing costs nobody anything, and is let go in time. Knows nothing of what is asked.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

import gevent

from istat import owners
from istat.daemon.handover import Handover
from istat.daemon.listening.paths import bind_path
from istat.daemon.listening.serving import Connection, Serving
from istat.errors import IstatError

log = logging.getLogger(__name__)

MOST = 1 << 20  # of a question or an answer [bytes]
READ = 1 << 16  # at once [bytes]
# Connections at once; the one that waits longest for its client makes room for another.
PLACES = 8
BACKLOG = 16
# A question has to come, and its answer has to be taken, within these times [s].
QUESTION_SECONDS, ANSWER_SECONDS = 5.0, 10.0
OURS_AND_ROOTS = 0o600
CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): process, user, group
FAULT = "this failed by a fault of the agent's own; its log has more"

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class ControlPort:
    """Listens at `path` and answers by `answers`: what is asked for -> what gives the answer to a question."""

    def __init__(self, path: str, answers: Mapping[str, Answer]) -> None:
        """An answer may wait, as its connection has a greenlet; an IstatError that it raises is told to who asked."""
        self.path, self._answers = path, answers
        self._serving: Serving | None = None
        self._file: tuple[int, int] | None = None

    def start(self) -> None:
        """Listen from now on. A socket that a dead agent has left there is replaced. PortInUse, CannotListen."""
        sock = bind_path(Handover(), socket.SOCK_STREAM, self.path, OURS_AND_ROOTS)
        self._file = _identity(self.path)
        sock.listen(BACKLOG)
        self._serving = Serving([sock], PLACES, self._serve, lambda peer: log.debug("%s makes room", peer), _failed)
        self._serving.start()

    def stop(self) -> None:
        """Answer no more; the socket's file goes, unless it is another's by now."""
        if self._serving is None:
            return
        if self._file is not None and _identity(self.path) == self._file:
            try:
                os.unlink(self.path)
            except OSError as error:
                log.debug("%s stays: %s", self.path, error.strerror)
        self._serving.stop()
        self._serving = None

    def _serve(self, connection: Connection) -> None:
        """One question, and its answer."""
        import json  # only when somebody asks

        serving = self._serving
        assert serving is not None
        with gevent.Timeout(QUESTION_SECONDS, TimeoutError("its question did not come in time")):
            line = _line(connection.socket)
        if line is None:
            return
        serving.works(connection, True)
        try:
            answer = self._answered(line, asker(connection.socket))
        except IstatError as error:
            answer = {"error": str(error), "status": error.exit_code}
        except Exception as error:  # noqa: BLE001 - whatever it is, who asked is told that it is ours
            log.error("control: a fault of our own", exc_info=error)
            answer = {"error": FAULT, "status": IstatError.exit_code}
        told = json.dumps(answer).encode() + b"\n"
        if len(told) > MOST:
            refusal = {"error": f"the answer has more than {MOST} bytes", "status": IstatError.exit_code}
            told = json.dumps(refusal).encode() + b"\n"
        serving.send(connection, told, ANSWER_SECONDS)

    def _answered(self, line: bytes, user: int) -> dict[str, Any]:
        """IstatError where it is refused."""
        import json

        if user not in (owners.ROOT, os.geteuid()):
            raise IstatError(f"only root and the user {owners.name_of(os.geteuid())} may ask this agent")
        try:
            question = json.loads(line)
        except (ValueError, RecursionError):
            question = None
        if not isinstance(question, dict):
            raise IstatError("a question is an object of JSON on one line")
        asked = question.get("ask")
        answer = self._answers.get(asked) if isinstance(asked, str) else None
        if answer is None:
            raise IstatError(f"this agent cannot be asked for {asked!r}; it knows {', '.join(self._answers)}")
        log.debug("%s asks for %s", owners.name_of(user), asked)
        return {"answer": answer(question)}


def asker(sock: Any) -> int:
    """The user who has connected, or listens, at the other end of a Unix socket. OSError."""
    _process, user, _group = CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED,
                                                                CREDENTIALS.size))
    return int(user)


def _line(sock: Any) -> bytes | None:
    """What comes up to the first line's end; None when the client has gone before, or says too much."""
    data = bytearray()
    while len(data) <= MOST:
        more = sock.recv(READ)
        if not more:
            return None
        data += more
        if b"\n" in more:
            return bytes(data).partition(b"\n")[0]
    return None


def _identity(path: str) -> tuple[int, int] | None:
    """Which file has this name now."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _failed(error: BaseException) -> None:
    log.error("control: a fault of our own", exc_info=error)
