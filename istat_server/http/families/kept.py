"""Namespaces over HTTP as we have them: listed in pages, changed with expectations, with the versions of each key.

Formats: docs/formats/http-api.md. Knows HTTP and what namespaces do, and no files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import falcon

from istat.errors import BadQuery
from istat.patterns.automata import check_pattern
from istat_server.http import numbers
from istat_server.http.exchange.lists import NO_TOKEN, send_rows
from istat_server.http.families.namespaces import check_origin
from istat_server.http.limits import HttpLimits
from istat_server.http.reply import parameter, read_object, send_json, whole_number
from istat_server.keyvalue.namespaces import Namespaces, Written

DEFAULT_LISTED = 1000
# What tokens begin with, so that none is empty: keys and names may be.
AFTER = "="


class Kept:
    """The handlers, by the names that the table of routes uses."""

    def __init__(self, namespaces: Namespaces, limits: HttpLimits, is_open: bool) -> None:
        """`is_open`: changes need no token, so that pages of other origins have to be refused here."""
        self._namespaces, self._limits, self._is_open = namespaces, limits, is_open

    def get_namespaces(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/namespaces."""
        after = _after(req)
        self._send(req, resp, "namespaces", (({"name": name, "bytes": size}, AFTER + name)
                                             for name, size in self._namespaces.sizes().items()
                                             if after is None or name > after))

    def get_keys(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/namespace."""
        name, after = parameter(req, "name"), _after(req)
        match = parameter(req, "match", "*")
        check_pattern(match.encode())
        versions = self._namespaces.numbers(name)
        self._send(req, resp, "keys", (({"key": key, "value": value, "version": versions.get(key)}, AFTER + key)
                                       for key, value in self._namespaces.get(name, match).items()
                                       if after is None or key > after))

    def post_changes(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /api/v1/namespace."""
        name, question = self._change(req, resp)
        changes = _object(question, "changes")
        for key, value in changes.items():
            if value is not None and not isinstance(value, str):
                raise BadQuery(f"the value of {key[:60]!a} must be a text, or null to delete it")
        expected = _object(question, "expected") if "expected" in question else {}
        if any(numbers.plain(number) is None for number in expected.values()):
            raise BadQuery("expected must have the number of a version for each of its keys")
        _tell(req, resp, self._namespaces.set(name, {key: value or "" for key, value in changes.items()}, expected))

    def get_versions(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/namespace/versions."""
        name, key = parameter(req, "name"), parameter(req, "key")
        before = _before(parameter(req, "token"))
        found = self._namespaces.versions(name, key)
        if not found:
            raise BadQuery(f"nothing is known of a key {key[:60]!a} in the namespace {name!r}", 404)
        self._send(req, resp, "versions", (
            ({"version": one.number, "time": one.time, "value": one.value}, str(one.number))
            for one in found if before is None or one.number < before))

    def post_restore(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /api/v1/namespace/restore."""
        name, question = self._change(req, resp)
        key, number = question.get("key"), numbers.plain(question.get("version"))
        if not isinstance(key, str) or number is None:
            raise BadQuery("give a key, and the number of the version that is to come back")
        _tell(req, resp, self._namespaces.restore(name, key, number))

    def _change(self, req: falcon.Request, resp: falcon.Response) -> tuple[str, dict[str, Any]]:
        """The namespace that is to be changed, and what is said of it."""
        if self._is_open:
            check_origin(req, resp)
        question = read_object(req)
        name = question.get("name")
        if not isinstance(name, str):
            raise BadQuery("name must be the name of a namespace")
        return name, question

    def _send(self, req: falcon.Request, resp: falcon.Response, key: str,
              rows: Iterator[tuple[dict[str, object], str]]) -> None:
        limit = whole_number(parameter(req, "limit"), "limit", DEFAULT_LISTED, 1, self._limits.listed)
        send_rows(req, resp, key, rows, limit, self._limits.page)


def _tell(req: falcon.Request, resp: falcon.Response, done: Written) -> None:
    send_json(req, resp, {"versions": dict(done.versions)})


def _after(req: falcon.Request) -> str | None:
    """Behind which name or key a page begins; None where it is the first."""
    token = parameter(req, "token")
    if token and not token.startswith(AFTER):
        raise BadQuery(NO_TOKEN)
    return token.removeprefix(AFTER) if token else None


def _before(token: str) -> int | None:
    number = numbers.digits(token) if token else None
    if token and number is None:
        raise BadQuery(NO_TOKEN)
    return number


def _object(question: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = question.get(key)
    if not isinstance(found, dict):
        raise BadQuery(f"{key} must be an object, with a value for each key")
    return found
