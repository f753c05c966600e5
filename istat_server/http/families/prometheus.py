"""The server's own metrics for Prometheus. The text is made where metrics are declared."""

from __future__ import annotations

from collections.abc import Callable

import falcon

from istat_server.http.reply import send

# Version 0.0.4 of the text format; Prometheus refuses other types since its version 3.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Prometheus:
    """The handler of /metrics."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text

    def get_metrics(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /metrics."""
        send(req, resp, self._text().encode(), CONTENT_TYPE)
