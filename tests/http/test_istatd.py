"""istatd's HTTP interface: part 7 of the behaviour specification, examples included."""

from __future__ import annotations

import json
from typing import Any

import pytest
from falcon.testing import TestClient

from istat_server.testing.memory import MemoryStore

T = 1325394000


def test_counter_data_as_in_the_specification(client: TestClient) -> None:
    answer = client.simulate_get("/foo.bar", params={"start": T, "end": T + 60})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.text.endswith("}\n")
    assert answer.json == {
        "buckets": [
            {"data": {"avg": 6.125, "count": 2, "max": 7.25, "min": 5, "sdev": pytest.approx(1.5909902),
                      "sum": 12.25, "sumsq": 77.5625}, "time": T},
            {"data": {"avg": 1000, "count": 1, "max": 1000, "min": 1000, "sdev": 0, "sum": 1000,
                      "sumsq": 1000000}, "time": T + 30},
        ],
        "end": T + 60, "interval": 10, "start": T,
    }  # fmt: skip
    assert answer.text.startswith('{"buckets":[{"data":{"avg":6.125,"count":2,"max":7.25,"min":5,"sdev":1.59099')


def test_csv(client: TestClient) -> None:
    answer = client.simulate_get("/foo.bar", params={"start": T, "end": T + 60, "format": "csv"})
    assert answer.headers["content-type"] == "text/csv"
    lines = answer.text.split("\r\n")
    assert lines[0].startswith("ISO Time,Unix Timestamp,Sample Count,Minimum,Maximum,Sum,Sum Squared,Average,")
    assert lines[1].startswith(f"2012-01-01T05:00:00Z,{T},2,5,7.25,12.25,77.5625,6.125,1.59099")
    assert len(lines) == 4
    assert lines[3] == ""


@pytest.mark.parametrize("path", ["/FOO.BAR", "/*foo.bar", "/%2Afoo.bar", "/foo%2Ebar"])
def test_a_name_in_any_spelling(client: TestClient, path: str) -> None:
    assert client.simulate_get(path, params={"start": T}).json["buckets"]


def test_an_unknown_counter(client: TestClient) -> None:
    for path in ("/No.Such", "/a/b", "/caf\u00e9"):
        assert client.simulate_get(path).status_code == 404
    assert client.simulate_get("/No.Such").json == {"error": "No such counter no.such"}


@pytest.mark.parametrize(
    ("params", "start", "end"),
    [
        ({}, T, T + 910),   # the bucket that began this second is in it
        ({"start": 0, "end": 0}, T, T + 910),
        ({"end": T + 600}, T - 300, T + 600),
        ({"start": T - 600}, T - 600, T + 300),
        ({"start": T + 3, "end": T + 5}, T, T + 10),
    ],
)
def test_the_default_range(client: TestClient, params: dict[str, int], start: int, end: int) -> None:
    answer = client.simulate_get("/foo.bar", params=params).json
    assert (answer["start"], answer["end"]) == (start, end)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("start=x", "HTTP exception: Bad integer argument start: x"),
        ("start=-1", "HTTP exception: Invalid start parameter"),
        ("end=-1", "HTTP exception: Invalid end parameter"),
        ("samples=-1", "HTTP exception: Invalid samples parameter"),
        ("start=20&end=10", "HTTP exception: end must be greater than start!"),
        ("start=20&end=20&samples=1", "HTTP exception: end must be greater than start!"),
        ("format=xml", "HTTP exception: unrecognized format. must be 'json' or 'csv'."),
    ],
)
def test_bad_questions(client: TestClient, query: str, error: str) -> None:
    answer = client.simulate_get("/foo.bar", query_string=query)
    assert (answer.status_code, answer.json) == (400, {"error": error})


def test_reduction_and_no_dummy_bucket(client: TestClient) -> None:
    answer = client.simulate_get("/foo.bar", params={"start": T - 300, "end": T + 300, "samples": 10}).json
    assert answer["interval"] == 60
    assert [(b["time"], b["data"]["count"]) for b in answer["buckets"]] == [(T, 3)]


def test_events_have_zeros(client: TestClient) -> None:
    buckets = client.simulate_get("/mail.sent", params={"start": T, "end": T + 30}).json["buckets"]
    assert [(b["time"], b["data"]["sum"], b["data"]["count"]) for b in buckets] == [
        (T, 0, 1), (T + 10, 2, 1), (T + 20, 0, 1),
    ]  # fmt: skip


def test_there_are_no_seasonal_levels(client: TestClient) -> None:
    assert client.simulate_get("/foo.bar", params={"start": T, "trailing": 1}).json["buckets"] == []


def multi_get(client: TestClient, question: Any, path: str = "/*") -> Any:
    return client.simulate_post(path, body=question if isinstance(question, str) else json.dumps(question))


def test_multi_get(client: TestClient) -> None:
    question = {"keys": ["zz", "foo.bar"], "start": T, "stop": T + 600, "maxSamples": 2}
    answer = multi_get(client, question)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    assert answer.json == {
        "zz": "Not found.",
        "foo.bar": {"start": T, "end": T + 600, "interval": 300, "data": [
            {"time": T, "count": 3, "min": 5, "max": 1000, "sum": 1012.25, "avg": pytest.approx(337.4167, abs=1e-4),
             "sumsq": pytest.approx(1000077.5625), "sdev": pytest.approx(573.815, abs=1e-3)}]},
        "start": T, "stop": T + 600, "interval": 300,
    }  # fmt: skip
    assert answer.text.startswith('{"zz":"Not found.",')


def test_compact_multi_get(client: TestClient) -> None:
    question = {"keys": ["Foo.Bar"], "start": T, "stop": T + 10, "compact": True}
    answer = multi_get(client, question, "/%2A").json
    assert answer["Foo.Bar"]["data"] == [[T, 2, 5, 7.25, 12.25, 77.5625, 6.125, pytest.approx(1.59099, abs=1e-5)]]


def test_two_spellings_are_answered_under_the_last(client: TestClient) -> None:
    answer = multi_get(client, {"keys": ["foo.bar", "FOO.bar"]}).json
    assert "foo.bar" not in answer
    assert answer["FOO.bar"]["data"]


def test_keys_are_escaped(client: TestClient) -> None:
    assert multi_get(client, {"keys": ['a"b', "\u2028"]}).json == {'a"b': "Not found.", "\u2028": "Not found."}


def test_multi_get_of_nothing(client: TestClient) -> None:
    assert multi_get(client, {"keys": []}).json == {}


def test_the_default_of_max_samples(client: TestClient) -> None:
    for most in ({}, {"maxSamples": 0}):
        assert multi_get(client, {"keys": ["foo.bar"], "start": T, "stop": T + 3000, **most}).json["interval"] == 30
    all_of_them = {"keys": ["foo.bar"], "start": T, "stop": T + 3000, "maxSamples": -1}
    assert multi_get(client, all_of_them).json["interval"] == 10


@pytest.mark.parametrize(
    ("question", "status", "error"),
    [
        ({}, 400, "Missing 'key' array of keys"),
        ({"keys": ["a"], "start": 5}, 400, "Start must be before stop"),
        ({"keys": ["a"], "start": 5, "stop": 4}, 400, "Start must be before stop"),
        ({"keys": ["a"], "start": -5, "stop": 4}, 400, "Invalid 'start' parameter"),
        ({"keys": ["a"], "stop": -4}, 400, "Invalid 'stop' parameter"),
        ({"keys": ["a"], "start": "x"}, 400, "exception: 'start' must be an integer"),
        ({"keys": "a"}, 400, "keys must be an array of strings"),
        ({"keys": [1]}, 400, "keys must be an array of strings"),
        ({"keys": ["foo.bar"], "start": 9, "stop": 9, "maxSamples": 1}, 400, "empty range"),
        ([], 400, "must be a JSON object"),
        ("{", 400, "the body is no JSON"),
        ("[" * 1900, 400, "the body is no JSON"),
        ("x" * 3000, 413, "at most 2000 bytes"),
        ({"keys": ["a"] * 6}, 413, "at most 5 keys"),
        ({"keys": ["foo.bar"], "start": T - 86400, "stop": T, "maxSamples": -1}, 413, "too many buckets"),
    ],
)  # fmt: skip
def test_bad_multi_gets(client: TestClient, question: Any, status: int, error: str) -> None:
    answer = multi_get(client, question)
    assert answer.status_code == status
    assert error in answer.json["error"]


def test_other_methods_and_targets(client: TestClient) -> None:
    answer = client.simulate_post("/foo", body="{}")
    assert (answer.status_code, answer.json) == (404, {"error": "No such POST target"})
    for path in ("/foo.bar", "/"):
        answer = client.simulate_put(path)
        assert (answer.status_code, answer.json) == (405, {"error": "Bad method"})


@pytest.mark.parametrize("path", ["/", "/*", "/foo.bar", "/api/v1/series", "/nothing.here"])
def test_options(client: TestClient, path: str) -> None:
    answer = client.simulate_options(path, headers={"Referer": "https://www.example.com/some/page.html"})
    assert answer.status_code == 204
    assert "access-control-allow-origin" not in answer.headers


def test_head_is_a_get_without_its_body(client: TestClient) -> None:
    answer = client.simulate_head("/foo.bar", params={"start": T})
    assert (answer.status_code, answer.content) == (200, b"")


def test_listing(client: TestClient, store: MemoryStore) -> None:
    answer = client.simulate_get("/", params={"q": "foo*"})
    assert answer.json == {
        "type_mapping": {"0": "gauge", "1": "counter", "2": "aggregate"},
        "pattern": "foo*",
        "matching_names": [
            {"is_leaf": False, "type": 2, "name": "foo"},
            {"is_leaf": True, "type": 0, "name": "foo.bar"},
        ],
    }
    assert client.simulate_get("/", query_string="q=").json["matching_names"] == []
    assert client.simulate_get("/", params={"q": 'it\'s "'}).json["pattern"] == 'it\'s "'
    assert client.simulate_get("/", params={"q": "*" * 1001}).status_code == 400


def test_agents(client: TestClient) -> None:
    answer = client.simulate_get("/", params={"a": "*"}).json
    assert answer["count"] == 1
    assert answer["agents"][0]["hostname"] == "web1"
