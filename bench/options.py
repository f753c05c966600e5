"""The options that all benchmarks share, and the sizes of a full and of a quick run. Knows no server."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.servers.process import Process

QUICK_QUIET = 0.05  # [s] a quick run's figures mean nothing, so it need not wait long


@dataclass(frozen=True)
class Size:
    """How much work: `FULL` is what results are published from."""

    samples: int = 10_000_000  # of one TCP run
    few: int = 1_000  # series
    many: int = 100_000  # series
    rate: float = 500_000.0  # [samples/s] over UDP
    seconds: float = 30.0  # of one UDP run
    lead: float = 2.0  # [s] between the end of its preparations and its first datagram
    disk_series: int = 2_000
    disk_steps: int = 2_160  # 6 h of 10 s
    hour_steps: int = 360  # 1 h of 10 s
    questions: int = 200  # of each kind and system
    restarts: int = 5


FULL = Size()
QUICK = Size(
    samples=6_000,
    few=100,
    many=1_000,
    rate=5_000.0,
    seconds=0.4,
    lead=0.2,
    disk_series=40,
    disk_steps=100,
    hour_steps=4,
    questions=5,
    restarts=1,
)


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the shared options."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--repeat", type=int, default=5, help="runs of each system in each mode (default 5)")
    made.add_argument("--peer", choices=["victoria", "none"], default="victoria")
    made.add_argument("--ours", choices=["istatd", "toy", "none"], default="istatd")
    made.add_argument("--json", type=Path, help="also write all runs to this file")
    made.add_argument("--folder", type=Path, help="where stores are made (default: a temporary folder)")
    made.add_argument("--quick", action="store_true", help="tiny sizes, one run: does it work at all?")
    return made


def size(options: argparse.Namespace) -> Size:
    """The sizes that the options ask for; a quick run also repeats nothing."""
    if options.quick:
        options.repeat = 1
        Process.quiet_span = QUICK_QUIET
        return QUICK
    return FULL


@contextmanager
def folder(options: argparse.Namespace) -> Iterator[Path]:
    """The folder for stores: the one asked for, which is kept, or a temporary one, which is not."""
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
        yield options.folder
        return
    with tempfile.TemporaryDirectory(prefix="istat-bench-") as name:
        yield Path(name)
