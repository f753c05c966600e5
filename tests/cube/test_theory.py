"""Every figure on the page about what sketches promise is measured again."""
from __future__ import annotations

import functools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from istat.kernels import Implementation, cubes, implementation, native_missing

PAGE = (Path(__file__).parents[2] / "docs/cubes-theory.md").read_text()
SETS, ITEMS = 100, 100_000
SHOWN = (50, 90, 99, 99.9)      # percentiles


def section(heading: str, below: str) -> str:
    """The text of a `###` of a `##`."""
    whole = PAGE.split(f"\n## {below}\n")[1].split("\n## ")[0]
    return whole.split(f"\n### {heading}\n")[1].split("\n### ")[0]


def table(heading: str, below: str) -> list[dict[str, str]]:
    """Rows by the names of their columns."""
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")]
                      for line in section(heading, below).splitlines() if line.startswith("|")]
    assert rows
    return [dict(zip(head, row, strict=True)) for row in rows]


def says(text: str, value: float) -> None:
    """The number on the page is this value, to the digits that are shown."""
    digits = len(text.partition(".")[2])
    assert abs(float(text) - value) <= 0.5000001 * 10.0**-digits, f"the page has {text}, it is {value}"


@functools.cache
def lognormal() -> np.ndarray[Any, Any]:
    return np.rint(np.random.default_rng(20).lognormal(9, 0.8, 10_000)).astype(np.int64)


def true_percentile(q: float) -> int:
    values = np.sort(lognormal())
    return int(values[max(1, math.floor(q / 100 * len(values) + 0.5)) - 1])


def histogram(highest: int = 60_000_000, lowest: int = 1, precision: int = 4) -> Any:
    made = cubes.Histogram(cubes.Shape(lowest, highest, precision=precision))
    made.record_many(lognormal())
    return made


def sketch(precision: int, items: range) -> Any:
    made = cubes.HyperLogLog(precision)
    made.add_many(np.arange(items.start, items.stop, dtype=np.int64))
    return made


# HyperLogLog


@pytest.fixture(scope="module")
def native() -> Implementation:
    if native_missing():
        pytest.skip("a million names")      # as many items would take minutes
    return implementation("native")


def test_standard_errors_are_those_of_the_registers() -> None:
    for row in table("Error by precision", "HyperLogLog"):
        precision = int(row["precision"])
        assert int(row["registers"]) == 2**precision
        says(row["standard error [%]"], 104 / math.sqrt(2**precision))


@pytest.mark.parametrize("row", table("Error by precision", "HyperLogLog"), ids=lambda row: row["precision"])
def test_measured_errors(row: dict[str, str], native: Implementation) -> None:
    errors = []
    for number in range(SETS):
        made = native.cubes.HyperLogLog(int(row["precision"]))
        made.add_many(np.arange(number * ITEMS, (number + 1) * ITEMS, dtype=np.int64))
        errors.append(100 * (made.estimate() / ITEMS - 1))
    says(row["measured [%]"], math.sqrt(np.mean(np.square(errors))))
    says(row["mean [%]"], float(np.mean(errors)))
    says(row["largest [%]"], float(np.max(np.abs(errors))))


def test_the_list_has_so_many_entries_and_no_more() -> None:
    for row in table("The sparse form", "HyperLogLog"):
        precision, most = int(row["precision"]), int(row["entries at most"])
        made = sketch(precision, range(most))
        assert made.form == "sparse" and made.memory() - cubes.HyperLogLog(precision).memory() <= 4 * most
        assert int(row["bytes of the list at most"]) == 4 * most
        assert abs(made.estimate() - most) < 1 + most * 4e-4
        while made.form == "sparse":        # two of the items may have had the same of 2^26 places
            most += 1
            made.add(most)
        assert made.memory() - cubes.HyperLogLog(precision).memory() == int(row["bytes of the registers"])
        whole = sketch(precision, range(int(row["entries at most"])))
        for item in range(int(row["entries at most"]) + 1, most + 1):
            whole.add(item)
        assert whole.packed() == made.packed()


def test_no_list_below_precision_8() -> None:
    assert sketch(7, range(1)).form == "dense"


def test_bytes_of_a_sketch(native: Implementation) -> None:
    """Those of the native build: a list there has room to grow, which a set of Python's has not."""
    for row in table("Bytes", "HyperLogLog"):
        items = range(int(row["items"]))
        made, held = sketch(12, items), native.cubes.HyperLogLog(12)
        held.add_many(np.arange(items.start, items.stop, dtype=np.int64))
        assert (made.form, held.memory(), round(made.estimate())) == (
            row["form"], int(row["bytes"]), int(row["estimate"])), row
        assert made.memory() <= held.memory(), row
    assert len(made.packed()) == 4096 * 3 // 4


def test_what_two_sketches_share() -> None:
    for row in table("Merging and folding", "HyperLogLog"):
        one, other = (sketch(int(row["precision"]), range(start, start + ITEMS)) for start in (0, 90_000))
        parts = one.estimate() + other.estimate()
        one.merge(other)
        says(row["union (true: 190000)"], one.estimate())
        says(row["shared (true: 10000)"], parts - one.estimate())


def test_unions_and_folds_leave_no_trace() -> None:
    whole = sketch(14, range(50_000))
    parts = [sketch(14, range(start, 50_000, 1)) for start in (20_000, 0, 40_000)]
    for part in parts[1:]:
        parts[0].merge(part)
        parts[0].merge(part)
    assert parts[0].packed() == whole.packed()
    folded = whole.fold(12)
    assert (folded if folded is not None else whole).packed() == sketch(12, range(50_000)).packed()


# Histograms


def test_errors_of_percentiles() -> None:
    assert (lognormal().min(), lognormal().max()) == (458, 124_534), "the page says so"
    for row in table("Error by precision", "Histograms"):
        made = histogram(precision=int(row["precision"]))
        says(row["slot's width [%]"], 100 * 2.0 ** -int(row["precision"]))
        says(row["error at most [%]"], 50 * 2.0 ** -int(row["precision"]))
        worst = max(abs(made.percentile(q) / true_percentile(q) - 1) for q in range(1, 100))
        says(row["measured [%]"], 100 * worst)
        assert 100 * worst <= float(row["error at most [%]"])
        assert (made.shape.slots, made.memory()) == (int(row["slots"]), int(row["bytes"]))


def test_slots_and_bytes() -> None:
    for row in table("Slots and bytes", "Histograms"):
        lowest, highest, precision = (int(row[name]) for name in ("lowest", "highest", "precision"))
        made = histogram(highest, lowest, precision)
        assert (made.shape.slots, made.memory()) == (int(row["slots"]), int(row["bytes"]))
        assert made.shape.slots <= (math.log2(highest / lowest) + 2) * 2**precision
        assert made.memory() - 4 * made.shape.slots in (104, 108), "the slots take a multiple of 8"
        assert cubes.Histogram(made.shape).memory() == 8


def test_digits_are_precisions() -> None:
    text = re.search(r"`digits=1`, `2`, `3` .*?\(precisions (\d+), (\d+) and (\d+)\)", PAGE, re.DOTALL)
    assert text and [cubes.Shape(1, 1000, digits=digits).precision for digits in (1, 2, 3)] == [
        int(precision) for precision in text.groups()]


def test_percentiles_and_the_ends_of_their_slots() -> None:
    rows = table("What a percentile promises", "Histograms")
    assert [float(row["q"]) for row in rows] == list(SHOWN)
    made = histogram()
    for row in rows:
        q, true = float(row["q"]), true_percentile(float(row["q"]))
        found = [made.percentile(q, point=point) for point in ("low", "mid", "high")]
        assert [true, *found] == [int(row[name]) for name in ("true value", "low", "mid", "high")]
        assert found[0] <= true <= found[2]
        says(row["error of mid [%]"], 100 * (found[1] / true - 1))
    assert (made.percentile(0), made.percentile(100)) == (458, 124_534)


def test_percentiles_of_merged_histograms() -> None:
    one, other = (cubes.Histogram(cubes.Shape(1, 60_000_000, precision=4)) for _ in range(2))
    one.record_many(lognormal()[:3000])
    other.record_many(lognormal()[3000:])
    one.merge(other)
    assert one.percentiles(SHOWN) == histogram().percentiles(SHOWN)


def test_figures_beside_those_rebuilt_from_slots() -> None:
    rebuilt = pytest.importorskip("hdrh.histogram").HdrHistogram(1, 60_000_000, 1)
    for value in lognormal().tolist():
        rebuilt.record_value(value)
    made, values = histogram(), lognormal()
    figures = {
        "mean": (values.mean(), made.mean, rebuilt.get_mean_value()),
        "standard deviation": (values.std(), made.stdev, rebuilt.get_stddev()),
        "smallest": (values.min(), made.min, rebuilt.get_min_value()),
        "largest": (values.max(), made.max, rebuilt.get_max_value()),
    }
    rows = table("Beside figures rebuilt from slots", "Histograms")
    assert [row["figure"] for row in rows] == list(figures)
    for row in rows:
        for name, value in zip(("true", "istat.cube", "rebuilt from slots"), figures[row["figure"]], strict=True):
            says(row[name], value)
