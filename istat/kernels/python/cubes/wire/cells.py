"""A cube's cells as bytes, and back: keys, marks, and the columns of its metrics. The specification.

docs/formats/cube.md has the format (CELLS). Whoever calls holds the guard. Cells are read into a core that has none;
where anything is wrong, whoever made that core throws it away.
"""

from __future__ import annotations

from istat.kernels.python.cubes.admission import TOPK
from istat.kernels.python.cubes.cells import LATE, TOUCHED
from istat.kernels.python.cubes.core import Core
from istat.kernels.python.cubes.keys import KEY_ROOM, decoded
from istat.kernels.python.cubes.wire.columns import get_column, put_column
from istat.kernels.python.reading import (
    CUT_OFF,
    INCONSISTENT,
    MALFORMED_KEY,
    MOST_COUNT,
    NO_PLACE,
    TWICE,
    Reader,
)
from istat.kernels.python.varints import put_varint

#: [bytes] What a reader plans for a cell besides its key, and for its value of each metric without what that points to.
CELL_COST, VALUE_COST = 48, 24
MOST_FLOOR = (1 << 32) - 1  # items with which a cell is admitted: samplers have 32 bits for them


def put_cells(core: Core) -> bytes:
    """The payload of CELLS: cells by insertion."""
    slots = core.cells.in_order()
    keys = [core.cells.keys[slot] for slot in slots]
    parts = [put_varint(len(slots)), *(put_varint(len(key)) for key in keys), *keys]
    parts.append(bytes([core.cells.marks[slot] for slot in slots]))
    if core.sampler is not None:
        parts += [put_varint(core.sampler.inherited(slot)) for slot in slots]
    parts += [put_column(metric, slots) for metric in core.metrics]
    return b"".join(parts)


def get_cells(core: Core, payload: bytes | memoryview, base: int, budget: int) -> int:
    """Read cells into a core that has none; the budget that is left. FormatError, with `base` added to its offset."""
    reader = Reader(payload, base, budget)
    slots = _get_keys(reader, core)
    most = MOST_COUNT if core.mode == TOPK else MOST_FLOOR
    begun = [reader.varint(most) for _ in slots] if core.sampler is not None else []
    for metric in core.metrics:
        get_column(reader, metric, slots)
    reader.end()
    if core.mode == TOPK and any(max(core.primary.values[slot], 0) < part for slot, part in zip(slots, begun)):
        reader.refuse(INCONSISTENT, 0)
    for slot, part in zip(slots, begun):
        core.entered(slot, part)
    return reader.budget


def _get_keys(reader: Reader, core: Core) -> list[int]:
    """Read keys and marks, and make the cells: their slots."""
    n = reader.varint(core.cells.most)
    if n > reader.left():
        reader.refuse(CUT_OFF, 0)
    reader.plan(n * (CELL_COST + VALUE_COST * len(core.metrics)), 0)
    sizes = [reader.varint(KEY_ROOM) for _ in range(n)]
    reader.plan(sum(sizes))
    at, keys = reader.at, reader.take(sum(sizes))
    slots, end = [], 0
    for size in sizes:
        key = keys[end : end + size]
        slots.append(_insert(reader, core, key, reader.u8(LATE | TOUCHED), at + end))
        end += size
    return slots


def _insert(reader: Reader, core: Core, key: bytes, marks: int, at: int) -> int:
    """The slot of a cell that is made now."""
    try:
        decoded(key, core.dimensions)
    except ValueError:
        reader.refuse(MALFORMED_KEY, at)
    if core.cells.find(key) >= 0:
        reader.refuse(TWICE, at)
    try:
        return core.insert(key, marks)
    except ValueError:
        reader.refuse(NO_PLACE, at)
