"""F3: frames that are small and promise much. They are refused before what they promise is allocated."""

from __future__ import annotations

import resource
import struct
import subprocess
import sys
from collections.abc import Callable

import pytest

from istat.cube import Instance, Limits
from istat.errors import FormatError
from istat.kernels.python.varints import put_varint as varint
from istat.kernels.python.varints import zigzag
from tests.cube.frames.test_container import framed, section

MIB = 1 << 20
META = bytes(32) + b"\0" + bytes(24) + b"\x01a\0"
COUNTER = b"\x01\x01n\0"


def cube(metrics: list[bytes], max_cells: int = 1 << 24, sampling: bytes = b"") -> bytes:
    """The schema of one cube with one dimension; without `sampling` it is comprehensive."""
    mode = sampling[:1] or b"\0"
    return (b"\x01\x01c\0\x01\x01d" + varint(len(metrics)) + b"".join(metrics) + mode + varint(max_cells) + b"\0"
            + sampling[1:])


def frame(schema: bytes, *payloads: bytes) -> bytes:
    """A frame of one cube: CELLS, perhaps a sketch, TOTALS."""
    types = {2: (3, 6), 3: (3, 4, 6)}[len(payloads)] if payloads else ()
    parts = [section(1, payload=META), section(2, payload=schema)]
    parts += [section(type, payload=payload) for type, payload in zip(types, payloads)]
    return framed(b"".join(parts), len(parts))


def histogram(highest: int, precision: int, digits: int = 0) -> bytes:
    return b"\x03\x01h" + varint(1) + varint(highest) + struct.pack("<BBd", digits, precision, 1.0)


def hll(precision: int) -> bytes:
    return b"\x04\x01u" + bytes([precision, 1])


def cells(n: int, rest: bytes = b"") -> bytes:
    """So many cells with keys of one byte, all of them missing values; that is good for one."""
    return varint(n) + b"\x01" * n + b"\0" * n + b"\x02" * n + rest



BIG = (1 << 63) - 1
TOPK = b"\x01" + b"\0"                # mode, primary


def topk(depth: int, width: int) -> bytes:
    return cube([COUNTER], 10, TOPK + varint(depth) + varint(width) + struct.pack("<dQ", 1.08, 0))


BOMBS: dict[str, Callable[[], bytes]] = {
    "cubes at the limit": lambda: frame(varint(65_536)),
    "cubes beyond": lambda: frame(varint(65_537)),
    "cubes far beyond": lambda: frame(varint((1 << 64) - 1)),
    "dimensions at the limit": lambda: frame(b"\x01\x01c\0" + varint(64)),
    "dimensions beyond": lambda: frame(b"\x01\x01c\0" + varint(65) + b"\x01d" * 65),
    "metrics at the limit": lambda: frame(b"\x01\x01c\0\x01\x01d" + varint(256)),
    "metrics beyond": lambda: frame(cube([COUNTER] * 257)),
    "a name at the limit": lambda: frame(b"\x01" + varint(255)),
    "a name beyond": lambda: frame(b"\x01" + varint(256) + b"c" * 256),
    "tags beyond": lambda: frame(b"\x01\x01c" + varint(65)),
    "cells at the limit": lambda: frame(cube([COUNTER]), varint(1 << 24), b""),
    "cells beyond the cube's": lambda: frame(cube([COUNTER], 5), cells(6, b"\0" * 6), b""),
    "cells beyond the format's": lambda: frame(cube([COUNTER], (1 << 24) + 1), cells(0), b"\0\0\0\0\0\0"),
    "cells far beyond": lambda: frame(cube([COUNTER]), varint((1 << 64) - 1), b""),
    "a key at the limit": lambda: frame(cube([COUNTER]), b"\x01" + varint(4096) + b"\0\0\0", b""),
    "a key beyond": lambda: frame(cube([COUNTER]), b"\x01" + varint(4097) + b"\0" * 4100, b""),
    "keys of more bytes than there are": lambda: frame(cube([COUNTER]), varint(1000) + varint(4096) * 1000, b""),
    "slots at the limit, no slot": lambda: frame(
        cube([histogram((1 << 20) - 1, 14)]), cells(1, b"\x01\0\0\0\0\0\0"), b""),
    "slots beyond": lambda: frame(cube([histogram(BIG, 17, 5)]), cells(0), b""),
    "a histogram of many values without slots": lambda: frame(
        cube([histogram(1000, 14)]), cells(1, varint(BIG) + b"\0\0\0\0\0\0"), b""),
    "a run of empty slots without end": lambda: frame(
        cube([histogram(1000, 4)]), cells(1, b"\x01\0\0\x02\x02\x02\x01" + varint((1 << 64) - 1)), b""),
    "dense registers at the limit": lambda: frame(cube([hll(18)]), cells(1, b"\x02" + bytes(100)), b""),
    "a precision beyond": lambda: frame(cube([hll(19)]), cells(0), b""),
    "a sparse list at the limit": lambda: frame(cube([hll(18)]), cells(1, b"\x01" + varint(1 << 15)), b""),
    "a sparse list beyond": lambda: frame(cube([hll(18)]), cells(1, b"\x01" + varint((1 << 15) + 1)), b""),
    "a sketch at the limit": lambda: frame(topk(8, 1 << 21)),
    "a sketch beyond": lambda: frame(topk(8, (1 << 21) + 1), cells(0), b"", b""),
    "rows beyond": lambda: frame(topk(9, 1), cells(0), b"", b""),
    "buckets behind the end": lambda: frame(
        topk(1, 10), cells(0), b"\0\x01\x0a" + struct.pack("<dQ", 1.08, 0) + b"\0\0" + varint((1 << 64) - 1), b""),
    "a frame that says it is long": lambda: _longer(),
}


def _longer() -> bytes:
    out = bytearray(frame(cube([])))
    out[8:16] = (1 << 62).to_bytes(8, "little")
    return bytes(out)


def many_histograms() -> bytes:
    """100 cells, each with one value in the last of 2^20 slots: 4 MiB in memory for 30 bytes."""
    value = (1 << 34) + (1 << 20)  # any that is far behind
    shape = histogram(value, 14)
    number = varint(2 * value)
    slots = _slots(value, 14)
    one = b"\x01\0\0" + number + number + number + wide(value * value) + varint(zigzag(1 - slots)) + varint(2)
    keys = b"".join(b"\x01" + number.to_bytes(8, "little") for number in range(100))
    body = varint(100) + b"\x09" * 100 + keys + b"\x02" * 100 + one * 100
    return frame(cube([shape]), body, b"\0" * 5)


def _slots(highest: int, precision: int) -> int:
    shift = max(0, highest.bit_length() - precision - 1)
    return (shift << precision) + (highest >> shift) + 1


def wide(value: int) -> bytes:
    return varint(value)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(name: str) -> None:
    with pytest.raises(FormatError):
        Instance.deserialize(BOMBS[name]())


def test_what_would_take_more_memory_than_allowed_is_refused() -> None:
    bomb = many_histograms()
    assert len(bomb) < 6000
    with pytest.raises(FormatError, match="max_memory"):
        Instance.deserialize(bomb, Limits(max_memory=8 * MIB))
    with pytest.raises(FormatError, match="max_memory"):
        Instance.deserialize(frame(topk(8, 1 << 21), cells(0), b"", b""), Limits(max_memory=100 * MIB))


def test_bombs_take_little_memory() -> None:
    """In a process of its own, as memory that was given back still counts in the peak."""
    script = f"import tests.cube.frames.{__name__.rpartition('.')[2]} as bombs; bombs.measure()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 * MIB


def measure() -> None:
    """Print by how many bytes the peak rises while all bombs are read."""
    made = [make() for make in BOMBS.values()]
    limits = [Limits()] * len(made) + [Limits(max_memory=8 * MIB)]
    made.append(many_histograms())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for bomb, limit in zip(made, limits):
        try:
            Instance.deserialize(bomb, limit)
        except FormatError:
            continue
        raise AssertionError("a bomb was read")
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
