"""A replica follows a master over cuts, restarts of both, refusals and damage, and copies anew where it must."""
from __future__ import annotations

from pathlib import Path

import gevent
import pytest

from istat.clock import FakeClock
from istat.errors import StoreError
from istat_server.replica import following
from istat_server.replica.following import Follower
from istat_server.replica.refusals import CopyNeeded, OtherStore
from istat_server.replica.store import ReplicaStore
from istat_server.store.pool import InlinePool
from istat_server.store.statstore import StatStore
from tests.replica.masters import FakeMaster, copy_store, open_replica
from tests.store.harness import open_store, put, rows, send


class Pair:
    """A master, and a replica of it."""

    def __init__(self, folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.folder = clock, folder / "replica"
        self.main = open_store(folder / "master", clock)
        put(self.main, "old.one 5")
        self.main.flush()
        self.master = FakeMaster(self.main, clock)
        self.copies = 0
        monkeypatch.setattr(following, "basecopy", self)
        copy_store(self.master, self.folder)
        self.store = ReplicaStore(open_replica(self.folder, clock), lambda: open_replica(self.folder, clock),
                                  self.master.url)
        self.faults: list[object] = []
        self.begin()

    def begin(self) -> None:
        """As at a start of the replica."""
        self.follower = Follower(self.store, self.master, self.folder, self.clock, InlinePool(),
                                 lambda what, error: self.faults.append(error))

    def copy(self, master: FakeMaster, folder: Path, show: object) -> None:
        """As basecopy has it: ready, and not in place."""
        self.copies += 1

    def swap(self, folder: Path) -> None:
        """As basecopy has it."""
        copy_store(self.master, folder)

    def catch_up(self) -> None:
        """Follow until nothing is left."""
        for _ in range(1000):
            self.follower.turn(0.0)
            if self.follower._caught_up:
                assert self.follower.lag == 0.0
                return
        raise AssertionError("it never catches up")

    def same(self, name: str, level: int = 0) -> bool:
        """Whether both have the same buckets of a counter, and some."""
        found = rows(self.store.inner, name, level)
        return bool(found) and found == rows(self.main, name, level)


@pytest.fixture
def pair(tmp_path, clock, monkeypatch):
    made = Pair(tmp_path, clock, monkeypatch)
    yield made
    made.store.close()
    made.main.close()


def test_it_catches_up_and_stays_so(pair):
    send(pair.main, "young.one 7", "*hits 2")
    pair.catch_up()
    assert pair.same("young.one") and pair.same("hits") and pair.same("old.one")
    pair.clock.advance(20)
    send(pair.main, "young.one 8")
    pair.catch_up()
    assert pair.same("young.one")
    assert pair.store.find(b"young.one").name == "young.one"


@pytest.mark.parametrize("most", [1, 7, 45, 200])
def test_answers_may_end_anywhere(pair, most):
    pair.master.most = most
    for number in range(3):
        send(pair.main, f"young.{number} 7")
        pair.main.flush()
    pair.catch_up()
    assert all(pair.same(f"young.{number}") for number in range(3))


def test_samples_and_changes_are_refused_in_a_sentence_that_names_the_master(pair):
    sentence = "this server is a replica of http://master:8000: send and change there"
    assert pair.store.refusing == pair.store.read_only == sentence
    with pytest.raises(Exception, match="replica of http://master:8000"):
        pair.store.delete([0])


def test_both_may_start_anew(pair):
    send(pair.main, "young.one 7")
    pair.catch_up()
    pair.main.close()
    pair.clock.advance(30)
    pair.main = pair.master.store = open_store(pair.main.folder, pair.clock)
    send(pair.main, "young.one 9")
    pair.store.inner.close()
    pair.store._inner = None
    pair.begin()
    pair.catch_up()
    assert pair.same("young.one") and pair.copies == 0


def test_lag_is_told_from_the_masters_clock(pair):
    pair.catch_up()
    send(pair.main, "young.one 7")
    pair.catch_up()
    assert pair.follower.lag == 0.0
    pair.master.away = "no route to the master"
    pair.clock.advance(40)
    with pytest.raises(Exception, match="no route"):
        pair.follower.turn(0.0)
    pair.follower._forget()
    assert pair.follower.lag == 40.0


def test_a_master_that_hangs_is_no_proof_that_all_is_here(pair):
    send(pair.main, "young.one 7")
    pair.catch_up()
    assert pair.follower.lag == 0.0
    pair.follower._asked -= 60.0
    pair.clock.advance(60)
    assert pair.follower.lag == 60.0


def test_what_is_not_safe_here_is_held_there(pair):
    """The master lets go of segments that the replica has synced, and of no others."""
    for number in range(4):
        send(pair.main, f"young.{number} 7")
        pair.main.flush()
        pair.catch_up()
    inner = pair.store.inner
    at = inner.following.position.segment
    assert pair.master.kept is not None and pair.master.kept <= at
    assert inner._journal.sync(inner._journal.handed, 10.0)
    pair.follower.turn(0.0)
    pair.follower.turn(0.0)
    assert pair.master.kept == at


def test_fallen_behind_it_copies_anew_and_serves_meanwhile(pair):
    pair.main.pinning.unpin("replica")
    send(pair.main, "young.one 7")
    for _ in range(3):
        pair.clock.advance(1)
        send(pair.main, "young.one 8")
        pair.main.flush()
    with pytest.raises(CopyNeeded):
        pair.catch_up()
    assert pair.same("old.one")
    pair.follower._forget()
    pair.follower._copy_anew()
    assert (pair.copies, pair.follower.copies) == (1, 1)
    pair.catch_up()
    assert pair.same("young.one") and pair.same("old.one")


def test_a_fault_of_ours_in_a_copy_ends_nothing(pair, monkeypatch):
    def broken() -> None:
        raise ValueError("nobody expected this")

    monkeypatch.setattr(pair.follower, "_pause", lambda: None)
    pair.follower._try(broken)
    assert len(pair.faults) == 1 and "nobody expected this" in pair.follower.problem


def test_the_event_loop_asks_a_store_that_is_exchanged_for_nothing(pair):
    def meanwhile() -> None:
        pair.store.hurry()
        assert pair.store.written == 0

    pair.store.exchange(meanwhile)
    assert pair.same("old.one")


def test_another_store_at_the_masters_address_replaces_nothing(pair, tmp_path):
    """As after the master's disk was lost, and it was started with an empty one."""
    send(pair.main, "young.one 7")
    pair.catch_up()
    other = open_store(tmp_path / "empty", pair.clock)
    pair.master.store = other
    pair.follower._forget()
    with pytest.raises(CopyNeeded):
        pair.follower.turn(0.0)
    with pytest.raises(OtherStore, match="move this replica's store away"):
        pair.follower._copy_anew()
    assert pair.copies == 0 and pair.same("young.one")
    other.close()


def test_a_flipped_byte_on_the_way_is_never_applied(pair):
    send(pair.main, "young.one 7")
    pair.main._written()
    pair.master.spoil = lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:] if len(data) > 60 else data
    with pytest.raises(CopyNeeded, match="damaged"):
        pair.catch_up()
    pair.master.spoil = lambda data: data
    pair.follower._forget()
    pair.catch_up()
    assert pair.same("young.one")


def test_final_deletes_are_heard_of_when_all_before_them_is_here(pair):
    pair.catch_up()
    pair.clock.advance(100)
    pair.main.delete([pair.main.find(b"old.one").id])
    number = max(pair.main.engine.deleted.values())
    pair.main.compact()
    pair.main.tick()
    pair.follower._ask_at = 0.0
    pair.catch_up()
    assert pair.store.inner.deletes.ceiling >= number
    pair.store.inner.compact()
    pair.store.inner.tick()
    assert not pair.store.inner.engine.deleted


def test_a_store_that_cannot_be_opened_anew_is_tried_again(pair, monkeypatch):
    pair.catch_up()
    real = pair.store._reopen

    def fails() -> StatStore:
        raise OSError("no such disk")

    monkeypatch.setattr(pair.store, "_reopen", fails)
    with pytest.raises(OSError, match="no such disk"):
        pair.store.exchange(lambda: None)
    with pytest.raises(StoreError, match="cannot be opened: no such disk"):     # and nobody waits for that
        pair.store.find(b"old.one")
    assert pair.store.follows
    monkeypatch.setattr(pair.store, "_reopen", real)
    pair.follower._forget()
    send(pair.main, "young.one 7")
    pair.catch_up()
    assert pair.same("young.one")


def test_who_asks_while_copies_change_places_is_answered_by_the_new_one(pair):
    pair.catch_up()
    put(pair.main, "young.one 7")
    pair.main.flush()
    asked = []

    def swap() -> None:
        asked.append(gevent.spawn(pair.store.find, b"young.one"))
        gevent.sleep(0)             # it waits
        pair.store.tick()           # and there is nothing to be done
        assert not asked[0].ready()
        pair.swap(pair.folder)

    pair.store.exchange(swap)
    assert asked[0].get(timeout=10.0).name == "young.one"


def test_copies_are_not_made_one_after_the_other(pair, monkeypatch):
    """Where one can be followed for a moment only, neither: a base copy of a large store is dear to its master."""
    follower, pauses, turns = pair.follower, [], []

    def rest(seconds: float) -> None:
        pauses.append((pair.copies, seconds))
        if len(pauses) == 3:
            follower._ended.set()

    def turn() -> None:
        turns.append(1)
        if len(turns) % 2:
            raise CopyNeeded("gone again")

    monkeypatch.setattr(follower, "_rest", rest)
    monkeypatch.setattr(follower, "turn", turn)
    follower._run()
    assert pauses == [(1, 1.0), (2, 1.5), (3, 2.25)]
