"""The work: keys, values and streams, the same in every run. Knows no library that is measured."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

HIGHEST = 100_000  # of the histograms: the seed's range begins at 1
TAGS = ("method", "path", "status", "host", "share")
METHODS = (b"GET", b"POST", b"PUT", b"HEAD")
ITEM = 15  # [bytes] of an item of text, as long as the longest IPv4 address

Array = np.ndarray[Any, Any]


@functools.cache
def values(count: int) -> Array:
    """int64 from 1 to the highest of the histograms, uniform."""
    return np.random.default_rng(1).integers(1, HIGHEST + 1, count)


@functools.cache
def items(count: int) -> Array:
    """Distinct int64."""
    return np.random.default_rng(2).permutation(count) * 2_654_435_761


@functools.cache
def texts(count: int) -> Array:
    """Distinct bytes of ITEM each."""
    return np.array([b"%015d" % number for number in items(count) % 10**ITEM], dtype=f"S{ITEM}")


@functools.cache
def keys(count: int, salt: int = 0) -> Array:
    """Distinct random names of 12 bytes."""
    draw = np.random.default_rng(3 + salt).permutation(count)
    return np.array([b"%04x%08x" % (salt, (int(number) * 2_654_435_761) % 2**32) for number in draw], dtype="S12")


@functools.cache
def picks(count: int, cells: int) -> Array:
    """Which cell each of `count` updates is of."""
    return np.random.default_rng(4).integers(0, cells, count)


@functools.cache
def skewed(count: int, most: int, exponent: float) -> Array:
    """Numbers of keys below `most`, by a Zipf law with this exponent; which key is frequent is random."""
    draw = np.random.default_rng(5)
    weights = np.arange(1, most + 1, dtype=np.float64) ** -exponent
    ranks = np.searchsorted(np.cumsum(weights) / weights.sum(), draw.random(count))
    return draw.permutation(most)[np.minimum(ranks, most - 1)]


@functools.cache
def tag_columns(count: int, cells: int) -> dict[str, Array]:
    """Columns of three texts, an integer, a float: as many combinations as cells, in as many rows each of them once."""
    numbers = np.arange(count) if count == cells else picks(count, cells)
    return {
        "method": np.array(METHODS, dtype="S4")[numbers % len(METHODS)],
        "path": np.array([b"/p/%d" % number for number in range(cells)], dtype="S12")[numbers],
        "status": 200 + numbers % 7,
        "host": np.array([b"web%02d" % number for number in range(50)], dtype="S5")[numbers % 50],
        "share": (numbers % 10) / 10.0,
    }


def tag_tuples(count: int, cells: int) -> list[tuple[Any, ...]]:
    """The same as keys; texts as str, as programs have them."""
    columns = [column.tolist() for column in tag_columns(count, cells).values()]
    return [tuple(value.decode() if isinstance(value, bytes) else value for value in key) for key in zip(*columns)]
