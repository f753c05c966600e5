"""Turns what collectors report into lines for the server: caret names from host and tags, time, value.

Grammar: a line is `name^host.H^TAG... TIME VALUE`, with a `*` before the name of an event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from istat.plugin import Reading
from istat.wire.lines import brief, written

# What may not stand in a tag: blanks end the name, a caret would make two tags of it.
TAG = re.compile(r"[^\s^*]+\Z")


def host_label(host: str) -> str:
    """A host name as one component of counter names: `web1_example_net` for Web1.example.net."""
    return re.sub(r"[^a-z0-9_-]", "_", host.strip().lower()) or "localhost"


def suffix(host: str, tags: Sequence[str], aggregate: bool) -> str:
    """What is put behind every name: `^host.web1^class.web`, and a last `^` to feed the bare name as well."""
    return "".join(f"^{piece}" for piece in (f"host.{host_label(host)}", *tags)) + ("^" if aggregate else "")


def lines(readings: Iterable[Reading], suffix: str, time: int) -> list[bytes]:
    """A line for each reading; `time` [Unix seconds] for those that have none of their own."""
    return [_line(reading, suffix, time) for reading in readings]


def _line(reading: Reading, suffix: str, time: int) -> bytes:
    star = "*" if reading.event else ""
    own = time if reading.time is None else reading.time
    return written(f"{star}{reading.name}{suffix}", brief(reading.value), own)
