"""istat-server in a hurry, for crash tests: it cuts, merges and derives within fractions of a second.

    python -m ftest.crash.fastserver [--some-setting ...]

The same program, with shorter waits. It loads all modules first and then waits for a line on standard input, which
adds arguments (a JSON list), so that the next server can be made ready while the one before it still runs.
"""
from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ftest.crash import crashbatches
from istat_server import main
from istat_server.store.names import namefiles
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore
from istat_server.store.work import flushing, housekeeping, journaling, planning

CUT_SECONDS = 0.15
CUT_BYTES = 1 << 20


def hurry() -> None:
    """Shorten all waits of the store."""
    opened = StatStore.open.__func__      # type: ignore[attr-defined]

    def open_fast(cls: type[StatStore], *arguments: Any, options: Options | None = None, **more: Any) -> StatStore:
        fast = replace(options or Options(), cut_seconds=CUT_SECONDS, cut_bytes=CUT_BYTES)
        store: StatStore = opened(cls, *arguments, options=fast, **more)
        return store

    StatStore.open = classmethod(open_fast)     # type: ignore[method-assign, assignment]
    if crashbatches.VARIABLE in os.environ:
        send_batches(Path(os.environ[crashbatches.VARIABLE]))
    housekeeping.PLAN_SECONDS = 0.02
    housekeeping.RETRY_SECONDS = 0.1
    flushing.RETRY_SECONDS = 0.1
    journaling.RETRY_SECONDS = 0.1
    planning.CUT_FILES = 3
    planning.TIER_FILES = 3
    planning.DERIVED_FILES = 2
    namefiles.TIER_FILES = 3


def send_batches(notes: Path) -> None:
    """Have each tick of the store take some batches, too."""
    sender, ticked = crashbatches.Sender(notes), StatStore.tick

    def tick(self: StatStore) -> None:
        ticked(self)
        sender.tick(self, self.limits.clock)

    StatStore.tick = tick       # type: ignore[method-assign]


def run() -> int:
    """Wait for the word, then be a server."""
    line = sys.stdin.readline()
    hurry()
    return main.main([*sys.argv[1:], *json.loads(line)]) if line else 0


if __name__ == "__main__":
    sys.exit(run())
