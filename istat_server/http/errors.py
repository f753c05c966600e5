"""Every refusal and every fault as JSON: `{"error": "<what and what to do>"}`. Never a traceback.

A fault of our own gets an incident number: the client sees the number, the log has the rest.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any

import falcon

from istat.daemon.ratelimit import LimitedLog
from istat.errors import NO_PATH, BadQuery, StoreError
from istat_server.http.reply import JSON
from istat_server.http.transport.flight import RETRY_SECONDS, Busy
from istat_server.http.transport.head import error_body

log = logging.getLogger(__name__)

# Refusals of falcon's own, in our words.
WORDS = {
    400: "the request cannot be understood",
    404: f"{NO_PATH}: there is nothing at this address",
    405: "Bad method",
    411: "the length of the body is missing",
    413: "the body is too large",
    414: "the address is too long",
}


def add_handlers(app: falcon.App[Any, Any]) -> None:
    """Make an application answer all errors in our way."""
    of_ours = _OfOurs()
    app.add_error_handler(Exception, of_ours.fault)
    app.add_error_handler(falcon.HTTPError, _falcon)
    app.add_error_handler(StoreError, of_ours.store)
    app.add_error_handler(BadQuery, _refusal)


def refuse(resp: falcon.Response, status: int, text: str) -> None:
    """Answer with a status and a sentence."""
    resp.status = falcon.code_to_http_status(status)
    resp.content_type = JSON
    resp.data = error_body(text)


def _refusal(req: falcon.Request, resp: falcon.Response, error: BadQuery, params: dict[str, Any]) -> None:
    if isinstance(error, Busy):
        resp.set_header("Retry-After", str(RETRY_SECONDS))
    refuse(resp, error.status, str(error))


def _falcon(
    req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: dict[str, Any]
) -> None:
    status = int(str(error.status)[:3])
    if error.headers:
        resp.set_headers(error.headers)
    refuse(resp, status, WORDS.get(status) or error.title or "the request was refused")


class _OfOurs:
    """What is no mistake of the client's, and told in the log; as often as somebody asks, but not beyond a rate."""

    def __init__(self) -> None:
        self._log = LimitedLog(log)

    def store(self, req: falcon.Request, resp: falcon.Response, error: StoreError, params: dict[str, Any]) -> None:
        """The store cannot."""
        self._log.warning("store", "%s %s: %s", req.method, req.path, error)
        refuse(resp, 503, str(error))

    def fault(self, req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
        """Nobody expected it."""
        incident = uuid.uuid4().hex[:12]
        told = self._log.error("fault", "incident %s: %s %s", incident, req.method, req.path, exc_info=error)
        refuse(resp, 500, "a fault in the server; its log tells " + (
            f"more about incident {incident}" if told else "of some like it: too many come at once"))
