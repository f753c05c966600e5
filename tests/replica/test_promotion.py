"""A replica becomes a master: it takes samples at once, and tells the old one until that has heard it."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gevent
import pytest

from istat.clock import FakeClock
from istat.errors import BadQuery
from istat_server.replica import promotion as module
from istat_server.replica.promotion import Promotion
from istat_server.replica.refusals import Superseded
from istat_server.store.options import Options
from istat_server.store.pool import InlinePool
from istat_server.store.statstore import StatStore
from tests.replica.masters import FakeMaster, copy_store, open_replica
from tests.store.harness import LADDER, open_store, put, rows, send


class Pair:
    """A master, and a replica of it that may be promoted."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.clock = clock
        self.main = open_store(folder / "master", clock)
        put(self.main, "old.one 5")
        self.main.flush()
        self.master = FakeMaster(self.main, clock)
        copy_store(self.master, folder / "replica")
        self.store = open_replica(folder / "replica", clock)
        self.stopped = 0
        self.asked: list[tuple[str, int]] = []
        self.promotion = Promotion(lambda: self.store, InlinePool(), self.ask, "http://second:8000", self.stop)

    def stop(self) -> None:
        self.stopped += 1

    def ask(self, url: str, term: int) -> FakeMaster:
        self.asked.append((url, term))
        return self.master

    def reopen(self) -> None:
        """As a start does it after a promotion, whatever replica-of says."""
        self.store.close()
        self.store = StatStore.open(self.store.folder, LADDER, self.clock, options=Options(key=2))


@pytest.fixture
def pair(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(module, "FIRST_WAIT", 0.001)
    made = Pair(tmp_path, clock)
    yield made
    made.promotion.stop()
    made.store.close()
    made.main.close()


def told(pair: Pair) -> None:
    """Wait until the old master knows it."""
    assert pair.promotion._greenlet is not None
    pair.promotion._greenlet.join(10.0)
    assert pair.promotion._greenlet.ready()


def until(condition: Callable[[], object]) -> None:
    """Give others their turns until it holds."""
    with gevent.Timeout(10.0):
        while not condition():
            gevent.sleep(0.001)


def test_it_takes_samples_at_once_and_fences_the_old_one(pair):
    assert "replica" in pair.store.refusing
    assert pair.promotion.promote(pair.master) == {"term": 1, "deposed": "http://master:8000"}
    assert (pair.store.refusing, pair.stopped) == ("", 1)
    send(pair.store, "new.one 6", "old.one 7")
    assert rows(pair.store, "new.one", 0)[0][2] == 6.0
    told(pair)
    assert pair.master.fenced == [(pair.main.files.manifest.uuid, 1, "http://second:8000")]
    assert pair.store.status()["deposed"] == ""
    pair.reopen()
    assert rows(pair.store, "old.one", 0)[0][1:3] == (2, 12.0)
    assert (pair.store.files.manifest.term, pair.store.refusing) == (1, "")


def test_it_is_told_again_and_again_over_restarts(pair):
    pair.master.away = "the old one is down"
    pair.promotion.promote(pair.master)
    until(lambda: "does not know yet" in pair.promotion.problem)
    assert pair.store.status()["deposed"] == "http://master:8000"
    pair.promotion.stop()
    pair.reopen()
    pair.promotion = Promotion(lambda: pair.store, InlinePool(), pair.ask, "http://second:8000")
    pair.promotion.start()
    pair.master.away = ""
    told(pair)
    assert len(pair.master.fenced) == 1 and pair.store.status()["deposed"] == ""


def test_where_another_was_promoted_too_people_are_told(pair, monkeypatch):
    def fence(store: str, term: int, by: str) -> None:
        raise Superseded("http://master:8000 has the term 9")

    monkeypatch.setattr(pair.master, "fence", fence)
    pair.promotion.promote(pair.master)
    until(lambda: pair.promotion.problem)
    assert "cannot be fenced: http://master:8000 has the term 9; see to it that only one" in pair.promotion.problem
    assert pair.store.status()["deposed"]


def test_the_old_one_is_fenced_even_by_one_that_did_not_know_any_more_what_it_had(pair):
    pair.store.following.lose("a test")
    pair.store.flush()
    pair.promotion.promote(pair.master)
    told(pair)
    assert [store for store, _term, _by in pair.master.fenced] == [pair.main.files.manifest.uuid]


def test_another_retention_of_the_settings_is_told_before_a_start_changes_it(pair, caplog):
    pair.promotion = Promotion(lambda: pair.store, InlinePool(), pair.ask, "http://second:8000", pair.stop, "10s:7h")
    answer = pair.promotion.promote(pair.master)
    assert (answer["retention"], answer["retention_of_settings"]) == (LADDER.text, "10s:7h")
    assert f"set retention = {LADDER.text} to keep it" in caplog.text


def test_a_term_is_higher_than_any_that_was_heard_of(pair):
    pair.master.term = 7
    assert pair.promotion.promote(pair.master)["term"] == 8


def test_who_is_no_replica_cannot_be_promoted(pair):
    pair.promotion.promote(pair.master)
    with pytest.raises(BadQuery, match="it is a master already"):
        pair.promotion.promote(pair.master)
