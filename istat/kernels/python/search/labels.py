"""What follows a dotted prefix in the names of a table: the specification of the native build of the same name.

A name is parts with dots between them, and no part is empty: dots that would make one empty belong to the part behind
them, at a name's end to the part before. `a..b` is `a` and `.b`, `.x.y` is `.x` and `y`, `x.` and `...` are one part.
"""
from __future__ import annotations

import re

from istat.kernels.python.names import NameTable
from istat.kernels.python.search.questions import Tail, ids_of
from istat.kernels.python.search.segments import Segment

# The first part of a name or of what is behind a prefix; nothing else follows where it is all of it.
_PART = re.compile(rb"\.*[^.]*(?:\.+\Z)?")


def children(table: NameTable, segments: list[Segment], tail: Tail, moved: list[int], prefix: bytes,
             limit: int, behind: bytes | None = None) -> list[tuple[bytes, int, bool]]:
    """[(label, id of the name that ends there or -1, whether longer names follow)] below a dotted prefix, by label: the
    first `limit` of those behind a label. The empty prefix gives the first labels of all names."""
    stem = prefix + b"." if prefix else b""
    labels: dict[bytes, tuple[int, bool]] = {}
    for id in ids_of(table, segments, tail, moved, stem):
        name = table.name(id)
        rest = name[len(stem):]
        if name.startswith(stem) and (not stem or rest.strip(b".")):        # `x.` is beside `x`, not below
            label = _PART.match(rest)[0]        # type: ignore[index]
            before, deeper = labels.get(label, (-1, False))
            labels[label] = (before, True) if label != rest else (id, deeper)
    return sorted((label, id, deeper) for label, (id, deeper) in labels.items()
                  if behind is None or label > behind)[:limit]
