"""Who may ask what: the settings read-token, write-token, replica-token and admin-token, and the one check of them.

The application puts `check` before every handler; nothing else of a request is looked at before. Tokens are compared in
a time that says nothing about them, and are never logged.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping
from typing import Any

import falcon

from istat.clock import Clock
from istat.daemon.ratelimit import LimitedLog
from istat_server.http.routes import Access

log = logging.getLogger(__name__)

SCHEME = "bearer "      # compared in lower case: schemes have no case
SETTINGS = {Access.READ: "read-token", Access.WRITE: "write-token", Access.REPLICA: "replica-token",
            Access.ADMIN: "admin-token"}
DOES = {Access.READ: "asks for anything", Access.WRITE: "sends samples", Access.REPLICA: "copies the store",
        Access.ADMIN: "changes or deletes"}
# What does without a token.
OR_OPEN = {Access.WRITE: ", or for namespaces settings-open = true, which takes changes from whoever may read"}
# RFC 6750, 3. It is there when another token would do.
CHALLENGE = 'Bearer realm="istatd"'
SEND = "send it as `Authorization: Bearer TOKEN`"
# Log lines about wrong tokens [1/s]: whoever guesses must not fill the log.
LINES_PER_SECOND = 1.0


class Rights:
    """The tokens, and the comparison with what a request brings."""

    def __init__(self, settings: Mapping[str, Any], clock: Clock | None = None) -> None:
        """settings: the four tokens by name; empty ones give no right to anybody."""
        self._log = LimitedLog(log, clock, LINES_PER_SECOND, at_once=1.0)
        self.take(settings)

    def take(self, settings: Mapping[str, Any]) -> None:
        """Take these tokens from now on."""
        self._tokens = [(access, settings[name].encode()) for access, name in SETTINGS.items()]
        self._set = {access for access, token in self._tokens if token}
        # Without a token for it, reading is everybody's.
        self._free = Access.OPEN if Access.READ in self._set else Access.READ

    def check(self, req: falcon.Request, access: Access) -> None:
        """Nothing, or HTTPUnauthorized where no token or an unknown one came, HTTPForbidden where it has lesser rights
        or no token at all would do."""
        if access <= self._free:
            return
        enough = [SETTINGS[one] for one in SETTINGS if one.includes(access) and one in self._set]
        if not enough:
            names = " and no ".join(name for one, name in SETTINGS.items() if one.includes(access))
            raise falcon.HTTPForbidden(title=f"this server takes no such requests: it has no {names}; set one"
                                             f"{OR_OPEN.get(access, '')}")
        sent = _sent(req)
        right = self._right(sent)
        if right.includes(access):
            return
        if right:
            raise falcon.HTTPForbidden(title=f"the {SETTINGS[right]} does not do: what {DOES[access]} needs the "
                                             f"{' or the '.join(enough)}; {SEND}",
                                       headers={"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope"'})
        title = f"this needs the {' or the '.join(enough)}: {SEND}"
        if sent:
            self._log.warning("token", "%s %s from %s: the token is wrong", req.method, req.path, req.remote_addr)
            title = f"the token is wrong: this needs the server's {' or '.join(enough)}; {SEND}"
        raise falcon.HTTPUnauthorized(title=title, headers={"WWW-Authenticate": CHALLENGE})

    def _right(self, sent: bytes) -> Access:
        """The right that a token gives. All are compared, whatever the outcome."""
        right = Access.OPEN
        for access, token in self._tokens:
            if hmac.compare_digest(sent, token) and token:
                right = access
        return right


def _sent(req: falcon.Request) -> bytes:
    given = req.env.get("HTTP_AUTHORIZATION", "")
    return given[len(SCHEME):].strip().encode() if given[:len(SCHEME)].lower() == SCHEME else b""
