"""A server over a store that is not ours, and that cannot do everything: what it offers, tells and refuses."""
from __future__ import annotations

from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat.errors import StoreError
from istat.retention import Ladder
from istat.settings.setting import Values
from istat_server.hookspecs import ServerContext, hookimpl
from istat_server.store.interface import Capability, Store
from istat_server.testing.memory import MemoryStore
from tests.server.assembled import Whole

TOKEN = "s3cret"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Elsewhere(MemoryStore):
    """One that tells strange things of itself."""

    told: dict[str, object] = {}

    def status(self) -> dict[str, object]:
        return self.told


class Bringer:
    """A plugin that brings a store and takes no sockets."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.contexts: list[ServerContext] = []

    @hookimpl
    def istat_open_store(self, settings: Values, clock: FakeClock) -> Store:
        return self.store

    @hookimpl
    def istat_inputs(self, server: ServerContext) -> list[object]:
        self.contexts.append(server)
        return []


def serve(folder: Path, clock: FakeClock, store: Store, *words: str) -> tuple[Whole, ServerContext]:
    bringer = Bringer(store)
    whole = Whole(folder, clock, "--admin-token", TOKEN, *words, plugins=[bringer])
    whole.server.open()
    return whole, bringer.contexts[0]


def feed(server: ServerContext, text: bytes) -> None:
    assert server.intake.feed(memoryview(text), 0, len(text), server.roster.connected("tcp", "192.0.2.7:1"))


def test_a_store_without_an_engine_takes_samples_and_answers(tmp_path: Path, clock: FakeClock) -> None:
    whole, server = serve(tmp_path, clock, MemoryStore(clock=clock))
    feed(server, b"a.b 5\n#agent me\n* 1\na\n")
    assert whole.ask("/api/v1/names").json["names"] == [{"name": "a.b", "kind": "gauge"}]
    status = whole.ask("/api/v1/status").json
    assert (status["ingest"]["samples"], status["refused"]["no_name"], status["refused"]["bad_fields"]) == (1, 1, 1)
    assert status["store"]["kind"] == "memory"
    assert not [key for key in status["system"] if key.startswith("disk")]
    whole.server.feed_metrics()
    assert whole.ask("/api/v1/names", params={"match": "istatd.counters"}).json["names"]
    whole.end()


@pytest.mark.parametrize("told", [{}, {"files": "many", "folder": "/nowhere/at/all", "ids": None, "new": [1]}])
def test_whatever_a_store_tells_of_itself_the_server_has_its_figures(
        tmp_path: Path, clock: FakeClock, told: dict[str, object]) -> None:
    store = Elsewhere(clock=clock)
    store.told = told
    whole, server = serve(tmp_path, clock, store)
    feed(server, b"a 1\n")
    assert whole.ask("/api/v1/status").json["store"] == told
    metrics = whole.ask("/metrics")
    assert metrics.status_code == 200 and "istatd_store_files 0\n" in metrics.text
    whole.server.feed_metrics()
    assert store.find(b"istatd.store.files") is not None
    whole.end()


@pytest.mark.parametrize(("capability", "path", "body"), [
    (Capability.RENAME, "rename", {"from": "a", "to": "b"}), (Capability.UNDELETE, "undelete", {"names": ["a"]}),
    (Capability.UNDELETE, "deleted", None), (Capability.CLOCK_GUARD, "clock/confirm", {})])
def test_what_a_store_cannot_do_is_501_and_a_sentence(tmp_path: Path, clock: FakeClock, capability: Capability,
                                                      path: str, body: dict[str, object] | None) -> None:
    store = MemoryStore(clock=clock)
    store.add("a", None, 1)
    whole, _server = serve(tmp_path, clock, store)
    method = "GET" if body is None else "POST"
    assert whole.ask(f"/api/v1/{path}", method, headers=BEARER, json=body).status_code == 200
    store.capabilities -= {capability}
    answer = whole.ask(f"/api/v1/{path}", method, headers=BEARER, json=body)
    assert answer.status_code == 501
    assert answer.json["error"].startswith("the store of this server ")
    whole.end()


@pytest.mark.parametrize(("capability", "words", "said"), [
    (Capability.RULES, ("--retention-rules", "db.** = 10s:30d"), "take retention-rules out"),
    (Capability.SEASONS, ("--retention", "10s:1d,1m:1d:day:0.9"), "take them out")])
def test_a_server_wants_no_levels_that_its_store_cannot_have(tmp_path: Path, clock: FakeClock, capability: Capability,
                                                             words: tuple[str, ...], said: str) -> None:
    store = MemoryStore(Ladder.parse(), clock)
    store.capabilities -= {capability}
    with pytest.raises(StoreError, match=said):
        serve(tmp_path, clock, store, *words)
    serve(tmp_path, clock, store)[0].end()
