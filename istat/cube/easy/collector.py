"""Adds up frames of several processes, such as those of a machine, and sends the sum on under an identity of its own.

    collector = Collector("all of web1", sink=send)
    collector.merge_bytes(data)         # True; False for a frame that has been added already

A frame may come twice, or late: who sends it does so until he knows that it arrived. Each counts once. Frames of
intervals are added; of a process that sends all since its start the newest frame counts, also after the process has
ended. The two cannot be mixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from istat.clock import Clock
from istat.cube.easy.collecting import Collecting, Sink
from istat.cube.easy.delivery import BACKLOG
from istat.cube.easy.seen import MOST_SOURCES, SILENCE, Seen, Verdict
from istat.cube.instance import Instance, checked_instance
from istat.cube.limits import Limits
from istat.errors import CubeError


class Collector(Collecting):
    """See the module. A frame that it sends covers the time that the frames in it cover."""

    def __init__(self, name: str, interval: float = 10.0, output: str = "delta", sink: Sink | None = None,
                 align: bool = True, clock: Clock | None = None, backlog: int = BACKLOG,
                 tags: Mapping[str, str] | None = None, limits: Limits | None = None,
                 most_sources: int = MOST_SOURCES, silence: float = SILENCE) -> None:
        """output, sink, align, clock, backlog: as of `Easy`; the frames that come are of the same output.
        tags: of the frames that it sends. limits: of a frame that comes.
        most_sources: senders that are known at a time. For one more, that which has been silent for longest is
        forgotten, if it has been silent for `silence` seconds; frames of its that came twice would be added twice from
        then on.
        """
        self._name, self._tags, self._limits = name, dict(tags or {}), limits
        self._most_sources, self._silence = most_sources, silence
        super().__init__(interval, output, sink, align, clock, backlog)

    def __repr__(self) -> str:
        return f"<Collector {self._name}: {self._state}, {self.merged} frames merged>"

    def _begin(self) -> None:
        self._seen = Seen(self._most_sources, self._silence)
        self._newest: dict[bytes, Instance] = {}        # of each sender, if frames have all since a start
        self._past = self._empty()                      # the last ones of senders that were forgotten
        self._span: tuple[int, int] | None = None       # the time that frames of the total cover
        self.merged = self.duplicates = self.too_old = self.refused = 0
        super()._begin()

    def _empty(self) -> Instance:
        return Instance(self._name, tags=self._tags, delta=self._delta)

    def merge_bytes(self, frame: bytes) -> bool:
        """Add a frame. False when it has been added before, or is so old that nobody knows.

        FormatError when it is none, SchemaMismatch when it does not fit to those that there are, CubeError when it is
        of the other output or there are too many senders; nothing changes then.
        """
        try:
            return self.merge(Instance.deserialize(frame, self._limits))
        except CubeError:
            self.refused += 1
            raise

    def merge(self, frame: Instance) -> bool:
        """As `merge_bytes`, of a frame that is an instance. It must not be changed afterwards."""
        checked_instance(frame, "merge_bytes takes a frame's bytes")
        if frame.delta != self._delta:
            sent, wanted = ("an interval", "all since a start") if frame.delta else ("all since a start", "an interval")
            raise CubeError(f"a frame of {sent} cannot be added where frames have what was counted in {wanted}")
        self._something_comes()
        with self._merging:
            now = self._clock.monotonic()
            verdict = self._seen.look(frame.id, frame.sequence, now)
            if verdict is Verdict.TOO_MANY:
                raise CubeError(f"frames of {len(self._seen)} senders came in the last {self._silence:g} s: no more "
                                f"of them can be told apart")
            if verdict is Verdict.NEW:
                self._add(frame, now)
                self.merged += 1
            self.duplicates += verdict is Verdict.DUPLICATE
            self.too_old += verdict is Verdict.TOO_OLD
        return verdict is Verdict.NEW

    def _add(self, frame: Instance, now: float) -> None:
        newest = self._seen.newest(frame.id)
        if self._delta:
            self._total.merge(frame)
        elif newest is None or frame.sequence > newest:
            self._past.merge(frame.fork())      # no data: whether it fits, and cubes that are new
            self._newest[frame.id] = frame
        begun, end = self._span or (frame.t0, frame.t1)
        self._span, self._news = (min(begun, frame.t0), max(end, frame.t1)), True
        gone = self._seen.mark(frame.id, frame.sequence, now)
        if gone in self._newest:
            self._past.merge(self._newest.pop(gone))

    def _gather(self) -> None:
        if not self._delta:
            self._total = self._empty()
            for one in (self._past, *self._newest.values()):
                self._total.merge(one)

    def _covers(self, total: Instance, begun: int, end: int) -> None:
        total.t0, total.t1 = self._span or (begun, end)

    def _cut(self) -> None:
        super()._cut()
        if self._delta and not self._news:      # else no frame was made
            self._span = None

    def stats(self) -> dict[str, Any]:
        """How it goes: see Collecting.stats; and frames that were merged, came twice, came too late to be told from
        those, were refused; and senders that are known."""
        return {**super().stats(), "merged": self.merged, "duplicates": self.duplicates, "too_old": self.too_old,
                "refused": self.refused, "sources": len(self._seen)}
