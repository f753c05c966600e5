"""`QueryClient`, which asks a server over HTTP. Knows no samples' wire."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import requests
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema

from istat import unanswered
from istat.client.places import DEFAULT_STAT_PORT, DEFAULT_URL, URL_VARIABLE
from istat.errors import BadQuery, ServerUnreachable, UsageError


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

    def describe(self, names: Sequence[str]) -> dict[str, Any]:
        """What senders declare of counters: {"counters": [{"name", "kind", "metric", "unit", "help", "link"}],
        "missing"}; `metric` is the declared name, None where nothing is declared."""
        return self.ask("POST", "/api/v1/describe", json={"names": list(names)})

    def metrics(self, match: str = "*", limit: int = 1000, token: str = "") -> dict[str, Any]:
        """All that is declared, by names that match: {"metrics": [{"name", "kind", "unit", "help", "link"}],
        "truncated", "token"}. `token`, of the answer before, asks for the page that follows."""
        question: dict[str, str | int] = {"match": match, "limit": limit}
        return self.ask("GET", "/api/v1/describe", params=_with_token(question, token))

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
