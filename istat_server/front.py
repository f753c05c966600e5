"""What stands before the HTTP application: counts requests, and answers while the store is being opened.

It knows WSGI, and nothing of routes.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from istat.clock import SystemClock
from istat_server.http.limits import LIMITS
from istat_server.http.transport.head import error_body
from istat_server.mistakes import Mistakes

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

STARTING = error_body("the server is starting: the store is being opened, or a replica's is "
                      "copied from its master; try again in a moment, its log says how far it is, and what it "
                      "waits for")


class Front:
    """A WSGI application around another, which `serve` names as soon as there is one.

    Totals: `requests`, `errors` (answers of 400 and above); `current` is how many are in progress. `mistakes` are those
    of clients and senders, counted from the first connection on.
    """

    def __init__(self) -> None:
        self.mistakes = Mistakes(SystemClock())
        self._app: Application = _starting
        self.body_limit = LIMITS.body       # [bytes] of a request's body: beyond it no route is asked
        self.requests = 0
        self.errors = 0
        self.current = 0

    def serve(self, app: Application, body_limit: int = LIMITS.body) -> None:
        """Let this application answer from now on; `body_limit` is of that of its routes which takes most."""
        self._app, self.body_limit = app, body_limit

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """See PEP 3333."""
        self.requests += 1
        self.current += 1

        def count(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            if status >= "400":
                self.errors += 1
            return start_response(status, headers, *more)

        try:
            return _Counted(self, self._app(environ, count))
        except BaseException:
            self.current -= 1
            raise


class _Counted:
    """The parts of an answer; in progress until the WSGI server closes it."""

    def __init__(self, front: Front, parts: Iterable[bytes]) -> None:
        self._front = front
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)     # type: ignore[arg-type]

    def close(self) -> None:
        """The answer is over, whole or not."""
        self._front.current -= 1
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()


def _starting(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("503 Service Unavailable", [("Content-Type", "application/json"), ("Retry-After", "1"),
                                               ("Content-Length", str(len(STARTING)))])
    return [STARTING] if environ.get("REQUEST_METHOD") != "HEAD" else []
