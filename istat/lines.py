"""Lines of the sample protocol, one at a time, readable: writing them, and what one means.

For programs, plugins and tests; the server reads millions of lines with `istat.kernels.lines`, which this module
asks too. Knows no sockets and no names' expansion. Format: docs/formats/lines.md.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from istat.errors import BadLine, BadName
from istat.kernels import lines as kernel

RESERVED_FIRST = "#@$%&;:"  # lines that begin so are not samples
_BAD_IN_NAME = re.compile(r"[\s\x00-\x20\x7f]")
_KIND_OF = {code: name.lower() for name, code in kernel.CODES.items()}


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample as sent: `time` in Unix seconds or None for the moment of arrival; one value has count 1."""

    name: bytes
    time: int | None
    sum: float
    sumsq: float
    min: float
    max: float
    count: int


class Meta(NamedTuple):
    """What a sender says of itself: `#key value`."""

    key: bytes
    value: bytes


def sample_line(name: str, value: float, time: float | None = None) -> bytes:
    """One line of the protocol, for a gauge, or for an event when the name begins with "*".

    `time` in Unix seconds; without it the server takes the moment of arrival. BadName and BadLine for what
    the server would refuse.
    """
    if not name.strip("*") or _BAD_IN_NAME.search(name) or name[0] in RESERVED_FIRST:
        raise BadName(f"{name!r} cannot name a counter: no spaces, and none of {RESERVED_FIRST} first")
    if not math.isfinite(value):
        raise BadLine("value", f"the value of {name} is not finite: {value}")
    stamp = "" if time is None else f" {int(time)}"
    return f"{name}{stamp} {value!r}\n".encode()


def parse_line(line: bytes) -> Sample | Meta | None:
    """What a line (with or without its LF) means; None for an empty one. BadLine, whose `kind` is what the server
    counts it as: bad_fields, bad_number, not_finite, reserved or bad_metadata."""
    line = line.removesuffix(b"\n")
    parsed = kernel.parse(line)
    kind = _KIND_OF[parsed[0]]
    if kind == "sample":
        _, name, _, time, total, sumsq, low, high, count = parsed  # type: ignore[misc]
        return Sample(name, time, total, sumsq, low, high, count)
    if kind == "empty":
        return None
    if kind == "meta":
        key, space, value = line[1:].partition(b" ")
        if space:
            return Meta(key.strip(), value.strip())
        kind = "bad_metadata"
    raise BadLine(kind, f"{kind.replace('_', ' ')}: {line[:200]!r}")
