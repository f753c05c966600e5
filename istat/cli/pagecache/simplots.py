"""Charts of cachesim: misses by size, as figure 13 of the paper, and by time of day, as figure 14. Knows answers, no
logs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

from istat.cli.report import printable
from istat.pagecache.replay.simulating import Outcome, Simulation
from istat.pictures.charts import BARS, LINE, STEPS, Axis, Chart, Line

SHORT = {"after an aggregation": "just after"}      # that the words beside it have room


class Case(Protocol):
    """Which cache."""

    @property
    def files(self) -> int:
        """How many files there would be."""

    @property
    def frames(self) -> int:
        """Pages of the cache, or of each file's."""


class Answer(Protocol):
    """One log in one cache."""

    @property
    def log(self) -> str:
        """Its name."""

    @property
    def case(self) -> Case:
        """The cache."""

    @property
    def simulation(self) -> Simulation:
        """The log's."""

    @property
    def outcome(self) -> Outcome:
        """What came out."""


def by_frames(answers: Sequence[Answer]) -> Chart:
    """Misses an update by frames, a line for each log and policy. With one size and several numbers of files: pages a
    second by files."""
    by_files = len({answer.case.files for answer in answers}) > 1
    lines: dict[str, list[tuple[float, float]]] = {}
    for answer in answers:
        each = sum(answer.outcome.misses) / sum(answer.simulation.updates)
        files = answer.case.files
        point = ((float(files), answer.simulation.pages_a_second(each, files)) if by_files
                 else (float(answer.case.frames), each))
        lines.setdefault(_name(answers, answer), []).append(point)
    private = answers[0].simulation.private
    across = "files" if by_files else "frames of each file" if private else "frames that all files share"
    return Chart("Page-ins by number of files" if by_files else "Page-ins by size of the cache", Axis(across),
                 Axis("pages/s" if by_files else "pages an update"),
                 [Line(name, points, LINE if by_files else STEPS) for name, points in lines.items()])


def by_slot(answers: Sequence[Answer]) -> Chart:
    """Pages read (misses) and written an update by time of day, of the first size of each log and policy."""
    chosen: dict[str, Answer] = {}
    for answer in answers:
        chosen.setdefault(_name(answers, answer), answer)
    slots = max((answer.simulation.slots for answer in chosen.values()), key=len)
    lines = []
    for name, answer in chosen.items():
        lines.append(Line(f"read {name}".rstrip(), _means(answer, slots, answer.outcome.misses), BARS))
    for name, answer in {answer.log: answer for answer in chosen.values()}.items():
        words = f"written {log_name(name)}" if len({one.log for one in answers}) > 1 else "written"
        lines.append(Line(words, _means(answer, slots, answer.simulation.written), BARS))
    frames = answers[0].case.frames
    across = Axis(names=[SHORT.get(slot, slot) for slot in slots])
    return Chart(f"Updates by time of day, {frames} frames", across, Axis("pages an update"), lines)


def _means(answer: Answer, slots: Sequence[str], values: Sequence[int]) -> list[tuple[float, float]]:
    found = []
    for place, slot in enumerate(answer.simulation.slots):
        updates = answer.simulation.updates[place]
        if updates and slot in slots:
            found.append((float(slots.index(slot)), values[place] / updates))
    return found


def _name(answers: Sequence[Answer], answer: Answer) -> str:
    """What tells a line from the others."""
    logs = len({one.log for one in answers}) > 1
    policies = len({one.outcome.policy for one in answers}) > 1
    words = [log_name(answer.log)] if logs else []
    if policies or not logs:
        words.append(answer.outcome.policy)
    return " ".join(words)


def log_name(log: str) -> str:
    """A log's name as a legend has it."""
    name = os.path.basename(log)
    for end in (".gz", ".log", ".jsonl"):
        name = name.removesuffix(end)
    return printable(name)
