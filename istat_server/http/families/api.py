"""Our own API under /api/v1, and /health. Formats: docs/formats/http-api.md.

Knows the query package, JSON and what the rest of the server tells about itself; no sockets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import falcon

from istat.clock import Clock
from istat.errors import BadQuery
from istat.kernels import render
from istat.names import WIRE_NAME_ROOM, stored, written
from istat.patterns.automata import check_pattern
from istat_server.http import numbers
from istat_server.http.exchange.lists import NO_TOKEN, send_pages, send_rows
from istat_server.http.exchange.turns import Work, turn
from istat_server.http.limits import HttpLimits
from istat_server.http.reply import (
    parameter,
    parameters,
    quoted,
    read_object,
    send,
    send_json,
    strings,
    whole_number,
)
from istat_server.query import days
from istat_server.query.reduce import Grid
from istat_server.query.select import LATEST, Series, check_range, series
from istat_server.roster import Sender
from istat_server.store.interface import Child, Counter, NamePattern, Page, Store, Syntax

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

COLUMNS = ("count", "sum", "avg", "min", "max", "sdev")
DEFAULT_SPAN = 3600  # [s]
DEFAULT_POINTS = 1000
DEFAULT_LISTED = 1000
DEFAULT_FOUND = 50
CHILDREN_AT_ONCE = 1000     # some 5 ms
# The most that a row of a list takes [bytes]: of the JSON around, and a name or two.
NAME_ROOM, CHILD_ROOM = 64 + WIRE_NAME_ROOM, 96 + 2 * WIRE_NAME_ROOM

Status = Callable[[], dict[str, object]]


class Agents(Protocol):
    """Who sent what: the roster of senders."""

    def senders(self, before: int | None, between: Callable[[], None]) -> Sequence[Sender]:
        """Those to show, in an order that stays."""

    def row(self, sender: Sender) -> dict[str, object]:
        """What /api/v1/agents says of one."""

    def istatd_row(self, sender: Sender) -> dict[str, object]:
        """What /?a=* says of one."""


class Api:
    """The handlers, by the names that the table of routes uses."""

    def __init__(
        self, store: Store, status: Status, agents: Agents, clock: Clock, limits: HttpLimits
    ) -> None:
        self._store = store
        self._status = status
        self._agents = agents
        self._clock = clock
        self._limits = limits

    def get_series(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/series."""
        params = req.params
        self._series(req, resp, parameters(req, "name"), ",".join(parameters(req, "columns")), params)

    def post_series(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /api/v1/series: the same as a JSON object."""
        question = read_object(req)
        columns = question.get("columns") or ""
        if not isinstance(columns, str):
            columns = ",".join(strings(columns, "columns"))
        self._series(req, resp, strings(question.get("names"), "names"), columns, question)

    def _series(
        self, req: falcon.Request, resp: falcon.Response, names: list[str], columns: str, question: Any
    ) -> None:
        now = int(self._clock.now())
        if not names:
            raise BadQuery("name at least one counter")
        if len(names) > self._limits.names:
            raise BadQuery(f"at most {self._limits.names} names at once", 413)
        wanted = _columns(columns)
        # Without an end: what came in this very second too. `to` itself is not in the range.
        end = whole_number(question.get("to"), "to", now + 1, 0, LATEST)
        start = whole_number(question.get("from"), "from", max(0, end - DEFAULT_SPAN), 0, LATEST)
        points = whole_number(question.get("points"), "points", DEFAULT_POINTS, 1, self._limits.points)
        check_range(start, end)
        if len(names) * min(points, end - start) * len(wanted) > self._limits.values:
            raise BadQuery(f"at most {self._limits.values} numbers at once: ask fewer names or points", 413)
        level = question.get("level") or ""
        if not isinstance(level, str):
            raise BadQuery("level is the name of a retention level")
        zone_name = question.get("tz") or ""
        if not isinstance(zone_name, str):
            raise BadQuery("tz is the name of a time zone, such as Europe/Berlin")
        where = days.zone(zone_name) if zone_name else None
        answer = series(self._store, names, start, end, points, now, turn, level, where)
        send(req, resp, _series_json(answer, wanted))

    def get_names(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/names: counters by pattern, in pages."""
        expression = parameter(req, "regex")
        text = check_pattern((expression or parameter(req, "match", "*")).encode())
        if expression and parameter(req, "match"):
            raise BadQuery("give match or regex, not both")
        pattern = NamePattern(Syntax.REGEX if expression else Syntax.GLOB, text)
        limit, token = self._page(req, DEFAULT_LISTED)
        offset = whole_number(parameter(req, "offset"), "offset", 0, 0, self._limits.offset)
        if offset and token:
            raise BadQuery("give offset or token, not both")

        def ask(limit: int, token: str) -> Page[Counter]:
            return self._store.match(pattern, limit, token)

        send_pages(req, resp, "names", _name_row, ask, (limit, token), (self._limits.page, NAME_ROOM), skip=offset)

    def _page(self, req: falcon.Request, default: int) -> tuple[int, str]:
        """How many of a list are wanted, and where they begin."""
        limit = whole_number(parameter(req, "limit"), "limit", default, 1, self._limits.listed)
        return limit, parameter(req, "token")

    def get_search(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/search: counters whose names hold all the words."""
        words = [stored(word) for word in check_pattern(parameter(req, "q").encode()).split()]
        wanted = [word for word in words if word]

        def ask(limit: int, token: str) -> Page[Counter]:
            return self._store.search(wanted, limit, token) if words else Page([])

        send_pages(req, resp, "names", _name_row, ask, self._page(req, DEFAULT_FOUND), (self._limits.page, NAME_ROOM))

    def get_children(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/children: what follows a dotted prefix."""
        prefix = stored(check_pattern(parameter(req, "prefix").encode()).rstrip(b"."))      # `x.` means below x

        def ask(limit: int, token: str) -> Page[Child]:
            return self._store.children(prefix, min(limit, CHILDREN_AT_ONCE), token)

        send_pages(req, resp, "children", _child_row, ask, self._page(req, self._limits.listed),
                   (self._limits.page, CHILD_ROOM), head=f'"prefix":{quoted(written(prefix).decode())},')

    def get_agents(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/agents: who sent what."""
        limit, token = self._page(req, self._limits.listed)
        before = numbers.digits(token) if token else None
        if token and before is None:
            raise BadQuery(NO_TOKEN)
        senders = self._agents.senders(before, turn)
        rows = ((self._agents.row(sender), str(sender.number)) for sender in senders)
        send_rows(req, resp, "agents", rows, limit, self._limits.page)

    def get_status(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/status: the server's figures."""
        send_json(req, resp, self._status())

    def get_health(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /health: the store is open, or this application would not be here."""
        send(req, resp, b'{"status":"ok"}')


def _columns(text: str) -> Sequence[str]:
    """The columns wanted, each once. BadQuery for one that does not exist."""
    wanted = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip())) or ("avg",)
    for column in wanted:
        if column not in COLUMNS:
            raise BadQuery(f"no column is called {column!r}; there are {', '.join(COLUMNS)}")
    return wanted


def _series_json(answer: Series, wanted: Sequence[str]) -> bytes:
    """The answer's text. The kernel writes the numbers; this only puts the pieces together."""
    start, interval, points = answer.grid.start, answer.grid.interval, answer.grid.points
    times = b'"times":[%s],' % ",".join(map(str, answer.grid.times)).encode() if answer.grid.times else b""
    heads = [b',"' + column.encode() + b'":' for column in wanted]
    work = Work()
    pieces = [b'{"start":%d,"interval":%d,"points":%d,%s"series":[' % (start, interval, points, times)]
    comma = b""
    for counter, rows in zip(answer.found, answer.rows):
        pieces.append(b'%s{"name":%s,"kind":"%s"' % (comma, quoted(counter.name).encode(), _kind(counter)))
        for column, head in zip(wanted, heads):
            pieces += (head, _column(rows, column, answer.grid.stretches))
        pieces.append(b"}")
        comma = b","
        work.done(points * len(wanted))
    pieces.append(b'],"missing":%s}' % json.dumps(answer.missing).encode())
    return b"".join(pieces)


def _column(rows: Columns, column: str, stretches: Sequence[Grid]) -> bytes:
    """A column as a JSON array."""
    if len(stretches) == 1:
        text: bytes = render.column(rows, column, stretches[0].start, stretches[0].interval, stretches[0].points)
        return text
    return b"[%s]" % b",".join(render.column(rows, column, some.start, some.interval, some.points)[1:-1]
                               for some in stretches)


def _kind(counter: Counter) -> bytes:
    return counter.kind.value.encode()


def _name_row(counter: Counter) -> str:
    return f'{{"name":{quoted(counter.name)},"kind":"{counter.kind.value}"}}'


def _child_row(child: Child) -> str:
    kind = f'"{child.counter.kind.value}"' if child.counter else "null"
    branches = "true" if child.branches else "false"
    return f'{{"label":{quoted(child.label)},"name":{quoted(child.name)},"kind":{kind},"branches":{branches}}}'
