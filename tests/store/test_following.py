"""A store that follows another's journal has what that has: names, ids, rows, deletes, marks, whatever comes."""
from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from shutil import copytree, ignore_patterns
from uuid import UUID

import pytest

from istat.clock import FakeClock
from istat.errors import StoreError
from istat.kernels.python.ingest import records
from istat.retention import Ladder, Rules
from istat_server.store.files import journal, manifest
from istat_server.store.following import Diverged
from istat_server.store.interface import Batch, Fields, Mark
from istat_server.store.levels import policies
from istat_server.store.offline import backup
from istat_server.store.options import Options
from istat_server.store.positions import Follows, Position
from istat_server.store.statstore import StatStore
from istat_server.store.versions import NewerFormat
from tests.store.harness import LADDER, NOW, crash, glob, open_store, put, rows, send

MASTER = "0" * 31 + "1"
LEVELS = range(len(LADDER.levels))


def copy(master: StatStore, folder: Path) -> None:
    """What a base copy is: the live files, and a MANIFEST that says up to where they have the master's journal."""
    state = master.files.manifest
    copytree(master.folder, folder, ignore=ignore_patterns("journal", "LOCK", "*.tmp"))
    (folder / "journal").mkdir()
    at = master.pinning.pin("replica", None, NOW + 10 ** 6).position
    manifest.save(folder, replace(state, uuid=UUID(int=2).hex, replay_from=1, epoch=0, pins=(),
                                  follows=Follows(at, state.revision)))


def kill(store: StatStore) -> None:
    """kill -9, after which there is nothing to close."""
    crash(store)
    store._closed = True


def reopen(folder: Path, clock: FakeClock, **options: object) -> StatStore:
    """A replica's store."""
    state, _problem = manifest.load(folder)
    return StatStore.open(folder, policies.rules_of(state.policies), clock,
                          options=Options(key=2, replica=True, **options))


def frames(master: StatStore, after: Position):
    """(clock, payload, position behind it) of what the master has journalled after a place, and is written."""
    master._written()
    place = master.folder / "journal"
    for number in journal.segment_numbers(place):
        if number < after.segment:
            continue
        at = journal.HEADER_BYTES
        for clock, payload in journal.read_segment(journal.segment_path(place, number), journal.Damage()):
            at += journal.FRAME_BYTES + len(payload)
            if number > after.segment or at > after.offset:
                yield clock, bytes(payload), Position(after.store, after.epoch, number, at, 7)


def pull(master: StatStore, replica: StatStore, most: int = 10 ** 9) -> None:
    """Have a replica take what there is; at most so many frames."""
    for number, frame in enumerate(frames(master, replica.following.position)):
        if number == most:
            return
        clock, payload, position = frame
        replica.apply(payload, clock, position)


def contents(store: StatStore) -> dict[object, object]:
    """All that a store has, by id; sums but for what another order of additions makes of them."""
    engine = store.engine
    found: dict[object, object] = {"ids": len(engine.counters)}
    for id in range(len(engine.counters)):
        if engine.counters.has(id):
            buckets = [[(time, count, pytest.approx(total, rel=1e-9), low, high)
                        for time, count, total, _m2, low, high in store.select([id], level, 0, NOW + 10 ** 7)[0].rows()]
                       for level in LEVELS]
            found[id] = (engine.counters.name(id), engine.is_event(id), engine.policy(id), buckets)
    return found


def assert_same(replica: StatStore, master: StatStore) -> None:
    """A replica has what its master has; what is gone there may be deleted here yet."""
    assert contents(replica) == contents(master)
    ours, theirs = replica.engine.deleted, master.engine.deleted
    assert {id: number for id, number in ours.items() if not master.engine.is_gone(id)} == theirs


@pytest.fixture
def pair(tmp_path, clock):
    """A master with something in files and something in its journal, and a replica of it."""
    master = open_store(tmp_path / "master", clock)
    put(master, "old.one 5", "*hits 3")
    master.flush()
    put(master, "young.one 7")
    copy(master, tmp_path / "replica")
    replica = reopen(tmp_path / "replica", clock)
    pull(master, replica)
    yield master, replica
    replica.close()
    master.close()


def test_it_has_what_the_master_has(pair):
    master, replica = pair
    assert_same(replica, master)
    assert replica.find(b"young.one").name == "young.one"
    assert rows(replica, "old.one", 0) == rows(master, "old.one", 0) == [(NOW, 1, 5.0, 0.0, 5.0, 5.0)]


def test_late_frames_are_taken_by_their_own_clock(pair, clock):
    """Samples that were of now when they came are so still when they are applied much later; so is what was too old."""
    master, replica = pair
    send(master, "now.one 1", f"late.one {NOW - 4000} 2", f"gone.one {NOW - 10 ** 6} 3")
    clock.advance(5000)
    for store in (master, replica):
        store.tick()
    pull(master, replica)
    assert_same(replica, master)
    assert rows(replica, "now.one", 1)[0][0] == NOW // 60 * 60
    assert replica.find(b"gone.one") is None


def test_a_rename_a_delete_and_who_comes_after(pair, clock):
    master, replica = pair
    id = master.find(b"old.one").id
    master.rename([(id, b"other")])
    send(master, "old.one 8", "other 9")
    pull(master, replica)
    assert_same(replica, master)
    master.delete([id])
    send(master, "other 10")
    pull(master, replica)
    assert_same(replica, master)
    assert [one.counter.name for one in replica.deleted(glob(b"*"), 10)] == ["other"]
    master.undelete([id])
    pull(master, replica)
    assert_same(replica, master)
    assert [one.counter.name for one in replica.deleted(glob(b"*"), 10)] == [
        one.counter.name for one in master.deleted(glob(b"*"), 10)]


def test_rows_of_deletes_go_when_they_are_final_at_the_master_only(pair, clock):
    """Whoever undoes a delete at the master finds all rows in the replica too, however eagerly that tidies up."""
    master, replica = pair
    id = master.find(b"old.one").id
    before = rows(master, "old.one", 0)
    clock.advance(60)
    master.delete([id])
    pull(master, replica)
    for _ in range(3):
        replica.compact()           # as if all space were wanted at once
        replica.tick()
        clock.advance(100)
    assert replica.engine.deleted and not replica.engine.is_gone(id)
    master.undelete([id])
    pull(master, replica)
    assert rows(replica, "old.one", 0) == rows(master, "old.one", 0) == before


def test_what_is_gone_at_the_master_goes_here_by_itself(pair, clock):
    master, replica = pair
    id = master.find(b"old.one").id
    clock.advance(60)
    master.delete([id])
    master.compact()
    master.tick()
    assert master.engine.is_gone(id)
    pull(master, replica)
    assert replica.engine.deleted and not replica.engine.is_gone(id)
    assert replica.deletes.ceiling >= max(replica.engine.deleted.values())
    replica.compact()
    replica.tick()
    assert replica.engine.is_gone(id) and not replica.engine.deleted
    send(master, "old.one 4")
    pull(master, replica)
    assert rows(replica, "old.one", 0) == rows(master, "old.one", 0)


def test_the_masters_word_is_enough_to_let_go_of_rows(pair, clock):
    master, replica = pair
    id = master.find(b"old.one").id
    clock.advance(60)
    master.delete([id])
    assert master.deletes.final < max(master.engine.deleted.values())
    master.compact()
    assert master.deletes.final >= max(master.engine.deleted.values())
    clock.advance(5)
    master.tick()
    assert master.deletes.final == int(clock.now()) - 1     # none waits


def test_marks_come_along(pair, clock):
    master, replica = pair

    def batch(number):
        return Batch([b"agent.one"], [NOW], Fields([1], [5.0], [0.0], [5.0], [5.0]), 0, Mark(b"web1", 9, number))

    master.accept_batch(batch(3))
    pull(master, replica)
    assert replica.marks.taken(b"web1", 9, 3) and not replica.marks.taken(b"web1", 9, 4)
    replica.flush()
    kill(replica)
    again = reopen(replica.folder, clock)
    assert again.marks.taken(b"web1", 9, 3)
    again.close()


def test_after_a_kill_it_goes_on_where_its_rows_end(pair, clock):
    master, replica = pair
    for number in range(20):
        clock.advance(1)
        send(master, f"one.{number % 3} {number}", f"*hits {number}")
        master._written()
    pull(master, replica, 7)
    kill(replica)
    replica = reopen(replica.folder, clock)
    assert replica.following.position.offset > 0
    pull(master, replica, 5)
    replica.flush()
    kill(replica)
    replica = reopen(replica.folder, clock)
    pull(master, replica)
    assert_same(replica, master)
    replica.close()


@pytest.mark.parametrize("seed", range(6))
def test_anything_with_kills_and_cuts_comes_out_the_same(tmp_path, clock, seed):
    """Whatever happens at the master, and however often the replica is killed, flushed or falls behind."""
    rng = random.Random(seed)
    master = open_store(tmp_path / "master", clock)
    put(master, *(f"name.{one} {one}" for one in range(5)))
    copy(master, tmp_path / "replica")
    replica = reopen(tmp_path / "replica", clock)
    for step in range(150):
        _change(rng, master, clock, step)
        if rng.random() < 0.6:
            pull(master, replica, rng.choice([1, 2, 5, 100]))
        if rng.random() < 0.1:
            replica.flush()
        if rng.random() < 0.1:
            kill(replica)
            replica = reopen(replica.folder, clock)
        if rng.random() < 0.3:
            replica.tick()
    pull(master, replica)
    assert_same(replica, master)
    replica.close()
    replica = reopen(replica.folder, clock)
    assert_same(replica, master)
    replica.close()
    master.close()


def _change(rng: random.Random, master: StatStore, clock: FakeClock, step: int) -> None:
    """One of the things that happen to a store."""
    live = [id for id in range(len(master.engine.counters)) if master.engine.counters.has(id)]
    what = rng.random()
    if what < 0.6:
        clock.advance(rng.choice([0, 0, 1, 1, 20]))
        times = ["", f"{int(clock.now()) - rng.randrange(5000)} "]
        send(master, *(f"{rng.choice(['', '*ev.'])}name.{rng.randrange(8)} {rng.choice(times)}{rng.randrange(100)}"
                       for _ in range(rng.randrange(1, 6))))
    elif what < 0.7 and live:
        master.delete([rng.choice(live)])
    elif what < 0.8 and master.engine.deleted:
        master.undelete([rng.choice(list(master.engine.deleted))])
    elif what < 0.9 and live:
        master.rename([(rng.choice(live), b"moved.%d" % step)])
    elif what < 0.95:
        master.flush()
    elif what < 0.97:
        master.compact()


def test_a_frame_of_a_newer_istatd_is_not_taken(pair):
    _master, replica = pair
    before = contents(replica), replica.following.position
    with pytest.raises(NewerFormat, match="journal of the master"):
        replica.apply(records.put_counter(3, False, b"new") + records.put_escape(99, b"?"), NOW,
                      replace(before[1], offset=10 ** 6))
    assert (contents(replica), replica.following.position) == before


def test_what_cannot_be_the_masters_wants_a_copy_anew_even_after_a_restart(pair, clock):
    master, replica = pair
    payload = records.put_counter(3, False, b"new.one") + records.put_counter(0, False, b"this id has a name")
    with pytest.raises(Diverged, match="before byte 1000000"):
        replica.apply(payload, NOW, replace(replica.following.position, offset=10 ** 6))
    assert replica.following.position == Position(master.files.manifest.uuid, 0, 0, 0)
    replica.flush()
    kill(replica)
    again = reopen(replica.folder, clock)
    assert again.following.position == Position(master.files.manifest.uuid, 0, 0, 0)
    with pytest.raises(Diverged):
        again.apply(b"", NOW, Position(MASTER, 1, 1, 1))
    again.close()


def test_damage_in_its_own_journal_wants_a_copy_anew(pair, clock):
    master, replica = pair
    for number in range(5):
        send(master, f"one.{number} 1")
        master._written()
    pull(master, replica)
    kill(replica)
    path = max((replica.folder / "journal").glob("*.journal"))
    data = bytearray(path.read_bytes())
    data[journal.HEADER_BYTES + 30] ^= 1
    path.write_bytes(data)
    again = reopen(replica.folder, clock)
    assert not again.following.position.known
    again.close()


def test_after_a_repair_no_record_of_its_journal_makes_it_go_on(pair, clock):
    master, replica = pair
    send(master, "one.1 1")
    master._written()
    pull(master, replica)
    replica._written()
    kill(replica)
    state, _problem = manifest.load(replica.folder)
    manifest.save(replica.folder, replace(state, follows=Follows(state.follows.position.lost(), 0)))
    again = reopen(replica.folder, clock)
    assert again.following.position == Position(master.files.manifest.uuid, 0, 0, 0)
    again.close()


def test_a_torn_tail_of_its_own_journal_is_pulled_again(pair, clock):
    master, replica = pair
    for number in range(5):
        send(master, f"one.{number} 1")
        master._written()
    pull(master, replica)
    kill(replica)
    path = max((replica.folder / "journal").glob("*.journal"))
    path.write_bytes(path.read_bytes()[:-3])
    again = reopen(replica.folder, clock)
    assert again.following.position < replica.following.position
    pull(master, again)
    assert_same(again, master)
    again.close()


def test_nobody_else_changes_it(pair, clock):
    _master, replica = pair
    replica.close()
    with pytest.raises(StoreError, match="istat replica promote"):
        open_store(replica.folder, clock)
    with pytest.raises(StoreError, match="retention of its master"):
        StatStore.open(replica.folder, Rules(Ladder.parse("10s:2h")), clock, options=Options(replica=True))


def test_what_is_restored_from_its_backup_is_a_store_of_its_own(pair, clock, tmp_path):
    master, replica = pair
    send(master, "young.one 8")
    pull(master, replica)
    replica.flush()
    replica.close()
    backup.backup(replica.folder, tmp_path / "backup", clock, lambda _done, _total: None)
    backup.restore(tmp_path / "backup", tmp_path / "restored", lambda _done, _total: None)
    restored = open_store(tmp_path / "restored", clock)
    assert_same(restored, master)
    put(restored, "mine 1")
    assert restored.find(b"mine")
    restored.close()
