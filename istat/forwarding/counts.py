"""What forwarding has done, counted: the metrics `forward.*`. Knows nothing else."""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from istat.metrics import Metric

METRICS = (
    Metric("forward.lines", "lines", "taken to be forwarded", event=True),
    Metric("forward.sent", "lines", "sent to targets, once for each group, and again what was sent again", event=True),
    Metric("forward.acknowledged", "lines", "that targets have: acknowledged, or taken by the machine of an original "
           "istatd", event=True),
    Metric("forward.refused", "lines", "that targets acknowledged and refused, as their own mistakes.* tell",
           event=True),
    Metric("forward.doubted", "lines", "given to another target because the one they were sent to had not been back "
           "for forward-doubt: perhaps counted twice", event=True),
    Metric("forward.lost.<kind>", "lines", "that a group never gets, by why: `bytes`, `age` (bounds of the spool), "
           "`damaged` (the spool), `disk` (it was full), `unknown` (to the store, at a start after a kill), `cut` (a "
           "connection to an original istatd), `too_long`",
           event=True),
    Metric("forward.coarsened", "lines", "fewer to be sent since samples that wait in the spool of an agent were "
           "merged: counts, sums, minima and maxima are as they were", event=True),
    Metric("forward.connects", "connections", "to targets that greeted us", event=True),
    Metric("forward.failures", "tries", "to reach a target that failed, and connections that ended by a fault",
           event=True),
    Metric("forward.waiting", "lines", "that a group has not had, of the group that is furthest behind"),
    Metric("forward.lag", "seconds", "how long ago the oldest of these came"),
    Metric("forward.connected", "groups", "that have a target in use"),
    Metric("forward.spool.bytes", "bytes", "of the spool"),
)


@dataclass
class Counts:
    """Totals since the start; lines, where it does not say otherwise. `lost` by kind."""

    lines: int = 0
    sent: int = 0
    acknowledged: int = 0
    refused: int = 0
    doubted: int = 0
    connects: int = 0
    failures: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    def values(self) -> dict[str, float]:
        """By the names of the metrics."""
        plain = ("lines", "sent", "acknowledged", "refused", "doubted", "connects", "failures")
        return {**{f"forward.{name}": getattr(self, name) for name in plain},
                **{f"forward.lost.{kind}": lines for kind, lines in self.lost.items()}}
