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
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from gevent import socket

from istat.daemon.tls import client_context
from istat.errors import ServerUnreachable, SettingsError
from istat.unanswered import distrust
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
NO_ANSWER = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class State:
    """How a server stands. `position`: the end of what is synced of its journal; `time` [Unix s]; `final`: deletes
    up to this one cannot be undone any more, which holds for who has read up to `position` (0: not known now)."""

    version: str
    store: str
    epoch: int
    revision: int
    term: int
    fenced: str
    follows: str | None
    position: Position
    time: float
    replicas: tuple[str, ...]
    final: int = 0
    deposed: str | None = None      # the UUID of the store whose place it has taken, until that has been told


@dataclass(frozen=True)
class LeasedFile:
    """A file of a lease: its path in the store, and its size [bytes]."""

    path: str
    size: int


@dataclass(frozen=True)
class Lease:
    """What a master holds for a replica: files, and the journal from `position` (offset 0) on, which together are one
    state of its store. `manifest` is the text of that state's MANIFEST."""

    name: str
    until: int
    term: int
    revision: int
    time: float
    position: Position
    manifest: str
    files: tuple[LeasedFile, ...]


@dataclass(frozen=True)
class Piece:
    """Synced bytes of one segment, from `position` on; none when there was nothing more in time.

    `next` is the position behind them; where its segment is another one, that of `position` has ended. `left`: bytes
    that are synced and come behind these; `time`: the master's clock [Unix s].
    """

    position: Position
    data: bytes
    next: Position
    left: int
    time: float
    term: int
    revision: int


@dataclass(frozen=True)
class Namespace:
    """The two files of a namespace, and the stamp by which it is known that they have changed."""

    name: str
    stamp: str
    values: bytes
    versions: bytes


class _Connection(http.client.HTTPConnection):
    """A connection over gevent's sockets."""

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
        found = self._json("GET", "state", {}, most=MOST_WORDS)
        return State(**{**found, "position": Position(**found["position"]), "replicas": tuple(found["replicas"])})

    def lease(self) -> Lease:
        """Have it hold what a base copy needs; what it held for us before goes."""
        found = self._json("POST", "lease", {}, {"name": self.name, "term": self.term, "url": self.ours})
        self._believe(found["term"])
        return Lease(**{**found, "position": Position(**found["position"]),
                        "files": tuple(LeasedFile(path, size) for path, size in found["files"])})

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
            left = int(answer.headers["Content-Length"])
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
            data = answer.read()
            told = answer.headers
            self._believe(int(told["X-Istat-Term"]))
            store, *numbers = told["X-Istat-Next"].split()
            epoch, segment, offset, salt = map(int, numbers)
            return Piece(position, data, Position(store, epoch, segment, offset, salt), int(told["X-Istat-Left"]),
                         float(told["X-Istat-Time"]), int(told["X-Istat-Term"]), int(told["X-Istat-Revision"]))

    def namespaces(self) -> dict[str, str]:
        """All namespaces, each with its stamp."""
        return dict(self._json("GET", "namespaces", {})["namespaces"])

    def namespace(self, name: str) -> Namespace | None:
        """The files of one; None when there is none (any more)."""
        try:
            found = self._json("GET", "namespaces", {"name": name})
        except CopyNeeded:
            return None
        return Namespace(name, found["stamp"], found["values"].encode("latin-1"), found["versions"].encode("latin-1"))

    def roster(self) -> dict[str, Any]:
        """Who sent what, as /api/v1/agents tells it (its first page)."""
        return self._json("GET", "../agents", {})

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
        try:
            found = json.loads(text) if len(text) <= most else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ServerUnreachable(f"{self.url} does not answer as an istat-server would; is it another's port?")
        return found

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
            yield answer
        except (*NO_ANSWER, KeyError, ValueError, TypeError) as error:
            connection.close()
            raise self._away(error) from error
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
            words, reason = str(told["error"]), str(told.get("reason", ""))
        except (ValueError, KeyError, TypeError):
            return ServerUnreachable(f"{self.url} does not answer as an istat-server would (status {answer.status}); "
                                     "is it another's port?")
        said = f"{self.url}: {words}"
        if answer.status >= 500 and answer.status != 501:       # noqa: PLR2004
            return ServerUnreachable(said)
        kinds = {(404, "file"): CopyNeeded, (404, "namespace"): CopyNeeded, (409, "term"): Superseded,
                 (409, "fenced"): Superseded, (409, "store"): OtherStore}
        kind = CopyNeeded if answer.status == 410 else kinds.get((answer.status, reason), ReplicaError)  # noqa: PLR2004
        return kind(said)

    def _away(self, error: BaseException) -> ServerUnreachable:
        if isinstance(error, ssl.SSLError):
            return ServerUnreachable(distrust(self.url, error))
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ServerUnreachable(f"the master {self.url} does not answer: {words}")
