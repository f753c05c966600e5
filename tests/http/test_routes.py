"""The table of routes: documented, answered, refused where two want one path or a plugin wants one of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import falcon
import pytest
from falcon.testing import TestClient

from istat.clock import FakeClock
from istat.errors import PluginError
from istat_server.http.app import body_limit, make_app
from istat_server.http.families.table import our_routes
from istat_server.http.limits import LIMITS
from istat_server.http.openapi import described
from istat_server.http.reply import read_body
from istat_server.http.rights import Rights
from istat_server.http.routes import ANY, Access, Route, table_of
from istat_server.testing.memory import MemoryStore
from tests.http.application import NAMESPACES, Nobody, origins, tokens

DOCUMENT = Path(__file__).parents[2] / "docs/formats/http-api.md"
REPLICATION = DOCUMENT.parents[1] / "protocols/replication.md"
BUILTIN = "istat_server.builtin"
OURS = described([(BUILTIN, our_routes(MemoryStore(clock=FakeClock(0)), dict, Nobody(), str, FakeClock(0),
                                       namespaces=NAMESPACES))])


def said(req: falcon.Request, resp: falcon.Response, **fields: object) -> None:
    resp.media = {"path": req.path, **fields}


def mine(path: str, *methods: str, **more: Any) -> Route:
    return Route(path, dict.fromkeys(methods or ("GET",), said), more.pop("access", Access.OPEN), "x", **more)


def client_of(*routes: Route) -> TestClient:
    return TestClient(make_app(table_of([(BUILTIN, OURS), ("mine", routes)]), Rights(tokens()), origins()))


@pytest.mark.parametrize("route", OURS, ids=lambda route: route.title)
def test_every_route_is_documented_with_who_may_ask(route: Route) -> None:
    text = DOCUMENT.read_text()
    for method in route.handlers:
        if method != ANY:
            assert f"`{method} {route.title}`" in text, f"docs/formats/http-api.md lacks {method} {route.title}"
            assert f"| `{method} {route.title}` | {route.access.name.lower()} | {route.summary} |" in text
    if "/replica/" in route.path:
        text = REPLICATION.read_text()
    for one in route.parameters:
        forms = f"`{one.name}`", f'"{one.name}"', f"?{one.name}=", f"&{one.name}="
        assert any(form in text for form in forms), one.name


@pytest.mark.parametrize("route", [route for route in OURS if not route.below], ids=lambda route: route.title)
def test_other_methods_are_refused(route: Route) -> None:
    assert client_of().simulate_patch(route.path).status_code == 405


def test_no_table_has_a_path_twice_and_a_plugin_replaces_none_of_ours() -> None:
    with pytest.raises(PluginError) as caught:
        table_of([(BUILTIN, OURS), ("toys", [mine("/api/v1/delete", "POST")])])
    assert str(caught.value).startswith("the plugins istat_server.builtin and toys both bring the HTTP route "
                                        "/api/v1/delete: remove one of them")
    for order in ("one", "two"), ("two", "one"):
        with pytest.raises(PluginError, match=f"the plugins {order[0]} and {order[1]} both bring .* /api/x"):
            table_of((name, [mine("/api/x")]) for name in order)
    with pytest.raises(PluginError, match="both bring the HTTP route /api/"):
        table_of([(BUILTIN, OURS), ("istat_server.more", [mine("/api/", ANY, below=True)])])


@pytest.mark.parametrize("path", ["/mine", "/", "api/mine", "/apis/mine", "", "/api/", "/ui/mine.js", "/<counter>"])
def test_a_plugins_path_hides_no_counter(path: str) -> None:
    for below in (False, True):
        with pytest.raises(PluginError, match="the plugin toys brings the HTTP route .* begin with /api/"):
            table_of([("toys", [mine(path, below=below)])])


@pytest.mark.parametrize(("route", "words"), [
    (("/api/mine", said), "the plugin toys brings .* it must be an istat_server.http.routes.Route"),
    (mine("/api/mine", "get"), "for 'get': methods are GET, POST"),
    (Route("/api/mine", {}, Access.OPEN, "x"), "for no method: methods are GET, POST"),
    (Route("/api/mine", {"GET": said}, "admin", "x"), "does not say who may ask /api/mine"),     # type: ignore[arg-type]
])
def test_what_is_no_route_is_told(route: Any, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        table_of([("toys", [route])])


@pytest.mark.parametrize(("wrong", "words"), [
    ({"path": 5}, "its path and its summary are texts"), ({"summary": 5}, "its path and its summary are texts"),
    ({"handlers": ["GET"]}, "its handlers are functions by method"), ({"handlers": None}, "its handlers are functions"),
    ({"handlers": {"GET": "said"}}, "its handlers are functions"), ({"parameters": ["a"]}, "its parameters are "),
    ({"body_limit": "1M"}, "its body_limit is a number of bytes"),
    ({"path": "/api/mine/{x}", "below": True}, "what lies below it needs no fields"),
])
def test_what_no_route_can_have_is_told(wrong: dict[str, Any], words: str) -> None:
    route = Route(**{"path": "/api/mine", "handlers": {"GET": said}, "access": Access.OPEN, "summary": "x", **wrong})
    with pytest.raises(PluginError, match="the plugin toys brings the HTTP route .*, which cannot be: ") as caught:
        table_of([("toys", [route])])
    assert words in str(caught.value)


def test_signs_of_a_path_are_what_they_are() -> None:
    client = client_of(mine("/api/v1.0/(", below=True))
    assert client.simulate_get("/api/v1.0/(/a").status_code == 200
    assert client.simulate_get("/api/v1x0/(/a").status_code == 404


def test_any_method_of_one_path_is_answered() -> None:
    other = Route("/api/mine", {"GET": lambda req, resp: setattr(resp, "media", "other")}, Access.ADMIN, "x", given="a")
    client = client_of(mine("/api/mine", ANY, access=Access.READ), other)
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        assert client.simulate_request(method, "/api/mine").json == {"path": "/api/mine"}
    assert client.simulate_head("/api/mine").status_code == 200
    assert client.simulate_get("/api/mine?a=1").status_code == 403
    refused = client.simulate_post("/api/mine", body="x" * (LIMITS.body + 1))
    assert refused.status_code == 413


def test_paths_that_falcon_cannot_tell_from_each_other_are_told() -> None:
    with pytest.raises(PluginError, match="the HTTP route /api/mine/{other} cannot be told from another"):
        client_of(mine("/api/mine/{one}"), mine("/api/mine/{other}"))


def test_a_plugins_routes_answer_with_fields_and_below() -> None:
    client = client_of(mine("/api/mine/{name}"), mine("/api/mine/files/", below=True))
    assert client.simulate_get("/api/mine/x").json == {"path": "/api/mine/x", "name": "x"}
    assert client.simulate_get("/api/mine/files/a/b").json == {"path": "/api/mine/files/a/b"}
    assert client.simulate_get("/api/mines").status_code == 404
    assert client.simulate_post("/api/mine/files/a").status_code == 405
    assert client.simulate_options("/api/mine/files/a").status_code == 204


def test_a_parameter_may_choose_among_routes_of_one_path() -> None:
    other = Route("/api/mine", {"GET": lambda req, resp: setattr(resp, "media", "other")}, Access.ADMIN, "x", given="a")
    client = client_of(mine("/api/mine"), other)
    assert client.simulate_get("/api/mine").json == {"path": "/api/mine"}
    assert client.simulate_get("/api/mine", params={"a": "1"}).status_code == 403
    assert client_of(other).simulate_get("/api/mine").status_code == 400


def test_each_route_has_its_limit_of_a_body() -> None:
    def length(req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = len(read_body(req))

    large = Route("/api/mine/large", {"POST": length}, Access.OPEN, "x", body_limit=5 << 20)
    small = Route("/api/mine/small", {"POST": length}, Access.OPEN, "x", body_limit=10)
    client = client_of(large, small)
    assert client.simulate_post(large.path, body="x" * (2 << 20)).json == 2 << 20
    assert client.simulate_post(small.path, body="x" * 10).json == 10
    refused = client.simulate_post(small.path, body="x" * 11)
    assert (refused.status_code, refused.json["error"]) == (413, "the body has at most 10 bytes")
    assert body_limit([large, small]) == 5 << 20


def test_a_plugins_handler_that_raises_is_answered_and_harms_no_other() -> None:
    def broken(req: falcon.Request, resp: falcon.Response) -> None:
        raise ZeroDivisionError

    client = client_of(Route("/api/mine", {"GET": broken}, Access.OPEN, "x"))
    assert client.simulate_get("/api/mine").status_code == 500
    assert client.simulate_get("/health").status_code == 200
