"""The loop works when something is due, and stops when it is told to."""
from __future__ import annotations

import threading

import pytest

from istat.cube.easy import loop as loops
from istat.cube.easy.loop import Loop


def test_it_works_when_it_is_due_until_it_is_stopped():
    worked, enough = [], threading.Event()

    def work():
        worked.append(threading.current_thread().name)
        if len(worked) == 3:
            enough.set()

    loop = Loop("a loop", lambda: 0.0, work)
    assert not loop.running
    loop.start()
    loop.start()
    assert loop.running
    assert enough.wait(10)
    assert loop.stop(10) is True
    count = len(worked)
    assert set(worked) == {"a loop"}
    assert not loop.running
    assert loop.stop(0) is True, "a second time"
    assert len(worked) == count


def test_what_is_not_due_is_not_done():
    worked = []
    loop = Loop("a loop", lambda: 5.0, lambda: worked.append(1))
    loop.start()
    assert loop.stop(10) is True
    assert worked == []


def test_the_work_may_stop_its_loop():
    stopped = threading.Event()

    def work():
        loop.stop(10)
        stopped.set()

    loop = Loop("a loop", lambda: 0.0, work)
    loop.start()
    assert stopped.wait(10)
    assert not loop.running


def test_work_that_takes_longer_than_the_patience_is_told():
    begun, go_on = threading.Event(), threading.Event()

    def work():
        begun.set()
        go_on.wait(10)

    loop = Loop("a loop", lambda: 0.0, work)
    loop.start()
    begun.wait(10)
    assert loop.stop(0.01) is False
    go_on.set()


def test_it_begins_anew_after_a_renewal():
    """As in a forked process: the thread of before, where it goes on as a greenlet does, ends by itself."""
    worked = threading.Event()
    loop = Loop("a loop", lambda: 0.0 if loop.running else 0.01, worked.set)
    loop.start()
    before = loop._thread
    loop.renew()
    before.join(10)
    assert not before.is_alive()
    worked.clear()
    loop.start()
    assert worked.wait(10)
    loop.stop(10)


@pytest.mark.parametrize("error", [MemoryError("no more"), SystemExit("no more"), GeneratorExit("no more")])
def test_work_that_fails_is_told_and_tried_again(error, monkeypatch, caplog):
    monkeypatch.setattr(loops, "AFTER_ERROR", 0.001)
    worked, again = [], threading.Event()

    def work():
        worked.append(1)
        if len(worked) < 3:
            raise error
        again.set()

    loop = Loop("a loop", lambda: 0.0, work)
    loop.start()
    assert again.wait(10)
    loop.stop(10)
    assert caplog.text.count(f"{type(error).__name__}: no more") == 2
