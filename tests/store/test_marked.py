"""Lines of batches with marks: written in one frame with their mark, and there once whatever happens to the process."""
from __future__ import annotations

from pathlib import Path

import gevent
import pytest

from istat.clock import FakeClock
from istat_server.store.files import journal
from istat_server.store.interface import Mark, Marked
from istat_server.store.offline import checking
from istat_server.store.statstore import StatStore
from tests.store.harness import NOW, crash, open_store, put, rows

T = NOW - NOW % 600 - 600
A = bytes(range(16))


def take(store: StatStore, sequence: int, text: str, clock: int = T, interval: int = 0, epoch: int = 1) -> Marked:
    data = text.encode()
    return store.accept_marked(memoryview(data), 0, len(data), clock, interval, Mark(A, epoch, sequence))


def written(store: StatStore, ticket: int) -> None:
    """Wait until this is written."""
    with gevent.Timeout(10):
        while store.written < ticket:
            store.tick()
            gevent.sleep(0.005)


def counts(store: StatStore, name: str) -> list[int]:
    return [sum(row[1] for row in rows(store, name, level)) for level in range(3)]


@pytest.mark.parametrize("end", ["crash", "close", "flush and crash", "two flushes and crash"])
def test_what_is_written_is_known_over_restarts_and_what_is_not_is_taken_again(end: str, tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    store = open_store(tmp_path, clock)
    last = [take(store, sequence, f"a.b {sequence}\nx^p^q 1\n") for sequence in (1, 2, 2, 5)][-1]
    written(store, last.ticket)
    for _ in range(end.count("flush") + end.count("two")):
        store.flush()
        put(store, f"other {NOW} 1")
    if "crash" in end:
        crash(store)
    else:
        store.close()
    store = open_store(tmp_path, clock)
    assert store.last_sequence(A, 1) == 5 and store.last_sequence(A, 2) == 0
    assert store.knows((A, 1, 5)) and not store.knows((A, 1, 6)) and not store.knows((A, 2, 1))
    assert counts(store, "a.b") == counts(store, "x.q") == [3, 3, 3]
    assert rows(store, "a.b", 0)[0][0] == T
    take(store, 5, "a.b 1\n")
    take(store, 6, "a.b 1\n")
    assert counts(store, "a.b") == [4, 4, 4]
    store.close()
    assert checking.check(tmp_path).findings == []


def test_a_ticket_is_not_reached_before_its_frame_is_written(tmp_path: Path) -> None:
    store = open_store(tmp_path, FakeClock(NOW))
    before = store.ticket
    assert store.written == before
    marked = take(store, 1, "a 1\n")
    assert marked.ticket == store.ticket == before + 1
    gevent.sleep(0.02)
    assert store.written == before          # nobody has handed it over
    written(store, marked.ticket)
    assert store.ticket == marked.ticket == store.written
    take(store, 2, "a 1\n")
    store._journal.close()      # a kill before it is handed over
    store._lock.close()
    again = open_store(tmp_path, FakeClock(NOW))
    assert again.last_sequence(A, 1) == 1
    take(again, 2, "a 1\n")
    assert counts(again, "a") == [2, 2, 2]
    again.close()


def test_rows_and_mark_are_in_one_frame(tmp_path: Path) -> None:
    """Whatever else comes, and is handed over, meanwhile."""
    store = open_store(tmp_path, FakeClock(NOW))
    last = 0
    for sequence in range(1, 40):
        put(store, f"other.{sequence} {NOW} 1")
        last = take(store, sequence, "".join(f"n.{sequence}.{i} 1\n" for i in range(50))).ticket
        if sequence % 3 == 0:
            store.tick()
    written(store, last)
    crash(store)
    engine, seen = open_store(tmp_path / "empty", FakeClock(NOW)).engine, 0
    for path in sorted((tmp_path / "journal").glob("*.journal")):
        for _clock, payload in journal.read_segment(path, journal.Damage()):
            engine.replay(payload)
            seen = max([seen, *(sequence for _sender, _epoch, sequence in engine.take_marks())])
            assert engine.counters.find(b"n.%d.0" % (seen + 1)) < 0
            assert not seen or engine.counters.find(b"n.%d.49" % seen) >= 0
    assert seen == 39


def test_lines_of_seven_words_keep_their_interval_over_a_crash(tmp_path: Path) -> None:
    store = open_store(tmp_path, FakeClock(NOW))
    text = f"g {T} 4 10 1 3 2\nnew {T} 4 10 1 3 2\ng 1\n*e {T} 30 0 0 0 1\n"
    marked = take(store, 1, text * 2, interval=60)
    assert marked.refused == 0
    put(store, f"g {T} 5")
    before = [rows(store, name, level) for name in ("g", "new", "e") for level in range(3)]
    assert [len(one) for one in before[3:6]] == [0, 1, 1]
    assert before[0][0][1] == 3
    written(store, store.ticket)
    crash(store)
    store = open_store(tmp_path, FakeClock(NOW))
    assert [rows(store, name, level) for name in ("g", "new", "e") for level in range(3)] == before
    store.close()


def test_the_stores_own_clock_is_back_after_a_batch(tmp_path: Path) -> None:
    store = open_store(tmp_path, FakeClock(NOW))
    take(store, 1, "a 1\nbad\n", clock=T)
    with pytest.raises(ValueError):
        take(store, 2, "a 1\n", interval=1 << 31)
    put(store, "a 2")
    assert [row[0] for row in rows(store, "a", 0)] == [T, NOW - NOW % 10]
    assert store.last_sequence(A, 1) == 1
    store.close()


def test_many_new_names_are_learnt_with_turns_in_between(tmp_path: Path) -> None:
    """And nothing else: what will be refused is not, and nothing is counted before the batch is taken."""
    store = open_store(tmp_path, FakeClock(NOW))
    good = "".join(f"n.{i} 1\n" for i in range(2000))
    bad = f"old 5 1\nhalf^a {NOW} x\n#key value\n\n* 1\nold.{T} 5 4 1 1 1 1\n"
    text = (good + bad + good + "last 1\n").encode()
    before = store.totals()
    turns = [store.count() for _ in store.prepare(text, T, 0)]
    assert turns == [500, 1000, 1500, 2000]
    assert store.count() == 2001 and store.totals() == before and store.last_sequence(A, 1) == 0
    marked = take(store, 1, text.decode(), clock=T)
    assert marked.refused == 4 and store.count() == 2001
    assert counts(store, "n.1999") == [2, 2, 2]
    store.close()


def test_few_new_names_or_none_need_no_turns(tmp_path: Path) -> None:
    store = open_store(tmp_path, FakeClock(NOW))
    assert list(store.prepare(b"".join(b"few.%d 1\n" % i for i in range(500)), NOW, 0)) == []
    assert store.count() == 0
    many = "".join(f"n.{i} 1\n" for i in range(4096))
    take(store, 1, many)
    assert list(store.prepare(many.encode(), NOW, 0)) == []
    store.close()
