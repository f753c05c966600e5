"""The HTTP application: how the table of routes becomes a WSGI application, each handler behind the check of rights.

Knows falcon, and no route.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import falcon

from istat.errors import BadQuery, PluginError
from istat_server.http.errors import add_handlers, refuse
from istat_server.http.exchange.coding import Uncompressed
from istat_server.http.exchange.strict import Request, make_strict
from istat_server.http.origins import Origins
from istat_server.http.rights import Rights
from istat_server.http.routes import ANY, METHODS, Handler, Route

WITH_BODY = ("POST", "PUT", "PATCH", "DELETE", ANY)


def make_app(table: Sequence[Route], rights: Rights, origins: Origins, packs: bool = True) -> falcon.App[Any, Any]:
    """The application that answers these routes (`routes.table_of`) to those who may ask; `packs`: compressed, where
    they prefer that.

    PluginError for paths that falcon cannot tell from each other.
    """
    before: list[Origins | Uncompressed] = [origins] if packs else [origins, Uncompressed()]
    app: falcon.App[Any, Any] = falcon.App(request_type=Request, middleware=before)
    make_strict(app)
    # Lists in a query are repeated parameters; commas belong to values.
    app.req_options.auto_parse_qs_csv = False
    app.resp_options.default_media_type = "application/json"
    options = _options(origins)
    by_path: dict[str, list[Route]] = {}
    for route in table:
        if not route.below:
            by_path.setdefault(route.path, []).append(route)
    for path, routes in by_path.items():
        try:
            app.add_route(path, _resource(routes, rights, options))
        except ValueError as error:
            raise PluginError(f"the HTTP route {path} cannot be told from another: {error}") from error
    # Falcon asks the sink that was added last first.
    for route in sorted((route for route in table if route.below), key=lambda route: len(route.path)):
        prefix = rf"{re.escape(route.path.rstrip('/'))}(/|$)" if route.path != "/" else "/"
        app.add_sink(_sink(route, rights, options), prefix)
    add_handlers(app)
    return app


def body_limit(table: Sequence[Route]) -> int:
    """The largest body that any of these routes takes [bytes]."""
    return max((route.body_limit for route in table), default=0)


def _options(origins: Origins) -> Handler:
    """What answers OPTIONS of any address."""
    def options(req: falcon.Request, resp: falcon.Response, **_: object) -> None:
        resp.status = falcon.HTTP_204
        origins.allow(req, resp)

    return options


def guarded(route: Route, method: str, rights: Rights) -> Handler:
    """The handler of a method, behind the check of rights, of the query's text and of the body's length."""
    handler = route.handlers[method if method in route.handlers else ANY]
    access, limit, check = route.access, route.body_limit, rights.check

    def answer(req: Request, resp: falcon.Response, **fields: object) -> None:
        check(req, access)
        req.check_text()
        handler(req, resp, **fields)

    def answer_body(req: Request, resp: falcon.Response, **fields: object) -> None:
        check(req, access)
        req.check_text()
        if (req.content_length or 0) > limit:
            raise BadQuery(f"the body has at most {limit} bytes", 413)
        handler(req, resp, **fields)

    return answer_body if method in WITH_BODY else answer


def _resource(routes: Sequence[Route], rights: Rights, options: Handler) -> SimpleNamespace:
    """A falcon resource for a path. HEAD is a GET whose body falcon leaves out."""
    resource = SimpleNamespace(on_options=options)
    wanted = {method for route in routes for method in route.handlers}
    for method in METHODS if ANY in wanted else wanted:
        handler = _chosen([route for route in routes if {method, ANY} & route.handlers.keys()], method, rights)
        setattr(resource, f"on_{method.lower()}", handler)
        if method == "GET":
            resource.on_head = handler
    return resource


def _chosen(routes: Sequence[Route], method: str, rights: Rights) -> Handler:
    """Which of a path's routes is meant: one whose parameter is given, else the one without."""
    plain = next((guarded(route, method, rights) for route in routes if not route.given), None)
    others = [(route.given, guarded(route, method, rights)) for route in routes if route.given]
    if not others and plain is not None:
        return plain

    def choose(req: falcon.Request, resp: falcon.Response, **fields: object) -> None:
        handler = next((handler for given, handler in others if given in req.params), plain)
        if handler is None:
            raise BadQuery(f"give one of {', '.join(given for given, _ in others)}")
        handler(req, resp, **fields)

    return choose


def _sink(route: Route, rights: Rights, options: Handler) -> Handler:
    handlers = {method: guarded(route, method, rights) for method in route.handlers}
    if ANY in handlers:
        handlers = {**dict.fromkeys(METHODS, handlers.pop(ANY)), **handlers}
    handlers["OPTIONS"] = options
    if "GET" in handlers:
        handlers["HEAD"] = handlers["GET"]

    def answer(req: falcon.Request, resp: falcon.Response, **_: object) -> None:
        handler = handlers.get(req.method)
        if handler is not None:
            handler(req, resp)
        else:
            refuse(resp, 405, "Bad method")

    return answer
