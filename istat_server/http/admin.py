"""What an operator may do, and who may: the one check of the admin token, and the routes that need nothing else.

Every route that changes or deletes calls `AdminToken.check` before it looks at anything else of the request.
Knows no files; what is done is the store's business.
"""

from __future__ import annotations

import hmac
import logging

import falcon

from istat.clock import Clock
from istat_server.http.abilities import need
from istat_server.http.reply import send_json
from istat_server.store.interface import Capability, Store

log = logging.getLogger(__name__)

SCHEME = "bearer "  # compared in lower case: schemes have no case


class AdminToken:
    """The setting `admin-token`, and the comparison with what a request brings."""

    def __init__(self, token: str) -> None:
        """token: empty refuses every request."""
        self._token = token.encode()

    def check(self, req: falcon.Request) -> None:
        """Nothing, or HTTPForbidden where no token is set, HTTPUnauthorized where another or none came.

        The comparison takes as long whatever was guessed.
        """
        if not self._token:
            raise falcon.HTTPForbidden(title="this server takes no such requests: it has no admin-token; set one")
        given = req.get_header("Authorization") or ""
        sent = given[len(SCHEME):].strip().encode() if given.lower().startswith(SCHEME) else b""
        if not hmac.compare_digest(sent, self._token):
            title = "this needs the admin token: send it as `Authorization: Bearer TOKEN`"
            if sent:
                log.warning("%s %s from %s: the admin token is wrong", req.method, req.path[:200], req.remote_addr)
                title = "the admin token is wrong: send the server's own as `Authorization: Bearer TOKEN`"
            raise falcon.HTTPUnauthorized(
                title=title,
                headers={"WWW-Authenticate": 'Bearer realm="istatd"'},
            )


class Admin:
    """The handlers, by the names that the table of routes uses."""

    def __init__(self, store: Store, token: AdminToken, clock: Clock) -> None:
        self._store = store
        self._token = token
        self._clock = clock

    def confirm_clock(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /api/v1/clock/confirm."""
        self._token.check(req)
        need(self._store, Capability.CLOCK_GUARD)
        send_json(req, resp, {"time": int(self._clock.now()), "doubt": self._store.confirm_clock()})
