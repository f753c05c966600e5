"""Namespaces over HTTP as istatd has them, who calls them settings: `/?s=NAME`.

Source: part 8 of istatd's behaviour specification; docs/formats/http-api.md says where we differ. Error texts are
istatd's, since its clients show them. Knows HTTP and what namespaces do, and no files.
"""

from __future__ import annotations

import json
from decimal import Decimal

import falcon

from istat.errors import BadQuery
from istat_server.http import numbers
from istat_server.http.exchange.strict import read_json
from istat_server.http.reply import JSON, parameter, read_body, send
from istat_server.keyvalue.bounds import SHOWN, check_name, check_number
from istat_server.keyvalue.namespaces import Namespaces

SKIPPED = "X-Skipped-Keys"      # istatd's answer has no place for them
ALLOWED = "Access-Control-Allow-Origin"


class Settings:
    """The handlers, by the names that the table of routes uses."""

    def __init__(self, namespaces: Namespaces, is_open: bool) -> None:
        """`is_open`: changes need no token, so that pages of other origins have to be refused here."""
        self._namespaces, self._is_open = namespaces, is_open

    def get_settings(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /?s=NAME[&sk=PATTERN]."""
        found = self._namespaces.get(parameter(req, "s"), parameter(req, "sk", "*"))
        if not found:
            resp.status = falcon.HTTP_404
            resp.content_type, resp.data = JSON, b"null"
            return
        send(req, resp, json.dumps(found, separators=(",", ":")).encode())

    def post_settings(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /?s=NAME: the body is an object of keys and values."""
        if "s" not in req.params:
            raise BadQuery("No such POST target", 404)
        if self._is_open:
            check_origin(req, resp)
        name = check_name(parameter(req, "s"))
        changes = read_json(read_body(req))
        if not isinstance(changes, dict):
            raise BadQuery("JSON settings must be key/value object")
        check_number(changes, self._namespaces.bounds)
        done = self._namespaces.set(name, {key: _text(key, changes[key]) for key in sorted(changes)}, skip=True)
        if done.skipped:
            resp.set_header(SKIPPED, str(len(done.skipped)))
        send(req, resp, b'{"success":true}')


def check_origin(req: falcon.Request, resp: falcon.Response) -> None:
    """Refuse (BadQuery 403) what a browser sends for a page of another origin, unless http-origins has it: where no
    token is asked for, any page could have a visitor's browser change things blindly."""
    origin, host = req.env.get("HTTP_ORIGIN", ""), req.env.get("HTTP_HOST", "")
    own = bool(host) and origin.partition("://")[2].lower() == host.lower()
    if origin and not own and resp.get_header(ALLOWED) != origin:
        raise BadQuery("pages of other origins may change no settings here; put the page's origin into http-origins",
                       403)


def _text(key: str, value: object) -> str:
    """A value as istatd keeps it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        number = numbers.decimal(repr(value))
        if number is None:
            raise BadQuery(f"the number of {key[:SHOWN]!a} is too large")
        return format(Decimal(repr(number)), "f")
    if isinstance(value, (int, str)):
        return str(value)
    raise BadQuery(f"JSON setting values cannot be compound (found {key})")
