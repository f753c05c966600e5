"""Targets of fuzz_kernels.py that feed the native replay room: references, bounds and sizes as a hostile page log could
make them, and damaged logs through their reader.

They know nothing of what is right. ValueError (and PageLogError of a log) is an answer.
"""
from __future__ import annotations

import io
import random
from array import array
from collections import Counter
from typing import Any

from istat.errors import PageLogError, UsageError
from istat.kernels import implementation
from istat.pagecache import layouts
from istat.pagecache.replay import pagelog
from istat.pagecache.replay.gathering import gather
from istat.pagecache.replay.generating import Plan
from istat.pagecache.replay.simulating import POLICIES, Simulation

REPLAY = implementation("native").replay
SIZES = [0, 1, 2, 3, 7, 50, -1, 1 << 31, 1 << 40, 1 << 63, 1 << 70]
LAYOUTS = [layouts.parse("mrtg"), layouts.parse("statfile:10s:1d,5m:30d"), layouts.parse("rrd:1:LAST/1/9")]


def sizes(rng: random.Random, most: int) -> int:
    """A number of pages or frames: mostly a sound one."""
    return rng.choice(SIZES) if rng.random() < 0.1 else rng.randint(1, most)


def replay_references(rng: random.Random, reached: Counter[str]) -> None:
    """All policies, and the one pass, on any numbers."""
    pages = sizes(rng, 60)
    listed = array("i", [rng.randint(0, max(0, min(pages, 60) - 1)) for _ in range(rng.randint(0, 400))])
    if listed and rng.random() < 0.1:
        listed[rng.randrange(len(listed))] = rng.choice([-1, 60, 1 << 30, -(1 << 31)])
    cuts = sorted(rng.randint(0, len(listed)) for _ in range(rng.randint(0, 4)))
    bounds = array("q", [0, *cuts, len(listed)])
    if rng.random() < 0.1:
        bounds[rng.randrange(len(bounds))] = rng.choice([-1, 1 << 40, 0])
    for name in POLICIES.values():
        made = _tried(reached, "made", lambda name=name: getattr(REPLAY, name)(pages, sizes(rng, 80)))
        if made is not None:
            _tried(reached, "replayed", lambda made=made: made.replay(listed, bounds))
    depths = _tried(reached, "depths", lambda: REPLAY.depths(listed, bounds, pages))
    if depths is not None:
        most = 8 if rng.random() < 0.1 else 7
        groups = bytes(rng.randint(0, most) for _ in listed)
        _tried(reached, "histogram", lambda: REPLAY.histogram(depths, groups, sizes(rng, 80)))
        _tried(reached, "counts", lambda: REPLAY.counts(bytearray(len(listed)), groups))


def read_logs(rng: random.Random, reached: Counter[str]) -> None:
    """A log, perhaps damaged, read and replayed."""
    plan = Plan(rng.choice(LAYOUTS), rng.randint(1, 3), 0.02, rng.getrandbits(20), meta=rng.random() < 0.5)
    file = io.BytesIO()
    pagelog.write(file, plan.header, plan.records())
    data = bytearray(file.getvalue())
    for _ in range(rng.randint(0, 3)):
        at = rng.randrange(len(data))
        data[at:at + rng.randint(0, 4)] = rng.choice([b"", b"9", b"-", b'"', b"\n", rng.randbytes(2), b"0-99999"])

    def replay() -> object:
        log = pagelog.read(io.BytesIO(data))
        found = Simulation(gather(log.records), log.header, rng.random() < 0.5, rng.randint(0, 2))
        return found.outcome(rng.choice(list(POLICIES)), rng.randint(1, 40))

    _tried(reached, "log", replay)


def _tried(reached: Counter[str], name: str, function: Any) -> Any:
    try:
        answer = function()
    except (ValueError, OverflowError, PageLogError, UsageError):
        reached[name + " refused"] += 1
        return None
    reached[name] += 1
    return answer


TARGETS = (replay_references, read_logs)
