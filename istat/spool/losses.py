"""What a spool lost: counted by reason, and the latest told with their sequences and times. Knows no files."""
from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, replace

log = logging.getLogger(__name__)

#: The spool was full (`spool-bytes`), what was in it too old (`spool-age`), bytes were not what was written, the disk
#: was full and too much waited for it.
REASONS = ("bytes", "age", "damaged", "disk")
MOST_TOLD = 100     # losses kept with their sequences; the sums count all


@dataclass(frozen=True, slots=True)
class Loss:
    """Lines that a group (""; all groups) never gets: why, which sequences, and about when they came [Unix s]."""

    group: str
    reason: str
    first: int
    last: int
    lines: int
    begin: int
    end: int


class Losses:
    """All losses since the start."""

    def __init__(self) -> None:
        self.lines = dict.fromkeys(REASONS, 0)
        self._told: deque[Loss] = deque(maxlen=MOST_TOLD)

    def note(self, loss: Loss) -> None:
        """Count one more. What goes on where the last one ended is told as one, and logged once."""
        self.lines[loss.reason] += loss.lines
        last = self._told[-1] if self._told else None
        if last is not None and (last.group, last.reason) == (loss.group, loss.reason) and loss.first <= last.last + 1:
            self._told[-1] = replace(last, last=max(loss.last, last.last), lines=last.lines + loss.lines,
                                     end=max(loss.end, last.end))
            return
        self._told.append(loss)
        log.warning("lines are lost (%s)%s: sequences %d to %d, %d lines; what more is lost of the same is counted",
                    loss.reason, f" for {loss.group}" if loss.group else "", loss.first, loss.last, loss.lines)

    def told(self) -> list[Loss]:
        """The latest, the newest last."""
        return list(self._told)
