"""What a metric is: its name, unit and meaning, declared once by a collector or the part of the server that reports it.

Documentation and checks follow from the declaration. It knows which values and times can be told, and nobody who has
any.
"""

from __future__ import annotations

import math
import numbers
import re
from dataclasses import dataclass

MOST_WHOLE = 1 << 63     # far below what a double cannot hold
FAR = 10**11     # [Unix seconds] in the year 5138: whoever writes a later time means smaller units
SMALLER = ("milliseconds", "microseconds", "nanoseconds")
VARYING = re.compile(r"(<[^>]*>)")


@dataclass(frozen=True)
class Metric:
    """One metric; a part `<word>` of its name varies, and the name then stands for several.

    An `event` is something that happens: a collector reports how often since its last reading, the server a
    total since its start, and the counter is a rate per second. Anything else is a gauge: the value now. `link`: a
    page with more about it, http:// or https://.
    """

    name: str
    unit: str
    help: str
    event: bool = False
    link: str = ""

    @property
    def kind(self) -> str:
        """ "event" or "gauge"."""
        return "event" if self.event else "gauge"

    @property
    def family(self) -> str | None:
        """What comes before a varying part at the end, with the dot; None for a metric without one."""
        parts = VARYING.split(self.name)
        return parts[0] if len(parts) == 3 and not parts[2] and parts[0].endswith(".") else None

    def matches(self, name: str) -> bool:
        """Whether a reported name is one of these."""
        pattern = "".join(".+" if part.startswith("<") else re.escape(part) for part in VARYING.split(self.name))
        return re.fullmatch(pattern, name) is not None


def number(value: object) -> float:
    """A value as it can be told, whatever kind of number it is.

    ValueError when it is no finite one: the end of a sentence whose beginning says whose value it is.
    """
    if type(value) is int and -MOST_WHOLE < value < MOST_WHOLE:     # nearly all are
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"must be a number, not {type(value).__name__}")
    try:
        found = int(value) if isinstance(value, numbers.Integral) else float(value)
        finite = math.isfinite(found)
    except OverflowError:       # a whole number beyond what a double can hold
        finite = False
    if not finite:
        raise ValueError("must be finite; leave out what is not known")
    return found


def seconds(time: float) -> int:
    """A time in whole Unix seconds; a fraction is cut.

    ValueError when it is none: the end of a sentence whose beginning says which time it is.
    """
    try:
        whole = int(time)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("is no number of seconds") from None
    for power, unit in enumerate(SMALLER, 1):
        if FAR <= abs(whole) < FAR * 1000**power:
            raise ValueError(f"is in {unit}; in seconds it is {whole // 1000**power}")
    if abs(whole) >= FAR:
        raise ValueError("is in no year that anybody means")
    return whole
