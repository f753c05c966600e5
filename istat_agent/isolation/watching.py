"""Sees that the hub turns while foreign code runs in the process, and what is to be known of the process before.

    isolation = Isolation(folder, handed)             # verdicts of before, and of a crash
    with isolation.running(origin, stamp): ...        # in a thread: a foreign plugin is loaded, or read
    isolation.watch(seconds, keep)                    # the watchdog; a greenlet beats

When the hub has stood still, the agent is executed anew in its own process, with the same arguments and environment;
those that ran are isolated then: who it was cannot be known. The same is done with all foreign plugins in the process
when that has grown beyond all measure. Knows no collector, and no socket.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import gevent

from istat.daemon import service
from istat.kernels import watchdog
from istat_agent.isolation import anew, growth, guard
from istat_agent.isolation.marks import Marks, open_marks
from istat_agent.isolation.verdicts import Verdicts

log = logging.getLogger(__name__)

BEATS = 3  # of the hub in the time that it may stand still
TOLD = signal.SIGRTMIN + 7  # which says where all threads are; a number that libraries do not take
SPARE = 4  # descriptors that writing verdicts takes, with one or two to spare, when plugins have all others
STOOD_STILL = "the agent stood still while it ran"
CRASHED = "the agent ended by a crash while it ran"


class Isolation:
    """Marks, verdicts and the watchdog of this process."""

    def __init__(self, folder: str = "", handed: anew.Handed | None = None) -> None:
        """`folder`: the runtime folder, "" where there is none. What ran when the process before ended is isolated."""
        self.anew = handed is not None and handed.anew
        self.marks: Marks = open_marks(folder, handed.take("marks") if handed is not None else None)
        self.verdicts = Verdicts(folder, handed.take("verdicts") if handed is not None else None)
        if self.anew:
            from istat.running import keeper  # only now: else whoever runs something brings it

            _reap(keeper.children())
        self._watchdog: watchdog.Watchdog | None = None
        self._greenlets: list[gevent.Greenlet] = []
        self._here: dict[str, str] = {}  # foreign plugins that have run in this process, and their stamps
        self._handed_on: list[tuple[str, int]] = []
        self._spare: list[int] = []
        self._seconds = 0.0  # that the hub may stand still
        self._hub = gevent.get_hub()
        self._beginning = threading.Lock()
        self._watches = False
        self._folder = _folder()
        self.stood_still = self.marks.stood_still and self.anew
        for origin in self.marks.left:
            why = STOOD_STILL if self.stood_still else CRASHED
            self.verdicts.isolate(origin, why)
            log.error("%s is isolated from now on: %s%s", origin, why, self._others(origin))

    def _others(self, origin: str) -> str:
        others = [one for one in self.marks.left if one != origin]
        return f"; so did {', '.join(others)}, and who it was cannot be known" if others else ""

    def wait(self) -> bool:
        """Wait, so that an agent that stands still again and again takes no processor. False when told to end
        meanwhile. To be called before signals are heard."""
        pause = anew.pause(self.marks.anew)
        if not pause:
            return True
        service.watchdog()
        log.warning("waiting %g s, as the agent stood still %d times in a row", pause, self.marks.anew)
        return service.wait_for(pause)

    @contextmanager
    def running(self, origin: str, stamp: str) -> Iterator[None]:
        """In the `with`, this thread runs code of a foreign plugin. A PluginError says what it may not do here."""
        with self.marks.running(origin), guard.guarded(lambda why: self.verdicts.isolate(origin, why, stamp)):
            watched = self._watchdog
            if watched is not None:
                self._here[origin] = stamp
                self._begin(watched)
                watched.marked()
            yield

    def _begin(self, watched: watchdog.Watchdog) -> None:
        """Watch, with the first foreign plugin: without any nothing can hold the hub up, and beats cost a little."""
        with self._beginning:
            if not self._watches:
                self._watches = True
                self._spare = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(SPARE)]
                watched.start()
                self._hub.loop.run_callback_threadsafe(self._spawn, watched)

    def _spawn(self, watched: watchdog.Watchdog) -> None:
        if self._watchdog is watched:  # else it ends already
            self._greenlets = [gevent.spawn(self._beat, watched, self._seconds / BEATS), gevent.spawn(self._measure)]

    def watch(self, seconds: float, keep: Callable[[], Sequence[tuple[str, int]]] = tuple) -> None:
        """Watch when foreign plugins run: `seconds` are what the hub may stand still. `keep`: descriptors to hand on,
        by name. To be called when all that hears signals does."""
        descriptors = [("marks", self.marks.descriptor), *keep()]
        if self.verdicts.descriptor is not None:
            descriptors.append(("verdicts", self.verdicts.descriptor))
        self._handed_on = descriptors
        environment = {**os.environ, anew.VARIABLE: anew.told(descriptors)}
        faulthandler.register(TOLD, all_threads=True, file=sys.__stderr__ or sys.stderr)
        self._watchdog = watchdog.Watchdog(
            self.marks.memory, os.fsencode(sys.executable), [os.fsencode(word) for word in sys.orig_argv],
            [os.fsencode(f"{name}={value}") for name, value in environment.items()],
            [number for _, number in descriptors], self._folder, seconds, TOLD)
        self._seconds = seconds

    @staticmethod
    def _beat(watched: watchdog.Watchdog, pause: float) -> None:
        while True:
            watched.beat()
            gevent.sleep(pause)

    def _measure(self) -> None:
        while True:
            gevent.sleep(growth.LOOK_SECONDS)
            much = growth.grown() if self._here else ""
            if much:
                self._begin_anew(much)

    def _begin_anew(self, much: str) -> None:
        """Execute the agent anew, with all foreign plugins in children: whose it is cannot be known, and it may well
        be that of one that is no more."""
        here = list(self._here.items())     # threads add to it meanwhile
        self._here.clear()
        self._free_spare()
        why = f"the agent had {much}, and this is one of {len(here)} that may have done it"
        for origin, stamp in here:
            self.verdicts.isolate(origin, why, stamp)
            log.error("%s is isolated from now on: %s", origin, why)
        log.error("the agent begins anew in its own process, as it has %s", much)
        self.marks.clear()
        for _, number in self._handed_on:
            os.set_inheritable(number, True)
        with suppress(OSError):     # without the folder, what is named in full is found all the same
            os.fchdir(self._folder)
        environment = {**os.environ, anew.VARIABLE: anew.told(self._handed_on)}
        try:
            os.execve(sys.executable, sys.orig_argv, environment)
        except OSError as error:    # an upgrade has taken it away
            log.error("%s cannot be executed: %s; the agent goes on as it is, without them", sys.executable,
                      error.strerror)

    def _free_spare(self) -> None:
        spare, self._spare = self._spare, []
        for number in spare:
            os.close(number)

    def steady(self) -> None:
        """The agent has been up for a while: standing still would be the first time."""
        self.marks.steady()

    def stop(self) -> None:
        """The agent ends as it should: what still runs is no crash."""
        with self._beginning:
            self._watches = True  # whoever begins just now finds it so
            watched, self._watchdog = self._watchdog, None
        gevent.killall(self._greenlets)
        self._free_spare()
        if watched is not None:
            watched.stop()
        self.marks.clear()


def _folder() -> int:
    """The folder that relative names in our arguments are of; -1 where it is not ours to be in, since root was given
    up."""
    try:
        return os.open(".", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return -1


def _reap(children: Sequence[int]) -> None:
    """Wait, in a thread, for children of the life before: those end now, as their sockets are closed."""
    def wait() -> None:
        for child in children:
            with suppress(ChildProcessError):
                os.waitpid(child, 0)

    if children:
        threading.Thread(target=wait, name="reap", daemon=True).start()
