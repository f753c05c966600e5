"""The OpenAPI document: of the whole table, and as OpenAPI 3.0 wants it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from falcon.testing import TestClient

from istat.clock import FakeClock
from istat.errors import PluginError
from istat_server.http.openapi import PATH, described
from istat_server.http.routes import Access, Parameter, Route
from istat_server.testing.memory import MemoryStore
from tests.http.application import app_of

METHODS = {"get", "post", "put", "patch", "delete"}
# The keys that version 3.0.3 knows, of what we write.
OPERATION = {"operationId", "summary", "parameters", "responses", "security", "requestBody", "x-access"}
PARAMETER = {"name", "in", "required", "description", "schema"}
TYPES = {"string", "integer", "number", "boolean", "array", "object"}


def answer(*_: object) -> None:
    """A handler that nobody asks here."""


MINE = Route("/api/mine/{id:int}/{part}", {"GET": answer, "PUT": answer}, Access.WRITE, "mine", parameters=(
    Parameter("id", "its number", "path", "integer"), Parameter("a", "query"),
    Parameter("b", "body", "body", many=True)))


@pytest.fixture
def made() -> Any:
    store = MemoryStore(clock=FakeClock(0))
    client = TestClient(app_of(store, FakeClock(0), more=[MINE], read="reads"))
    assert client.simulate_get(PATH).status_code == 401
    return client.simulate_get(PATH, headers={"Authorization": "Bearer reads"}).json


def operations(made: Any) -> list[tuple[str, str, Any]]:
    return [(path, method, one) for path, methods in made["paths"].items() for method, one in methods.items()]


def test_it_has_every_route_and_who_may_ask(made: Any) -> None:
    found = {(method.upper(), path): one["x-access"] for path, method, one in operations(made)}
    assert found[("POST", "/api/v1/delete")] == "admin"
    assert found[("GET", "/api/v1/series")] == found[("POST", "/*")] == found[("GET", "/{name}")] == "read"
    assert found[("PUT", "/api/mine/{id}/{part}")] == "write"
    assert found[("GET", "/ui/{name}")] == found[("GET", "/health")] == "open"
    assert ("GET", PATH) in found and len(found) > 20
    assert not [path for _, path in found if path.startswith("/graphite")]


def test_it_is_as_the_standard_wants_it(made: Any) -> None:
    assert made["openapi"] == "3.0.3" and set(made["info"]) == {"title", "version", "description"}
    names = [one["operationId"] for _, _, one in operations(made)]
    assert len(set(names)) == len(names)
    for path, method, one in operations(made):
        assert path.startswith("/") and method in METHODS and set(one) <= OPERATION, path
        assert one["responses"]["200"]["description"] and one["summary"]
        assert ("security" in one) == (one["x-access"] != "open")
        places = [(parameter["in"], parameter["name"]) for parameter in one["parameters"]]
        assert len(set(places)) == len(places), path
        assert {name for place, name in places if place == "path"} == set(re.findall(r"{(\w+)}", path))
        for parameter in one["parameters"]:
            assert set(parameter) == PARAMETER and parameter["in"] in ("query", "path")
            check_schema(parameter["schema"])
        if "requestBody" in one:
            assert method != "get"
            check_schema(one["requestBody"]["content"]["application/json"]["schema"])
        reference = one["responses"]["default"]["$ref"].removeprefix("#/").split("/")
        assert made[reference[0]][reference[1]][reference[2]]["description"]


def check_schema(schema: Any) -> None:
    assert schema["type"] in TYPES
    assert set(schema) <= {"type", "items", "properties", "required", "description"}
    assert set(schema.get("required", [])) <= set(schema.get("properties", {}))
    assert ("items" in schema) == (schema["type"] == "array")
    for inner in [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]:
        check_schema(inner)


def test_parameters_are_of_their_method_and_place(made: Any) -> None:
    series = made["paths"]["/api/v1/series"]
    assert {one["name"] for one in series["get"]["parameters"]} == {"name", "from", "to", "points", "level", "tz",
                                                                         "columns"}
    assert series["post"]["parameters"] == []
    assert series["post"]["requestBody"]["content"]["application/json"]["schema"]["required"] == ["names"]
    root = made["paths"]["/"]["get"]
    assert [(one["name"], one["required"]) for one in root["parameters"]] == [
        ("f", False), ("a", False), ("q", False), ("s", False), ("sk", False)]
    assert root["security"] == [{"token": []}, {}]
    mine = made["paths"]["/api/mine/{id}/{part}"]
    assert mine["get"]["parameters"][0]["schema"] == {"type": "integer"}
    assert "requestBody" not in mine["get"] and "requestBody" in mine["put"]


def test_a_plugin_does_not_replace_it() -> None:
    with pytest.raises(PluginError, match=f"both bring the HTTP route {PATH}"):
        described([("toys", [Route(PATH, {"GET": answer}, Access.OPEN, "x")])])
