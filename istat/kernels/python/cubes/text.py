"""Cells of a cube as flat JSON: the specification. The native build of the same name gives the same bytes.

One object a cell, its parts in a fixed order. HEAD ends within the tags; FIELDS are the metrics by registration:

    HEAD "method":"GET","status":200},"fields":{"requests":18342,"latency_us":{...}},"meta":{"mode":"topk",...}}

Text is UTF-8, escaped as far as RFC 8259 wants it. Integers are integers; a float is the shortest decimal that is the
same double (`render.number`), of a dimension with `.0` where it is whole, as 1 and 1.0 are two cells. What is missing
and what is not finite is `null`. Left out: gauges that are not set, histograms without a value. Knows no names of cubes
and no times: the caller brings the head.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from istat.kernels.python.render import number
from istat.kernels.python.varints import put_varint

HISTOGRAMS = ("summary", "buckets", "encoded")
HLLS = ("estimate", "encoded")
CHUNK = 1 << 16         # [bytes] of text at a time, and one cell more: larger memory comes from the system each time
LATE, TOUCHED = 1, 2    # marks of a cell
MOST_WHOLE = 1 << 63    # from here on a sum is written as a float: few parsers take longer integers


class FlatText:
    """The text of one cube's cells, read piece by piece.

    `head`: what each cell begins with, up to the first tag; constant tags have a comma behind each. `quantiles`: name
    and percentile (0 to 100, ascending) of each that a summary has. `meta`: whether cells tell how they got in.
    `limit`: so many cells at most. Where a metric ranks cells they stand by rank, else by insertion, and the overflow
    cell last. ValueError for a way to write that there is none.
    """

    def __init__(self, core: Any, head: bytes, *, histogram: str = "summary",
                 quantiles: Sequence[tuple[str, float]] = (), hll: str = "estimate", meta: bool = False,
                 limit: int | None = None) -> None:
        if histogram not in HISTOGRAMS or hll not in HLLS:
            raise ValueError(f"a histogram is written as one of {', '.join(HISTOGRAMS)}, a HyperLogLog as one of "
                             f"{', '.join(HLLS)}; not {histogram!r} and {hll!r}")
        self._core, self._head, self._meta, self._mode = core, head, meta, core.mode
        self._dimensions = [_key(name) for name in core.names]
        self._metrics = [(_key(metric.name), metric) for metric in core.metrics]
        self._quantiles = [(_key(name), q) for name, q in quantiles]
        self._histogram, self._hll = histogram, hll
        with core.guard:
            self._slots = _in_order(core, limit)
        self._next = 0

    def read(self, separator: bytes) -> bytes:
        """The next cells with the separator between, some 64 KiB; nothing when there are no more."""
        with self._core.guard:
            made: list[bytes] = []
            size = 0
            while self._next < len(self._slots) and size < CHUNK:
                slot = self._slots[self._next]
                self._next += 1
                if _is_there(self._core, slot):
                    made.append(self._cell(slot))
                    size += len(made[-1]) + len(separator)
            return separator.join(made)

    def _cell(self, slot: int) -> bytes:
        overflow = slot == self._core.overflow_slot
        tags = [name + _tag(value) for name, value in zip(self._dimensions, self._core.key(slot))]
        if overflow:
            tags.append(b'"overflow":true')
        fields = [name + text for name, metric in self._metrics if (text := self._value(metric, slot))]
        meta = b',"meta":{%b}' % b",".join(self._told(slot, overflow)) if self._meta else b""
        head = self._head if tags else self._head.removesuffix(b",")
        return b'%b%b},"fields":{%b}%b}' % (head, b",".join(tags), b",".join(fields), meta)

    def _told(self, slot: int, overflow: bool) -> Iterator[bytes]:
        """How a cell got in."""
        yield b'"mode":"%b"' % self._mode.encode()
        if self._mode == "comprehensive" or overflow:
            return
        yield b'"rank":%d' % self._next
        yield b'"late":true' if self._core.marks(slot) & LATE else b'"late":false'
        if self._mode == "topk":
            yield b'"inherited":%d' % self._core.inherited(slot)
        else:
            yield b'"floor":%b' % number(self._core.floor(slot))

    def _value(self, metric: Any, slot: int) -> bytes:
        """What a metric has in a cell; nothing when it has nothing, or was dropped meanwhile."""
        if metric.dropped:
            return b""
        value = metric.value(slot)
        if metric.kind == "histogram":
            return b"{%b}" % b",".join(self._of_histogram(metric.shape, value)) if value.count else b""
        if metric.kind == "hll":
            return _estimate(value) if self._hll == "estimate" else _registers(metric, value)
        return b"" if value is None else _number(value)

    def _of_histogram(self, shape: Any, value: Any) -> Iterator[bytes]:
        """The members of a histogram's object; values in the unit in which they were recorded."""
        first, counts, total, *_ = value.parts()
        yield b'"count":%d,"sum":%b,"min":%b,"max":%b' % (
            value.count, _sum(total, shape.scale), _number(value.min), _number(value.max))
        if self._histogram == "summary":
            values = value.percentiles([q for _, q in self._quantiles])
            yield from (name + _number(one) for (name, _), one in zip(self._quantiles, values))
        elif self._histogram == "buckets":
            used = [(*shape.bounds(slot), count) for slot, count in enumerate(counts, first) if count]
            yield b'"buckets":[%b]' % b",".join(
                b"[%b,%b,%d]" % (_number(low), _number(high), count) for low, high, count in used)
        else:
            yield b'"lowest":%d,"highest":%d,"precision":%d,"scale":%b,"slots":"%b"' % (
                shape.lowest, shape.highest, shape.precision, number(shape.scale),
                base64.b64encode(_runs([0] * first + counts)))


def _in_order(core: Any, limit: int | None) -> list[int]:
    """The slots to be written, the first of them if there is a limit, and the overflow cell's."""
    slots: list[int] = core.slots()[:limit] if core.sampler is None else core.ranked(limit)
    return slots + ([core.overflow_slot] if core.overflow_slot >= 0 else [])


def _is_there(core: Any, slot: int) -> bool:
    """Whether a slot has a cell still: programs may write between two pieces."""
    return slot < len(core.cells.keys) and (slot == core.overflow_slot or core.marks(slot) & TOUCHED != 0)


def _key(name: str) -> bytes:
    return _quoted(name) + b":"


def _quoted(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode()


def _number(value: float) -> bytes:
    return b"%d" % value if isinstance(value, int) else number(value)


def _sum(total: int, scale: float) -> bytes:
    """The exact sum, as an integer where most parsers take it."""
    return b"%d" % total if scale == 1.0 and -MOST_WHOLE <= total < MOST_WHOLE else number(total / scale)


def _runs(counts: list[int]) -> bytes:
    """Counts of slots as files have them (docs/formats/cube.md): zigzags, one below 0 for so many empty slots."""
    made = bytearray()
    empty = 0
    for count in counts:
        if count and empty:
            made += put_varint(2 * empty - 1)
        empty = 0 if count else empty + 1
        if count:
            made += put_varint(2 * count)
    return bytes(made)


def _tag(value: Any) -> bytes:
    """A dimension's value."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bytes):
        return b'"base64:%b"' % base64.b64encode(value)
    if isinstance(value, float):
        text = number(value)
        return text + b".0" if text.lstrip(b"-").isdigit() else text
    return b"null" if value is None else b"%d" % value


def _estimate(sketch: Any) -> bytes:
    """How many distinct items, as a whole number."""
    estimate = sketch.estimate()
    return number(float(round(estimate)) if math.isfinite(estimate) else estimate)


def _registers(metric: Any, sketch: Any) -> bytes:
    """The registers, 6 bits each as docs/formats/cube.md has them."""
    return b'{"precision":%d,"hash":%b,"registers":"%b"}' % (
        metric.precision, _quoted(metric.hash), base64.b64encode(sketch.packed()))
