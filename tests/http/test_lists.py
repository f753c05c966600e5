"""Every list has pages, a most of bytes, and says when it was cut; others have their turns while one is made."""
from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from falcon.testing import TestClient

from istat.clock import FakeClock
from istat_server.http.exchange import buckets, lists
from istat_server.http.families import api, istatd
from istat_server.http.limits import HttpLimits
from istat_server.query import patterns
from istat_server.roster import Roster
from istat_server.testing.memory import MemoryStore
from tests.http.application import app_of

ADMIN = {"Authorization": "Bearer change-it"}
# Room for some forty rows of the longest names.
PAGE = 50_000
LIMITS = HttpLimits(page=PAGE, listing_bytes=PAGE)
COUNT = 120


def name(number: int) -> str:
    return f"deep.{number:04}" + ".x" * 400


@pytest.fixture
def roster(clock: FakeClock) -> Roster:
    clock.set(1_700_000_000)
    made = Roster(clock)
    for number in range(COUNT):
        sender = made.connected("tcp", f"10.0.{number}.1:5")
        for key in range(10):
            sender.meta(f"key{key}", "v" * 100)
    return made


@pytest.fixture
def store(clock: FakeClock, roster: Roster) -> MemoryStore:
    store = MemoryStore(clock=clock)
    for number in range(COUNT):
        store.add(name(number), None, 1)
    return store


@pytest.fixture
def client(store: MemoryStore, clock: FakeClock, roster: Roster) -> TestClient:
    return TestClient(app_of(store, clock, agents=roster, limits=LIMITS, admin="change-it"))


def pages(client: TestClient, path: str, key: str, query: str = "") -> Iterator[list[Any]]:
    """The pages of a list, each as short as it has to be."""
    token = ""
    while True:
        asked = f"{query}&token={token}" if token else query
        answer = client.simulate_get(path, query_string=asked, headers=ADMIN)
        assert answer.status_code == 200, answer.text
        assert len(answer.content) <= PAGE
        assert answer.json["truncated"] is bool(answer.json["token"])
        yield answer.json[key]
        token = answer.json["token"]
        if not token:
            return


def all_of(client: TestClient, path: str, key: str, query: str = "") -> list[Any]:
    found = list(pages(client, path, key, query))
    assert len(found) > 2, "it was cut by its bytes"
    assert all(found[:-1])
    return [row for page in found for row in page]


@pytest.mark.parametrize(("path", "key", "query"), [
    ("/api/v1/names", "names", "limit=10000"), ("/api/v1/search", "names", "q=deep&limit=10000"),
    ("/api/v1/names", "names", "regex=x$&limit=10000&offset=0"),
])  # fmt: skip
def test_names_come_in_pages_of_so_many_bytes(client: TestClient, path: str, key: str, query: str) -> None:
    rows = all_of(client, path, key, query)
    assert [row["name"] for row in rows] == [name(number) for number in range(COUNT)]


def test_children_do_too(store: MemoryStore, client: TestClient) -> None:
    long = [f"{number:04}" + "y" * 800 for number in range(COUNT)]
    for label in long:
        store.add(f"wide.{label}", None, 1)
    rows = all_of(client, "/api/v1/children", "children", "prefix=wide")
    assert [row["label"] for row in rows] == long


def test_agents_do_too_the_last_to_arrive_first(client: TestClient, roster: Roster, clock: FakeClock) -> None:
    found = []
    for page in pages(client, "/api/v1/agents", "agents"):
        found += page
        roster.connected("tcp", f"10.1.0.{len(found) % 200}:7")     # comes in between, and disturbs no page
        for sender in roster.senders()[50:60]:
            sender.seen(clock.now() + 1, 10)
    assert [row["address"] for row in found] == [f"10.0.{number}.1:5" for number in reversed(range(COUNT))]
    assert len(all_of(client, "/api/v1/agents", "agents", "limit=40")) > COUNT


def test_deleted_ones_do_too(client: TestClient, store: MemoryStore, clock: FakeClock) -> None:
    for number in range(COUNT):
        store.delete([store.find(name(number).encode()).id])      # type: ignore[union-attr]
        clock.advance(number % 2)
    rows = all_of(client, "/api/v1/deleted", "deleted", "limit=10000")
    assert [row["name"] for row in rows] == [name(number) for number in reversed(range(COUNT))]
    first = client.simulate_get("/api/v1/deleted", query_string="limit=2", headers=ADMIN).json
    assert (len(first["deleted"]), first["truncated"]) == (2, True)


@pytest.mark.parametrize("path", ["/api/v1/agents", "/api/v1/deleted", "/api/v1/names", "/api/v1/children"])
@pytest.mark.parametrize("token", ["x", "1.x", "-1", "9" * 30, "1_0.1"])
def test_a_token_of_no_such_list_is_refused(client: TestClient, path: str, token: str) -> None:
    answer = client.simulate_get(path, query_string=f"token={token}", headers=ADMIN)
    assert answer.status_code == 400
    assert "token" in answer.json["error"]


@pytest.mark.parametrize(("query", "key"), [("q=*", "matching_names"), ("a=*", "agents")])
def test_lists_of_istatds_say_by_a_header_that_they_were_cut(client: TestClient, query: str, key: str) -> None:
    answer = client.simulate_get("/", query_string=query)
    assert answer.headers["x-truncated"] == "true"
    assert PAGE // 2 < len(answer.content) <= PAGE + 100
    assert answer.json[key]
    assert answer.json.get("count", len(answer.json[key])) == len(answer.json[key])


@pytest.mark.parametrize(("query", "count"), [("q=flat*", 3), ("q=flat.?", 2), ("q=nothing", 0)])
def test_those_that_have_all_do_not(client: TestClient, store: MemoryStore, query: str, count: int) -> None:
    store.add("flat.a", None, 1)
    store.add("flat.b", None, 1)
    answer = client.simulate_get("/", query_string=query)
    assert "x-truncated" not in answer.headers
    assert len(answer.json["matching_names"]) == count


def test_too_many_counters_are_said_by_the_header_as_well(store: MemoryStore, clock: FakeClock) -> None:
    client = TestClient(app_of(store, clock, limits=HttpLimits(listing=50)))
    answer = client.simulate_get("/", query_string="q=*")
    assert answer.headers["x-truncated"] == "true"


@pytest.mark.parametrize("path", ["/api/v1/names", "/?q=*", "/api/v1/agents", "/?a=*"])
def test_a_compressed_list_is_the_same(client: TestClient, path: str) -> None:
    where, _, query = path.partition("?")
    plain = client.simulate_get(where, query_string=query)
    packed = client.simulate_get(where, query_string=query, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) == len(packed.content) < len(plain.content)
    assert gzip.decompress(packed.content) == plain.content
    assert client.simulate_head(where, query_string=query).content == b""


def test_others_have_their_turns_while_a_list_is_made(
        client: TestClient, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    for module in (lists, api, istatd):
        monkeypatch.setattr(module, "turn", lambda: taken.append(1))
    monkeypatch.setattr(lists, "ROWS_AT_ONCE", 10)
    monkeypatch.setattr(patterns, "PAGE_NAMES", 10)
    for path, query in (("/api/v1/names", "limit=10000"), ("/api/v1/children", "prefix=deep"), ("/api/v1/agents", ""),
                        ("/", "q=*"), ("/", "a=*")):
        taken.clear()
        assert client.simulate_get(path, query_string=query).status_code == 200
        assert taken, path


def test_many_buckets_of_one_counter_are_rendered_in_turns(
        store: MemoryStore, client: TestClient, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    now = int(clock.now()) // 10 * 10
    for at in range(0, 3000, 30):
        store.add("foo", now - 3000 + at, at)
    wanted = {"start": str(now - 3000), "end": str(now), "samples": "0"}
    posted = f'{{"keys":["foo","foo","deep"],"start":{now - 3000},"stop":{now},"maxSamples":-1}}'
    whole = [client.simulate_get("/foo", params=wanted).content,
             client.simulate_get("/foo", params={**wanted, "format": "csv"}).content,
             client.simulate_post("/*", body=posted).content]
    taken: list[int] = []
    monkeypatch.setattr(buckets, "turn", lambda: taken.append(1))
    monkeypatch.setattr(buckets, "ROWS_AT_ONCE", 7)
    assert client.simulate_get("/foo", params=wanted).content == whole[0]
    assert len(taken) >= 100 // 7
    assert client.simulate_get("/foo", params={**wanted, "format": "csv"}).content == whole[1]
    assert client.simulate_post("/*", body=posted).content == whole[2]
