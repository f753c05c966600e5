"""Cubes of a program that has threads: each counts on its own, and at each edge of an interval a frame of all of them
goes to a sink.

    with Easy(master, interval=10.0, sink=FolderSink("/var/spool/cubes")) as easy:
        requests = easy.counter("http", "requests")
        requests.incrby(("GET", "/", 200))          # in any thread

Each thread that writes has a slot with two instances of the master's schema. Writes go to the active one; at an edge
the two are exchanged, and what the former one has is added to the total. So writers wait for nobody.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from istat.clock import Clock
from istat.cube.easy.collecting import Collecting, Sink, copied
from istat.cube.easy.delivery import BACKLOG
from istat.cube.easy.handles import EasyCounter, EasyCube, EasyGauge, EasyHistogram, EasyHll, Target
from istat.cube.easy.held import HeldGauges
from istat.cube.instance import Instance
from istat.cube.schema import CubeSchema
from istat.errors import CubeError, SchemaMismatch
from istat.kernels import cubes

log = logging.getLogger(__name__)

PAUSE = 0.0002          # [s] between two looks whether a batch that is under way in a slot is done
LONGEST_WRITE = 1.0     # [s] a slot that is busy for so long is taken the next time


class Easy(Collecting):
    """See the module. Time comes from `clock`; edges are multiples of `interval` [s] if they are to `align`."""

    def __init__(self, schema_master: Instance, interval: float = 10.0, output: str = "delta",
                 sink: Sink | None = None, align: bool = True, clock: Clock | None = None,
                 backlog: int = BACKLOG) -> None:
        """schema_master: an instance with the cubes and metrics that there are; it may get more while this runs.
        output: a frame has what was counted in its interval ("delta"), or all since the start ("cumulative").
        sink: called with each frame, which is then its own. A sink that raises gets the frame again at the next edge;
        `backlog` frames wait for it. Without one, ask for `snapshot`.
        ValueError, TypeError for what cannot be.
        """
        if not isinstance(schema_master, Instance):
            raise TypeError(f"the schema comes from an Instance, not {type(schema_master).__name__}")
        self._master = schema_master
        self._targets: list[Target] = []
        self._slots = cubes.Slots(self._slot, self._resolve, self._failed)
        self._abandoned: list[cubes.Slot] = []
        self.refused = 0        # writes to a metric that the master has no more
        self.failed = 0         # writes in the midst of another one that were put off, and then raised
        self.dropped = 0        # times that data by a metric which had become another one were given up
        super().__init__(interval, output, sink, align, clock, backlog)

    def __repr__(self) -> str:
        return f"<Easy {self._master.name}: {self._state}>"

    def _begin(self) -> None:
        self._gauges = HeldGauges()
        self._aside: list[tuple[cubes.Slot, Instance]] = []     # what threads counted, see _add_aside
        super()._begin()

    # What to write to.

    def cube(self, name: str, shared: Mapping[str, str] | None = None) -> EasyCube:
        """A cube of the master's, by its name, and by its tags where several have the name. CubeError if there is
        none."""
        tags = self._master.cube(name, shared).shared

        def schema() -> CubeSchema:
            return self._master.cube(name, tags).schema

        return EasyCube(schema, self._writer)

    def counter(self, cube: str, name: str) -> EasyCounter:
        """A counter of a cube. CubeError when there is none of that name, TypeError when it is of another kind; so for
        the other kinds."""
        return self.cube(cube).counter(name)

    def gauge(self, cube: str, name: str) -> EasyGauge:
        """See `counter`."""
        return self.cube(cube).gauge(name)

    def histogram(self, cube: str, name: str) -> EasyHistogram:
        """See `counter`."""
        return self.cube(cube).histogram(name)

    def hll(self, cube: str, name: str) -> EasyHll:
        """See `counter`."""
        return self.cube(cube).hll(name)

    def stats(self) -> dict[str, object]:
        """How it goes: see Collecting.stats; and threads that have a slot, writes that were refused or failed."""
        return {**super().stats(), "threads": len(self._slots.all), "refused": self.refused, "failed": self.failed,
                "dropped": self.dropped}

    # What the slots ask for, in the thread that writes.

    def _writer(self, target: Target) -> cubes.Write:
        if target not in self._targets:
            self._targets.append(target)
        return cubes.Write(self._slots, self._targets.index(target))

    def _slot(self) -> cubes.Slot:
        self._something_comes()
        return cubes.Slot(self._side(), self._side())

    def _side(self) -> Instance:
        side = self._empty()
        side.tick = self._tick
        return side

    def _empty(self) -> Instance:
        made = self._master.fork()
        made.delta = self._delta
        return made

    def _resolve(self, slot: cubes.Slot, number: int) -> Callable[..., Any]:
        """The call of a number on the active side, which is brought to the master's schema if it does not know it."""
        target = self._targets[number]
        try:
            return target.call(slot.active)
        except CubeError:
            if slot.active.schema is not self._master.schema:
                self._put_aside(slot, slot.active)      # a metric that has become another one would begin anew
                slot.active.calibrate(self._master)
                slot.forget()
        try:
            return target.call(slot.active)
        except CubeError:
            return self._refuse

    def _refuse(self, *_: object, **__: object) -> bool:
        self.refused += 1
        return False

    def _failed(self, error: Exception) -> None:
        self.failed += 1
        log.warning("a write in the midst of another one of its thread failed: %r", error)

    # Gathering.

    def _gather(self) -> None:
        self._add_aside()
        for slot in list(self._slots.all):
            ended = slot.ended      # asked before: then nothing comes after what is taken now
            if slot.waiting and self._swapped(slot):        # which was waited for in vain the last time
                self._take(slot)
            if not slot.waiting:
                self._prepare(slot)
                if self._swapped(slot):
                    self._take(slot)
                    if ended:
                        self._gauges.drop(slot)
                        self._slots.remove(slot)
        if not self._delta:
            self._gauges.settle(self._total)

    def _cut(self) -> None:
        super()._cut()
        if not self._delta:     # after the frame: what was counted by a metric that is gone is in it once more
            self._total.calibrate(self._master)
        self._add_aside()

    def _prepare(self, slot: cubes.Slot) -> None:
        """The standby side, which is empty, is about to be written to."""
        slot.standby.tick = self._tick
        if slot.standby.calibrate(self._master):
            slot.forget()

    def _swapped(self, slot: cubes.Slot) -> bool:
        """Exchange the sides, between two writes. False where one of them takes very long."""
        end = time.monotonic() + LONGEST_WRITE
        while not slot.swap():
            if time.monotonic() > end:
                return False
            time.sleep(PAUSE)
        return True

    def _take(self, slot: cubes.Slot) -> None:
        """Add what the standby side has to the total, and empty it. Nobody else uses it now."""
        side: Instance = slot.standby
        if not _has_updates(side):
            return
        try:
            self._add(slot, side)
        except SchemaMismatch:      # a metric of the master's became another one: the next frame takes it
            self._put_aside(slot, side)
        side.reset()

    def _add(self, slot: cubes.Slot, side: Instance) -> None:
        self._total.merge(side)
        self._news = True
        if not self._delta:
            self._gauges.take(slot, side)

    def _put_aside(self, slot: cubes.Slot, side: Instance) -> None:
        """Move what a side has to where it is added to a total that it fits to."""
        if _has_updates(side):
            self._aside.append((slot, copied(side)))
            side.reset()

    def _add_aside(self) -> None:
        """Add what was put aside. Where no frame was made in between, what the total has by a former metric is given
        up: there may never be one."""
        while self._aside:
            slot, side = self._aside.pop(0)
            try:
                self._add(slot, side)
            except SchemaMismatch as error:
                self.dropped += 1
                log.warning("what was counted by a former metric is dropped: %s", error)
                self._total.calibrate(self._master)
                side.calibrate(self._total)
                self._add(slot, side)
            if slot not in self._slots.all:
                self._gauges.drop(slot)

    def after_fork(self, child: bool) -> None:
        """See lifetime.Lasting."""
        if child:
            # A slot whose thread was in the midst of a write is not whole, and never freed: few bytes, and no crash.
            self._abandoned += [slot for slot in self._slots.renew() if slot.busy]
            self.refused = self.failed = self.dropped = 0
        super().after_fork(child)


def _has_updates(side: Instance) -> bool:
    return any(cube.core.has_updates for cube in side.cubes)
