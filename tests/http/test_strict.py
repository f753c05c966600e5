"""Numbers and text are taken strictly at every door: queries, JSON, paths' fields and falcon's getters."""
from __future__ import annotations

import json
from typing import Any

import falcon
import pytest
from falcon.testing import TestClient, create_environ

from istat.clock import FakeClock
from istat.errors import BadQuery
from istat_server.http.exchange.strict import Request
from istat_server.http.reply import read_body
from istat_server.http.routes import Access, Parameter, Route
from istat_server.testing.memory import MemoryStore
from tests.http.application import app_of

TOKEN = "change-it"
ASK = {"Authorization": f"Bearer {TOKEN}"}
HALF = '"\\ud800"'      # as JSON: half of a surrogate pair


def asked(req: falcon.Request, resp: falcon.Response, **fields: Any) -> None:
    """A plugin's handler: falcon's own getters."""
    resp.media = {"int": req.get_param_as_int("int", default=7), "float": req.get_param_as_float("float"), **fields}


def said(req: falcon.Request, resp: falcon.Response) -> None:
    """A plugin's handler: falcon's own reading of a body."""
    resp.media = {"said": req.get_media()}


MINE = (
    Route("/api/mine", {"GET": asked, "POST": said}, Access.READ, "mine", example="int=1"),
    Route("/api/mine/{id:int}", {"GET": asked}, Access.READ, "one of mine",
          parameters=(Parameter("id", "which", "path"),)),
)


@pytest.fixture
def client(store: MemoryStore, clock: FakeClock) -> TestClient:
    return TestClient(app_of(store, clock, admin=TOKEN, more=MINE))


def error_of(answer: Any) -> str:
    assert answer.status_code == 400, answer.text
    return str(answer.json["error"])


@pytest.mark.parametrize(("path", "body"), [
    ("/api/v1/delete", f'{{"names":[{HALF}]}}'), ("/api/v1/delete", f'{{"match":{HALF}}}'),
    ("/api/v1/undelete", f'{{"names":[{HALF}]}}'), ("/api/v1/undelete", f'{{"match":{HALF}}}'),
    ("/api/v1/rename", f'{{"from":{HALF},"to":"b"}}'), ("/api/v1/rename", f'{{"from":"a","to":{HALF}}}'),
    ("/api/v1/series", f'{{"names":[{HALF}]}}'), ("/api/v1/series", f'{{"names":["a"],"level":{HALF}}}'),
    ("/*", f'{{"keys":[{HALF}]}}'), ("/*", f'{{"keys":["a"],{HALF}:1}}'), ("/api/mine", f'[{HALF}]'),
    ("/api/v1/series", '{"names":["\\uDFFF"]}'),
])  # fmt: skip
def test_text_that_is_no_utf8_is_a_bad_question(client: TestClient, path: str, body: str) -> None:
    answer = client.simulate_post(path, body=body, headers={**ASK, "Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert "incident" not in answer.text


def test_a_half_that_is_no_escape_is_refused_too(client: TestClient) -> None:
    answer = client.simulate_post("/api/v1/delete", body=b'{"names":["\xed\xa0\x80"]}', headers=ASK)
    assert "UTF-8" in error_of(answer)


def test_a_whole_pair_is_text(client: TestClient) -> None:
    answer = client.simulate_post("/api/v1/series", body='{"names":["\\ud83d\\ude00"]}')
    assert answer.json["missing"] == ["\U0001f600"]


@pytest.mark.parametrize("query", ["name=%ff", "name=a%ed%a0%80", "name=a&level=%80", "%ff=1&name=a"])
def test_a_query_that_is_no_utf8_is_a_bad_question(client: TestClient, query: str) -> None:
    assert "UTF-8" in error_of(client.simulate_get("/api/v1/series", query_string=query))


@pytest.mark.parametrize("path", ["/api/v1/names", "/api/v1/children", "/api/v1/search", "/"])
def test_other_lists_refuse_it_as_well(client: TestClient, path: str) -> None:
    error_of(client.simulate_get(path, query_string="q=%ff&match=%ff&prefix=%ff&token=%ff"))


def test_text_of_any_script_is_fine_in_a_query(client: TestClient) -> None:
    assert client.simulate_get("/api/v1/series", params={"name": "größe"}).json["missing"] == ["größe"]


NO_NUMBERS = ["1_0", "%201", "1%20", "%EF%BC%91", "nan", "1e2", "0x1", "%2B1", "9" * 25]


@pytest.mark.parametrize("text", NO_NUMBERS)
@pytest.mark.parametrize("query", ["/api/v1/series?name=foo.bar&from={}", "/api/v1/series?name=foo.bar&points={}",
                                   "/api/v1/names?limit={}", "/api/v1/names?offset={}", "/foo.bar?start={}",
                                   "/foo.bar?end={}", "/foo.bar?samples={}", "/foo.bar?trailing={}",
                                   "/api/v1/deleted?limit={}", "/api/mine?int={}"])
def test_queries_take_digits_for_numbers_only(client: TestClient, query: str, text: str) -> None:
    path, _, rest = query.format(text).partition("?")
    error_of(client.simulate_get(path, query_string=rest, headers=ASK))


@pytest.mark.parametrize("text", ["nan", "inf", "1_0.5", "1e400", "%EF%BC%91"])
def test_decimals_are_finite_for_plugins_too(client: TestClient, text: str) -> None:
    assert "float must be a number" in error_of(client.simulate_get("/api/mine", query_string=f"float={text}"))


def test_what_is_a_number_is_one_for_plugins_too(client: TestClient) -> None:
    found = client.simulate_get("/api/mine", query_string="int=-12&float=1.5e3").json
    assert found == {"int": -12, "float": 1500.0}
    assert client.simulate_get("/api/mine/12").json["id"] == 12


@pytest.mark.parametrize("field", ["1_0", "%EF%BC%91", "x"])
def test_a_field_of_a_path_takes_digits_only(client: TestClient, field: str) -> None:
    assert client.simulate_get(f"/api/mine/{field}").status_code == 404


@pytest.mark.parametrize("value", ["true", "1e400", "1" + "0" * 400, '"1_0"', "NaN", "Infinity", "[]", '"\uff11"'])
@pytest.mark.parametrize("key", ["from", "to", "points"])
def test_json_takes_numbers_for_numbers_only(client: TestClient, key: str, value: str) -> None:
    error_of(client.simulate_post("/api/v1/series", body=f'{{"names":["foo.bar"],"{key}":{value}}}'))


@pytest.mark.parametrize("value", ["true", "1e400", "1" + "0" * 400, '"1"', "NaN", "1.5"])
@pytest.mark.parametrize("key", ["start", "stop", "maxSamples"])
def test_a_multi_get_does_too(client: TestClient, key: str, value: str) -> None:
    error_of(client.simulate_post("/*", body=f'{{"keys":["foo.bar"],"{key}":{value}}}'))


@pytest.mark.parametrize("value", ["true", "1.0", '"1"', "1" + "0" * 400])
def test_what_is_expected_is_a_whole_number(client: TestClient, store: MemoryStore, value: str) -> None:
    body = f'{{"match":"foo.bar","confirm":true,"expected":{value}}}'
    assert "expected" in error_of(client.simulate_post("/api/v1/delete", body=body, headers=ASK))
    assert store.find(b"foo.bar") is not None


@pytest.mark.parametrize("length", ["1_0", "+2", " 2", "\uff12", "-1", "x"])
def test_a_length_is_digits_only(client: TestClient, length: str) -> None:
    request = Request(create_environ("/api/v1/series", method="POST"))
    request.env["CONTENT_LENGTH"] = length
    with pytest.raises(BadQuery, match="Content-Length"):
        read_body(request)


def test_json_of_plugins_has_no_nan_either(client: TestClient) -> None:
    answer = client.simulate_post("/api/mine", body="[NaN]", headers={"Content-Type": "application/json"})
    error_of(answer)
    answer = client.simulate_post("/api/mine", body=json.dumps([1.5]), headers={"Content-Type": "application/json"})
    assert answer.json == {"said": [1.5]}
