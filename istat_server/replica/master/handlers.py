"""What a master answers its replicas over HTTP: docs/protocols/replication.md.

Knows HTTP and leases; what is read and written is the store's, what namespaces are is theirs.
"""
from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import wraps

import falcon
import gevent

from istat import __version__
from istat.clock import Clock
from istat.declared.pages import encode
from istat.errors import BadQuery
from istat_server.declared.declared import Declared
from istat_server.http.exchange.turns import turn
from istat_server.http.reply import JSON, parameter, read_object, send_json, whole_number
from istat_server.keyvalue.namespaces import Namespaces
from istat_server.replica.master.leases import Leases, check_name
from istat_server.replica.master.pouring import Pouring, part_of
from istat_server.store.files import manifest
from istat_server.store.pool import Delivering
from istat_server.store.positions import Position
from istat_server.store.work.copying import Copying, Gone, NotInPlace

DEFAULT_MOST, MOST = 4 << 20, 16 << 20      # bytes of the journal in one answer
LONGEST_WAIT = 10                           # that a pull may wait for more [s]
FAR = (1 << 63) - 1                         # the largest number of a request
BY = re.compile(r"[ -~]{1,200}")            # who took our place
STORE = re.compile(r"[0-9a-f]{32}")
NOT_FOUND, CONFLICT, GONE = 404, 409, 410

Handler = Callable[["Replicas", falcon.Request, falcon.Response], None]


def refusing(handler: Handler) -> Handler:
    """The handler, whose refusals tell a reason in one word, too."""
    @wraps(handler)
    def answer(self: Replicas, req: falcon.Request, resp: falcon.Response) -> None:
        resp.set_header("Cache-Control", "no-store")
        try:
            handler(self, req, resp)
        except Gone as error:
            _refuse(resp, NOT_FOUND if error.reason == "file" else GONE, error.reason, str(error))
        except NotInPlace as error:
            _refuse(resp, CONFLICT, error.reason, str(error))

    return answer


def _refuse(resp: falcon.Response, status: int, reason: str, words: str) -> None:
    resp.status = falcon.code_to_http_status(status)
    resp.content_type = JSON
    resp.data = json.dumps({"error": words, "reason": reason}).encode()


class Replicas:
    """The handlers, by the names that the table of routes uses."""

    def __init__(self, leases: Leases, namespaces: Namespaces, clock: Clock, declared: Declared | None = None) -> None:
        self._leases, self._namespaces, self._clock, self._declared = leases, namespaces, clock, declared
        self._began = secrets.token_hex(8)      # so that no stamp is one of before the start

    @refusing
    def get_state(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/replica/state."""
        copying = self._leases.copying
        state, final = copying.state, copying.final_deletes()
        send_json(req, resp, {
            "version": __version__, "store": state.uuid, "epoch": state.epoch, "revision": state.revision,
            "term": state.term, "fenced": state.fenced, "final": final,
            "follows": state.follows.position.store if state.follows is not None else None,
            "deposed": state.deposed.store if state.deposed is not None else None,
            "position": asdict(copying.end()), "time": self._clock.now(),
            "replicas": sorted(pin.name for pin in state.pins)})

    @refusing
    def post_lease(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /api/v1/replica/lease."""
        question = read_object(req)
        self._in_place(whole_number(question.get("term"), "term", 0, 0, FAR))
        url = question.get("url", "")
        if not isinstance(url, str):
            raise BadQuery("url must be a text")
        leased = self._leases.take(check_name(question.get("name")), url)
        text = Delivering(gevent.get_hub().threadpool).apply(manifest.encode, (leased.state,))
        send_json(req, resp, {
            "name": leased.pin.name, "until": leased.pin.until, "term": leased.state.term,
            "revision": leased.state.revision, "time": self._clock.now(), "position": asdict(leased.position),
            "manifest": text.decode(), "files": [list(file) for file in leased.files]})

    @refusing
    def delete_lease(self, req: falcon.Request, resp: falcon.Response) -> None:
        """DELETE /api/v1/replica/lease."""
        send_json(req, resp, {"ended": self._leases.copying.release(check_name(parameter(req, "name")))})

    @refusing
    def get_file(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/replica/file."""
        copying = self._in_place(_number(req, "term"))
        name = check_name(parameter(req, "name"))
        self._leases.renew(name)
        handle, size = Delivering(gevent.get_hub().threadpool).apply(copying.file, (name, parameter(req, "path")))
        try:
            part = part_of(req.env.get("HTTP_RANGE", ""), size)
        except BadQuery:
            os.close(handle)
            raise
        resp.content_type = "application/octet-stream"
        begin, end = part or (0, size)
        if part is not None:
            resp.status = falcon.HTTP_206
            resp.set_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
        if req.method == "HEAD":        # nobody would take what is poured, nor close it
            os.close(handle)
            resp.content_length = end - begin
        else:
            resp.set_stream(Pouring(handle, begin, end), end - begin)

    @refusing
    def get_journal(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/replica/journal."""
        copying = self._in_place(_number(req, "term"))
        name, revision, position = check_name(parameter(req, "name")), _number(req, "revision"), _position(req)
        wait = whole_number(parameter(req, "wait"), "wait", 0, 0, LONGEST_WAIT)
        most = whole_number(parameter(req, "most"), "most", DEFAULT_MOST, 1, MOST)
        copying.check(position, revision)
        keep = whole_number(parameter(req, "keep"), "keep", position.segment, 0, FAR)
        self._leases.applied(name, _number(req, "applied"))
        self._leases.hold(name, min(keep, position.segment))
        stretch = copying.read(position, most)
        if stretch.next == position and not stretch.data and wait:
            self._leases.await_more(name, position, wait)
            self._in_place(_number(req, "term"))
            copying.check(position, revision)       # it may have changed while we waited
            stretch = copying.read(position, most)
        self._send_stretch(resp, stretch.data, stretch.next, stretch.left)

    def _send_stretch(self, resp: falcon.Response, data: bytes, following: Position, left: int) -> None:
        state = self._leases.copying.state
        for name, value in (("Next", " ".join(str(one) for one in asdict(following).values())), ("Left", left),
                            ("Time", self._clock.now()), ("Term", state.term), ("Revision", state.revision)):
            resp.set_header(f"X-Istat-{name}", str(value))
        if data:
            resp.content_type, resp.data = "application/octet-stream", data
        else:
            resp.status = falcon.HTTP_204

    @refusing
    def get_namespaces(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/replica/namespaces."""
        if "name" not in req.params:
            stamps = self._namespaces.stamps()
            send_json(req, resp, {"namespaces": [list(one) for one in stamps.items()]})
            return
        name = parameter(req, "name")
        found = self._namespaces.raw(name)
        if found is None:
            _refuse(resp, NOT_FOUND, "namespace", "there is no namespace of this name")
            return
        stamp, values, versions = found
        send_json(req, resp, {"name": name, "stamp": stamp, "values": values.decode("latin-1"),
                              "versions": versions.decode("latin-1")})

    @refusing
    def get_declared(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/replica/declared."""
        stamp = f"{self._began}.{self._declared.number if self._declared is not None else 0}"
        if parameter(req, "known") == stamp:
            send_json(req, resp, {"stamp": stamp})
            return
        page = encode(self._declared.kept() if self._declared is not None else ())
        turn()
        send_json(req, resp, {"stamp": stamp, "declared": page.decode("latin-1")})

    @refusing
    def post_fence(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /api/v1/replica/fence."""
        question = read_object(req)
        store, by = question.get("store"), question.get("by")
        if not isinstance(store, str) or not STORE.fullmatch(store):
            raise BadQuery("store must be the UUID of the one that is to be fenced: 32 hexadecimal digits")
        if not isinstance(by, str) or not BY.fullmatch(by):
            raise BadQuery("by must say who takes this server's place: 1 to 200 printable signs")
        copying = self._leases.copying
        copying.fence(store, whole_number(question.get("term"), "term", 0, 0, FAR), by)
        send_json(req, resp, {"term": copying.state.term, "fenced": copying.state.fenced})

    def _in_place(self, term: int) -> Copying:
        """What the store gives away, if it is still a master's for who has heard of a term. NotInPlace."""
        copying = self._leases.copying
        if copying.state.fenced:
            raise NotInPlace("fenced", copying.read_only)
        if term > copying.state.term:
            raise NotInPlace("term", f"this server has the term {copying.state.term}, and another one of term {term} "
                                     "has taken its place")
        return copying


def _number(req: falcon.Request, key: str) -> int:
    return whole_number(parameter(req, key), key, 0, 0, FAR)


def _position(req: falcon.Request) -> Position:
    """The position that a pull asks for. BadQuery."""
    store = parameter(req, "store")
    if not STORE.fullmatch(store):
        raise BadQuery("store must be the UUID of a store: 32 hexadecimal digits")
    found = Position(store, *(_number(req, key) for key in ("epoch", "segment", "offset")))
    return replace(found, salt=_number(req, "salt"))
