"""An instance as flat JSON: one object a cell, for stores of documents, log pipelines and scripts.

    [{"name":"http","timestamp_ms":1763769600000,"interval_ms":10000,
      "tags":{"dc":"ams","host":"web1","method":"GET","path":"/","status":200},
      "fields":{"requests":18342,"latency_us":{"count":18342,...,"p50":1567,...},"clients":2914}},
     ...]

Knows what stands around cells; how a cell is written, the kernel `cubes.FlatText` says. Cells without updates since the
last reset are left out, and so are cubes without cells.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from istat.cube.cube import Cube
from istat.cube.export.values import whole
from istat.cube.instance import Instance, checked_instance
from istat.kernels import cubes

QUANTILES = (50, 90, 99, 99.9)
MILLISECOND = 1_000_000     # [ns]
#: A tag of the whole export.
Value = str | int | float | bool | None


class JsonExporter:
    """JSON of one instance, as it is when it is asked for.

    `global_dimensions` are tags of all cells. Where names are the same, a cube's shared tag wins over them, and a
    dimension over both.

    `histogram`: "summary" (count, sum, min, max and `quantiles`, in percent), "buckets" (the slots that have counts,
    each with its smallest and largest value) or "encoded" (the slots in base64, for programs). `hll`: "estimate" or
    "encoded" (the registers in base64). `limit_per_cube`: so many cells of each cube, the first or the largest.
    `with_meta`: tell of each cell how it got in. ValueError for what these cannot be.
    """

    def __init__(self, instance: Instance, global_dimensions: Mapping[str, Value] | None = None, *,
                 histogram: str = "summary", quantiles: Sequence[float] = QUANTILES, hll: str = "estimate",
                 limit_per_cube: int | None = None, with_meta: bool = False) -> None:
        if any(not 0 <= q <= 100 for q in quantiles):
            raise ValueError(f"quantiles are from 0 to 100, not {', '.join(map(str, quantiles))}")
        if limit_per_cube is not None and limit_per_cube < 0:
            raise ValueError("limit_per_cube is a number of cells, 0 or more")
        for word, words in ((histogram, cubes.HISTOGRAMS), (hll, cubes.HLLS)):
            if word not in words:
                raise ValueError(f"{word!r} is none of {', '.join(words)}")
        self._instance = checked_instance(instance)
        self._global: dict[str, Value] = {}
        for name, value in (global_dimensions or {}).items():
            self.set_global_dimension(name, value)
        named = [(f"p{whole(q)}", q) for q in sorted(set(map(float, quantiles)))]
        self._text = partial(cubes.FlatText, histogram=histogram, quantiles=named, hll=hll, meta=with_meta,
                             limit=limit_per_cube)

    def set_global_dimension(self, name: str, value: Value) -> None:
        """Give all cells a tag, from the next export on. TypeError for what is no tag, ValueError for NaN, infinities
        and text that is no Unicode."""
        if not isinstance(name, str) or not isinstance(value, (str, int, float, type(None))):
            raise TypeError(f"a tag is a name and a text or number, not {name!r} and {value!r}")
        json.dumps([name, value], ensure_ascii=False, allow_nan=False).encode()
        self._global[name] = value

    def export_flat(self) -> str:
        """An array of all cells, one a line."""
        return self.export_flat_bytes().decode()

    def export_flat_bytes(self) -> bytes:
        """As `export_flat`, in UTF-8."""
        made = io.BytesIO()
        made.write(b"[")
        for text in self._texts():
            while piece := text.read(b",\n"):
                made.write(b",\n" if made.tell() > 1 else b"")
                made.write(piece)
        made.write(b"]")
        return made.getvalue()

    def iter_flat(self) -> Iterator[str]:
        """One cell after another, each as a line of JSON without its line feed. It takes a piece of text at a time, so
        that an instance of any size can be written; what is updated meanwhile may be in it or not."""
        for text in self._texts():
            while piece := text.read(b"\n"):
                yield from piece.decode().split("\n")

    def _texts(self) -> Iterator[cubes.FlatText]:
        head = {"timestamp_ms": self._instance.t1 // MILLISECOND,
                "interval_ms": (self._instance.t1 - self._instance.t0) // MILLISECOND}
        for cube in self._instance.cubes:
            yield self._text(cube.core, self._head(cube, head))

    def _head(self, cube: Cube, times: Mapping[str, int]) -> bytes:
        """What each cell of a cube begins with."""
        constant = {name: value for name, value in {**self._global, **cube.shared}.items()
                    if name not in cube.dimensions}
        begun = _json({"name": cube.name, **times, "tags": constant})[:-2]
        return f"{begun},".encode() if constant else begun.encode()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
