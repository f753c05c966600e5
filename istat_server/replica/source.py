"""What a replica asks its master, over HTTP: docs/protocols/replication.md.

    master = Master("https://stats1:8000", token, "stats2", ca=Path("ca.pem"))
    lease = master.lease()
    for piece in master.file(lease.files[0].path): ...
    piece = master.journal(lease.position, lease.revision, wait=10.0)

All methods block the greenlet and not the hub. ServerUnreachable when the master does not answer (or not now: try
again), ReplicaError and its kinds when it refuses. Knows no files and no store.
"""
from __future__ import annotations

import http.client
import io
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from gevent import socket

from istat.daemon.tls import client_context
from istat.daemon.turns import turn_of_the_hub
from istat.errors import ServerUnreachable, SettingsError
from istat.unanswered import distrust
from istat.wire.strangers import in_words
from istat_server.replica.master.answers import (
    STRANGE,
    Lease,
    Namespace,
    Piece,
    State,
    lease_of,
    piece_of,
    state_of,
    whole,
)
from istat_server.replica.options import is_address
from istat_server.replica.refusals import CopyNeeded, OtherStore, ReplicaError, Superseded
from istat_server.store.positions import Position

PATHS = "/api/v1/replica/"
# That a master may take to connect, and between two pieces of an answer [s], besides what it is asked to wait.
PATIENCE = 30.0
LONGEST_WAIT = 10.0         # that a master may be asked to wait for more of the journal [s]
PIECE = 1 << 20             # of a file at once [bytes]
MOST_JOURNAL = 4 << 20      # of the journal at once, unless more is asked for [bytes]
MOST_ANSWER = 64 << 20      # an answer in JSON: a MANIFEST of 100,000 files twice [bytes]
# One that has no lists of files: who is asked need not be a server of ours, and reading JSON takes the hub [bytes].
MOST_WORDS = 64 << 10
IDLE = 4                    # connections kept for the next question
TURN_SECONDS = 0.005        # that an answer is read before others have their turn
NO_ANSWER = (OSError, http.client.HTTPException)


class _Fair(io.RawIOBase):
    """What a connection brings. Reads of what is there already never give the hub its turn; these do."""

    def __init__(self, raw: Any) -> None:
        self._raw, self._since = raw, monotonic()

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, room: Any) -> int | None:
        """See RawIOBase."""
        if monotonic() - self._since > TURN_SECONDS:
            turn_of_the_hub()
            self._since = monotonic()
        size: int | None = self._raw.readinto(room)
        return size

    def close(self) -> None:
        """See RawIOBase."""
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer, however long, that is read with turns for others."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.fp: Any = io.BufferedReader(_Fair(self.fp.detach()))


class _Connection(http.client.HTTPConnection):
    """A connection over gevent's sockets."""

    response_class = _Response

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=PATIENCE)
        self._tls = tls

    def connect(self) -> None:
        """Connect, and shake hands where it is TLS."""
        sock = socket.create_connection((self.host, self.port), PATIENCE)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock = sock if self._tls is None else self._tls.wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise


class Master:
    """A master, as one of its replicas asks it. May be used by several greenlets."""

    def __init__(self, url: str, token: str, name: str, ca: Path | None = None, cert: Path | None = None,
                 key: Path | None = None, ours: str = "", term: int = 0) -> None:
        """`token`: its replica-token; `name`: the replica's; `ca`, `cert`, `key` as of `istat.daemon.tls`; `ours`:
        where the replica itself can be asked ("": nowhere). SettingsError.

        `term` is the highest that was heard of; it grows with answers, and a master of a lower one is Superseded.
        """
        if not is_address(url):
            raise SettingsError([f"{url!r} is no master: give it as http://HOST:PORT or https://HOST:PORT"])
        parts = urlsplit(url)
        self.url, self.name, self.ours, self.term = url.rstrip("/"), name, ours, term
        self._host = parts.hostname or ""
        self._port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        self._tls = client_context(ca, cert, key) if parts.scheme == "https" else None
        self._headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
        self._idle: list[_Connection] = []

    # -- questions

    def state(self) -> State:
        """How it stands. A lower term than ours is no error here."""
        with self._understood():
            return state_of(self._json("GET", "state", {}, most=MOST_WORDS))

    def lease(self) -> Lease:
        """Have it hold what a base copy needs; what it held for us before goes."""
        with self._understood():
            lease = lease_of(self._json("POST", "lease", {}, {"name": self.name, "term": self.term, "url": self.ours}))
        self._believe(lease.term)
        return lease

    def release(self) -> bool:
        """It need hold nothing for us any more; whether it did."""
        return bool(self._json("DELETE", "lease", {"name": self.name})["ended"])

    def file(self, path: str, offset: int = 0) -> Iterator[memoryview]:
        """The bytes of a file of the lease from `offset` on, in pieces, each good until the next one is asked for.
        ServerUnreachable when it breaks off: go on from there."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        query = {"name": self.name, "path": path, "term": self.term}
        with self._asked("GET", f"file?{urlencode(query, quote_via=quote)}", headers) as answer:
            room = memoryview(bytearray(PIECE))
            left = whole(answer.headers["Content-Length"])
            while left:
                got = answer.readinto(room[:min(left, PIECE)])
                if not got:
                    raise ConnectionError("the file broke off")
                left -= got
                yield room[:got]

    def journal(self, position: Position, revision: int, wait: float = 0.0, most: int = MOST_JOURNAL, *,
                keep: int | None = None, applied: int | None = None) -> Piece:
        """More of the journal. CopyNeeded when the position is gone, or the master is at another revision by now.

        `keep`: the oldest segment that may have to be asked for again; `applied`: the clock of the last frame that was
        applied [Unix s].
        """
        query: dict[str, object] = {**asdict(position), "name": self.name, "term": self.term, "revision": revision,
                                    "wait": min(wait, LONGEST_WAIT), "most": most}
        query.update({key: value for key, value in (("keep", keep), ("applied", applied)) if value is not None})
        with self._asked("GET", f"journal?{urlencode(query)}", {}, wait) as answer:
            data = answer.read(most + 1)
            if len(data) > most:
                raise ValueError("more of the journal than was asked for")
            piece = piece_of(position, data, answer.headers)
            self._believe(piece.term)
            return piece

    def namespaces(self) -> dict[str, str]:
        """All namespaces, each with its stamp."""
        with self._understood():
            return {str(name): str(stamp) for name, stamp in self._json("GET", "namespaces", {})["namespaces"]}

    def namespace(self, name: str) -> Namespace | None:
        """The files of one; None when there is none (any more)."""
        try:
            found = self._json("GET", "namespaces", {"name": name})
        except CopyNeeded:
            return None
        with self._understood():
            return Namespace(name, str(found["stamp"]), found["values"].encode("latin-1"),
                             found["versions"].encode("latin-1"))

    def roster(self) -> list[tuple[str, dict[str, str]]]:
        """Those who send there and are online: names, and what each tells of itself. The first page of
        /api/v1/agents."""
        with self._understood():
            rows = self._json("GET", "../agents", {})["agents"]
            return [(str(row["name"]), {str(key): str(value) for key, value in (row.get("metadata") or {}).items()})
                    for row in rows if row.get("online") and row.get("name")]

    def declared(self, known: str) -> tuple[str, bytes | None]:
        """(the stamp of what is declared of metrics there, that as istat.declared.pages has it: None where the stamp is
        the known one). ("", None) of a master that is older, and has none."""
        try:
            found = self._json("GET", "declared", {"known": known})
        except ReplicaError:
            return "", None
        with self._understood():
            text = found.get("declared")
            return str(found["stamp"]), None if text is None else text.encode("latin-1")

    def fence(self, store: str, term: int, by: str) -> None:
        """Have it take no samples and no changes any more: `by` (an address) is the master from now on. `store`: its
        UUID. Superseded when its term is not lower, OtherStore when it is another store."""
        self._json("POST", "fence", {}, {"store": store, "term": term, "by": by}, MOST_WORDS)

    def close(self) -> None:
        """Let go of the connections."""
        while self._idle:
            self._idle.pop().close()

    # -- how they are asked

    def _believe(self, term: int) -> None:
        if term < self.term:
            raise Superseded(f"{self.url} is of term {term}, and we have followed one of term {self.term}: another "
                             "server has taken its place; name that one in replica-of")
        self.term = term

    def _json(self, method: str, path: str, query: dict[str, object], body: object = None,
              most: int = MOST_ANSWER) -> dict[str, Any]:
        if query:
            path += "?" + urlencode(query)
        with self._asked(method, path, {}, body=body) as answer:
            text = answer.read(most + 1)
        with self._understood():
            found = json.loads(text) if len(text) <= most else None
            if not isinstance(found, dict):
                raise TypeError("no object")
            return found

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Whatever an answer has instead of what it should have."""
        try:
            yield
        except STRANGE as error:
            raise self._stranger() from error

    def _stranger(self, more: str = "") -> ServerUnreachable:
        return ServerUnreachable(f"{self.url} does not answer as an istat-server would{more}; is it another's port?")

    @contextmanager
    def _asked(self, method: str, path: str, headers: dict[str, str], wait: float = 0.0,
               body: object = None) -> Iterator[http.client.HTTPResponse]:
        """An answer that is no refusal; its connection is kept when all of it was read."""
        try:
            connection, answer = self._answered(method, path, headers, wait, body)
        except NO_ANSWER as error:
            raise self._away(error) from error
        try:
            if answer.status >= 400:        # noqa: PLR2004 - HTTP's refusals
                raise self._refusal(answer)
            if answer.status >= 300:        # noqa: PLR2004 - we go to no other place with our token
                raise self._stranger(f" (status {answer.status})")
            yield answer
        except NO_ANSWER as error:
            connection.close()
            raise self._away(error) from error
        except STRANGE as error:
            connection.close()
            raise self._stranger() from error
        except BaseException:
            connection.close()
            raise
        if answer.isclosed() and len(self._idle) < IDLE and connection.sock is not None:
            self._idle.append(connection)
        else:
            connection.close()

    def _answered(self, method: str, path: str, headers: dict[str, str], wait: float,
                  body: object) -> tuple[_Connection, http.client.HTTPResponse]:
        """A connection that was kept may have been closed meanwhile: then another is tried."""
        while self._idle:
            connection = self._idle.pop()
            with suppress(*NO_ANSWER):
                return connection, self._ask(connection, method, path, headers, wait, body)
        connection = _Connection(self._host, self._port, self._tls)
        return connection, self._ask(connection, method, path, headers, wait, body)

    def _ask(self, connection: _Connection, method: str, path: str, headers: dict[str, str], wait: float,
             body: object) -> http.client.HTTPResponse:
        data = None if body is None else json.dumps(body).encode()
        try:
            if connection.sock is None:
                connection.connect()
            connection.sock.settimeout(PATIENCE + wait)
            place = PATHS + path if not path.startswith("../") else "/api/v1/" + path[3:]
            connection.request(method, place, data, {**self._headers, **headers})
            return connection.getresponse()
        except BaseException:
            connection.close()
            raise

    def _refusal(self, answer: http.client.HTTPResponse) -> Exception:
        """The error for a status and what is said with it."""
        try:
            told = json.loads(answer.read(MOST_WORDS))
            words, reason = in_words(str(told["error"])), str(told.get("reason", ""))
        except STRANGE:
            return self._stranger(f" (status {answer.status})")
        said = f"{self.url}: {words}"
        if answer.status == 401:        # noqa: PLR2004
            said += " (our setting replica-token)"
        if answer.status >= 500 and answer.status != 501:       # noqa: PLR2004
            return ServerUnreachable(said)
        kinds = {(404, "file"): CopyNeeded, (404, "namespace"): CopyNeeded, (409, "term"): Superseded,
                 (409, "fenced"): Superseded, (409, "store"): OtherStore}
        kind = CopyNeeded if answer.status == 410 else kinds.get((answer.status, reason), ReplicaError)  # noqa: PLR2004
        return kind(said)

    def _away(self, error: BaseException) -> ServerUnreachable:
        if isinstance(error, ssl.SSLError):
            return ServerUnreachable(distrust(self.url, error, "replica-ca", "replica-cert"))
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ServerUnreachable(f"the master {self.url} does not answer: {words}")
