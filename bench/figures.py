"""Figures of repeated runs: medians, spread, ratios, and the JSON file they are kept in. Knows no server."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

Run = dict[str, float]


@dataclass
class Mode:
    """All runs of one mode: label of the system -> its runs in order."""

    name: str
    work: str  # one line: what was sent or asked
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def add(self, label: str, run: Run) -> None:
        self.runs.setdefault(label, []).append(run)

    def values(self, label: str, key: str) -> list[float]:
        return [run[key] for run in self.runs.get(label, []) if key in run]

    def median(self, label: str, key: str) -> float | None:
        values = self.values(label, key)
        return statistics.median(values) if values else None

    def spread(self, label: str, key: str) -> str:
        """`median (least-most)`, or a dash where nothing was measured."""
        values = self.values(label, key)
        if not values:
            return "-"
        if len(values) == 1:
            return short(values[0])
        return f"{short(statistics.median(values))} ({short(min(values))}-{short(max(values))})"

    def ratios(self, ours: str, peer: str, key: str, peer_key: str | None = None) -> list[float]:
        """Ours by theirs, run by run: the two of one run stood side by side in time."""
        pairs = zip(self.values(ours, key), self.values(peer, peer_key or key), strict=False)
        return [a / b for a, b in pairs if b]


def short(value: float) -> str:
    """Three significant digits, no exponent."""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """`median (least-most)` of plain numbers, or a dash."""
    if not values:
        return "-"
    text = short(statistics.median(values))
    return text if len(values) == 1 else f"{text} ({short(min(values))}-{short(max(values))})"


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def machine() -> str:
    """One line: processor, cores, memory, kernel, Python."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{len(os.sched_getaffinity(0))} cores ({model}), {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def print_mode(mode: Mode) -> None:
    """A block on standard output: a line per figure, below it one per system, ratios where there are two."""
    labels = list(mode.runs)
    print(f"\n{mode.name}: {mode.work}")
    width = max(len(label) for label in labels) if labels else 0
    for key in dict.fromkeys(key for runs in mode.runs.values() for run in runs for key in run):
        held = [label for label in labels if mode.values(label, key)]
        for label in held:
            title = key if label == held[0] else ""
            ratio = ""
            same_system = label.split()[0] == labels[0].split()[0]
            if not same_system and mode.ratios(labels[0], label, key):
                ratio = f"   ratio {spread(mode.ratios(labels[0], label, key))}"
            print(f"  {title:<24} {label:<{width}}  {mode.spread(label, key)}{ratio}", flush=True)


def save(path: Path, modes: Sequence[Mode]) -> None:
    """Writes all runs as JSON, with date and machine."""
    document = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "modes": [{"name": mode.name, "work": mode.work, "runs": mode.runs} for mode in modes],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def load(path: Path) -> tuple[str, str, list[Mode]]:
    """Date, machine and modes of a saved file."""
    document = json.loads(path.read_text())
    modes = [Mode(item["name"], item["work"], item["runs"]) for item in document["modes"]]
    return document["date"], document["machine"], modes
