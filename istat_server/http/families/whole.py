"""What is known of counters as a whole: all their rows, and when their first and last ones were.
Formats: docs/formats/http-api.md."""

from __future__ import annotations

import falcon

from istat.clock import Clock
from istat.errors import BadQuery
from istat.patterns.automata import check_pattern
from istat_server.http.exchange.buckets import ROWS_AT_ONCE, add_rows
from istat_server.http.exchange.lists import END
from istat_server.http.exchange.pieces import Pieces
from istat_server.http.exchange.turns import turn
from istat_server.http.limits import HttpLimits
from istat_server.http.reply import parameters, quoted, read_object, send_json, strings, whole_number
from istat_server.query.select import LATEST, check_range
from istat_server.query.walk import Mark, Part, Walk
from istat_server.store.interface import NamePattern, Store, Syntax

FIELDS = ("time", "count", "sum", "min", "max", "sdev")
PARTS = (b"[", *[b","] * (len(FIELDS) - 1), b"]")
MOST_TOKEN = 100_000    # characters: of a store's token, and of the names in a mark


class Whole:
    """The handlers, by the names that the table of routes uses."""

    def __init__(self, store: Store, clock: Clock, limits: HttpLimits) -> None:
        self._store, self._clock, self._limits = store, clock, limits

    def post_rows(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /api/v1/rows: everything that there is of counters, in pages."""
        question = read_object(req)
        now = int(self._clock.now())
        match, token = question.get("match", "*"), question.get("token", "")
        if not isinstance(match, str) or not isinstance(token, str) or len(token) > MOST_TOKEN:
            raise BadQuery("match is a pattern, and token that of the page before")
        end = whole_number(question.get("to"), "to", now + 1, 0, LATEST)
        start = whole_number(question.get("from"), "from", 0, 0, LATEST)
        check_range(start, end)
        pattern = NamePattern(Syntax.GLOB, check_pattern(match.encode()))
        pieces = Pieces(req, self._limits.page - END)
        pieces.add(b'{"counters":[')
        after = self._add_all(pieces, Walk(self._store, pattern, start, end, now), Mark.read(token))
        more = after.text() if after != Mark() else ""
        pieces.add(f'],"unfinished":{"true" if after.begun else "false"},"truncated":{"true" if more else "false"},'
                   f'"token":{quoted(more)}}}'.encode())
        pieces.send(resp)

    def _add_all(self, pieces: Pieces, walk: Walk, mark: Mark) -> Mark:
        """As many parts as there is room for; the mark of what follows. A counter that comes in ranges ends an answer,
        so that whoever asks need not hold what comes behind it."""
        comma, done = b"", 0
        for parts, after in walk.parts(mark, turn):
            for part in parts:
                pieces.add(comma)
                done += _add(pieces, part)
                comma = b","
                if done >= ROWS_AT_ONCE:
                    done = 0
                    turn()
            in_ranges = bool(mark.begun) and not after.begun
            mark = after
            if in_ranges or pieces.room() <= 0:
                break
        return mark

    def get_ends(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/ends: when the first and the last buckets of counters were."""
        self._ends(req, resp, parameters(req, "name"))

    def post_ends(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /api/v1/ends: the same as a JSON object."""
        self._ends(req, resp, strings(read_object(req).get("names"), "names"))

    def _ends(self, req: falcon.Request, resp: falcon.Response, names: list[str]) -> None:
        if not names:
            raise BadQuery("name at least one counter")
        if len(names) > self._limits.names:
            raise BadQuery(f"at most {self._limits.names} names at once", 413)
        asked = {name: self._store.find(name.encode()) for name in names}
        rows: list[dict[str, object]] = []
        for counter in dict.fromkeys(counter for counter in asked.values() if counter):
            (known,) = self._store.describe([counter.id])
            rows.append({"name": counter.name, "kind": counter.kind.value, "retention": known.ladder.text,
                         "first": known.first, "last": known.last})
            turn()
        send_json(req, resp, {"counters": rows, "missing": [name for name, counter in asked.items() if not counter]})


def _add(pieces: Pieces, part: Part) -> int:
    """One counter's rows by level; how many those are."""
    counter = part.counter
    pieces.add(f'{{"name":{quoted(counter.name)},"kind":"{counter.kind.value}",'
               f'"retention":"{part.ladder.text}","rows":{{'.encode())
    comma, done = b"", 0
    for level, rows in zip(part.ladder.levels, part.levels):
        if len(rows):
            pieces.add(comma + f'"{level.name}":['.encode())
            add_rows(pieces, rows, level.interval, PARTS, FIELDS, b",")
            pieces.add(b"]")
            comma = b","
            done += len(rows)
    pieces.add(b"}}")
    return done
