"""Our own protocol, lines: the one place that writes them, and what one means.

For daemons, programs, plugins and tests; the server reads millions of lines with `istat.kernels.lines`, which this
module asks too: there is one grammar. Knows no sockets and no names' expansion. Format: docs/formats/lines.md.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from istat.errors import BadLine, BadName
from istat.kernels import lines as kernel
from istat.wire.framing import Framing, LineFraming
from istat.wire.protocol import Datagrams, Feeder, Sink

RESERVED_FIRST = "#@$%&;:"  # lines that begin so are not samples
EXACT = 1e10  # from here on ten digits are not enough for whole numbers such as bytes
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


class Lines:
    """The protocol itself: what comes in is what a sink takes, so it stands in nobody's way."""

    name = "lines"
    datagrams = Datagrams.LINES

    def framing(self, limit: int) -> Framing:
        """See WireProtocol.framing."""
        return LineFraming(limit)

    def feeder(self, sink: Sink) -> Feeder:
        """See WireProtocol.feeder."""
        return sink


LINES = Lines()


def written(name: str, value: str, time: int | None = None) -> bytes:
    """A line of a name and a number as text, which nothing checks: for those who made both themselves."""
    return f"{name} {value}\n".encode() if time is None else f"{name} {time} {value}\n".encode()


def meta_line(key: str, value: str) -> bytes:
    """What a sender says of itself. Nothing checks it."""
    return f"#{key} {value}\n".encode()


def brief(value: float) -> str:
    """A value as text: whole numbers exactly, others with ten digits (more only for the very large)."""
    if isinstance(value, int):
        return str(value)
    if abs(value) < EXACT:
        return f"{value:.10g}"
    return str(int(value)) if value.is_integer() and abs(value) < 2**63 else repr(value)


def sample_line(name: str, value: float, time: float | None = None) -> bytes:
    """One line of the protocol, for a gauge, or for an event when the name begins with "*".

    `time` in Unix seconds; without it the server takes the moment of arrival. BadName and BadLine for what
    the server would refuse.
    """
    if not name.strip("*") or _BAD_IN_NAME.search(name) or name[0] in RESERVED_FIRST:
        raise BadName(f"{name!r} cannot name a counter: no spaces, and none of {RESERVED_FIRST} first")
    if not math.isfinite(value):
        raise BadLine("value", f"the value of {name} is not finite: {value}")
    # Other numbers (a bool, numpy's, a Decimal) are written otherwise than the protocol has them.
    plain = value if type(value) in (int, float) else float(value)
    return written(name, repr(plain), None if time is None else int(time))


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
