"""The HTTP application: the table of routes, and how it becomes a WSGI application.

The table is the only place that names paths of ours; documentation and tests are held against it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import falcon

from istat.clock import Clock
from istat_server.http.admin import Admin, AdminToken
from istat_server.http.api import Api, Status
from istat_server.http.changes import Changes
from istat_server.http.errors import add_handlers, refuse
from istat_server.http.istatd import Istatd
from istat_server.http.limits import LIMITS, HttpLimits
from istat_server.http.prometheus import Prometheus
from istat_server.http.ui import Page
from istat_server.store.interface import Store


@dataclass(frozen=True)
class Route:
    """One path: which family serves it, its handler by method, and a sentence for the documentation."""

    path: str
    family: str
    handlers: dict[str, str]
    summary: str
    # Example query of a GET that answers 200, for the test that walks the table.
    example: str = field(default="", compare=False)


ROUTES = (
    Route("/", "root", {"GET": "get_root"}, "the page; `?q=PATTERN` lists names, `?a=*` lists agents"),
    Route("/favicon.ico", "page", {"GET": "get_icon"}, "the page's icon"),
    Route("/health", "api", {"GET": "get_health"}, "200 once the store is open"),
    Route("/metrics", "prometheus", {"GET": "get_metrics"}, "the server's own metrics for Prometheus"),
    Route(
        "/api/v1/series",
        "api",
        {"GET": "get_series", "POST": "post_series"},
        "columns of several counters on one grid of times",
        "name=a",
    ),
    Route("/api/v1/names", "api", {"GET": "get_names"}, "counters whose names fit a pattern"),
    Route("/api/v1/children", "api", {"GET": "get_children"}, "the components below a dotted prefix"),
    Route("/api/v1/search", "api", {"GET": "get_search"}, "counters whose names hold all words"),
    Route("/api/v1/agents", "api", {"GET": "get_agents"}, "who sent what"),
    Route("/api/v1/status", "api", {"GET": "get_status"}, "the server's figures"),
    Route("/api/v1/delete", "changes", {"POST": "delete"}, "delete counters; a dry run unless confirmed (token)"),
    Route("/api/v1/undelete", "changes", {"POST": "undelete"}, "undo deletes (token)"),
    Route("/api/v1/deleted", "changes", {"GET": "get_deleted"}, "deleted counters that are not gone yet (token)"),
    Route("/api/v1/rename", "changes", {"POST": "rename"}, "rename counters; a dry run unless confirmed (token)"),
    Route("/api/v1/clock/confirm", "admin", {"POST": "confirm_clock"}, "the clock is right: old data may go (token)"),
)
# Prefixes, first match wins; the last takes what nothing else does.
SINKS = (
    Route("/api/", "nothing", {}, "anything else below is 404"),
    Route("/graphite/", "nothing", {}, "kept free: 404"),
    Route("/ui/", "page", {"GET": "get_file"}, "the page's files"),
    Route("/<counter>", "istatd", {"GET": "counter"}, "one counter's buckets, as istatd answers"),
    Route("/*", "istatd", {"POST": "counter"}, "several counters' buckets, as istatd answers"),
)


class Agents(Protocol):
    """Who sent what: the roster of senders."""

    def agents(self) -> list[dict[str, object]]:
        """Rows of /api/v1/agents."""

    def istatd_agents(self) -> list[dict[str, object]]:
        """Rows of /?a=*."""


class Metrics(Protocol):
    """The server's own metrics."""

    def prometheus(self) -> str:
        """Their values in Prometheus' text format."""


class Root:
    """`/`, where a parameter decides what is meant."""

    def __init__(self, istatd: Istatd, page: Page) -> None:
        self._istatd = istatd
        self._page = page

    def get_root(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /: istatd's ?a= and ?q=, else the page."""
        if "a" in req.params:
            self._istatd.get_agents(req, resp)
        elif "q" in req.params:
            self._istatd.get_listing(req, resp)
        else:
            self._page.get_index(req, resp)


def make_app(
    store: Store,
    status: Status,
    agents: Agents,
    metrics: Metrics,
    clock: Clock,
    files: Path | None = None,
    limits: HttpLimits = LIMITS,
    routes: Iterable[tuple[str, Any]] = (),
    admin_token: str = "",
) -> falcon.App[Any, Any]:
    """The WSGI application over a store.

    `files` replaces the page's folder; `routes` are further (path, falcon resource) pairs. What changes
    anything is refused without `admin_token`.
    """
    istatd = Istatd(store, agents.istatd_agents, clock, limits)
    page = Page(files)
    token = AdminToken(admin_token)
    families = {
        "admin": Admin(store, token, clock),
        "changes": Changes(store, token, limits),
        "api": Api(store, status, agents.agents, clock, limits),
        "prometheus": Prometheus(metrics.prometheus),
        "page": page,
        "root": Root(istatd, page),
    }
    app: falcon.App[Any, Any] = falcon.App()
    # Lists in a query are repeated parameters; commas belong to values.
    app.req_options.auto_parse_qs_csv = False
    app.resp_options.default_media_type = "application/json"
    for route in ROUTES:
        app.add_route(route.path, _resource(families[route.family], route, istatd))
    for path, resource in routes:
        app.add_route(path, resource)
    # Falcon asks the sink that was added last first.
    app.add_sink(istatd.counter, r"/")
    app.add_sink(page.get_file, r"/ui(/|$)")
    app.add_sink(_nothing, r"/(api|graphite)(/|$)")
    add_handlers(app)
    return app


def _resource(family: object, route: Route, istatd: Istatd) -> SimpleNamespace:
    """A falcon resource out of a line of the table. HEAD is a GET whose body falcon leaves out."""
    resource = SimpleNamespace(on_options=istatd.options)
    for method, name in route.handlers.items():
        handler = getattr(family, name)
        setattr(resource, f"on_{method.lower()}", handler)
        if method == "GET":
            resource.on_head = handler
    return resource


def _nothing(req: falcon.Request, resp: falcon.Response, **_: Any) -> None:
    refuse(resp, 404, f"there is nothing at {req.path[:200]}")
