"""What a store does not take leaves nothing behind: no counters, no routes, no names in the journal."""
from __future__ import annotations

from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat_server.store.interface import Batch, Fields
from istat_server.store.statstore import StatStore
from tests.store.harness import NOW, crash, open_store, rows


def accept(store: StatStore, *lines: str) -> list[str]:
    """Lines as an intake feeds them; the kinds of what is left."""
    text = "".join(f"{line}\n" for line in lines).encode()
    store.tick()
    return [one.kind for one in store.accept(memoryview(text), 0, len(text)).left]


@pytest.mark.parametrize("line", [f"ms {NOW * 1000} 1", "old 0 5", f"graphite.order 5 {NOW}", f"odd {NOW} 60 14 1 3 3",
                                  f"*soon {NOW + 11} 1", "x^a^b 5 1", f"Other^Spelling {NOW * 1000} 1", "a nan x"])
def test_a_refused_line_leaves_nothing(line: str, tmp_path: Path) -> None:
    store = open_store(tmp_path, FakeClock(NOW))
    assert accept(store, "other.spelling 1") == []
    store.engine.take_journal()
    names, routes = store.engine.take_names(), store.engine.routes.count()
    (kind,) = accept(store, line)
    assert store.totals().refused[kind] == (2 if "^a^b" in line else 1)
    assert (store.count(), store.engine.routes.count()) == (1, routes) and names
    assert store.engine.take_names() == b"" == store.engine.take_journal()
    store.close()


def test_a_counter_that_was_deleted_is_not_made_anew_by_a_refused_sample(tmp_path: Path) -> None:
    store = open_store(tmp_path, FakeClock(NOW))
    accept(store, "a 1", "x^a^b 1")
    store.delete([store.find(b"a").id, store.find(b"x.a").id])
    assert accept(store, "a 5 1", "x^a^b 5 1") == ["from_past", "from_past"]
    fields = Fields([1], [1.0], [0.0], [1.0], [1.0])
    assert store.accept_batch(Batch([b"a"], [5], fields)).left[0].kind == "from_past"
    assert store.count() == 1
    accept(store, "a 2")
    assert store.count() == 2
    store.close()


def test_what_some_counters_take_is_there_after_a_crash_and_the_others_come_later(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    store = open_store(tmp_path, clock)
    accept(store, "x.g 1")              # a gauge: it may be a minute ahead, events ten seconds
    assert accept(store, f"*x^g^e {NOW + 30} 5") == ["from_future"]
    assert store.count() == 1 and store.totals().refused["from_future"] == 1
    crash(store)
    store = open_store(tmp_path, clock)
    assert [row[:3] for row in rows(store, "x.g", 0)] == [(NOW, 1, 1.0), (NOW + 30, 1, 5.0)]
    assert accept(store, f"*x^g^e {NOW} 7") == []
    assert store.count() == 2
    assert [row[2] for row in rows(store, "x.g", 0)] == [8.0, 5.0]
    assert [row[2] for row in rows(store, "x.e", 0)] == [0.7]
    store.close()


def test_nan_is_refused_where_that_is_set(tmp_path: Path) -> None:
    store = open_store(tmp_path, FakeClock(NOW), refuse_nan=True)
    assert accept(store, "a nan", "a 1", "a nan", f"a {NOW} -NaN") == ["not_finite"] * 3
    assert [row[:3] for row in rows(store, "a", 0)] == [(NOW, 1, 1.0)]
    store.close()
    store = open_store(tmp_path, FakeClock(NOW))
    assert accept(store, "a nan") == []
    assert [row[:3] for row in rows(store, "a", 0)] == [(NOW, 2, 1.0)]
    store.close()
