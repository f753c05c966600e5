"""What is declared of counters: unit, kind, help and link, as senders tell them. Formats: docs/formats/http-api.md.

All of it was written by strangers: whoever shows it shows it as text, and a link is http or https (istat.declared).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import falcon

from istat.errors import BadQuery
from istat.metrics import Metric
from istat.names import stored
from istat.patterns.automata import check_pattern
from istat.patterns.globs import glob
from istat_server.http.exchange.lists import send_rows
from istat_server.http.exchange.turns import turn
from istat_server.http.limits import HttpLimits
from istat_server.http.reply import parameter, parameters, read_object, send_json, strings, whole_number
from istat_server.store.interface import Store

DEFAULT_LISTED = 1000
NAMES_AT_ONCE = 100     # that are looked up before others have their turn: some milliseconds at worst


class Declarations(Protocol):
    """Who knows what is declared (istat_server.declared)."""

    def find(self, counter: str) -> Metric | None:
        """What is declared of a counter."""

    def all(self) -> Sequence[Metric]:
        """All that is declared, in order of names."""


class Nothing:
    """Nothing is declared."""

    def find(self, counter: str) -> Metric | None:
        """See Declarations.find."""
        return None

    def all(self) -> Sequence[Metric]:
        """See Declarations.all."""
        return ()


class Describing:
    """The handlers, by the names that the table of routes uses."""

    def __init__(self, store: Store, declared: Declarations, limits: HttpLimits) -> None:
        self._store, self._declared, self._limits = store, declared, limits

    def get_describe(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/describe: what is declared of counters; without any, all that is declared."""
        names = parameters(req, "name")
        if names:
            self._describe(req, resp, names)
            return
        limit = whole_number(parameter(req, "limit"), "limit", DEFAULT_LISTED, 1, self._limits.listed)
        rows = self._rows(check_pattern(parameter(req, "match", "*").encode()), parameter(req, "token"))
        send_rows(req, resp, "metrics", rows, limit, self._limits.page)

    def post_describe(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /api/v1/describe: the same of counters, as a JSON object."""
        self._describe(req, resp, strings(read_object(req).get("names"), "names"))

    def _rows(self, pattern: bytes, after: str) -> Iterator[tuple[object, str]]:
        """Each with the token of those behind it: its name, which none of these has twice."""
        wanted = glob(pattern)
        for metric in self._declared.all():
            if metric.name > after and wanted.fits(metric.name.encode()):
                yield {"name": metric.name, "kind": metric.kind, **_told(metric)}, metric.name

    def _describe(self, req: falcon.Request, resp: falcon.Response, names: list[str]) -> None:
        if not names:
            raise BadQuery("name at least one counter")
        if len(names) > self._limits.names:
            raise BadQuery(f"at most {self._limits.names} names at once", 413)
        rows: dict[str, object] = {}
        missing = []
        for number, name in enumerate(names, 1):
            counter = self._store.find(name.encode())
            metric = self._declared.find(stored(name.encode()).decode("latin-1"))
            if counter is not None or metric is not None:
                shown = counter.name if counter is not None else name
                kind = counter.kind.value if counter is not None else metric and metric.kind
                rows[shown] = {"name": shown, "kind": kind, "metric": metric and metric.name, **_told(metric)}
            else:
                missing.append(name)
            if number % NAMES_AT_ONCE == 0:
                turn()
        send_json(req, resp, {"counters": list(rows.values()), "missing": missing})


def _told(metric: Metric | None) -> dict[str, str]:
    return {key: getattr(metric, key, "") for key in ("unit", "help", "link")}
