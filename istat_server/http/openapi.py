"""The OpenAPI document of the server, made from the table of routes: for clients that are generated, and for readers.

Knows the table only, so that a route which is not in the document does not answer either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

import falcon

from istat import __version__
from istat_server.http.reply import send
from istat_server.http.rights import SETTINGS
from istat_server.http.routes import ANY, OURS, Access, Parameter, Route, table_of

PATH = "/api/v1/openapi.json"
# The field of a path as falcon has it, with a converter perhaps: {name:int}.
FIELD = re.compile(r"{(\w+)[^}]*}")
BELOW = "name"      # what a route that answers all below a path is given, as a field
REFUSAL = {"$ref": "#/components/responses/refusal"}

Object = dict[str, object]


def described(found: Iterable[tuple[str, Iterable[Route]]]) -> list[Route]:
    """`routes.table_of`, with a route that answers the document of the whole table. PluginError."""
    made: list[bytes] = []      # once: the table stays, and it takes milliseconds

    def get_document(req: falcon.Request, resp: falcon.Response) -> None:
        if not made:
            made.append(json.dumps(document(table)).encode())
        send(req, resp, made[0])

    own = Route(PATH, {"GET": get_document}, Access.READ, "what there is to ask, as an OpenAPI document")
    table = table_of([*found, (f"{OURS}http.openapi", [own])])
    return table


def document(table: Sequence[Route]) -> Object:
    """The document. Routes of one path that a parameter chooses among are one there, for so OpenAPI wants it."""
    paths: dict[str, dict[str, list[Route]]] = {}
    for route in table:
        for method in route.handlers:
            if method != ANY:
                paths.setdefault(_path(route), {}).setdefault(method.lower(), []).append(route)
    return {
        "openapi": "3.0.3",
        "info": {"title": "istatd", "version": __version__, "description":
                 "Times are Unix seconds. A right includes those before it: open, read, write, admin."},
        "paths": {path: {method: _operation(path, method, routes) for method, routes in methods.items()}
                  for path, methods in paths.items()},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description":
                                          f"one of the settings {', '.join(SETTINGS.values())}"}},
            "responses": {"refusal": {"description": "what is wrong and what to do", "content": {"application/json": {
                "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}}}}},
        },
    }


def _operation(path: str, method: str, routes: Sequence[Route]) -> Object:
    access = max(route.access for route in routes)
    free = min(route.access for route in routes) == Access.OPEN
    told: Object = {
        "operationId": "_".join([method, *re.findall(r"[A-Za-z0-9]+", path.replace("*", "several"))]),
        "summary": "; ".join(dict.fromkeys(route.summary for route in routes)),
        "x-access": access.name.lower(),
        "parameters": _parameters(path, method.upper(), routes),
        "responses": {"200": {"description": "the answer"}, "default": REFUSAL},
    }
    if access > Access.OPEN:
        told["security"] = [{"token": []}, *([{}] if free else [])]
    body = [one for route in routes for one in route.parameters
            if one.place == "body" and method.upper() in one.methods]
    if body and method != "get":
        schema: Object = {"type": "object", "properties": {one.name: _schema(one) for one in body}}
        needed = [one.name for one in body if one.needed]
        told["requestBody"] = {"content": {"application/json": {
            "schema": {**schema, "required": needed} if needed else schema}}}
    return told


def _parameters(path: str, method: str, routes: Sequence[Route]) -> list[Object]:
    declared = {one.name: one for route in routes for one in route.parameters if one.place == "path"}
    found: list[Object] = []
    for name in FIELD.findall(path):
        one = declared.get(name, Parameter(name, "a part of the path"))
        found.append({"name": name, "in": "path", "required": True, "description": one.help, "schema": _type(one)})
    for route in routes:
        found += [{"name": one.name, "in": "query", "required": one.needed and not route.given,
                   "schema": _schema(one), "description": one.help}
                  for one in route.parameters if one.place == "query" and method in one.methods]
    return found


def _schema(one: Parameter) -> Object:
    kind: Object = {"type": "array", "items": _type(one)} if one.many else _type(one)
    return {**kind, "description": one.help} if one.place == "body" else kind


def _type(one: Parameter) -> Object:
    return {"type": one.type}


def _path(route: Route) -> str:
    """The path with fields as OpenAPI writes them."""
    path = FIELD.sub(r"{\1}", route.path)
    return f"{path.rstrip('/')}/{{{BELOW}}}" if route.below else path
