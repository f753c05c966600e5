"""What `Easy` and `Collector` have in common: something is gathered, and a frame of it goes to a sink at each edge.

A frame is an `Instance`. Frames of one collecting object have its identity and are numbered from 0 on, so that whoever
adds them up can tell one that comes twice. Knows nothing of threads' slots, nor of frames from elsewhere.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from istat.clock import Clock, SystemClock
from istat.cube.easy import lifetime
from istat.cube.easy.delivery import Delivery
from istat.cube.easy.edges import Edges, nanoseconds
from istat.cube.easy.loop import Loop
from istat.cube.instance import ID_BYTES, Instance

log = logging.getLogger(__name__)

OUTPUTS = ("delta", "cumulative")
PATIENCE = 5.0          # [s] for the loop and for the sink, when the program ends
FORK_PATIENCE = 1.0     # [s] for what is being gathered, when the process is forked

Sink = Callable[[Instance], object]


class Collecting:
    """Base of both. Their methods may be called by any thread."""

    def __init__(self, interval: float, output: str, sink: Sink | None, align: bool, clock: Clock | None,
                 backlog: int) -> None:
        if output not in OUTPUTS:
            raise ValueError(f"output is one of {', '.join(OUTPUTS)}, not {output!r}")
        if sink is not None and not callable(sink):
            raise TypeError(f"a sink is called with each frame, which {sink!r} cannot be")
        self._delta = output == "delta"
        self._clock = clock or SystemClock()
        self._edges = Edges(interval, align, self._clock)
        self._delivery = Delivery(sink, backlog, newest_only=not self._delta)
        self._has_sink = sink is not None
        self._loop = Loop("istat-cubes", self._edges.remaining, self.collect)
        self._tick = 0
        self._begin()
        lifetime.watch(self)

    def _begin(self) -> None:
        """As somebody new, with nothing yet."""
        self._merging = threading.RLock()       # held by who touches the total
        self._held = False                      # by a fork that is being made
        self._forked = self._resume = False     # what the first thing that comes is to do, see _something_comes
        self._id, self._sequence = os.urandom(ID_BYTES), 0
        self._since = nanoseconds(self._clock.now())
        self._news = False                      # something came since the last frame
        self._total = self._empty()

    @property
    def _state(self) -> str:
        """For its repr."""
        when = f"every {self._edges.interval:g} s" if self._loop.running else "not started"
        return f"{'delta' if self._delta else 'cumulative'}, {when}"

    # What the two differ in.

    def _empty(self) -> Instance:
        """What is gathered into."""
        raise NotImplementedError

    def _gather(self) -> None:
        """Bring what came into the total."""

    def _covers(self, total: Instance, begun: int, end: int) -> None:
        """Set the time that a frame covers."""
        total.t0, total.t1 = begun, end

    # For all.

    def start(self) -> Self:
        """Begin to hand over a frame at each edge, in a thread (or greenlet) of its own."""
        self._loop.start()
        return self

    def stop(self, patience: float = PATIENCE) -> bool:
        """End the thread and hand over what there is. Whether the sink has taken it all: after so many seconds, and
        after an error of the sink, frames are left; the log tells of them. `collect` or `start` may still hand them
        over, and what comes after this.
        """
        running = self._loop.running
        self._resume = False
        if not self._loop.stop(patience):
            log.warning("cubes are being collected for more than %g s: no longer waited for", patience)
        taken = self._collect(patience, always=running)
        if taken and self._news:        # what the frame had no place for
            taken = self._collect(patience, always=False)
        if not taken and self._has_sink:
            error = self._delivery.error
            log.error("%d frames of cubes were not taken by their sink: %r", self._delivery.waiting, error)
        return taken

    def collect(self) -> bool:
        """Make a frame now, and hand it over; the loop does so at each edge. Whether the sink has taken all."""
        return self._collect()

    def _collect(self, patience: float = -1, always: bool = True) -> bool:
        if self._delivery.in_sink:      # each frame would make another one
            return False
        works = not self._delivery.waiting or self._delivery.run(patience)
        with self._merging:
            self._next_tick()
            self._gather()
            if always or self._news:
                self._cut()
        return works and self._delivery.run(patience)

    def _next_tick(self) -> None:
        """The stamp of gauges that are set from now on: later than all before, also when the clock was set back."""
        self._tick = max(self._tick + 1, nanoseconds(self._clock.now()))

    def _cut(self) -> None:
        """A frame ends here, and is put on its way. Without a sink, or without room for it, nothing is taken out of
        what was gathered: then the next frame covers the time of both."""
        begun, end = self._edges.cut()
        if self._delivery.full or not self._has_sink:
            return
        begun = min(begun, self._since)
        if self._delta:
            frame, self._total, self._since = self._total, self._empty(), end
        else:
            frame = copied(self._total)
        self._sign(frame, begun, end)
        self._sequence += 1
        self._news = False
        self._delivery.put(frame)

    def _sign(self, frame: Instance, begun: int, end: int) -> None:
        frame.identify(self._id, frame.boot_id)
        frame.sequence, frame.delta, frame.tick = self._sequence, self._delta, self._tick
        self._covers(frame, min(begun, end), end)

    def snapshot(self) -> Instance:
        """A copy of what was counted till now: since the start, or (delta) since the last frame. For exporters that
        are asked from outside. It has an identity of its own, and is no frame."""
        with self._merging:
            self._next_tick()
            self._gather()
            copy = copied(self._total)
            now = nanoseconds(self._clock.now())
            copy.delta, copy.tick = self._delta, self._tick
            self._covers(copy, min(self._since, now), now)
            return copy

    def stats(self) -> dict[str, Any]:
        """How it goes: frames that the sink took and that wait for it, how often it failed, and its last error."""
        return {
            "delivered": self._delivery.delivered, "waiting": self._delivery.waiting,
            "failures": self._delivery.failures, "error": self._delivery.error,
        }  # fmt: skip

    # Forks, and the end.

    def before_fork(self) -> None:
        """See lifetime.Lasting."""
        self._held = self._merging.acquire(timeout=FORK_PATIENCE)

    def after_fork(self, child: bool) -> None:
        """See lifetime.Lasting. What was gathered is the parent's business."""
        if child:
            resume = self._loop.running or self._resume
            self._loop.renew()
            self._delivery.renew()
            self._edges.begin()
            self._begin()
            self._forked, self._resume = True, resume
        elif self._held:
            self._held = False
            self._merging.release()

    def at_exit(self) -> None:
        """See lifetime.Lasting."""
        self.stop()

    def _something_comes(self) -> None:
        """In a process that was forked, what comes first starts the loop: many a child only runs another program."""
        if self._forked:
            self._forked = False
            lifetime.watch_child(self)
        if self._resume:
            self._resume = False
            self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()


def copied(instance: Instance) -> Instance:
    """All that an instance has, once more."""
    copy = instance.fork()
    copy.merge(instance)
    return copy
