"""Byte for byte: the worked answers of istatd's behaviour specification (7.1 to 7.6), asked of the application.

Where ours differ, docs/formats/http-api.md ("What differs from istatd") says so: more digits, and an order of our own
where istatd has none.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from falcon.testing import TestClient

from istat.clock import FakeClock
from istat_server.roster import Roster
from istat_server.testing.memory import MemoryStore
from tests.http.application import app_of

T = 1325394000  # 2012-01-01 05:00:00 UTC
DAY = 86400
CSV_HEAD = (b"ISO Time,Unix Timestamp,Sample Count,Minimum,Maximum,Sum,Sum Squared,Average,Standard Deviation\r\n")
ELEVEN = b'"count":11,"min":1,"max":1,"sum":11,"sumsq":11,"avg":1,"sdev":0}'


def client_at(now: int, *samples: tuple[str, int, float], agents: Any = None) -> TestClient:
    """An application over these samples, at a time."""
    clock = FakeClock(now)
    store = MemoryStore(clock=clock)
    for name, time, value in samples:
        store.add(name, time, value)
    return TestClient(app_of(store, clock, agents or Roster(clock)))


@pytest.fixture
def client() -> TestClient:
    return client_at(T + 900, ("foo.bar", T, 5), ("foo.bar", T + 2, 7.25), ("foo.bar", T + 30, 1000))


def triples(answer: Any) -> list[tuple[int, int, float]]:
    """Time, count and sum of each bucket."""
    return [(one["time"], one["data"]["count"], one["data"]["sum"]) for one in answer.json["buckets"]]


# -- 7.3

def test_get(client: TestClient) -> None:
    answer = client.simulate_get(f"/foo.bar?start={T}&end={T + 60}")
    assert answer.content == (
        b'{"buckets":[{"data":{"avg":6.125,"count":2,"max":7.25,"min":5,"sdev":1.590990257669732,"sum":12.25,'
        b'"sumsq":77.5625},"time":1325394000},{"data":{"avg":1000,"count":1,"max":1000,"min":1000,"sdev":0,'
        b'"sum":1000,"sumsq":1000000},"time":1325394030}],"end":1325394060,"interval":10,"start":1325394000}\n')
    assert answer.headers["content-type"] == "application/json"
    assert client.simulate_get(f"/FOO.Bar?start={T}&end={T + 60}").content == answer.content
    assert client.simulate_get(f"/*foo.bar?start={T}&end={T + 60}").content == answer.content


def test_get_as_csv(client: TestClient) -> None:
    answer = client.simulate_get(f"/foo.bar?start={T}&end={T + 60}&format=csv")
    assert answer.content == CSV_HEAD + (
        b"2012-01-01T05:00:00Z,1325394000,2,5,7.25,12.25,77.5625,6.125,1.590990257669732\r\n"
        b"2012-01-01T05:00:30Z,1325394030,1,1000,1000,1000,1000000,1000,0\r\n")
    assert answer.headers["content-type"] == "text/csv"


def test_get_of_nothing(client: TestClient) -> None:
    answer = client.simulate_get(f"/foo.bar?start={T + 300}&end={T + 360}")
    assert answer.content == b'{"buckets":[],"end":1325394360,"interval":10,"start":1325394300}\n'
    assert client.simulate_get(f"/foo.bar?start={T + 300}&end={T + 360}&format=csv").content == CSV_HEAD


@pytest.mark.parametrize(("path", "status", "body"), [
    ("/foo.bar?start=x", 400, b'{"error":"HTTP exception: Bad integer argument start: x"}\n'),
    ("/foo.bar?start=-1", 400, b'{"error":"HTTP exception: Invalid start parameter"}\n'),
    ("/foo.bar?end=-1", 400, b'{"error":"HTTP exception: Invalid end parameter"}\n'),
    ("/foo.bar?samples=-1", 400, b'{"error":"HTTP exception: Invalid samples parameter"}\n'),
    ("/foo.bar?trailing=x", 400, b'{"error":"HTTP exception: Bad integer argument trailing: x"}\n'),
    ("/foo.bar?start=20&end=10", 400, b'{"error":"HTTP exception: end must be greater than start!"}\n'),
    ("/foo.bar?start=20&end=20&samples=1", 400, b'{"error":"HTTP exception: end must be greater than start!"}\n'),
    ("/foo.bar?format=xml", 400,
     b'{"error":"HTTP exception: unrecognized format. must be \'json\' or \'csv\'."}\n'),
    ("/No.Such", 404, b'{"error":"No such counter no.such"}\n'),
])
def test_errors_of_get(client: TestClient, path: str, status: int, body: bytes) -> None:
    answer = client.simulate_get(path)
    assert (answer.status_code, answer.content) == (status, body)
    assert answer.headers["content-type"] == "application/json"


@pytest.fixture
def rows() -> TestClient:
    """Eleven times 1 in each of three buckets of 300 s."""
    return client_at(2000, *(("foo.bar", time + 10 * k, 1.0) for time in (900, 1200, 1500) for k in range(11)))


QUESTION = {"keys": ["foo.bar", "zz"], "start": 900, "stop": 1800, "maxSamples": 3}


def test_multi_get_has_what_is_not_found_first(rows: TestClient) -> None:
    for path in ("/*", "/%2A", "/%2a"):
        answer = rows.simulate_post(path, body=json.dumps(QUESTION))
        assert answer.content == (
            b'{"zz":"Not found.","foo.bar":{"start":900,"end":1800,"interval":300,"data":['
            b'{"time":900,' + ELEVEN + b',{"time":1200,' + ELEVEN + b',{"time":1500,' + ELEVEN +
            b']},"start":900,"stop":1800,"interval":300}')
        assert answer.headers["content-type"] == "application/json"


def test_compact_multi_get(rows: TestClient) -> None:
    answer = rows.simulate_post("/*", body=json.dumps({**QUESTION, "compact": True}))
    assert answer.content == (
        b'{"zz":"Not found.","foo.bar":{"start":900,"end":1800,"interval":300,"data":['
        b'[900,11,1,1,11,11,1,0],[1200,11,1,1,11,11,1,0],[1500,11,1,1,11,11,1,0]]},'
        b'"start":900,"stop":1800,"interval":300}')


def test_multi_get_without_what_is_found(rows: TestClient) -> None:
    assert rows.simulate_post("/*", body=b'{"keys":[]}').content == b"{}"
    assert rows.simulate_post("/*", body=b'{"keys":["zz","a\\"b"]}').content == (
        b'{"zz":"Not found.","a\\"b":"Not found."}')


@pytest.mark.parametrize(("question", "error"), [
    ("{}", "Missing 'key' array of keys"),
    ('{"keys":["foo.bar"],"start":5}', "Start must be before stop"),
    ('{"keys":["foo.bar"],"start":5,"stop":4}', "Start must be before stop"),
    ('{"keys":["foo.bar"],"start":-5,"stop":4}', "Invalid 'start' parameter"),
    ('{"keys":["foo.bar"],"stop":-5}', "Invalid 'stop' parameter"),
])
def test_errors_of_multi_get(rows: TestClient, question: str, error: str) -> None:
    answer = rows.simulate_post("/*", body=question)
    assert (answer.status_code, answer.content) == (400, b'{"error":"%s"}\n' % error.encode())


@pytest.mark.parametrize("question", ["[]", "null", "1", '"x"', "", '{"keys":[[]]}', '{"keys":{"a":1}}',
                                      '{"keys":["foo.bar"],"start":[]}', '{"keys":["foo.bar",7]}'])
def test_what_is_no_question_is_refused_as_json(rows: TestClient, question: str) -> None:
    answer = rows.simulate_post("/*", body=question, headers={"Content-Length": str(len(question))})
    assert answer.status_code == 400
    assert list(answer.json) == ["error"]


def test_trailing_wants_an_integer(rows: TestClient) -> None:
    for trailing, found in ((1, 0), (-1, 0), (0, 3), (True, 3), (1.5, 3), ("1", 3)):
        answer = rows.simulate_post("/*", body=json.dumps({**QUESTION, "trailing": trailing}))
        assert len(answer.json["foo.bar"]["data"]) == found, trailing


# -- 7.4

def test_at_most_one_bucket_more_than_asked() -> None:
    client = client_at(2560 + 11 * DAY, *(("a.b", time, 1.0) for time in range(2400, 6600, 300)))
    answer = client.simulate_get("/a.b?start=2560&end=6160&samples=6")
    assert (answer.json["start"], answer.json["end"], answer.json["interval"]) == (2400, 6600, 600)
    assert [time for time, _, _ in triples(answer)] == [2400, 3000, 3600, 4200, 4800, 5400, 6000]


def test_a_thousand_buckets_unless_another_number_is_asked_for() -> None:
    client = client_at(T, *(("a.b", time, 1.0) for time in range(T - 20_000, T, 10)))
    for more, interval in (("", 20), ("&samples=1000", 20), ("&samples=2000", 10), ("&samples=0", 10)):
        answer = client.simulate_get(f"/a.b?start={T - 20_000}&end={T}{more}")
        assert (answer.json["interval"], len(answer.json["buckets"])) == (interval, 20_000 // interval)


def test_one_bucket_lies_where_the_range_says() -> None:
    client = client_at(4000, *(("a.b", time, 1.0) for time in range(3560, 3640, 10)))
    answer = client.simulate_get("/a.b?start=3580&end=3610&samples=1")
    assert answer.content == (b'{"buckets":[{"data":{"avg":1,"count":6,"max":1,"min":1,"sdev":0,"sum":6,"sumsq":6},'
                              b'"time":3570}],"end":3630,"interval":60,"start":3570}\n')


def test_gauges_have_gaps_and_no_dummy_before_the_first_bucket() -> None:
    values = [*zip(range(100, 200, 10), range(11, 21)), *zip(range(300, 360, 10), range(31, 37))]
    client = client_at(T + 900, *(("a.b", T + time, float(value)) for time, value in values))
    answer = client.simulate_get(f"/a.b?start={T}&end={T + 400}&samples=10")
    assert (answer.json["start"], answer.json["end"], answer.json["interval"]) == (T, T + 420, 60)
    assert triples(answer) == [(T + 60, 2, 23), (T + 120, 6, 93), (T + 180, 2, 39), (T + 300, 6, 201)]
    second = answer.json["buckets"][1]["data"]
    assert (second["min"], second["max"]) == (13, 18)


def test_events_have_no_gaps() -> None:
    client = client_at(3200, *(("*a.b", 2560 + 10 * k, 10.0 * rate) for k, rate in enumerate((0, 1, 1, 1, 1, 0))))
    answer = client.simulate_get("/a.b?start=2560&end=3160&samples=30")
    assert answer.json["interval"] == 20
    rows = [(one["time"], *(one["data"][key] for key in ("avg", "min", "max", "count", "sum", "sumsq")))
            for one in answer.json["buckets"]]
    assert rows == [(2560, 0.5, 0, 1, 2, 1, 1), (2580, 1, 1, 1, 2, 2, 2), (2600, 0.5, 0, 1, 2, 1, 1),
                    *((time, 0, 0, 0, 2, 0, 0) for time in range(2620, 3160, 20))]


def test_behind_the_last_bucket_there_is_none() -> None:
    client = client_at(T + 900, *(("a.b", T + time, 1.0) for time in range(0, 360, 10)))
    assert triples(client.simulate_get(f"/a.b?start={T + 350}&end={T + 360}")) == [(T + 350, 1, 1)]
    for start in (T + 360, T + 600):
        assert triples(client.simulate_get(f"/a.b?start={start}&end={start + 60}")) == []


def test_an_empty_range_reads_one_bucket(client: TestClient) -> None:
    for query in (f"start={T}&end={T}", f"start={T}&end={T}&samples=0"):
        assert triples(client.simulate_get(f"/foo.bar?{query}")) == [(T, 2, 12.25)]
    answer = client.simulate_post("/*", body=json.dumps({"keys": ["foo.bar"], "start": T, "stop": T}))
    assert [one["time"] for one in answer.json["foo.bar"]["data"]] == [T]


# -- 7.5

def test_listing(client: TestClient) -> None:
    answer = client.simulate_get("/?q=foo*")
    assert answer.content == (
        b'{"type_mapping":{"0":"gauge","1":"counter","2":"aggregate"},"pattern":"foo*","matching_names":['
        b'{"is_leaf":false,"type":2,"name":"foo"},{"is_leaf":true,"type":0,"name":"foo.bar"}]}')
    answer = client.simulate_get("/?q=it's%20%22%0A")
    assert answer.content.endswith(b'"pattern":"it\'s \\"\\n","matching_names":[]}')


@pytest.mark.parametrize(("name", "pattern", "fits"), [
    ("foo.bar.baz", "foo.b?.baz", True), ("foo.bar", "f*a*bar", False), ("tep.a", "tep.?", True),
    ("istatd.http.errors.http", "istatd.*.http", True), ("tep.a.b", "tep.?", False), ("foo.bar.baz", "?.baz", False),
    ("ab", "a??b", True), ("axyb", "a??b", True), ("axyb", "a?b", True), ("a.b", "a?b", False), ("fa", "*?a", True),
    ("faa", "*?a", True), ("foo.bar", "?*", True), ("foo.bar", "FOO.BAR", False), ("foo.bar", "", False),
    ("foo.bar", "foo", False), ("a+b", "a%2Bb", True), ("a+b", "a+b", False),
])
def test_patterns(name: str, pattern: str, fits: bool) -> None:
    client = client_at(T, (name, T, 1.0))
    leaves = [one["name"] for one in client.simulate_get(f"/?q={pattern}").json["matching_names"] if one["is_leaf"]]
    assert leaves == ([name] if fits else [])


# -- 7.6

def test_agents() -> None:
    clock = FakeClock(1795309133)
    roster = Roster(clock)
    sender = roster.connected("tcp", "127.0.0.1:56220")
    for key, value in (("hostname", "db1"), ("version", "1.08"), ("proto", "x 1 1"), ("_peer", "me"), ("_idle", "no"),
                       ("odd", "<b>'\"")):
        sender.meta(key, value)
    sender.seen(clock.now(), 10)
    clock.advance(3)
    answer = client_at(T, agents=roster).simulate_get("/?a=*")
    assert answer.content == (
        b'{"count":1,"agents":[{"_peer":"127.0.0.1:56220","hostname":"db1","version":"1.08","proto":"x 1 1",'
        b'"odd":"<b>\'\\"","_online":true,"_connected":"2026-11-22T00:58:53Z","_idle":3}]}')
    roster.disconnected(sender)
    again = client_at(T, agents=roster).simulate_get("/?a=anything").json["agents"][0]
    assert again["_online"] is False


def test_no_agents() -> None:
    assert client_at(T).simulate_get("/?a=*").content == b'{"count":0,"agents":[]}'


# -- 7.1, 7.2

def test_other_requests(client: TestClient) -> None:
    answer = client.simulate_put("/foo.bar")
    assert (answer.status_code, answer.content) == (405, b'{"error":"Bad method"}\n')
    answer = client.simulate_post("/foo.bar", body="{}")
    assert (answer.status_code, answer.content) == (404, b'{"error":"No such POST target"}\n')
    answer = client.simulate_post("/*")
    assert answer.status_code == 411
    assert answer.json == {"error": "HTTP exception: Can't read body without content-length"}
    answer = client.simulate_options("/*")
    assert (answer.status_code, answer.content) == (204, b"")
    answer = client.simulate_head(f"/foo.bar?start={T}&end={T + 60}")
    assert (answer.content, answer.headers["content-length"]) == (b"", "295")
    answer = client.simulate_get(f"/foo.bar?start={T}&end={T + 60}", headers={"Range": "bytes=0-9"})
    assert (answer.status_code, len(answer.content)) == (200, 295), "all of it"


def test_the_first_parameter_that_means_something_is_asked(client: TestClient) -> None:
    assert client.simulate_get("/?q=*&a=*").json["agents"] == []
    assert client.simulate_get("/?q=*&a=*&f=no").json == {"error": "there is no such file"}
    assert client.simulate_get("/?x=1").headers["content-type"].startswith("text/html")
    plain = client.simulate_get(f"/foo.bar?start={T}&end={T + 60}").content
    for one in ("f=no", "a=*", "q=*", "s=none"):
        assert client.simulate_get(f"/foo.bar?{one}&start={T}&end={T + 60}").content == plain
