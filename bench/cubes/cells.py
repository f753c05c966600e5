"""Rows of updates: new cells, five tags, one metric of a cell that is there, and what full cubes keep."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from bench.cubes import work
from bench.cubes.rows import OURS, Goal, Row, Sample, Side, Size, timed
from bench.cubes.sketches import DATASKETCHES, HDR, as_python, hdr_record, hll_update
from istat.cube import Cube, Instance, Sampling

MOST = 1_000  # cells of a full cube
SKEW = 1.1  # exponent of the Zipf law of the skewed streams


def counted(dimensions: Sequence[str] = ("key",), mode: Sampling = Sampling.COMPREHENSIVE,
            most: int = 1_000_000) -> tuple[Cube, Any]:  # fmt: skip
    """A fresh cube with a counter, which ranks the cells of a full one."""
    cube = Instance("bench").cube_create("cube", dimensions=dimensions)
    hits = cube.register_counter("hits")
    primary = {} if mode is Sampling.COMPREHENSIVE else {"primary": hits}
    cube.set_sampling(mode, max_cells=most, **primary)
    return cube, hits


def measured(kind: str, dimensions: Sequence[str] = ("key",)) -> tuple[Cube, Any]:
    """A fresh cube with one metric of a kind."""
    cube = Instance("bench").cube_create("cube", dimensions=dimensions)
    cube.set_sampling(Sampling.COMPREHENSIVE, max_cells=1_000_000)
    if kind == "histogram":
        return cube, cube.register_histogram("value", lowest=1, highest=work.HIGHEST, precision=4)
    if kind == "hll":
        return cube, cube.register_hll("items", precision=12)
    return cube, cube.register_counter("hits")


def added(mode: Sampling, most: int) -> Side:
    """A batch of keys that the cube did not know."""

    def side(size: Size) -> Sample:
        columns = {"key": work.keys(size.items)}

        def fresh() -> Callable[[], object]:
            cube, hits = counted(mode=mode, most=most)
            return functools.partial(cube.update, columns, {hits: 1})

        return timed(size.items, fresh)

    return side


def added_by_call(mode: Sampling, most: int) -> Side:
    def side(size: Size) -> Sample:
        keys = [(key.decode(),) for key in work.keys(size.calls).tolist()]
        return incremented(keys, lambda: counted(mode=mode, most=most)[1])

    return side


def incremented(keys: Sequence[Any], fresh: Callable[[], Any]) -> Sample:
    """A counter's call for each key, tuple or handle."""

    def prepared() -> Callable[[], None]:
        incrby = fresh().incrby

        def calls() -> None:
            for key in keys:
                incrby(key, 1)

        return calls

    return timed(len(keys), prepared)


def paired(keys: Sequence[Any], values: Sequence[Any], call: Callable[[Any, Any], object]) -> Sample:
    """A call for each key and value."""

    def calls() -> None:
        for key, value in zip(keys, values):
            call(key, value)

    return timed(len(keys), lambda: calls)


def five_tags_added(size: Size) -> Sample:
    columns = work.tag_columns(size.items, size.items)

    def fresh() -> Callable[[], object]:
        cube, hits = counted(work.TAGS)
        return functools.partial(cube.update, columns, {hits: 1})

    return timed(size.items, fresh)


def five_tags_added_by_call(size: Size) -> Sample:
    return incremented(work.tag_tuples(size.calls, size.calls), lambda: counted(work.TAGS)[1])


def five_tags(kind: str) -> Side:
    """A batch of cells that are there: one pass over the keys, and one metric."""

    def side(size: Size) -> Sample:
        columns = work.tag_columns(size.items, size.cells)
        cube, metric = measured(kind, work.TAGS)
        values = work.values(size.items)
        cube.update(columns, {metric: values})
        return timed(size.items, lambda: functools.partial(cube.update, columns, {metric: values}))

    return side


def five_tags_by_call(kind: str) -> Side:
    def side(size: Size) -> Sample:
        keys = work.tag_tuples(size.calls, size.cells)
        _, metric = measured(kind, work.TAGS)
        call = {"histogram": "record", "hll": "add", "counter": "incrby"}[kind]
        return paired(keys, work.values(size.calls).tolist(), getattr(metric, call))

    return side


def known_cells(size: Size) -> tuple[Cube, Any]:
    """A cube whose cells are there already."""
    cube, hits = counted()
    cube.update({"key": work.keys(size.cells)}, {hits: 1})
    return cube, hits


def incremented_batch(size: Size) -> Sample:
    cube, hits = known_cells(size)
    columns = {"key": work.keys(size.cells)[work.picks(size.items, size.cells)]}
    return timed(size.items, lambda: functools.partial(cube.update, columns, {hits: 1}))


def incremented_by_handle(size: Size) -> Sample:
    cube, hits = known_cells(size)
    handles = [cube.cell(key) for key in work.keys(size.cells).tolist()]
    return incremented([handles[pick] for pick in work.picks(size.calls, size.cells).tolist()], lambda: hits)


def incremented_by_tuple(size: Size) -> Sample:
    cube, hits = counted()
    keys = [(key.decode(),) for key in work.keys(size.cells).tolist()]
    for key in keys:
        hits.incrby(key, 1)
    return incremented([keys[pick] for pick in work.picks(size.calls, size.cells).tolist()], lambda: hits)


def by_handle(kind: str, call: str, values: Callable[[int], Any]) -> Side:
    """Calls through one cell's handle, as a program holds it."""

    def side(size: Size) -> Sample:
        cube, metric = measured(kind)
        return paired([cube.cell("one")] * size.calls, as_python(values(size.calls)), getattr(metric, call))

    return side


def ready_rows(kind: str, method: str) -> Side:
    """A batch for cells that were looked up before."""

    def side(size: Size) -> Sample:
        cube, metric = measured(kind)
        rows = cube.rows({"key": work.keys(size.cells)[work.picks(size.items, size.cells)]})
        values = work.values(size.items)
        getattr(metric, method)(rows, values)
        return timed(size.items, lambda: functools.partial(getattr(metric, method), rows, values))

    return side


def skewed_counts(size: Size) -> Sample:
    numbers = work.skewed(size.stream, size.stream_keys, SKEW)
    columns = {"key": work.keys(size.stream_keys)[numbers]}

    def fresh() -> Callable[[], object]:
        cube, hits = counted(mode=Sampling.TOPK, most=MOST)
        return functools.partial(cube.update, columns, {hits: 1})

    return timed(size.stream, fresh)


def skewed_items(precision: int) -> Side:
    """Distinct items of keys: the primary is an HLL."""

    def side(size: Size) -> Sample:
        numbers = work.skewed(size.stream, size.stream_keys, SKEW)
        columns, items = {"key": work.keys(size.stream_keys)[numbers]}, work.items(size.stream)

        def fresh() -> Callable[[], object]:
            cube = Instance("bench").cube_create("cube", dimensions=("key",))
            spread = cube.register_hll("items", precision=precision)
            cube.set_sampling(Sampling.TOP_CARDINALITY, max_cells=MOST, primary=spread)
            return functools.partial(cube.update, columns, {spread: items})

        return timed(size.stream, fresh)

    return side


ROWS = (
    Row("add-topk", "add a cell, top-K (K=1000), batch", {OURS: added(Sampling.TOPK, MOST)}, (Goal(120),)),
    Row("add-topk-call", "add a cell, top-K (K=1000), call", {OURS: added_by_call(Sampling.TOPK, MOST)}, (Goal(250),)),
    Row("add", "add a cell, comprehensive, batch", {OURS: added(Sampling.COMPREHENSIVE, 1_000_000)}, (Goal(150),)),
    Row("add-call", "add a cell, comprehensive, call",
        {OURS: added_by_call(Sampling.COMPREHENSIVE, 1_000_000)}, (Goal(350),)),
    Row("add-tags", "add a cell, 5 tags, batch", {OURS: five_tags_added}, (Goal(250),)),
    Row("add-tags-call", "add a cell, 5 tags, call", {OURS: five_tags_added_by_call}, (Goal(400),)),
    Row("histogram-tags", "histogram record, 5 tags, batch", {OURS: five_tags("histogram")}, (Goal(120),)),
    Row("histogram-tags-call", "histogram record, 5 tags, call", {OURS: five_tags_by_call("histogram")}, (Goal(300),)),
    Row("hll-tags", "HLL add, 5 tags, batch", {OURS: five_tags("hll")}, (Goal(130),)),
    Row("hll-tags-call", "HLL add, 5 tags, call", {OURS: five_tags_by_call("hll")}, (Goal(300),)),
    Row("incr", "increment of a cell that is there, batch", {OURS: incremented_batch}, (Goal(60),)),
    Row("incr-handle", "increment of a cell that is there, call with a handle",
        {OURS: incremented_by_handle}, (Goal(120),)),
    Row("incr-call", "increment of a cell that is there, call with a tuple",
        {OURS: incremented_by_tuple}, (Goal(200),)),
    Row("histogram-handle", "histogram record, call with a handle",
        {OURS: by_handle("histogram", "record", work.values), HDR: hdr_record}, (Goal(1 / 5, HDR),)),
    Row("hll-handle", "HLL add, p=12, integers, call with a handle",
        {OURS: by_handle("hll", "add", work.items), DATASKETCHES: hll_update(12, work.items, lambda size: size.calls)},
        (Goal(1.3, DATASKETCHES),)),
    Row("histogram-rows", "histogram record, batch for 1,000 cells that were looked up",
        {OURS: ready_rows("histogram", "record_many")}),
    Row("hll-rows", "HLL add, batch for 1,000 cells that were looked up", {OURS: ready_rows("hll", "add_many")}),
    Row("topk-stream", "top-K (K=1000) on a Zipf 1.1 stream, batch", {OURS: skewed_counts}, (Goal(90),)),
    Row("cardinality-6", "top-cardinality on a Zipf 1.1 stream, p=6, batch", {OURS: skewed_items(6)}, (Goal(150),)),
    Row("cardinality-12", "top-cardinality on a Zipf 1.1 stream, p=12, batch", {OURS: skewed_items(12)}, (Goal(250),)),
)  # fmt: skip
