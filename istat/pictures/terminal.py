"""Charts as lines of characters. Knows places along axes (0 to 1) and words, no series' values."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, isnan

from istat.pictures import scales
from istat.pictures.axes import Axis, Scale
from istat.pictures.marks import Point

COLUMNS, ROWS = 66, 18          # characters of the room for data
BAR = 40                        # characters of the longest bar
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SYMBOLS, PLAIN_SYMBOLS = "●○▲△■□◆◇" + LETTERS, "*o+x#@%&" + LETTERS.replace("o", "").replace("x", "")

# What is between two points: the line from one to the other, the earlier one's value, nothing.
STRAIGHT, HELD, NOTHING = "straight", "held", "nothing"
BETWEEN = {"line": STRAIGHT, "steps": HELD}

Series = tuple[str, Sequence[Point], str]       # its name; shares across and up; what is between them


def plot(title: str, across: tuple[Axis, Scale], up: tuple[Axis, Scale], series: Sequence[Series],
         unicode: bool) -> str:
    """Each series by a character of its own, a value a column; where two meet, the later one is seen."""
    symbols = SYMBOLS if unicode else PLAIN_SYMBOLS
    room = [[" "] * COLUMNS for _ in range(ROWS)]
    for place, (_, points, between) in enumerate(series):
        for column in range(COLUMNS):
            value = _value(points, (column + 0.5) / COLUMNS, 0.5 / COLUMNS, between)
            if not isnan(value):
                room[ROWS - 1 - min(ROWS - 1, int(value * ROWS))][column] = symbols[place % len(symbols)]
    words = {ROWS - 1 - min(ROWS - 1, int(share * ROWS)): text for share, text in reversed(up[1].ticks(ROWS // 3))}
    wide = max(map(len, words.values()), default=0)
    lines = [title, *(f"  {symbols[place % len(symbols)]} {name}" for place, (name, _, _) in enumerate(series) if name),
             up[0].title]
    bar, corner, dash = ("│", "└", "─") if unicode else ("|", "+", "-")
    lines += [f"{words.get(row, ''):>{wide}} {bar}{''.join(cells)}" for row, cells in enumerate(room)]
    lines += [f"{'':>{wide}} {corner}{dash * COLUMNS}", " " * (wide + 2) + _below(across[1]),
              " " * (wide + 2) + across[0].title]
    return "\n".join(line.rstrip() for line in lines if line.strip()) + "\n"


def bars(title: str, unit: str, groups: Sequence[tuple[str, Sequence[tuple[str, float | None]]]], scale: Scale,
         unicode: bool) -> str:
    """A bar and a number for each series of each group."""
    block = "█" if unicode else "#"
    wide = max((len(name) for name, _ in groups), default=0)
    names = max((len(name) for _, rows in groups for name, _ in rows), default=0)
    lines = [f"{title}{f' ({unit})' if unit else ''}"]
    for name, rows in groups:
        for place, (series, value) in enumerate(rows):
            known = value is not None and isfinite(value)
            bar = block * round(scale.share(value) * BAR) if value is not None and known else ""
            said = scales.written(value) if value is not None and known else "-"
            lines.append(f"{name if place == 0 else '':<{wide}}  {series:<{names}}  {bar} {said}")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _value(points: Sequence[Point], at: float, reach: float, between: str) -> float:
    """What a series has there: between two points on the line from one to the other, or the earlier one's; NaN where
    it has nothing. `reach`: how far before its first and behind its last point it may be taken for that."""
    before = after = None
    for point in points:
        if point[0] <= at:
            before = point
        else:
            after = point
            break
    if before is None or after is None or between == NOTHING:
        near = min((p for p in (before, after) if p is not None), key=lambda p: abs(p[0] - at), default=None)
        return near[1] if near is not None and abs(near[0] - at) <= reach else float("nan")
    if between == HELD:
        return before[1]
    return before[1] + (after[1] - before[1]) * (at - before[0]) / (after[0] - before[0])


def _below(scale: Scale) -> str:
    """Numbers below the axis, each in the middle of its place where there is room."""
    line = ""
    for share, words in scale.ticks(COLUMNS // 10):
        at = max(0, min(round(share * COLUMNS - len(words) / 2), COLUMNS - len(words)))
        if at > len(line) or not line:
            line = line.ljust(at) + words
    return line
