"""Clients for programs: `StatClient` sends samples to a server or agent, `QueryClient` asks a server.

    with StatClient() as stats:
        stats.gauge("queue.length", 17)
        stats.event("mail.sent")
    QueryClient().series(["mail.sent"], columns=["avg", "max"])

Without arguments both find the server as the commands do: by ISTAT_TO and ISTAT_URL. Sending never raises because of
the network: what cannot be sent is dropped and counted. Asking raises typed errors. Neither knows of the store.
"""

from __future__ import annotations

import math
import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema

from istat import unanswered
from istat.clock import Clock, SystemClock
from istat.errors import BadName, BadQuery, ServerUnreachable, UsageError
from istat.settings.types import Address, HostPort
from istat.wire.lines import sample_line

DEFAULT_STAT_PORT = 8111
DEFAULT_HOST = "127.0.0.1"
DEFAULT_URL = f"http://{DEFAULT_HOST}:8000"
# Where a server answers, and where it takes samples (HOST:PORT), when nobody says.
URL_VARIABLE, TO_VARIABLE = "ISTAT_URL", "ISTAT_TO"
# Bytes of samples in one datagram: below the Ethernet MTU less IP and UDP headers, so never fragmented.
BATCH_BYTES = 1400
CAPACITY_BYTES = 1 << 20  # what a TCP client holds while the server is away
RETRY_SECONDS = 1.0  # between two attempts to connect
SEND_TIMEOUT = 5.0  # [s]; a server that does not read for so long counts as away
LINGER_SECONDS = 1.0  # a batch is sent at the latest by the first sample after this


def samples_address(environment: Mapping[str, str] = os.environ) -> HostPort:
    """Where samples go when nobody says: ISTAT_TO, else the host of ISTAT_URL at the usual port, else this machine.
    UsageError for what is no address."""
    if told := environment.get(TO_VARIABLE, ""):
        try:
            found = Address(DEFAULT_STAT_PORT).parse(told)
        except ValueError as error:
            raise UsageError(f"{TO_VARIABLE} (where samples are sent) {error}") from None
        if found is None or not found.host or not found.port:
            raise UsageError(f"{TO_VARIABLE} (where samples are sent) is {told!r}, which names no "
                             f"{'port' if found is not None and found.host else 'host'}: write it as HOST:PORT")
        return found
    url = environment.get(URL_VARIABLE, "")
    try:
        host = urlsplit(url).hostname if url else DEFAULT_HOST
    except ValueError:      # a bracket that is not closed
        host = None
    if not host:
        raise UsageError(f"{URL_VARIABLE} is {url!r}, which is no address of a server: write it as http://HOST:PORT, "
                         f"such as {DEFAULT_URL}, or say by {TO_VARIABLE}=HOST:PORT where samples are sent")
    return HostPort(host, DEFAULT_STAT_PORT)


class StatClient:
    """Sends samples in batches over UDP or TCP. Not for use by several threads at once.

    A batch goes out when it is full, LINGER_SECONDS old at the next sample, or at flush(). `sent` and
    `dropped` count lines; a TCP connection that breaks drops the batches in flight.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        transport: str = "udp",
        clock: Clock | None = None,
        batch_bytes: int = BATCH_BYTES,
        capacity: int = CAPACITY_BYTES,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """host: None is the one that the environment names (`samples_address`), with its port unless `port` is given;
        UsageError for one that is no address. port: that of a given host is 8111 unless told otherwise.

        tls: for TCP, such as `ssl.create_default_context(cafile="ca.pem")`: the server must then show a certificate
        for `host` that this context believes. One that it does not counts as away."""
        if tls is not None and transport != "tcp":
            raise ValueError("TLS is for tcp only")
        if transport not in ("udp", "tcp"):
            raise ValueError(f"a transport is udp or tcp, not {transport!r}")
        self.sent = self.dropped = 0
        told = samples_address() if host is None else HostPort(host, DEFAULT_STAT_PORT)
        self._address = (told.host, told.port if port is None else port)
        self._transport, self._tls = transport, tls
        self._clock = clock or SystemClock()
        self._batch_bytes, self._capacity = batch_bytes, capacity
        self._lines: list[bytes] = []
        self._size = 0
        self.error: OSError | None = None       # what kept it from sending the last time
        self._here = 0                          # lines sent over this connection
        self._opened_at = self._next_try = -math.inf
        self._socket: socket.socket | None = None

    def gauge(self, name: str, value: float, time: float | None = None) -> None:
        """A value that is what it is, such as a temperature. BadName, BadLine for what cannot be sent."""
        if name.startswith("*"):
            raise BadName(f"{name!r} is the name of an event counter: use event()")
        self.send(sample_line(name, value, time))

    def event(self, name: str, value: float = 1, time: float | None = None) -> None:
        """Something that happened `value` times; the server keeps the rate per second."""
        self.send(sample_line("*" + name.removeprefix("*"), value, time))

    def send(self, line: bytes) -> None:
        """Add a line that is complete with its newline."""
        if self._lines and self._size + len(line) > self._batch_bytes:
            self.flush()
        if self._size + len(line) > self._capacity:
            self.dropped += 1
            return
        now = self._clock.monotonic()
        if not self._lines:
            self._opened_at = now
        self._lines.append(line)
        self._size += len(line)
        if now - self._opened_at >= LINGER_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what is there. Over TCP, lines stay (up to the capacity) while the server is away."""
        if not self._lines or not self._connect():
            return
        lines, data = len(self._lines), b"".join(self._lines)
        assert self._socket is not None
        try:
            if self._transport == "tcp":
                self._socket.sendall(data)
            else:
                self._send_datagrams()
            self.sent += lines
            self._here += lines
        except OSError as error:
            self.error = error
            # How much of it arrived is unknown: sending it again could count it twice.
            self.dropped += lines
            self._disconnect()
        self._lines, self._size = [], 0

    def _send_datagrams(self) -> None:
        """Whole lines in datagrams of at most the batch size (lines that waited may be more than one)."""
        assert self._socket is not None
        batch: list[bytes] = []
        size = 0
        for line in self._lines:
            if batch and size + len(line) > self._batch_bytes:
                self._socket.send(b"".join(batch))
                batch, size = [], 0
            batch.append(line)
            size += len(line)
        self._socket.send(b"".join(batch))

    def _connect(self) -> bool:
        """Have a socket; False while the server is away (tried again after RETRY_SECONDS)."""
        if self._socket is not None:
            return True
        if self._clock.monotonic() < self._next_try:
            return False
        self._next_try = self._clock.monotonic() + RETRY_SECONDS
        try:
            if self._transport == "tcp":
                self._socket = socket.create_connection(self._address, timeout=SEND_TIMEOUT)
                if self._tls is not None:
                    self._socket = self._tls.wrap_socket(self._socket, server_hostname=self._address[0])
            else:
                found = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
                self._socket = socket.socket(*found[:3])
                self._socket.connect(found[4])
        except OSError as error:
            self.error = error
            self._disconnect()
            return False
        return True

    def ended(self) -> bool:
        """Whether the other side has closed the connection, or answers, which no server that takes samples does."""
        if self._socket is None:
            return True
        waited = self._socket.gettimeout()
        self._socket.settimeout(0)
        try:
            self._socket.recv(1)
            return True
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except ssl.SSLError as error:
            self._refused(error)
            return True
        except OSError:
            return True
        finally:
            if self._socket is not None:
                self._socket.settimeout(waited)

    def _hear_last_words(self) -> None:
        """A server says what it does not like of a client's certificate only when the client has begun to send (TLS
        1.3): then nothing of what was sent has been taken."""
        if not isinstance(self._socket, ssl.SSLSocket):
            return
        try:
            # Not the TLS socket's own, which forgets its session.
            socket.socket.shutdown(self._socket, socket.SHUT_WR)
            self._socket.recv(1)
        except TimeoutError:
            pass        # it is slow, and has said nothing against it
        except OSError as error:
            self._refused(error)

    def _refused(self, error: OSError) -> None:
        """TLS does not want us: nothing of what was sent has been taken."""
        self.error = error
        self.dropped, self.sent = self.dropped + self._here, self.sent - self._here
        self._disconnect()

    def _disconnect(self) -> None:
        self._here = 0
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def close(self) -> None:
        """Send what is there and close; what cannot be sent now is dropped and counted."""
        self.flush()
        self.dropped += len(self._lines)
        self._lines, self._size = [], 0
        self._hear_last_words()
        self._disconnect()

    def __enter__(self) -> StatClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class QueryClient:
    """Asks a server over HTTP. Answers are what the JSON says: dictionaries and lists.

    Raises ServerUnreachable, UnknownCounter (404), BadQuery (other refusals) with the server's words.
    """

    def __init__(
        self, url: str | None = None, timeout: float = 10.0, session: requests.Session | None = None, token: str = "",
        ca: str | os.PathLike[str] | None = None, cert: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
    ) -> None:
        """url: None is that of ISTAT_URL, else of this machine.

        token: the server's `read-token` where it has one, its `admin-token` for what changes or deletes.

        Of https:// addresses: `ca` (PEM) has the authorities that the server's certificate may be signed by, instead of
        those that the system trusts; `cert` and `key` (None: in the same file) are shown to a server that wants one."""
        told = url if url is not None else os.environ.get(URL_VARIABLE) or DEFAULT_URL
        self.url, self.timeout = told.rstrip("/"), timeout
        self._session = session or requests.Session()
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"
            # Else requests puts what ~/.netrc says of the host in its place.
            self._session.auth = _as_it_is
        if key is not None and cert is None:
            raise UsageError("a key needs its certificate: name it, too")
        # Given with each request: what a session has gives way to the environment's REQUESTS_CA_BUNDLE.
        self._tls: dict[str, Any] = {"verify": os.fspath(ca)} if ca is not None else {}
        if cert is not None:
            self._tls["cert"] = (os.fspath(cert), os.fspath(key if key is not None else cert))

    def series(
        self,
        names: Sequence[str],
        start: float | None = None,
        end: float | None = None,
        points: int | None = None,
        columns: Sequence[str] = ("avg",),
        level: str = "",
        tz: str = "",
    ) -> dict[str, Any]:
        """Columns of several counters on one grid of times; without `start`, the last hour. Gaps are None.

        The range is `start` <= time < `end`; a part of a second at its end means that whole second.
        `level`: the name of the retention level to answer from, such as `10s`; else the server chooses. `tz`: the time
        zone whose days points of whole days are, such as Europe/Berlin (UTC); the answer then has their `times`."""
        question: dict[str, Any] = {"names": list(names), "columns": ",".join(columns)}
        for key, value in (("from", start), ("to", None if end is None else math.ceil(end)), ("points", points)):
            if value is not None:
                question[key] = int(value)
        question.update({key: text for key, text in (("level", level), ("tz", tz)) if text})
        return self.ask("POST", "/api/v1/series", json=question)

    def names(self, match: str = "*", limit: int = 1000, offset: int = 0, regex: str = "",
              token: str = "") -> dict[str, Any]:
        """Counters whose names match a pattern with * : {"names": [{"name", "kind"}], "truncated", "token"}.

        With `regex` those in whose names this regular expression is found. `token`, of the answer before, asks for the
        page that follows."""
        question: dict[str, str | int] = {"limit": limit, "offset": offset} if not token else {"limit": limit}
        question.update({"regex": regex} if regex else {"match": match})
        return self.ask("GET", "/api/v1/names", params=_with_token(question, token))

    def children(self, prefix: str = "", limit: int = 10_000, token: str = "") -> dict[str, Any]:
        """The next components below a dotted prefix, for a tree: {"prefix", "children", "truncated", "token"}.
        `token`, of the answer before, asks for the page that follows."""
        question: dict[str, str | int] = {"prefix": prefix, "limit": limit}
        return self.ask("GET", "/api/v1/children", params=_with_token(question, token))

    def search(self, words: str, limit: int = 50, token: str = "") -> dict[str, Any]:
        """Counters whose names hold all the words, shorter names first; pages as those of `names`."""
        return self.ask("GET", "/api/v1/search", params=_with_token({"q": words, "limit": limit}, token))

    def rows(self, match: str = "*", start: float = 0, end: float | None = None, token: str = "") -> dict[str, Any]:
        """All buckets of the counters that fit, of every level, in pages: {"counters": [{"name", "kind", "retention",
        "rows": {level: [[time, count, sum, min, max, sdev]]}}], "unfinished", "truncated", "token"}.

        `token`, of the answer before, asks for the page that follows; where that was `unfinished`, its last counter
        goes on there."""
        question: dict[str, Any] = {"match": match, "from": int(start), "token": token}
        if end is not None:
            question["to"] = math.ceil(end)
        return self.ask("POST", "/api/v1/rows", json=question)

    def ends(self, names: Sequence[str]) -> dict[str, Any]:
        """When the first and last buckets of counters were, Unix seconds: {"counters": [{"name", "kind", "retention",
        "first", "last"}], "missing"}; None where there are none."""
        return self.ask("POST", "/api/v1/ends", json={"names": list(names)})

    def agents(self) -> list[dict[str, Any]]:
        """Who sent what: name, address, version, when last seen."""
        agents: list[dict[str, Any]] = []
        token = ""
        while True:
            page = self.ask("GET", "/api/v1/agents", params=_with_token({}, token))
            agents += page["agents"]
            token = page.get("token", "")
            if not token:
                return agents

    def newest_agents(self, limit: int) -> list[dict[str, Any]]:
        """As `agents`, those that came last."""
        rows: list[dict[str, Any]] = self.ask("GET", "/api/v1/agents", params={"limit": limit})["agents"]
        return rows

    def status(self) -> dict[str, Any]:
        """The server's version, figures and refusals."""
        return self.ask("GET", "/api/v1/status")

    def confirm_clock(self) -> dict[str, Any]:
        """Tell the server that its clock is right: {"time", "doubt"}. Needs the token."""
        return self.ask("POST", "/api/v1/clock/confirm")

    def promote(self) -> dict[str, Any]:
        """Make a replica a master: {"term", "deposed"}. Needs the token."""
        return self.ask("POST", "/api/v1/replica/promote")

    def delete(self, confirm: bool = False, **what: Any) -> dict[str, Any]:
        """Delete counters by `names`, or by `match` and how many are `expected`; unless `confirm`, only say which."""
        return self.ask("POST", "/api/v1/delete", json={**what, "confirm": confirm})

    def undelete(self, **what: Any) -> dict[str, Any]:
        """Undo deletes, by `names` or `match`."""
        return self.ask("POST", "/api/v1/undelete", json=what)

    def deleted(self, match: str = "*", limit: int = 1000, token: str = "") -> dict[str, Any]:
        """Deleted counters that are not gone yet. `token`, of the answer before, asks for the page that follows."""
        question: dict[str, str | int] = {"match": match, "limit": limit}
        return self.ask("GET", "/api/v1/deleted", params=_with_token(question, token))

    def rename(self, old: str, new: str, expected: int | None = None) -> dict[str, Any]:
        """Rename a counter, or all of `old.*` to `new.*`; unless `expected` tells how many, only say which."""
        question: dict[str, Any] = {"from": old, "to": new}
        if expected is not None:
            question.update(expected=expected, confirm=True)
        return self.ask("POST", "/api/v1/rename", json=question)

    def healthy(self) -> bool:
        """Whether the server answers and its store is open."""
        try:
            return self.ask("GET", "/health").get("status") == "ok"
        except (ServerUnreachable, BadQuery):
            return False

    def buckets(
        self, counter: str, start: float | None = None, end: float | None = None, samples: int = 1000
    ) -> dict[str, Any]:
        """One counter as istatd answers it: {"buckets": [{"time", "data"}], "start", "end", "interval"}."""
        question: dict[str, Any] = {"samples": samples}
        if start is not None:
            question["start"] = int(start)
        if end is not None:
            question["end"] = int(end)
        return self.ask("GET", "/" + quote(counter), params=question)

    def ask(self, method: str, path: str, **question: Any) -> dict[str, Any]:
        """The JSON object that any route answers, with what `requests` takes besides."""
        try:
            answer = self._session.request(method, self.url + path, timeout=self.timeout, **self._tls, **question)
        except (MissingSchema, InvalidSchema, InvalidURL) as error:
            raise UsageError(f"{self.url!r} is no address of a server: write it as http://HOST:PORT, such as "
                             f"{DEFAULT_URL}") from error
        except requests.exceptions.SSLError as error:
            raise ServerUnreachable(unanswered.distrust(self.url, error)) from error
        except requests.RequestException as error:
            raise ServerUnreachable(f"no answer from {self.url}: {unanswered.reason(error, self.url)}"
                                    f"{unanswered.other_port(self.url, DEFAULT_STAT_PORT, DEFAULT_URL)}") from error
        except OSError as error:
            raise UsageError(f"a file that TLS wants cannot be read: {error}") from error
        try:
            body = answer.json()
        except ValueError:
            body = None
        if answer.status_code >= 400:
            raise unanswered.refusal(self.url, answer.status_code, body, path)
        if not isinstance(body, dict):
            raise ServerUnreachable(f"{self.url} does not answer as an istat-server would; is it another's port?")
        return body


def _with_token(question: dict[str, str | int], token: str) -> dict[str, str | int]:
    return {**question, "token": token} if token else question


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
