"""Section META: whose frame it is, and of which time."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from istat.cube.frames.strings import get_name, get_pairs, put_pairs, put_text
from istat.kernels.python.reading import Reader
from istat.kernels.python.varints import put_varint

ID_BYTES = 16
TIMES = struct.Struct("<qqq")


@dataclass(frozen=True)
class Meta:
    """What a frame says of its writer. Times are ns since 1970.

    `delta`: what was counted from t0 to t1 alone, else all since t0. It stands in the header's flags.
    """

    name: str
    instance_id: bytes
    boot_id: bytes = bytes(ID_BYTES)
    sequence: int = 0
    tick: int = 0
    t0: int = 0
    t1: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    delta: bool = False


def put_meta(meta: Meta) -> bytes:
    """The payload of META. ValueError for times that no frame can have, as nobody could read it."""
    if not -(1 << 63) <= meta.t0 <= meta.t1 < 1 << 63:
        raise ValueError(f"t0 is at most t1, and both are of 64 bits; they are {meta.t0} and {meta.t1}")
    return b"".join([
        meta.instance_id, meta.boot_id, put_varint(meta.sequence), TIMES.pack(meta.tick, meta.t0, meta.t1),
        put_text(meta.name), put_pairs(meta.tags.items()),
    ])  # fmt: skip


def get_meta(reader: Reader, delta: bool) -> Meta:
    """META from its payload; FormatError."""
    instance_id, boot_id = reader.take(ID_BYTES), reader.take(ID_BYTES)
    sequence, tick, start = reader.varint(), reader.i64(), reader.at
    t0, t1 = reader.i64(), reader.i64()
    if t0 > t1:
        reader.refuse("t0 behind t1", start)
    name = get_name(reader)
    tags = get_pairs(reader)
    reader.end()
    return Meta(name, instance_id, boot_id, sequence, tick, t0, t1, tags, delta)
