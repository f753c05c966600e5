"""What follows a dotted prefix in the names of a table: the specification of the native build of the same name."""
from __future__ import annotations

from istat.kernels.python.names import NameTable
from istat.kernels.python.search.questions import Tail, ids_of
from istat.kernels.python.search.segments import Segment


def children(table: NameTable, segments: list[Segment], tail: Tail, moved: list[int], prefix: bytes,
             limit: int, behind: bytes | None = None) -> list[tuple[bytes, int, bool]]:
    """[(label, id of the name that ends there or -1, whether longer names follow)] below a dotted prefix, by label: the
    first `limit` of those behind a label. The empty prefix gives the first labels of all names."""
    stem = prefix + b"." if prefix else b""
    labels: dict[bytes, tuple[int, bool]] = {}
    for id in ids_of(table, segments, tail, moved, stem):
        name = table.name(id)
        if name.startswith(stem):
            label, dot, _ = name[len(stem):].partition(b".")
            before, deeper = labels.get(label, (-1, False))
            labels[label] = (before, True) if dot else (id, deeper)
    return sorted((label, id, deeper) for label, (id, deeper) in labels.items()
                  if behind is None or label > behind)[:limit]
