"""Calls functions in threads of the system, so that none can block the hub; one that is overdue is interrupted.

A thread cannot be killed. An exception can be raised in it, which ends what loops in Python, and what waits in C once
that returns. Knows nothing of collectors.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable
from typing import Protocol

import gevent
from gevent.event import AsyncResult
from gevent.lock import Semaphore
from gevent.threadpool import ThreadPool

from istat.errors import PluginError

MAX_THREADS = 64  # a thread costs about 100 kB; more jobs than that wait for each other
OF_ONE = 16  # of them that one plugin may have: it may be stuck in all of its own
OF_CHILD = 2  # one that waits for the child's answer, and one that waits for its turn

_raise = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise.argtypes = (ctypes.c_ulong, ctypes.py_object)
NOTHING = ctypes.py_object()  # NULL: takes back what was to be raised


class Running(Protocol):
    """A call that was started in a thread."""

    def ready(self) -> bool:
        """Whether it is over."""


class Overdue(BaseException):
    """Raised in a thread whose call is not waited for any more. No Exception, which plugins may catch and go on."""


class Late(Exception):
    """The deadline is over; `running` still runs, or never began (None). `interrupt()` raises Overdue in it."""

    def __init__(self, running: Running | None, interrupt: Callable[[], None] = lambda: None) -> None:
        super().__init__("deadline")
        self.running, self.interrupt = running, interrupt


class Call:
    """One call of a function in some thread, which can be interrupted as long as it lasts, and not a moment longer:
    the thread does other things then."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._thread: int | None = None
        self.abandoned = False  # nobody waits for it: it need not begin

    def run(self) -> BaseException | None:
        """Call it, in the thread where this is called; what it raised. SystemExit must not end the agent."""
        while True:
            try:
                error = self._guarded()
                break
            except Overdue:  # it came between two lines of ours
                continue
        return error

    def _guarded(self) -> BaseException | None:
        function, self._function = self._function, _nothing  # once, whatever interrupts us
        if self.abandoned:
            return None
        try:
            with self._lock:
                self._thread = threading.get_ident()
            function()
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; the caller gets it
            return error
        except SystemExit as error:
            return PluginError(f"called sys.exit({error.code!r})")
        except Overdue:
            return PluginError("was interrupted, since its deadline was over")
        except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt, and what a plugin derives from none of these
            return PluginError(f"raised {type(error).__name__}: {error}")
        finally:
            self._let_go()
        return None

    def _let_go(self) -> None:
        """No interruption from here on; one that was asked for and has not come yet is taken back."""
        while self._thread is not None:
            try:
                with self._lock:
                    _raise(threading.get_ident(), NOTHING)
                    self._thread = None
            except Overdue:
                continue

    def interrupt(self) -> None:
        """Raise Overdue in it, if it still runs."""
        with self._lock:
            if self._thread is not None:
                _raise(self._thread, Overdue)


def _nothing() -> None:
    """What is called of a call that has been made."""


class Threads:
    """A pool of threads."""

    def __init__(self, size: int = MAX_THREADS, spare: int = 0) -> None:
        """At most `size` threads at once; each is started when first needed, and kept. `spare`: as many more may take
        the place of those that do not come to an end."""
        self._pool = ThreadPool(size)
        self._spare = spare

    def of_one(self, most: int) -> Callable[[Callable[[], None], float], None]:
        """`call` for one that may have `most` of the threads at once; those in which it is stuck count."""
        return functools.partial(self.call, room=Semaphore(most))

    def call(self, function: Callable[[], None], timeout: float, room: Semaphore | None = None) -> None:
        """Wait for `function()` for `timeout` seconds. Raises what it raises, or Late. `room`: see `of_one`."""
        running, call = None, Call(function)
        with gevent.Timeout(timeout) as deadline:
            try:
                running = self._begun(call, room)
                error = running.get()
            except gevent.GreenletExit:  # who waits is ended: nobody else knows of the call
                call.abandoned = True
                call.interrupt()
                raise
            except gevent.Timeout as caught:
                if caught is not deadline:
                    raise
                call.abandoned = True
                self._replace(running)
                raise Late(running, call.interrupt) from None
        if error is not None:
            raise error

    def _begun(self, call: Call, room: Semaphore | None) -> AsyncResult:
        """The call in some thread, as soon as there is one for it."""
        if room is not None:
            room.acquire()
        try:
            # The function's error is its result: gevent would print a failed task's traceback.
            running = self._pool.spawn(call.run)
        except BaseException:
            if room is not None:
                room.release()
            raise
        if room is not None:
            running.rawlink(lambda done: room.release())
        return running

    def _replace(self, running: AsyncResult | None) -> None:
        """Have another thread, as long as this one does not come to an end."""
        if running is None or running.ready() or not self._spare:
            return
        self._spare -= 1
        self._pool.maxsize += 1
        running.rawlink(self._ended)

    def _ended(self, running: AsyncResult) -> None:
        self._spare += 1
        self._pool.maxsize -= 1
