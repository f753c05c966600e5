"""Threads: what is given is used, also where it is empty."""
from __future__ import annotations

import threading

import gevent
import pytest
from gevent.threadpool import ThreadPool

from istat.clock import FakeClock
from istat_server.store.options import Options
from istat_server.store.pool import Delivering, InlinePool, given
from istat_server.store.statstore import StatStore
from tests.store.harness import LADDER, NOW, put, rows


def test_an_idle_pool_of_threads_is_used():
    idle = ThreadPool(1)
    assert not idle         # which is why nobody may ask for its truth
    assert given(idle) is idle
    assert given(None, idle) is idle
    assert isinstance(given(None), InlinePool)


@pytest.mark.parametrize("wait", ["apply", "spawn"])
def test_what_a_call_raises_is_told_to_who_waits_and_is_no_fault(monkeypatch, wait):
    told = []
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda *error: told.append(error))
    pool = Delivering(ThreadPool(1))

    def refuse(what):
        raise OSError(what)

    with pytest.raises(OSError, match="full"):
        pool.apply(refuse, ("full",)) if wait == "apply" else pool.spawn(refuse, "full").get()
    assert told == []
    assert (pool.apply(max, (1, 2)), pool.spawn(max, 1, 2).get()) == (2, 2)


def test_a_head_is_written_and_files_are_merged_in_threads(tmp_path, monkeypatch):
    pools = [ThreadPool(1) for _ in range(3)]
    store = StatStore.open(tmp_path, LADDER, FakeClock(NOW), pools[0], pools[1], Options(key=1), pools[2])
    seen = {}
    for part, name in ((store.flushing, "_write"), (store.housekeeping, "do")):
        whole = getattr(part, name)

        def spied(*args, name=name, whole=whole):
            seen[name] = threading.get_ident()
            return whole(*args)

        monkeypatch.setattr(part, name, spied)
    for _ in range(3):
        put(store, "a 1")
        store.flush()
    store.compact()
    assert len({*seen.values(), threading.get_ident()}) == 3
    store.close()


def test_a_head_frozen_while_a_thread_commits_is_shown_with_all_files(tmp_path, monkeypatch):
    store = StatStore.open(tmp_path, LADDER, FakeClock(NOW), options=Options(key=1))
    for value in (1, 2):
        put(store, f"a {NOW} {value}")
        store.flush()
    show, seen = store.files._show, []

    def spied(*args):       # what the hub may do between any two steps of the thread
        store.files.freeze({})
        seen.append(rows(store, "a", 0))
        return show(*args)

    monkeypatch.setattr(store.files, "_show", spied)
    store.housekeeping.compact()
    assert [found[0][1:3] for found in seen] == [(2, 3.0)] * len(seen) != []
    store.close()


def test_a_head_is_written_once_when_its_thread_is_long_in_coming(tmp_path):
    only, may_go_on = ThreadPool(1), threading.Event()
    store = StatStore.open(tmp_path, LADDER, FakeClock(NOW), ThreadPool(2), only, Options(key=1))
    put(store, f"a {NOW} 1")
    for _ in range(2):          # one that runs and one in its queue; who comes then must wait
        only.spawn(may_go_on.wait)
    cutting = gevent.spawn(store._cut)
    gevent.sleep(0)
    ticking = gevent.spawn(store.flushing.tick)
    gevent.sleep(0)
    may_go_on.set()
    gevent.joinall([cutting, ticking], raise_error=True)
    store.flush()
    assert rows(store, "a", 0) == [(NOW, 1, 1.0, 0.0, 1.0, 1.0)]
    store.close()


def test_a_job_that_fails_at_the_end_keeps_neither_journal_nor_lock_from_being_let_go(tmp_path, monkeypatch):
    store = StatStore.open(tmp_path, LADDER, FakeClock(NOW), options=Options(key=1))
    put(store, "a 1")

    def fail():
        raise RuntimeError("a fault in a job")

    monkeypatch.setattr(store.housekeeping, "close", fail)
    with pytest.raises(RuntimeError, match="a fault in a job"):
        store.close()
    again = StatStore.open(tmp_path, LADDER, FakeClock(NOW), options=Options(key=1))
    assert again.count() == 1
    again.close()
