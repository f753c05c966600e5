"""What is known of a collector while the agent runs: what `istat-agent plugins` tells. Knows not how it came to be."""

from __future__ import annotations

from dataclasses import dataclass

RUNS = "runs"  # and works
OFF = "off"  # by settings
FAILS = "fails"  # its last reading failed, as a whole or in part
STUCK = "stuck"  # a reading does not end
WAITS = "waits"  # left alone for a while: it failed again and again, or takes more CPU than it may
REFUSED = "refused"  # cannot be loaded or begun


@dataclass(frozen=True)
class State:
    """One collector, or one job of a collector that has several (`exec:NAME`)."""

    name: str
    origin: str
    own: bool
    state: str  # a word above
    isolated: bool = False
    why: str = ""  # a sentence, where there is something to tell
    interval: int = 0  # seconds
    last_run: int | None = None  # Unix seconds that its last reading carries
    seconds: float = 0.0  # that it took
    cpu_ms: float = 0.0  # of a reading: the mean of the last ten
    samples: int = 0  # taken since it began
    names: int = 0  # different ones of them
    errors: int = 0  # readings that failed, as a whole or in part
    late: int = 0  # readings cut off, or left out, because of the deadline
    refused: int = 0  # values above a budget, or that came too late
    verdict: str = ""  # why the agent has decided that it is isolated


@dataclass(frozen=True)
class Changes:
    """What an exchange of plans came to: names of collectors, and of jobs of those that have several."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Words for the log: `added queue, redis; removed old`, or `nothing changed`."""
        parts = (("added", self.added), ("changed", self.changed), ("removed", self.removed))
        return "; ".join(f"{word} {', '.join(names)}" for word, names in parts if names) or "nothing changed"
