"""The table: what was measured of each row, its goals, and whether they are reached. Knows figures only.

Judged is the least of all repeats: other programs of the machine only ever add to CPU time. The median beside it shows
how much they did.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.cubes.rows import KEY, OURS, Goal, Row
from bench.figures import Mode, short

HEAD = ("row", "what", OURS, "peer", "ratio", "goal", "reached")


@dataclass(frozen=True)
class Line:
    """One goal with what was measured, as text."""

    name: str
    title: str
    ours: str
    peer: str
    ratio: str
    goal: str
    reached: str

    def cells(self) -> tuple[str, ...]:
        return (self.name, self.title, self.ours, self.peer, self.ratio, self.goal, self.reached)


def least(mode: Mode, label: str) -> float | None:
    """The least figure of a side, None where it was not measured."""
    return min(mode.values(label, KEY), default=None)


def shown(mode: Mode, label: str, unit: str) -> str:
    """`least (median) unit`."""
    values = mode.values(label, KEY)
    if not values:
        return "not measured"
    return f"{short(rounded(min(values)))} ({short(rounded(statistics.median(values)))}) {unit}"


def rounded(value: float) -> float:
    """Three significant digits: more would be noise."""
    return float(f"{value:.3g}")


def judged(goal: Goal, ours: float | None, peer: float | None) -> str:
    """yes, NO, or a dash where something was not measured."""
    if ours is None or (goal.peer and not peer):
        return "-"
    return "yes" if ours <= goal.bound * (peer or 1.0 if goal.peer else 1.0) else "NO"


def wanted(goal: Goal, unit: str) -> str:
    """A goal as text; shares of a peer as fractions, which the goals are given in."""
    if not goal.peer:
        return f"<= {short(goal.bound)} {unit}"
    if goal.bound < 1 and abs(1 / goal.bound - round(1 / goal.bound)) < 1e-9:
        return f"<= 1/{round(1 / goal.bound)} x {goal.peer}"
    return f"<= {short(goal.bound)} x {goal.peer}"


def lines(row: Row, mode: Mode) -> Iterator[Line]:
    """A line for each goal, and one for each peer that no goal is about."""
    ours = least(mode, OURS)
    text = shown(mode, OURS, row.unit)
    named = {goal.peer for goal in row.goals}
    others = [label for label in row.sides if label != OURS and label not in named]
    bare: list[Goal | None] = [goal for goal in row.goals if not goal.peer]
    title = row.title
    for goal in bare or ([None] if not row.goals and not others else []):
        yield Line(row.name, title, text, "-", "-", wanted(goal, row.unit) if goal else "-",
                   judged(goal, ours, None) if goal else "-")  # fmt: skip
        title = "the same"
    beside = [(goal.peer, goal) for goal in row.goals if goal.peer] + [(label, None) for label in others]
    for label, share in beside:
        peer = least(mode, label)
        ratio = short(rounded(ours / peer)) if ours is not None and peer else "-"
        yield Line(row.name, title, text, f"{label} {shown(mode, label, row.unit)}", ratio,
                   wanted(share, row.unit) if share else "-", judged(share, ours, peer) if share else "-")  # fmt: skip
        title = "the same"


def table(rows: Mapping[str, Row], modes: Sequence[Mode]) -> list[Line]:
    """All lines of what was measured."""
    return [line for mode in modes if mode.name in rows for line in lines(rows[mode.name], mode)]


def aligned(found: Sequence[Line]) -> str:
    """The table for a terminal."""
    cells = [HEAD, *(line.cells() for line in found)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def markdown(found: Sequence[Line]) -> str:
    """The table for docs/performance.md, without the rows' names."""
    cells = [HEAD[1:], ("---",) * (len(HEAD) - 1), *(line.cells()[1:] for line in found)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
