"""Every figure on the page about what top-K and top-cardinality promise is measured again.

With the native build: a row is a few streams of a million updates.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from istat.kernels.python.cubes.sampling import heavykeeper, spread
from tests.cube.test_theory import says, table
from tests.kernels.cubes.cores import ROOMS
from tests.kernels.cubes.sampling import streams

SEEDS = range(3)
CELLS = 1000
KEYS = 300_000
TOP_K, TOP_CARDINALITY = "Top-K", "Top-cardinality"
Row = dict[str, str]


@pytest.fixture(scope="module")
def native() -> Any:
    found = [room for room in ROOMS if room.build == "native"]
    if not found:
        pytest.skip("native kernels not built: a million updates would take minutes")
    return found[0]


def rows(heading: str, below: str) -> Any:
    """Parameters for a test: the rows of a table, which are measured where time does not matter."""
    found = table(heading, below)
    return [pytest.param(row, id="-".join(list(row.values())[:2]), marks=pytest.mark.slow) for row in found]


def truth(stream: Any, weights: Any = None) -> Any:
    return np.bincount(stream, weights, KEYS)


def shown(row: Row, scores: list[streams.Score]) -> None:
    """What the row tells of these."""
    found = streams.mean(scores)
    for name, value in (("recall", found.recall), ("error [%]", 100 * found.error), ("at least half", found.fair)):
        if name in row:
            says(row[name], value)
    if "above the truth" in row:
        assert int(row["above the truth"]) == found.above


# Top-K.


def top_k(native: Any, alpha: float, cells: int, seed: int, **options: Any) -> streams.Score:
    stream = streams.zipf(alpha, seed)
    return streams.score(streams.counted(native, stream, cells, **options), truth(stream), cells)


@pytest.mark.parametrize("row", rows("Recall and error", TOP_K))
def test_recall_and_error_of_top_k(row: Row, native: Any) -> None:
    cells = int(row["cells"])
    assert int(row["buckets a row"]) == heavykeeper.default_width(cells)
    shown(row, [top_k(native, float(row["alpha"]), cells, seed) for seed in SEEDS])


@pytest.mark.parametrize("row", rows("How wide a sketch", TOP_K))
def test_recall_by_width(row: Row, native: Any) -> None:
    width = int(row["buckets a row"])
    assert int(row["bytes"]) == 8 * 3 * width
    shown(row, [top_k(native, 1.0, CELLS, seed, width=width) for seed in SEEDS])


@pytest.mark.parametrize("row", rows("Weights", TOP_K))
def test_recall_of_weights(row: Row, native: Any) -> None:
    scores = []
    for seed in SEEDS:
        stream = streams.zipf(float(row["alpha"]), seed)
        weights = np.random.default_rng(seed).lognormal(6, 1.2, len(stream)).astype(np.int64) + 1
        scores.append(streams.score(streams.counted(native, stream, CELLS, weights), truth(stream, weights), CELLS))
    shown(row, scores)


def parts_of(stream: Any, how: str, seed: int) -> list[Any]:
    """A stream on eight instances."""
    draw = np.random.default_rng(seed)
    part = draw.integers(0, 8, KEYS)[stream] if how == "each key in one" else draw.integers(0, 8, len(stream))
    return [stream[part == one] for one in range(8)]


@pytest.mark.parametrize("row", rows("Merged", TOP_K))
def test_recall_of_merged_top_k(row: Row, native: Any) -> None:
    scores = []
    for seed in SEEDS:
        stream = streams.zipf(float(row["alpha"]), seed)
        whole = [stream] if row["updates"] == "not merged" else parts_of(stream, row["updates"], seed)
        cubes = [streams.counted(native, part, CELLS) for part in whole]
        scores.append(streams.score(streams.merged(cubes), truth(stream), CELLS))
    shown(row, scores)


# Top-cardinality.


def recalls(row: Row, made: list[tuple[Any, Any]], cells: int) -> None:
    """Recall of all, the upper half and the upper quarter, as the row tells it."""
    for name, top in (("recall", cells), ("of the upper half", cells // 2), ("of the upper quarter", cells // 4)):
        if name in row:
            says(row[name], float(np.mean([streams.score(cube, fans, top).recall for cube, fans in made])))
    found = streams.mean([streams.score(cube, fans, cells) for cube, fans in made])
    says(row["at least half"], found.fair)
    says(row["error [%]"], 100 * found.error)


@pytest.mark.parametrize("row", rows("Recall and error", TOP_CARDINALITY))
def test_recall_and_error_of_top_cardinality(row: Row, native: Any) -> None:
    cells, made = int(row["cells"]), []
    for seed in SEEDS:
        fans, keys, items = streams.fan_outs(float(row["alpha"]), seed)
        made.append((streams.spread(native, keys, items, cells, 12), fans))
        last = np.sort(fans)[-cells]
        content = made[-1][0][0].stats()["noise"]
    says(row["content / last"], content / last)
    recalls(row, made, cells)


@pytest.mark.parametrize("row", rows("How wide a sketch", TOP_CARDINALITY))
def test_recall_of_top_cardinality_by_width(row: Row, native: Any) -> None:
    width, made = int(row["buckets a row"]), []
    assert int(row["bytes"]) == 3 * width * (9 + spread.REGISTERS) + spread.SEEN
    for seed in SEEDS:
        fans, keys, items = streams.fan_outs(0.8, seed)
        made.append((streams.spread(native, keys, items, 100, 12, width=width), fans))
        content = made[-1][0][0].stats()["noise"] / np.sort(fans)[-100]
    says(row["content / last"], content)
    recalls(row, made, 100)


@pytest.mark.parametrize("row", rows("Merged", TOP_CARDINALITY))
def test_recall_of_merged_top_cardinality(row: Row, native: Any) -> None:
    cells, made = int(row["cells"]), []
    for seed in SEEDS:
        fans, keys, items = streams.fan_outs(float(row["alpha"]), seed)
        part = np.random.default_rng(seed).integers(0, 4, len(keys))
        cubes = [streams.spread(native, keys[part == one], items[part == one], cells, 12) for one in range(4)]
        made.append((streams.merged(cubes), fans))
    recalls(row, made, cells)
