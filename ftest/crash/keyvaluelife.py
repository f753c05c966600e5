"""A program that changes namespaces, and tells of each change when it is answered. Words: folder, seed, how many."""
from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

from istat.clock import FakeClock
from istat_server.keyvalue.bounds import Bounds
from istat_server.keyvalue.namespaces import Namespaces

NAMES, KEYS = ("cit", "global"), ("a", "b", "c")
# Few, so that the files of versions are often written anew.
BOUNDS = Bounds(versions=4, history=100_000)


def main(folder: Path, seed: int, changes: int) -> None:
    """Change keys at random: [time, name, key, value] of each that was answered, a line each."""
    rng, namespaces = random.Random(seed), Namespaces(folder, FakeClock(1000), bounds=BOUNDS)
    for number in range(changes):
        name, key = rng.choice(NAMES), rng.choice(KEYS)
        value = f"{number} " + "x" * rng.choice((0, 10, 2000)) if rng.random() < 0.9 else ""
        namespaces.set(name, {key: value})
        print(json.dumps([time.monotonic(), name, key, value]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
