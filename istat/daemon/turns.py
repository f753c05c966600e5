"""Turns of those who wait, each household or client in its own: a thousand of one hold up another by one.

Knows greenlets; not what is done in a turn.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import gevent
from gevent.event import Event

T = TypeVar("T")


class Round(Generic[T]):
    """Those who wait, by whose they are; each of these in its turn."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[T]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, whose: str, waiter: T) -> None:
        """One more waits."""
        self._queues.setdefault(whose, deque()).append(waiter)
        self._size += 1

    def next(self) -> T:
        """The one whose turn it is; whose it is, is the last from now on."""
        whose, queue = self._queues.popitem(last=False)
        waiter = queue.popleft()
        self._size -= 1
        if queue:
            self._queues[whose] = queue
        return waiter

    def remove(self, whose: str, waiter: T) -> None:
        """It waits no more; nothing when its turn had come."""
        queue = self._queues.get(whose, ())
        if waiter in queue:
            self._queues[whose].remove(waiter)
            self._size -= 1
            if not queue:
                del self._queues[whose]


class Turns:
    """One at a time: `with turns.of(household)`, nobody else has a turn meanwhile."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: Round[Event] = Round()

    @contextmanager
    def of(self, whose: str) -> Iterator[None]:
        """Wait for a turn and have it. What is raised into the waiting greenlet, such as a time-out, gives it up."""
        if self._taken:
            self._wait(whose)
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    def _wait(self, whose: str) -> None:
        mine = Event()
        self._waiting.add(whose, mine)
        try:
            mine.wait()
        except BaseException:
            if mine.is_set():       # both at once: it is our turn, which we do not take
                self._pass_on()
            else:
                self._waiting.remove(whose, mine)
            raise

    def _pass_on(self) -> None:
        """The turn is over. It stays taken for the next, so that a newcomer does not come before."""
        self._taken = bool(self._waiting)
        if self._taken:
            self._waiting.next().set()


def turn_of_the_hub() -> None:
    """Let the hub poll all sockets once and run what is due.

    gevent.sleep(0) would not: callbacks that come back at once are run up to 50 times before sockets are looked
    at (measured: 140 ms for a request, instead of some 10). A timer of 0 s fires in the next iteration.
    """
    hub = gevent.get_hub()
    hub.wait(hub.loop.timer(0))
