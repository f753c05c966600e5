"""What an instance says of its memory, beside malloc's account and the process; and what each part may take."""
from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from istat.cube import Cube, Instance, Sampling
from istat.kernels import IMPLEMENTATION

CELLS = 1 << 13         # a power of two: then all that grows by doubling is full
KEY = 8 + 1             # [bytes] of an int: a tag before it
EXACT = 1 / 100
SYSTEM = 15             # [%] between what an instance tells and what its process grew by
HEADER = 16             # [bytes] that malloc adds to a block at most, rounded up
TEN_TO_FIVE = 100_000   # cells

pytestmark = pytest.mark.skipif(IMPLEMENTATION != "native", reason="a million names")


class Mallinfo(ctypes.Structure):
    """glibc's mallinfo2."""

    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]


def allocated() -> int:
    """[bytes] that malloc has given out, with its own headers. Python's small objects are not among them."""
    gc.collect()
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = Mallinfo
    info = library.mallinfo2()
    return int(info.uordblks + info.hblkhd)


def total(held: Any) -> int:
    return sum(map(total, held.values())) if isinstance(held, dict) else int(held)


def cube(instance: Instance, **options: Any) -> Cube:
    made = instance.cube_create("cube", ("key",))
    made.register_counter("hits")
    if options:
        made.set_sampling(**options)
    return made


def filled(cells: int, *register: Callable[[Cube], Any]) -> Instance:
    """An instance with one cube of so many cells, every metric of which has eight values in each of them."""
    instance = Instance("memory")
    made = cube(instance)
    metrics = [made.metric("hits"), *(one(made) for one in register)]
    keys = np.arange(cells)
    for turn in range(8):
        made.update({"key": keys}, dict.fromkeys(metrics, 1 + keys * 8 + turn))
    return instance


def metric_bytes(register: Callable[[Cube], Any]) -> float:
    """What a metric adds to a cell: half of its cells are compared with all, as there are totals as well."""
    half, whole = (filled(cells, register).cube("cube").memory()["metrics"]["more"] for cells in (CELLS // 2, CELLS))
    return (whole - half) * 2 / CELLS  # type: ignore[no-any-return]


KINDS: dict[str, Callable[[Cube], Any]] = {
    "counter": lambda made: made.register_counter("more"),
    "real counter": lambda made: made.register_counter("more", float),
    "gauge": lambda made: made.register_gauge("more"),
    "histogram": lambda made: made.register_histogram("more", 1, 100_000, precision=4),
    "sparse HLL": lambda made: made.register_hll("more", precision=12),
    "dense HLL": lambda made: made.register_hll("more", precision=6),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_told_is_what_malloc_gave(kind: str) -> None:
    filled(100, KINDS[kind])
    before = allocated()
    instance = filled(CELLS * 2 + 1, KINDS[kind])       # also half empty
    given, told = allocated() - before, total(instance.memory())
    blocks = CELLS * 2 if "HLL" in kind or kind == "histogram" else 0
    assert told * (1 - EXACT) <= given <= told * (1 + EXACT) + HEADER * (blocks + 1000)


@pytest.mark.parametrize("mode", ["topk", "top_cardinality"])
def test_what_samplers_take_is_told(mode: str) -> None:
    most = 100_000
    keys = np.arange(2 * most)
    before = allocated()
    instance = Instance("memory")
    made = instance.cube_create("cube", ("key",))
    primary = made.register_counter("hits") if mode == "topk" else made.register_hll("items", precision=6)
    made.set_sampling(mode, max_cells=most, primary=primary)
    made.update({"key": keys}, {primary: 1 + keys})
    given, told = allocated() - before, total(instance.memory())
    assert told * (1 - EXACT) <= given <= told * (1 + EXACT) + HEADER * (most if mode == "top_cardinality" else 0)


def test_a_cell_takes_its_key_and_48_bytes() -> None:
    held = filled(CELLS).cube("cube").memory()
    assert held["cells"] / CELLS <= KEY + 48
    assert held["metrics"]["hits"] / CELLS <= 8


def test_a_counter_takes_8_bytes() -> None:
    assert metric_bytes(KINDS["counter"]) == metric_bytes(KINDS["real counter"]) == 8


def test_an_hll_is_below_the_packed_registers_while_it_is_sparse() -> None:
    empty = metric_bytes(lambda made: made.register_hll("empty", precision=12) and made.register_counter("more"))
    assert empty == 8, "a metric costs nothing in another one's column"
    assert metric_bytes(KINDS["sparse HLL"]) <= 16 + 4 * 8 * 1.75
    instance = Instance("memory")
    made = instance.cube_create("cube", ("key",))
    clients = made.register_hll("clients", precision=12)
    clients.add_many(made.rows([["one"] * 512]), np.arange(512))
    seed = 4 * 2**12 / 6        # six registers of 5 bits in a word
    first = made.memory()["metrics"]["clients"]
    assert first <= 2 * seed + 16 * 64, "the totals have one, too"
    clients.add(("one",), 512)
    assert made.memory()["metrics"]["clients"] - first == 2 * (2**12 - 2**11), "registers instead of the list"


def test_a_dense_hll_takes_a_byte_a_register() -> None:
    assert metric_bytes(KINDS["dense HLL"]) <= 2**6 + 16


def test_a_histogram_takes_4_bytes_a_slot() -> None:
    slots = 217
    assert metric_bytes(KINDS["histogram"]) <= 4 * slots + 112
    assert slots <= 17 * 2**4, "log2(max / min) * 2**precision"


def test_top_k_takes_8_bytes_a_bucket() -> None:
    most, width, depth = 1000, 1951, 3       # the seed's
    made = cube(Instance("memory"), mode=Sampling.TOPK, max_cells=most, primary="hits", width=width, depth=depth)
    made.update({"key": np.arange(2 * most)}, {"hits": 1})
    held = made.memory()
    sketch = 8 * width * depth
    assert sketch <= held["sketch"] <= sketch + 4096 + most * 24
    assert total(held) <= sketch + 4096 + most * (72 + KEY)


def test_top_cardinality_takes_9_bytes_a_bucket_and_its_registers() -> None:
    most, depth = 1024, 3
    instance = Instance("memory")
    made = instance.cube_create("cube", ("key",))
    items = made.register_hll("items", precision=6)
    made.set_sampling(Sampling.TOP_CARDINALITY, max_cells=most, primary=items)
    made.update({"key": np.arange(2 * most)}, {items: np.arange(2 * most)})
    buckets = (most + 50) * depth
    assert made.memory()["sketch"] <= buckets * (15 + 64) + 1024 + most * 28


def test_cells_take_nothing_before_they_are_there() -> None:
    one = Instance("memory")
    cube(one, mode=Sampling.TOPK, max_cells=1_000_000, primary="hits")
    held = one.cube("cube").memory()
    assert held["cells"] + total(held["metrics"]) < 1024, "the sketch has its size from the start"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["counter", "counters", "histogram", "hll-sparse", "hll-dense"])
def test_what_is_told_is_what_the_process_grew_by(kind: str) -> None:
    command = [sys.executable, "-m", "bench.cubes.held", kind, str(TEN_TO_FIVE)]
    root = Path(__file__).parents[2]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout)
    assert abs(found["told"] / found["grown"] - 1) * 100 <= SYSTEM, found
