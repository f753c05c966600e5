"""What a spool lost: counted by reason, and the latest told with their sequences and times. Knows no files."""
from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

log = logging.getLogger(__name__)

#: The spool was full (`spool-bytes`), what was in it too old (`spool-age`), bytes were not what was written, the disk
#: was full and too much waited for it, the store did not know it at a start after a kill. Files have them in this
#: order.
REASONS = ("bytes", "age", "damaged", "disk", "unknown")
# In the log.
WHY = {
    "bytes": "the spool is full (spool-bytes): the oldest go",
    "age": "they waited for too long (spool-age)",
    "damaged": "the spool is damaged: does its disk fail?",
    "disk": "the disk of the spool is full",
    "unknown": "the store does not know them after a kill: is it another one than before?",
}
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
    frames: int = 1


class Tally:
    """How much was lost by reason since the spool was made. It is kept in the same file as what it is counted by, so
    that a kill neither forgets nor repeats any of it."""

    def __init__(self, numbers: Sequence[int] = ()) -> None:
        """`numbers`: of another one."""
        self._numbers = list(numbers) or [0] * (2 * len(REASONS))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and self.numbers == other.numbers

    __hash__ = None     # type: ignore[assignment]

    def add(self, reason: str, frames: int, lines: int) -> None:
        """Count some more."""
        place = 2 * REASONS.index(reason)
        self._numbers[place] += frames
        self._numbers[place + 1] += lines

    @property
    def frames(self) -> int:
        """Of all reasons."""
        return sum(self._numbers[::2])

    @property
    def lines(self) -> int:
        """Of all reasons."""
        return sum(self._numbers[1::2])

    @property
    def numbers(self) -> tuple[int, ...]:
        """Frames and lines of each reason in turn."""
        return tuple(self._numbers)


def by_reason(tallies: Iterable[Tally]) -> dict[str, dict[str, int]]:
    """Frames and lines of all together, by reason."""
    sums = [sum(numbers) for numbers in zip(*(tally.numbers for tally in tallies), strict=True)]
    return {reason: {"frames": sums[2 * place], "lines": sums[2 * place + 1]} for place, reason in enumerate(REASONS)}


class Losses:
    """All losses since the start."""

    def __init__(self) -> None:
        self.lines, self.frames = dict.fromkeys(REASONS, 0), dict.fromkeys(REASONS, 0)
        self._told: deque[Loss] = deque(maxlen=MOST_TOLD)

    def note(self, loss: Loss) -> None:
        """Count one more. What goes on where the last one ended is told as one, and logged once."""
        self.lines[loss.reason] += loss.lines
        self.frames[loss.reason] += loss.frames
        last = self._told[-1] if self._told else None
        if last is not None and (last.group, last.reason) == (loss.group, loss.reason) and loss.first <= last.last + 1:
            self._told[-1] = replace(last, last=max(loss.last, last.last), lines=last.lines + loss.lines,
                                     end=max(loss.end, last.end), frames=last.frames + loss.frames)
            return
        self._told.append(loss)
        log.warning("lines are lost%s: %s: %d lines, %d frames, sequences %d to %d; what more is lost of the same is "
                    "counted as forward.lost.%s", f" for {loss.group}" if loss.group else "", WHY[loss.reason],
                    loss.lines, loss.frames, loss.first, loss.last, loss.reason)

    def told(self) -> list[Loss]:
        """The latest, the newest last."""
        return list(self._told)
