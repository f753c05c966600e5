"""What happens to all that collects when the process is forked or ends. Knows nothing of what is collected.

Objects are held weakly. A process that was forked hears so in `after_fork`, and must not report what its parent will.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from typing import Protocol


class Lasting(Protocol):
    """What wants to hear of forks and of the end."""

    def before_fork(self) -> None:
        """Finish what a child could not go on from; no lock may be held by another thread."""

    def after_fork(self, child: bool) -> None:
        """The process was forked."""

    def at_exit(self) -> None:
        """The interpreter ends: the last moment to hand over what there is."""


_all: weakref.WeakSet[Lasting] = weakref.WeakSet()
_asked: list[Lasting] = []      # before the fork that is being made
_forking = threading.RLock()    # one fork at a time


def watch(one: Lasting) -> None:
    """Tell it of forks and of the end, for as long as it lives."""
    _all.add(one)


def watch_child(one: Lasting) -> None:
    """In a process that was forked: tell it of the end also where the process ends without the interpreter's usual
    steps, as children of multiprocessing do."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(one, _end, args=(weakref.ref(one),), exitpriority=0)


def _end(of: weakref.ref[Lasting]) -> None:
    one = of()
    if one is not None:
        one.at_exit()


def _before() -> None:
    _forking.acquire()
    _asked[:] = _all
    for one in _asked:
        one.before_fork()


def _after(child: bool) -> None:
    try:
        for one in _asked:
            one.after_fork(child)
    finally:
        _asked.clear()
        _forking.release()      # in a child as well: the thread that forked is the one that holds it


def _exit() -> None:
    for one in list(_all):
        one.at_exit()


os.register_at_fork(before=_before, after_in_parent=lambda: _after(False), after_in_child=lambda: _after(True))
atexit.register(_exit)
