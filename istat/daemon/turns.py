"""One at a time, and of those that wait each address in turn: a thousand from one address hold up another by one.

Knows greenlets; not what is done in a turn.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from gevent.event import Event


class Turns:
    """`with turns.of(address)`: nobody else has a turn meanwhile."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: OrderedDict[str, deque[Event]] = OrderedDict()   # by address, whose turn comes first in front

    @contextmanager
    def of(self, address: str) -> Iterator[None]:
        """Wait for a turn and have it. What is raised into the waiting greenlet, such as a time-out, gives it up."""
        if self._taken:
            self._wait(address)
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    def _wait(self, address: str) -> None:
        mine = Event()
        self._waiting.setdefault(address, deque()).append(mine)
        try:
            mine.wait()
        except BaseException:
            if mine.is_set():       # both at once: it is our turn, which we do not take
                self._pass_on()
            else:
                self._forget(address, mine)
            raise

    def _pass_on(self) -> None:
        """The turn is over. It stays taken for the next, so that a newcomer does not come before."""
        self._taken = bool(self._waiting)
        if not self._taken:
            return
        address, waiting = self._waiting.popitem(last=False)
        waiting.popleft().set()
        if waiting:
            self._waiting[address] = waiting    # behind the others

    def _forget(self, address: str, mine: Event) -> None:
        waiting = self._waiting[address]
        waiting.remove(mine)
        if not waiting:
            del self._waiting[address]
