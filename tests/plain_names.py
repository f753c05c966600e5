"""Search over names as it is said, not as it is done: a plain look at every name, for tests to compare with."""

from __future__ import annotations

import re
from typing import Any

Child = tuple[bytes, int, bool]


def listed(table: Any) -> dict[int, bytes]:
    """The names of a table by id."""
    return {id: table.name(id) for id in range(len(table)) if table.has(id)}


def fits(pattern: bytes, name: bytes) -> bool:
    """Whether the whole name fits: `*` is any run of bytes, `?` any run without dots; an empty pattern fits nothing."""
    signs = re.sub(rb"[*?]+", lambda run: b"*" if b"*" in run[0] else b"?", pattern)
    parts = {b"*": b".*", b"?": b"[^.]*"}
    expression = b"".join(parts.get(signs[i:i + 1]) or re.escape(signs[i:i + 1]) for i in range(len(signs)))
    return bool(pattern) and re.fullmatch(expression, name, re.DOTALL) is not None


def first_part(name: bytes) -> bytes:
    """A name up to the dot that is between two parts: one with something else before it, and something else behind."""
    for at, sign in enumerate(name):
        if sign == ord(".") and name[:at].strip(b".") and name[at:].strip(b"."):
            return name[:at]
    return name


def children(names: dict[int, bytes], prefix: bytes) -> list[Child]:
    """[(label, id of the name that ends there or -1, whether longer names follow)] below a dotted prefix, by label."""
    stem = prefix + b"." if prefix else b""
    found: dict[bytes, tuple[int, bool]] = {}
    for id, name in names.items():
        rest = name[len(stem):]
        if name.startswith(stem) and (not stem or set(rest) - set(b".")):
            label = first_part(rest)
            before, deeper = found.get(label, (-1, False))
            found[label] = (before, True) if label != rest else (id, deeper)
    return sorted((label, id, deeper) for label, (id, deeper) in found.items())
