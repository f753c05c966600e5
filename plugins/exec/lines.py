"""What a script's output means, and what is wrong with a line that means nothing. Knows nothing of processes.

The grammar of numbers is that of the wire (docs/formats/lines.md): ASCII digits, whatever else Python would take.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from istat.declared.lines import KEY, read
from istat.errors import BadLine, PluginError
from istat.metrics import seconds
from istat.plugin import RESERVED, Emit

NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
NO_NUMBER = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
BLANKS = re.compile(r"[ \t\v\f\r]+")
MARK = "\ufeff"  # the byte-order mark with which some editors begin a file
METRIC = KEY.decode()  # begins a line that declares a metric
PRESENT = (10**9, 10**10)  # [Unix seconds] 2001 to 2286: what is meant as a time
KINDS_SHOWN = 3  # of bad lines, in one sentence
LINE_SHOWN = 80  # characters


class Bad(NamedTuple):
    """A line that is no sample, and why, with what to do."""

    line: str
    why: str


def report(output: bytes, emit: Emit) -> list[Bad]:
    """Report every `name value` or `name time value` line; a `*` before the name makes an event.

    A line `#metric NAME JSON` declares a metric; empty lines and others that start with `#` are skipped. Returns the
    lines that are nothing of that.
    """
    bad = []
    for line in output.decode("utf-8", "replace").split("\n"):
        words = [word for word in BLANKS.split(line) if word]
        if not words or (words[0].startswith("#") and words[0] != METRIC):
            continue
        try:
            if words[0] == METRIC:
                emit.metric(read(line.strip()[len(METRIC):].strip().encode()))
            else:
                _report(words, emit)
        except (ValueError, PluginError, BadLine) as error:
            bad.append(Bad(line.rstrip("\r"), str(error)))
    return bad


def told(bad: list[Bad]) -> str:
    """One sentence for all bad lines: the first of each kind."""
    kinds: dict[str, str] = {}
    for line, why in bad:
        kinds.setdefault(why, line)
    shown = [f"{why}: {line[:LINE_SHOWN]!r}" for why, line in list(kinds.items())[:KINDS_SHOWN]]
    more = len(bad) - len(shown)
    return "; ".join(shown) + (f" (and {more} more)" if more else "")


def _report(words: list[str], emit: Emit) -> None:
    """One line. ValueError or PluginError say what is wrong with it."""
    if words[0].startswith(MARK):
        raise ValueError("it begins with a byte-order mark (save what prints it as UTF-8 without one)")
    if len(words) not in (2, 3):
        raise ValueError("no `name value` line")
    event = words[0].startswith("*")
    name = words[0][event:]
    if not name or name[0] in RESERVED:
        raise ValueError(f"no name begins with {name[0]}" if name else "it has no name")
    time = _time(words) if len(words) == 3 else None
    (emit.event if event else emit.gauge)(name, _number(words[-1]), time)


def _time(words: list[str]) -> int:
    name, time, value = words
    if not NUMBER.fullmatch(time):
        raise ValueError("its second of three words is no time in Unix seconds")
    try:
        when = seconds(float(time) if "." in time or "e" in time.lower() else int(time))
    except ValueError as error:
        raise ValueError(f"its time {error}") from None
    if when < PRESENT[0] and NUMBER.fullmatch(value) and PRESENT[0] <= float(value) < PRESENT[1]:
        raise ValueError(f"value and time have changed places; write {name} {value} {time}")
    return when


def _number(word: str) -> float:
    exact = NUMBER.fullmatch(word) is not None
    if exact and math.isfinite(float(word)):
        return float(word)
    if exact or NO_NUMBER.fullmatch(word):
        raise ValueError("its value is not finite; leave out what is not known")
    if NUMBER.fullmatch(word.replace(",", ".")):
        raise ValueError("its value has a comma; a number has a decimal point, and nothing between thousands")
    if NUMBER.fullmatch(word.replace("_", "")):
        raise ValueError("its value has a `_`, which only programs' sources have between digits")
    raise ValueError("its value is no number; a unit belongs into the name")
