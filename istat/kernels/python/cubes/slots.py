"""A slot for each thread: what its writes go to, and a standby that a collector swaps in. It knows no cubes, no
metrics.

A `Write` is what a program calls. It finds the calling thread's slot, and there the call that is meant: number N of the
active side, such as the `incrby` of a counter. A collector exchanges the two sides between two writes, and then has the
former one for itself. If it comes in the midst of a write, the thread exchanges them itself when that is done: one that
writes all the time would hardly ever be met between two. So a thread that writes never waits for another one that
writes, and for the collector at most while it exchanges two pointers.

A write can begin in the midst of another one of the same thread: in a signal handler, in a finalizer, in a greenlet. It
is put off until the other one is done.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

Call = Callable[..., Any]


def original(module: str, name: str) -> Any:
    """The interpreter's own, where gevent has put its own in its place: greenlets of a thread share a slot."""
    patches = sys.modules.get("gevent.monkey")
    return patches.get_original(module, name) if patches else getattr(sys.modules[module], name)


class Slot:
    """One thread's. `active` and `standby` are whatever the owner of the slots made."""

    def __init__(self, active: Any, standby: Any) -> None:
        self.active, self.standby = active, standby
        self.busy = False           # a write of the slot's thread is under way; only that thread sets it
        self.ended = False          # its thread is no more
        self._calls: list[Call | None] = []             # of the active side, by number
        self._standby_calls: list[Call | None] = []
        self._put_off: list[tuple[Write, tuple[Any, ...], dict[str, Any]]] = []
        self._asked = self._done = False    # for an exchange by the slot's thread, which has been made
        self._lock = original("_thread", "allocate_lock")()     # for exchanges alone

    @property
    def waiting(self) -> bool:
        """Whether a `swap` was asked for that has not returned True yet: the sides may be exchanged at any moment."""
        return self._asked or self._done

    def swap(self) -> bool:
        """Exchange the sides, for a collector. False while a write is under way: the sides are exchanged after it, and
        the next calls tell when that has happened."""
        with self._lock:
            if not self._done:
                if self.busy:
                    self._asked = True
                    return False
                self._exchange()
            self._asked = self._done = False
            return True

    def leave(self) -> None:
        """A write is done."""
        with self._lock:
            if self._asked:
                self._exchange()
                self._asked, self._done = False, True
        self.busy = False

    def _exchange(self) -> None:
        self.active, self.standby = self.standby, self.active
        self._calls, self._standby_calls = self._standby_calls, self._calls

    def forget(self) -> None:
        """Calls may lead nowhere any more: those of both sides are looked for at their next use."""
        self._calls, self._standby_calls = [], []

    def call(self, slots: Slots, number: int) -> Call:
        """What a number means on the active side."""
        known = self._calls[number] if number < len(self._calls) else None
        if known is not None:
            return known
        found = slots.resolve(self, number)     # which may forget
        self._calls += [None] * (number + 1 - len(self._calls))
        self._calls[number] = found
        return found


class Owner:
    """Lies in a thread's own memory, which goes when the thread ends."""

    def __init__(self, slot: Slot) -> None:
        self.slot = slot

    def __del__(self) -> None:
        self.slot.ended = True


class Slots:
    """The slots of all threads that have written."""

    def __init__(
        self,
        make: Callable[[], Slot],
        resolve: Callable[[Slot, int], Call],
        failed: Callable[[Exception], object],
    ) -> None:
        """make: a slot for the calling thread. resolve: the call of a number on a slot's active side. failed: is told
        what a write raised that had been put off; who called it has gone on."""
        self.make, self.resolve, self.failed = make, resolve, failed
        self.renew()

    def renew(self) -> list[Slot]:
        """Begin anew without a slot, as in a process that was forked: the slots that there were."""
        before = getattr(self, "all", [])
        self.all: list[Slot] = []
        self._own = original("_thread", "_local")()
        return before

    def mine(self) -> Slot:
        """The calling thread's slot."""
        owner: Owner | None = getattr(self._own, "owner", None)
        if owner is None:
            owner = self._own.owner = Owner(self.make())
            self.all.append(owner.slot)
        return owner.slot

    def remove(self, slot: Slot) -> None:
        """Of a thread that has ended."""
        self.all.remove(slot)


class Write:
    """A call that goes to the slot of the thread that calls."""

    def __init__(self, slots: Slots, number: int) -> None:
        if number < 0:
            raise ValueError("calls are numbered from 0 on")
        self._slots, self._number = slots, number

    def __call__(self, *args: Any, **named: Any) -> Any:
        """What the call returns; True for one that was put off."""
        slot = self._slots.mine()
        if slot.busy:
            slot._put_off.append((self, args, named))
            return True
        slot.busy = True        # before the lock: a signal handler may come between the two
        try:
            with slot._lock:    # an exchange that has begun is finished
                pass
            return slot.call(self._slots, self._number)(*args, **named)
        finally:
            slot.leave()
            if slot._put_off:
                self._catch_up(slot)

    def _catch_up(self, slot: Slot) -> None:
        """Do what was put off."""
        while slot._put_off:
            write, args, named = slot._put_off.pop(0)
            try:
                write(*args, **named)
            except Exception as error:  # noqa: BLE001 - its caller has gone on, and this one has done nothing wrong
                self._slots.failed(error)
