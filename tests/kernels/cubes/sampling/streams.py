"""Streams of updates with a known truth, cores that sample them, and how well they did."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Score(NamedTuple):
    """Of the cells that a core has: the share of the true top that is among them, the mean relative error of their
    values, how many values are above the truth, and the share of cells that have at least half of what the last of the
    true top has."""

    recall: float
    error: float
    above: int
    fair: float


def zipf(alpha, seed, updates=1_000_000, keys=300_000):
    """Keys drawn with a chance of rank ** -alpha, numbered at random."""
    random = np.random.default_rng(seed)
    chances = np.cumsum(np.arange(1, keys + 1) ** -alpha)
    ranks = np.searchsorted(chances / chances[-1], random.random(updates))
    return random.permutation(keys)[np.minimum(ranks, keys - 1)]


def fan_outs(alpha, seed, pairs=800_000, keys=100_000):
    """Distinct items of each key: about rank ** -alpha of the pairs, at least one; and the pairs, shuffled. No two keys
    share an item."""
    random = np.random.default_rng(seed)
    share = np.arange(1, keys + 1) ** -alpha
    low, high = 1.0, float(pairs)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(1, np.round(share * middle)).sum() < pairs else (low, middle)
    fans = np.maximum(1, np.round(share * low)).astype(np.int64)[random.permutation(keys)]
    order = random.permutation(fans.sum())
    return fans, np.repeat(np.arange(keys), fans)[order], (seed << 32 | np.arange(fans.sum()))[order]


def counted(room, stream, most, weights=1, **options):
    """A top-K core that took a stream, and its metric."""
    core = room.Core(("key",), room.Guard())
    metric = core.add_counter("n")
    core.sample("topk", most, metric, **options)
    core.update([stream], {metric: weights})
    return core, metric


def spread(room, keys, items, most, precision, times=1, **options):
    """A top-cardinality core that took pairs so often, and its metric."""
    core = room.Core(("key",), room.Guard())
    metric = core.add_hll("items", precision)
    core.sample("top_cardinality", most, metric, **options)
    for _ in range(times):
        core.update([keys], {metric: items})
    return core, metric


def merged(cores):
    """The first one, with all others in it."""
    (first, metric), *others = cores
    for core, other in others:
        first.merge(core, [(metric, other)])
    return first, metric


def score(cube, truth, top):
    """How well a core did, of the true number of each key."""
    core, metric = cube
    slots = core.slots()
    keys = np.array([core.key(slot)[0] for slot in slots])
    values = [metric.value(slot) for slot in slots]
    values = np.array([value.estimate() if hasattr(value, "estimate") else value for value in values], float)
    last = np.sort(truth)[-top]
    recall = min(top, int((truth[keys] >= last).sum())) / top
    error = float(np.mean(np.abs(values - truth[keys]) / truth[keys]))
    return Score(recall, error, int((values > truth[keys]).sum()), float(np.mean(truth[keys] >= last / 2)))


def mean(scores):
    """Of several, each number alone; of the counts the largest."""
    scores = list(scores)
    means = [float(np.mean(column)) for column in zip(*scores)]
    return Score(means[0], means[1], max(one.above for one in scores), means[3])
