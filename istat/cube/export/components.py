"""Texts of all kinds as components of counters' names. Knows no cubes."""

from __future__ import annotations

import re

from istat.cube.export.values import text_of
from istat.kernels import cubes

LONGEST = 64                # characters of a component
# What a component cannot hold: it ends a component (dot), begins a tag (caret), or a name turns it into `_` anyway.
_FOREIGN = re.compile(r"[^a-z0-9!#$%&()*+,;<=>?@\[\]_`{|}~-]")


def component(value: object) -> str:
    """A dimension's value as one component: lower case, `_` for what it cannot hold, 64 characters at most. Where that
    lost something, 8 hex digits of its XXH64 follow, so that `GET` and `get` stay two."""
    text = text_of(value)
    made = _munged(text)[:LONGEST]
    if made == text and made:
        return made
    raw = value if isinstance(value, bytes) else text.encode("utf-8", "surrogatepass")
    return f"{made or '_'}-{cubes.xxh64(raw) >> 32:08x}"


def label(text: str) -> str:
    """A tag's name or value as one component, in the way that the agent writes host names: `web1_example_net`."""
    return re.sub(r"[^a-z0-9_-]", "_", text.strip().lower()) or "_"


def _munged(text: str) -> str:
    return _FOREIGN.sub("_", text.lower())
