"""Work that is done again and again, in a thread of its own. Knows nothing of what the work is.

The thread is one of `threading`: where gevent has patched that, it is a greenlet, and waits as greenlets do.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

# [s] It looks at the clock at least so often: while the machine sleeps, the time that a thread waits does not pass.
LOOK_AGAIN = 30.0
AFTER_ERROR = 1.0       # [s] between two attempts at work that fails: it may be due all the time


class Loop:
    """Does the work whenever it is due. The thread is a daemon: it keeps no program from ending."""

    def __init__(self, name: str, remaining: Callable[[], float], work: Callable[[], object]) -> None:
        """remaining: seconds until the work is due. What the work raises is logged, and it is tried again."""
        self._name, self._remaining, self._work = name, remaining, work
        self.renew()

    def renew(self) -> None:
        """No thread runs: so it is in a process that was forked. A greenlet of the parent's that goes on there
        ends."""
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    @property
    def running(self) -> bool:
        """Whether it was started, and not stopped."""
        return self._thread is not None

    def start(self) -> None:
        """Begin; nothing happens if it has."""
        if self._thread is None:
            self._stopped = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._stopped,), name=self._name, daemon=True)
            self._thread.start()

    def stop(self, patience: float) -> bool:
        """End after the work that is being done, waiting so many seconds for it. Whether it has ended."""
        thread, self._thread = self._thread, None
        self._stopped.set()
        if thread is None or thread is threading.current_thread():      # the work itself may end the loop
            return True
        thread.join(patience)
        return not thread.is_alive()

    def _run(self, stopped: threading.Event) -> None:
        while self._stopped is stopped and not stopped.wait(min(self._remaining(), LOOK_AGAIN)):
            if self._stopped is stopped and self._remaining() <= 0 and not self._worked():
                stopped.wait(AFTER_ERROR)

    def _worked(self) -> bool:
        try:
            self._work()
        except BaseException as error:  # such as gevent.Timeout, or sys.exit in a sink: the thread must not end, unseen
            if _kills(error):
                raise
            log.exception("work of the thread %s failed, and is tried again", self._name)
            return False
        return True


def _kills(error: BaseException) -> bool:
    """Whether somebody ends the greenlet, and waits until it has ended."""
    greenlet = sys.modules.get("greenlet")
    return greenlet is not None and isinstance(error, greenlet.GreenletExit)
