"""What a row is: sides that are measured in turn, and goals for ours. Knows neither cubes nor peers."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.figures import Mode

OURS = "istat.cube"
KEY = "value"  # of each run in a file


@dataclass(frozen=True)
class Size:
    """How much work: `FULL` is what results are published from."""

    items: int = 100_000  # of a batch, and new cells
    calls: int = 50_000  # Python calls one after the other
    stream: int = 1_000_000  # updates of a skewed stream,
    stream_keys: int = 300_000  # and how many keys it has at most
    cells: int = 1_000  # of a cube that is merged, exported or serialized
    cubes: int = 1_000  # empty ones
    exported: int = 20  # cubes of 10 counters
    held: int = 100_000  # cells whose memory is measured
    events: int = 200_000  # of each of eight threads
    turns: int = 20  # of what is short, within one measurement
    starts: int = 3  # fresh processes for one figure of theirs


FULL = Size()
QUICK = Size(items=300, calls=50, stream=500, stream_keys=200, cells=20, cubes=5, exported=2, held=500, events=1_000,
             turns=2, starts=1)  # fmt: skip

Sample = Callable[[], float]  # one figure
Side = Callable[[Size], Sample]  # prepares what all of its samples share


@dataclass(frozen=True)
class Goal:
    """A bound for ours: a figure, or with a peer so many times the peer's."""

    bound: float
    peer: str = ""


@dataclass(frozen=True)
class Row:
    """One thing that is measured. Rows without goals stand beside others for the reader."""

    name: str
    title: str
    sides: dict[str, Side]
    goals: Sequence[Goal] = ()
    unit: str = "ns"


def timed(count: int, fresh: Callable[[], Callable[[], object]],
          clock: Callable[[], int] = time.thread_time_ns) -> Sample:  # fmt: skip
    """CPU time [ns] of one of `count` operations. `fresh` prepares, and gives what the clock runs for."""

    def sample() -> float:
        work = fresh()
        gc.collect()
        gc.disable()
        try:
            begin = clock()
            work()
            return (clock() - begin) / count
        finally:
            gc.enable()

    return sample


def measure(row: Row, size: Size, repeat: int) -> Mode:
    """The samples of a row, all sides in turn: a machine that changes its pace changes it for all of them. A side whose
    library is not installed is left out."""
    samples: dict[str, Sample] = {}
    for label, side in row.sides.items():
        try:
            samples[label] = side(size)
        except ImportError as error:
            print(f"{row.name}: {label} is not there: {error}", flush=True)
    mode = Mode(row.name, f"{row.title} [{row.unit}]")
    for _ in range(repeat):
        for label, sample in samples.items():
            mode.add(label, {KEY: sample()})
    return mode
