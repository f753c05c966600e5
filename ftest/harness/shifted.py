"""A daemon whose clock a test sets.

    python -m ftest.harness.shifted FILE istat_agent.main [FLAGS]

The daemon's main program, with a wall clock that is off by as many seconds as FILE says at the time; the monotonic
clock is the machine's, as when an operator sets a clock.
"""
from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

from istat.clock import SystemClock


def shift(file: Path) -> None:
    """Have SystemClock go by the file, which is replaced whole by whoever sets the clock."""
    def now(self: SystemClock) -> float:
        return time.time() + float(file.read_text())
    SystemClock.now = now       # type: ignore[method-assign]


class SetClock:
    """The clock of one daemon: `command` is what it is to be started with."""

    def __init__(self, folder: Path, module: str) -> None:
        self._file = folder / "offset"
        self.set(0)
        self.command = [sys.executable, "-m", "ftest.harness.shifted", str(self._file), module]

    def set(self, offset: float) -> None:
        """Off by so many seconds from now on."""
        aside = self._file.with_suffix(".new")
        aside.write_text(str(offset))
        aside.rename(self._file)


if __name__ == "__main__":
    shift(Path(sys.argv[1]))
    sys.exit(importlib.import_module(sys.argv[2]).main(sys.argv[3:]))
