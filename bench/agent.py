"""What the agent costs, beside Debian's collectd, netdata and prometheus-node-exporter, all in one run.

    python -m bench.agent [--seconds 120] [--interval 10] [--counters 300] [--peers FOLDER|none] [--json]

All run at the same time on this machine, each at the same interval, so that what else the machine does meets all
alike. Of each, its descendants counted in: CPU (user and system, in percent of a core) while it runs, without its
start; memory at the end, RSS and PSS; what it writes to disks, its log counted in, and how often in an interval;
seconds from its start to its first value. Ours has so many counters as are wanted: what the built-in collectors have
less comes from a drop-in file. The peers have what their packages read on this machine; how many stands beside it.
"""
from __future__ import annotations

import argparse
import json
import os
import pwd
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.agents import costs, ours, peers
from bench.agents.subject import Sink, Subject, of_lines, of_packet

SETTLE_INTERVALS = 3  # imports and the first full readings are over
COUNTERS = 300
GOALS = {"cpu_percent": 0.15, "rss_mb": 35.0, "writes_per_interval": 1.0, "start_s": 1.0}
# key -> (title, figures behind the point)
COLUMNS = {"counters": ("counters", 0), "cpu_percent": ("CPU of a core, %", 3), "rss_mb": ("RSS, MB", 1),
           "pss_mb": ("PSS, MB", 1), "written_kb": ("written to disk in an interval, kB", 1),
           "writes_per_interval": ("writes in an interval", 2), "start_s": ("start to first value, s", 2)}
PEERS = Path(tempfile.gettempdir()) / "istatd-bench-peers"
LOOK = 0.2  # [s] between two looks at what was written


class Watch:
    """One subject while it is measured."""

    def __init__(self, subject: Subject) -> None:
        self.subject, self.start = subject, subject.start()
        self._writes = 0

    def begin(self) -> None:
        """From now on it counts."""
        self._before, self._began = costs.of(self.subject.pid), time.monotonic()
        self._written = self._before.written

    def look(self) -> None:
        """Whether something was written since the last look."""
        now = costs.written(costs.family(self.subject.pid))
        self._writes += now > self._written
        self._written = now

    def found(self) -> dict[str, float]:
        """What it cost since `begin`."""
        after, lasted = costs.of(self.subject.pid), time.monotonic() - self._began
        intervals = lasted / self.subject.interval
        return {"counters": self.subject.counters(), "cpu_percent": 100 * (after.cpu - self._before.cpu) / lasted,
                "rss_mb": after.rss / costs.MB, "pss_mb": after.pss / costs.MB,
                "written_kb": (after.written - self._before.written) / 1000 / intervals,
                "writes_per_interval": self._writes / intervals, "start_s": self.start, "seconds": lasted}


def watch(subjects: Sequence[Subject], seconds: float) -> dict[str, dict[str, float]]:
    """Start one after another, then look at all for `seconds`. BenchError."""
    watched = [Watch(subject) for subject in subjects]
    interval = subjects[0].interval
    turning = threading.Event()
    turns = threading.Thread(target=_turn, args=(subjects, interval, turning), daemon=True)
    turns.start()
    time.sleep(SETTLE_INTERVALS * interval)
    for one in watched:
        one.begin()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(LOOK)
        for one in watched:
            one.look()
    found = {one.subject.label: one.found() for one in watched}
    turning.set()
    turns.join()
    return found


def _turn(subjects: Sequence[Subject], interval: int, ended: threading.Event) -> None:
    while not ended.wait(interval):
        for subject in subjects:
            subject.turn()


@contextmanager
def all_of(folder: Path, interval: int, counters: int, root: Path | None) -> Iterator[list[Subject]]:
    """Ours, and the peers that are unpacked below `root`. All are ended afterwards. BenchError."""
    with ExitStack() as ends:
        made: list[Subject] = []

        def add(subject: Subject) -> None:
            ends.callback(subject.stop)
            made.append(subject)

        lines = ends.enter_context(Sink(of_lines))
        add(ours.ByUdp(folder / "udp", interval, counters, lines))
        add(ours.ByBatches(folder / "batches", interval, counters, lines))
        if root is not None:
            peers.fetch(root)
            add(peers.Collectd(folder / "collectd", interval, root, ends.enter_context(Sink(of_packet))))
            add(peers.NodeExporter(folder / "node", interval, root))
            add(peers.Netdata(folder / "netdata", interval, root, pwd.getpwuid(os.geteuid()).pw_name))
        yield made


def measure(seconds: float, interval: int) -> dict[str, float]:
    """What ours costs by UDP, alone. BenchError when it sends nothing."""
    with tempfile.TemporaryDirectory() as name, Sink(of_lines) as sink:
        subject = ours.ByUdp(Path(name, "udp"), interval, COUNTERS, sink)
        try:
            return watch([subject], seconds)[subject.label]
        finally:
            subject.stop()


def table(found: dict[str, dict[str, float]]) -> str:
    """The figures as Markdown, the goals in the last row."""
    rows = [["", *(title for title, _ in COLUMNS.values())]]
    rows += [[label, *(f"{figures[key]:.{behind}f}" for key, (_, behind) in COLUMNS.items())]
             for label, figures in found.items()]
    rows.append(["goal for ours", *(f"< {GOALS[key]:g}" if key in GOALS else "-" for key in COLUMNS)])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def main() -> None:
    """Measure and print, beside the goals."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--interval", type=int, default=10)
    parser.add_argument("--counters", type=int, default=COUNTERS)
    parser.add_argument("--peers", default=str(PEERS), metavar="FOLDER",
                        help="where Debian's packages are unpacked, downloaded where it is not there; none: ours only")
    parser.add_argument("--folder", type=Path, help="where each keeps its files; on a disk (default: a temporary one)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    root = None if arguments.peers == "none" else Path(arguments.peers).absolute()
    with (tempfile.TemporaryDirectory(dir=arguments.folder) as name,
          all_of(Path(name), arguments.interval, arguments.counters, root) as subjects):
        found = watch(subjects, arguments.seconds)
    print(json.dumps(found) if arguments.json else table(found))


if __name__ == "__main__":
    main()
