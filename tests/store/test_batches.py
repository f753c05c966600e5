"""Batches with marks: what was answered is there once, whatever happens to the process and to the batch."""
from __future__ import annotations

import time
from pathlib import Path

import gevent
import pytest
from gevent.threadpool import ThreadPool

from istat.clock import FakeClock
from istat.errors import StoreError
from istat_server.store import batching
from istat_server.store.files import journal, manifest
from istat_server.store.interface import Accepted, Batch, Fields, Left, Mark, Question
from istat_server.store.offline import checking
from istat_server.store.statstore import StatStore
from istat_server.store.work import marks
from tests.store.harness import NOW, crash, open_store, put, rows

T = NOW - NOW % 600 - 600


def batch(sequence: int | None, *names: str, value: float = 1.0, interval: int = 0, sender: str = "web1",
          epoch: int = 1) -> Batch:
    count = len(names)
    fields = Fields([1] * count, [value] * count, [0.0] * count, [value] * count, [value] * count)
    mark = None if sequence is None else Mark(sender.encode(), epoch, sequence)
    return Batch([name.encode() for name in names], [T] * count, fields, interval, mark)


def counts(store: StatStore, name: str) -> list[int]:
    return [sum(row[1] for row in rows(store, name, level)) for level in range(3)]


@pytest.mark.parametrize("end", ["crash", "close", "flush and crash", "two flushes and crash"])
def test_a_batch_that_is_sent_again_counts_once_over_restarts(end: str, tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    store = open_store(tmp_path, clock)
    for sequence in (1, 2, 2, 1, 3):
        assert store.accept_batch(batch(sequence, "a.b", "x^p^q")) == Accepted(2)
    for _ in range(end.count("flush") + end.count("two")):
        store.flush()
        put(store, f"other {NOW} 1")
    if "crash" in end:
        crash(store)
    else:
        store.close()
    store = open_store(tmp_path, clock)
    assert counts(store, "a.b") == counts(store, "x.q") == [3, 3, 3]
    for sequence in (3, 1):
        assert store.accept_batch(batch(sequence, "a.b")) == Accepted(1)
    assert counts(store, "a.b") == [3, 3, 3]
    store.accept_batch(batch(4, "a.b"))
    store.accept_batch(batch(1, "a.b", epoch=2))            # another life of the sender
    store.accept_batch(batch(1, "a.b", sender="web2"))
    assert counts(store, "a.b") == [6, 6, 6]
    store.close()
    assert checking.check(tmp_path).findings == []


def test_what_was_answered_is_written_with_its_mark_in_one_frame(tmp_path: Path) -> None:
    store = open_store(tmp_path, FakeClock(NOW))
    store.accept_batch(batch(7, *(f"n{at}" for at in range(300)), interval=60))
    path = journal.segment_path(tmp_path / "journal", store.position().segment)
    frames = [bytes(payload) for _clock, payload in journal.read_segment(path, journal.Damage())]
    assert b"web1" in frames[-1] and b"n299" in frames[-1]
    assert store.position().offset == path.stat().st_size
    crash(store)
    path.write_bytes(path.read_bytes()[:-1])        # as power loss leaves it: neither rows nor mark are there
    store = open_store(tmp_path, FakeClock(NOW))
    assert store.find(b"n1") is None
    store.accept_batch(batch(7, "n1", interval=60))
    assert counts(store, "n1") == [0, 1, 1]
    store.close()


def test_rows_of_an_interval_lie_in_their_level_before_and_after_a_flush_and_a_crash(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    store = open_store(tmp_path, clock)
    store.accept_batch(batch(1, "g", "*e", value=6.0, interval=60))
    store.accept_batch(batch(2, "g", value=8.0, interval=600))
    put(store, f"h {T} 1")
    for _ in range(3):
        assert [rows(store, "g", level) for level in range(3)] == [
            [], [(T, 1, 6.0, 0.0, 6.0, 6.0)], [(T, 2, 14.0, 2.0, 6.0, 8.0)]]
        assert [len(rows(store, "e", level)) for level in range(3)] == [0, 1, 1]
        assert rows(store, "e", 1)[0][:3] == (T, 6, 0.6)
        (answer,) = store.read(Question((store.find(b"g").id,), T, T + 600, 0))
        assert answer.level == 1
        crash(store)
        store = open_store(tmp_path, clock)
        store.flush()
    assert {entry.kind for entry in store.files.manifest.files} >= {manifest.DIRECT}
    store.compact()
    assert counts(store, "g") == [0, 1, 2]
    store.close()


def test_each_cut_begins_a_segment_with_the_marks_and_senders_have_a_bound(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "MOST_MARKS", 3)
    clock = FakeClock(NOW)
    store = open_store(tmp_path, clock)
    for sender in ("a", "b", "c", "a", "d"):            # b was not heard for longest
        store.accept_batch(batch(len(store.marks) + 5, "x", sender=sender))
    assert store.status()["marks"] == 3 and store.status()["marks_forgotten"] == 1
    store.flush()
    segment = store.position().segment
    assert segment == store.files.manifest.replay_from
    crash(store)
    (frame,) = journal.read_segment(journal.segment_path(tmp_path / "journal", segment), journal.Damage())
    assert (b"a" in bytes(frame[1]), b"b" in bytes(frame[1])) == (True, False)
    store = open_store(tmp_path, clock)
    assert [store.marks.taken(sender, 1, 5) for sender in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    store.close()


def test_names_that_are_none_are_refused_and_bad_batches_are_errors(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path, FakeClock(NOW))
    names = ["ok", "two words", "#meta", "", "line\n", "*", "n" * 2000, "#meta"]
    accepted = store.accept_batch(batch(None, *names))
    assert accepted.used == 8
    assert sorted(left.kind for left in accepted.left) == [
        "bad_fields", "bad_fields", "bad_fields", "name_too_long", "no_name", "reserved"]
    assert Left("reserved", b"#meta") in accepted.left
    assert store.totals().refused["reserved"] == 2 and store.totals().refused["bad_fields"] == 3
    assert store.count() == 1
    monkeypatch.setattr(batching, "MOST_ROWS", 2)
    with pytest.raises(ValueError, match="at most 2 rows, not 3"):
        store.accept_batch(batch(1, "a", "b", "c"))
    for wrong in (Batch([b"a"], [T], Fields([1.5], [1], [0], [1], [1])), Batch([b"a"], [1 << 64], Fields(*[[1]] * 5)),
                  Batch([b"a"], [T], Fields(*[[1]] * 4, [])), batch(1, "a", sender=""), batch(-1, "a"),
                  batch(1, "a", interval=-1), batch(1, "a", interval=1 << 31)):
        with pytest.raises(ValueError):
            store.accept_batch(wrong)
    assert store.count() == 1
    store.close()


def test_nothing_is_taken_while_the_store_refuses(tmp_path: Path) -> None:
    store = open_store(tmp_path, FakeClock(NOW))
    store._problem = "the journal cannot be written"
    with pytest.raises(StoreError, match="no batch is taken now: the journal"):
        store.accept_batch(batch(1, "a"))
    store._problem = ""
    store.close()


def test_a_name_that_was_deleted_gets_a_new_counter(tmp_path: Path) -> None:
    store = open_store(tmp_path, FakeClock(NOW))
    store.accept_batch(batch(1, "a"))
    store.delete([store.find(b"a").id])
    assert store.accept_batch(batch(2, "a")) == Accepted(1)
    assert counts(store, "a") == [1, 1, 1]
    store.close()


def test_a_batch_does_not_overtake_one_of_its_sender_that_still_learns_its_names(tmp_path: Path) -> None:
    store = open_store(tmp_path, FakeClock(NOW))
    turns, later = ThreadPool(2), batch(2, "x")
    store._batching._pause = lambda: turns.apply(time.sleep, (0.001,))
    first = gevent.spawn(store.accept_batch, batch(1, "x", *(f"n{at}" for at in range(2000))))
    others = [gevent.spawn(store.accept_batch, one) for one in (later, later, batch(3, "x"), batch(1, "x"))]
    gevent.joinall([first, *others], raise_error=True)
    assert counts(store, "x") == [3, 3, 3] and counts(store, "n1999") == [1, 1, 1]
    assert not store._batching._turns
    turns.kill()
    store.close()
