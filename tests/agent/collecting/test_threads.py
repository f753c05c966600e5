"""Functions in threads: what is overdue is interrupted, and nothing else is."""

import threading
import time
from collections.abc import Callable

import gevent
import pytest

from istat.errors import PluginError
from istat_agent.collecting.threads import Call, Late, Threads


class Own(BaseException):
    """What no `except Exception` catches."""


def late(threads: Threads, function: Callable[[], None]) -> Late:
    with pytest.raises(Late) as caught:
        threads.call(function, 0.05)
    return caught.value


def over(found: Late) -> None:
    assert found.running is not None
    with gevent.Timeout(10):
        while not found.running.ready():
            gevent.sleep(0.005)


def test_a_loop_that_catches_all_exceptions_is_ended() -> None:
    def loop() -> None:
        while True:
            try:
                time.sleep(0.001)
            except Exception:  # noqa: BLE001, S110 - what plugins do
                pass

    threads = Threads(1)
    found = late(threads, loop)
    found.interrupt()
    over(found)
    threads.call(lambda: None, 5.0)     # the thread is fit for others


def test_what_waits_in_c_is_ended_when_that_returns() -> None:
    released, seen = threading.Event(), []

    def wait() -> None:
        released.wait(10)
        seen.append("went on")

    found = late(Threads(1), wait)
    found.interrupt()
    released.set()
    over(found)
    assert seen == []


def test_an_interruption_that_comes_too_late_meets_nobody() -> None:
    threads, released = Threads(1), threading.Event()
    found = late(threads, lambda: released.wait(10) and None)
    released.set()
    over(found)
    found.interrupt()
    for _ in range(1000):
        threads.call(lambda: None, 5.0)


def test_interruptions_at_any_moment_hurt_only_the_call() -> None:
    """An exception that was asked for in the last moment must not come in what the thread does next."""
    stop, calls, faults = threading.Event(), [Call(lambda: None)], []

    def interrupting() -> None:
        while not stop.is_set():
            calls[-1].interrupt()

    other = threading.Thread(target=interrupting)
    other.start()
    try:
        for _ in range(3000):
            call = Call(lambda: sum(range(20)) and None)
            calls.append(call)
            error = call.run()
            if not (error is None or isinstance(error, PluginError)):
                faults.append(error)
            sum(range(50))  # what the thread does next
    finally:
        stop.set()
        other.join()
    assert faults == []


def test_what_has_not_begun_when_its_deadline_is_over_never_does() -> None:
    threads, released, done = Threads(1), threading.Event(), []
    first = late(threads, lambda: released.wait(10) and None)
    second = late(threads, lambda: done.append(1))
    released.set()
    over(first)
    over(second)
    threads.call(lambda: None, 5.0)
    assert done == []


@pytest.mark.parametrize(("error", "told"), [(SystemExit(3), r"called sys.exit\(3\)"),
                                             (KeyboardInterrupt(), "raised KeyboardInterrupt"),
                                             (Own("whatever"), "raised Own: whatever")])
def test_what_would_end_the_agent_is_an_error(error: BaseException, told: str) -> None:
    def leave() -> None:
        raise error

    with pytest.raises(PluginError, match=told):
        Threads(1).call(leave, 5.0)


def test_one_that_is_stuck_in_all_of_its_threads_leaves_the_others_alone() -> None:
    threads, released, done = Threads(3), threading.Event(), []
    stuck = threads.of_one(2)
    running = []
    for _ in range(4):
        with pytest.raises(Late) as caught:
            stuck(lambda: released.wait(10) and None, 0.05)
        running.append(caught.value)
    assert [one.running is not None for one in running] == [True, True, False, False]
    threads.of_one(2)(lambda: done.append("another"), 5.0)
    released.set()
    over(running[0])
    stuck(lambda: done.append("it again"), 5.0)
    assert done == ["another", "it again"]


def test_threads_that_are_stuck_are_replaced_as_long_as_they_are() -> None:
    threads, released, done = Threads(1, spare=2), threading.Event(), []
    first = late(threads, lambda: released.wait(10) and None)
    second = late(threads, lambda: released.wait(10) and None)
    threads.call(lambda: done.append("goes on"), 5.0)
    third = late(threads, lambda: released.wait(10) and None)
    late(threads, lambda: done.append("more of them than was said"))
    released.set()
    for one in (first, second, third):
        over(one)
    gevent.sleep(0.01)
    first = late(threads, lambda: time.sleep(0.2))
    threads.call(lambda: done.append("goes on"), 5.0)
    over(first)
    assert done == ["goes on"] * 2
