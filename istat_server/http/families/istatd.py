"""istatd's own HTTP interface: counter data (GET and multi-get), listing, agents. Its files are in `files`.

Source: part 7 of istatd's behaviour specification; docs/formats/http-api.md says where we differ. Error
texts are istatd's, since its clients show them.
"""

from __future__ import annotations

from typing import Any

import falcon

from istat.clock import Clock
from istat.errors import NO_PATH, BadQuery, UnknownCounter
from istat.names import stored
from istat_server.http import numbers
from istat_server.http.errors import refuse
from istat_server.http.exchange.buckets import ROWS_AT_ONCE, add_rows
from istat_server.http.exchange.lists import rendered
from istat_server.http.exchange.pieces import Pieces
from istat_server.http.exchange.turns import making, turn
from istat_server.http.families.api import Agents
from istat_server.http.limits import HttpLimits
from istat_server.http.reply import parameter, quoted, read_object, strings
from istat_server.query.patterns import Listing
from istat_server.query.select import DEFAULT_SPAN, Buckets, buckets, buckets_at_most
from istat_server.store.interface import Counter, Store

DEFAULT_SAMPLES = 1000  # of GET
DEFAULT_MAX_SAMPLES = 100  # of POST
EMPTY_RANGE = "HTTP exception: end must be greater than start!"
CSV = "text/csv"
CSV_HEAD = (
    b"ISO Time,Unix Timestamp,Sample Count,Minimum,Maximum,Sum,Sum Squared,Average,Standard Deviation\r\n"
)
CSV_FIELDS = ("iso", "time", "count", "min", "max", "sum", "sumsq", "avg", "sdev")
CSV_PARTS = (b"", *[b","] * 8, b"\r\n")
GET_FIELDS = ("avg", "count", "max", "min", "sdev", "sum", "sumsq", "time")
GET_PARTS = (
    b'{"data":{"avg":', b',"count":', b',"max":', b',"min":', b',"sdev":', b',"sum":', b',"sumsq":',
    b'},"time":', b"}",
)  # fmt: skip
POST_FIELDS = ("time", "count", "min", "max", "sum", "sumsq", "avg", "sdev")
POST_PARTS = (
    b'{"time":', b',"count":', b',"min":', b',"max":', b',"sum":', b',"sumsq":', b',"avg":', b',"sdev":',
    b"}",
)  # fmt: skip
COMPACT_PARTS = (b"[", *[b","] * 7, b"]")
TYPE_MAPPING = b'{"type_mapping":{"0":"gauge","1":"counter","2":"aggregate"},"pattern":'

CUT = ("X-Truncated", "true")
NAMES_AT_ONCE = 1000    # rows of a listing between turns of others: some 3 ms


class Istatd:
    """The handlers, by the names that the table of routes uses."""

    def __init__(self, store: Store, agents: Agents, clock: Clock, limits: HttpLimits) -> None:
        self._store = store
        self._agents = agents
        self._clock = clock
        self._limits = limits

    def no_counter(self, req: falcon.Request, resp: falcon.Response) -> None:
        """What else is asked of a counter's address, in istatd's words."""
        if req.method == "POST" and b"/" in raw_path(req)[1:]:
            raise BadQuery(f"{NO_PATH}: {req.path[:200]}", 404)
        if req.method == "POST":
            raise BadQuery("No such POST target", 404)
        refuse(resp, 405, "Bad method")

    def get_counter(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /<counter>?start=&end=&samples=&format=&trailing=."""
        name = raw_path(req)[1:]
        start, end = self._get_range(_integer(req, "start", 0), _integer(req, "end", 0))
        samples = _integer(req, "samples", DEFAULT_SAMPLES)
        if end == start and samples == 1:
            raise BadQuery(EMPTY_RANGE)     # a cell would have no length
        form = parameter(req, "format", "json")
        if form not in ("json", "csv"):
            raise BadQuery("HTTP exception: unrecognized format. must be 'json' or 'csv'.")
        trailing = _integer(req, "trailing", 0, -1 << 63)
        counter = self._store.find(name)
        if counter is None and b"/" in name:
            raise BadQuery(f"{NO_PATH}: {req.path[:200]} (ours are below /api/v1/, and no counter has this name)", 404)
        if counter is None:
            raise UnknownCounter(f"No such counter {stored(name).decode()}")
        answer = self._buckets([counter], start, end, samples, bool(trailing))[0]
        pieces = Pieces(req)
        if form == "csv":
            pieces.add(CSV_HEAD)
            _add_rows(pieces, answer, CSV_PARTS, CSV_FIELDS, b"")
            pieces.send(resp, CSV)
            return
        pieces.add(b'{"buckets":[')
        _add_rows(pieces, answer, GET_PARTS, GET_FIELDS, b",")
        pieces.add(b'],"end":%d,"interval":%d,"start":%d}\n' % (answer.end, answer.interval, answer.start))
        pieces.send(resp)

    def _get_range(self, start: int, end: int) -> tuple[int, int]:
        """What a GET means by its start and end, where 0 is unset."""
        if not start:
            return self._last(end)
        end = end or start + DEFAULT_SPAN
        if end < start:
            raise BadQuery(EMPTY_RANGE)
        return start, end

    def post_counters(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /*: several counters at once."""
        question = read_object(req)
        if "keys" not in question:
            raise BadQuery("Missing 'key' array of keys")
        keys = strings(question["keys"], "keys")
        if len(keys) > self._limits.names:
            raise BadQuery(f"at most {self._limits.names} keys at once", 413)
        start, stop = self._post_range(_post_integer(question, "start"), _post_integer(question, "stop"))
        most = _post_integer(question, "maxSamples", negative=True) or DEFAULT_MAX_SAMPLES
        found, missing = self._find(keys)
        trailing = bool(_post_integer(question, "trailing", negative=True))
        answers = self._buckets(list(found), start, stop, max(0, most), trailing)
        parts = COMPACT_PARTS if question.get("compact") is True else POST_PARTS
        pieces = Pieces(req)
        _add_answers(pieces, list(found.values()), missing, answers, parts)
        pieces.send(resp)

    def _post_range(self, start: int, stop: int) -> tuple[int, int]:
        """What a POST means by its start and stop, where 0 is unset; unlike GET, start cannot stand alone."""
        if not start:
            return self._last(stop)
        if stop < start:
            raise BadQuery("Start must be before stop")
        return start, stop

    def _last(self, end: int) -> tuple[int, int]:
        """The last DEFAULT_SPAN until `end`; where that is unset, with what came in this very second."""
        now = int(self._clock.now())
        return max(0, (end or now) - DEFAULT_SPAN), end or now + 1

    def _find(self, keys: list[str]) -> tuple[dict[Counter, str], list[str]]:
        """Counters with the spelling they are answered under (the last one), and keys that no counter has."""
        found: dict[Counter, str] = {}
        missing: dict[str, None] = {}
        for key in keys:
            counter = self._store.find(key.encode())
            if counter is None:
                missing[key] = None
            else:
                found[counter] = key
        return found, list(missing)

    def _buckets(self, counters: list[Counter], start: int, end: int, most: int, trailing: bool) -> list[Buckets]:
        now = int(self._clock.now())
        if buckets_at_most(self._store, counters, start, end, most, now, trailing) > self._limits.buckets:
            raise BadQuery("too many buckets at once: ask fewer keys, a shorter range or fewer samples", 413)
        return buckets(self._store, counters, start, end, most, now, turn, trailing)

    def get_listing(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /?q=PATTERN: names that fit, with their dotted prefixes."""
        pattern = parameter(req, "q")
        pieces = Pieces(req, self._limits.listing_bytes)
        pieces.add(TYPE_MAPPING + b'%s,"matching_names":[' % quoted(pattern).encode())
        comma = ""
        found = Listing(self._store, pattern.encode(), self._limits.listing, pieces.room(), turn, making)
        for count, listed in enumerate(found, 1):
            leaf = "true" if listed.is_leaf else "false"
            pieces.add(f'{comma}{{"is_leaf":{leaf},"type":{listed.type},"name":{quoted(listed.name)}}}'.encode())
            comma = ","
            if count % NAMES_AT_ONCE == 0:
                turn()
        pieces.add(b"]}")
        _send_cut(resp, pieces, found.cut)

    def get_agents(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /?a=*: who sent what, in istatd's words. How many they are is said first."""
        rows: list[bytes] = []
        room, cut = self._limits.listing_bytes, False
        senders = self._agents.senders(None, turn)
        for text, _ in rendered((self._agents.istatd_row(sender), "") for sender in senders):
            room -= len(text) + 1
            cut = room < 0
            if cut:
                break
            making(len(text))
            rows.append(text)
        pieces = Pieces(req)
        pieces.add(b'{"count":%d,"agents":[' % len(rows))
        for number, text in enumerate(rows):
            pieces.add(b"," + text if number else text)
        pieces.add(b"]}")
        _send_cut(resp, pieces, cut)


def _send_cut(resp: falcon.Response, pieces: Pieces, cut: bool) -> None:
    """Answer with a list of istatd's, which has no pages, nor a place to say that it has not all."""
    if cut:
        resp.set_header(*CUT)
    pieces.send(resp)


def raw_path(req: falcon.Request) -> bytes:
    """The path's bytes, percent signs decoded (WSGI hands them over as Latin-1)."""
    path: bytes = req.env["PATH_INFO"].encode("latin-1", "replace")
    return path


def _integer(req: falcon.Request, key: str, default: int, least: int = 0) -> int:
    """A parameter of GET. BadQuery in istatd's words."""
    text = parameter(req, key)
    if not text:
        return default
    number = numbers.whole(text)
    if number is None:
        raise BadQuery(f"HTTP exception: Bad integer argument {key}: {text[:100]}")
    if number < least:
        raise BadQuery(f"HTTP exception: Invalid {key} parameter")
    return number


def _post_integer(question: dict[str, Any], key: str, negative: bool = False) -> int:
    """A number of a multi-get, 0 when absent. BadQuery in istatd's words."""
    value = numbers.plain(question.get(key, 0))
    if value is None:
        if key == "trailing":
            return 0  # istatd takes only integers for true here
        raise BadQuery(f"exception: '{key}' must be an integer")
    if value < 0 and not negative:
        raise BadQuery(f"Invalid '{key}' parameter")
    return value


def _add_answers(pieces: Pieces, keys: list[str], missing: list[str], answers: list[Buckets],
                 parts: tuple[bytes, ...]) -> None:
    """What a multi-get says: the keys that are not there, then each that is, and the range of the last one."""
    comma, done = b"{", 0
    for key in missing:
        pieces.add(comma + f'{quoted(key)}:"Not found."'.encode())
        comma = b","
    for key, answer in zip(keys, answers):
        head = b'%s%s:{"start":%d,"end":%d,"interval":%d,"data":['
        pieces.add(head % (comma, quoted(key).encode(), answer.start, answer.end, answer.interval))
        _add_rows(pieces, answer, parts, POST_FIELDS, b",")
        pieces.add(b"]}")
        comma = b","
        done += len(answer.rows)
        if done >= ROWS_AT_ONCE:
            done = 0
            turn()
    if answers:
        last = answers[-1]
        pieces.add(b',"start":%d,"stop":%d,"interval":%d' % (last.start, last.end, last.interval))
    pieces.add(b"}" if comma == b"," else b"{}")


def _add_rows(pieces: Pieces, answer: Buckets, parts: tuple[bytes, ...], fields: tuple[str, ...],
              between: bytes) -> None:
    """The buckets of a counter as text."""
    add_rows(pieces, answer.rows, answer.interval, parts, fields, between)
