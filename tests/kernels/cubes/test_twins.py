"""Random calls on cores of both builds: after each, all that can be seen is the same."""
from __future__ import annotations

import random
from array import array

import pytest

from istat.errors import CubeError
from tests.kernels.cubes.cores import ROOMS, dump, filled, ranking

pytestmark = pytest.mark.skipif(len(ROOMS) < 2, reason="the native kernels are not built")
MODES = ("comprehensive", "topk", "top_cardinality")
METHODS = ("GET", "PUT", "é", None, 7, 7.0, b"x", "a long one " * 5)
BAD = (float("nan"), 1 << 64, {}, "\ud800", "y" * 5000)


def value_of(rnd):
    return rnd.choice((0, 1, 17, 99_999, 1 << 40, -5)) if rnd.random() < 0.2 else rnd.randrange(1, 5000)


def columns_of(rnd, rows):
    """The same two columns in one of the kinds, and values for the four metrics."""
    methods = [rnd.choice(METHODS) for _ in range(rows)]
    codes = array("i", [rnd.randrange(len(METHODS)) for _ in range(rows)])
    status = array("q", [rnd.randrange(30) for _ in range(rows)])
    first = rnd.choice((methods, tuple(methods), (codes, list(METHODS)), "GET"))
    second = rnd.choice((status, list(status), (status, [f"s{i}" for i in range(30)]), array("d", status),
                         (array("i", range(0, 3 * rows + 1, 3)), b"abcdef" * rows)))
    values = [array("q", [rnd.randrange(50) for _ in range(rows)]), array("d", [rnd.random() for _ in range(rows)]),
              array("q", [value_of(rnd) for _ in range(rows)]), [rnd.choice((1, "a", b"b", i)) for i in range(rows)]]
    return [first, second], values


def one_update(rnd, cores):
    """A call of one metric for one cell, by a tuple or by a handle."""
    key = (rnd.choice(METHODS + BAD if rnd.random() < 0.1 else METHODS), rnd.randrange(40))
    kind, value, times = rnd.randrange(4), value_of(rnd), rnd.randrange(3)
    handle = rnd.random() < 0.3

    def call(core):
        counter, gauge, lat, ips = core.metrics
        target = core.cell(*key) if handle else key
        if kind == 0:
            return counter.set(target, value) if value % 7 == 0 else counter.incrby(target, value)
        if kind == 1:
            return gauge.set(target, value / 8)
        if kind == 2 and value % 5 == 0:
            return lat.record_corrected(target, value, 1000, times)
        return lat.record(target, value, times) if kind == 2 else ips.add(target, str(value % 50))

    return [outcome(call, core) for core in cores]


def one_batch(rnd, cores):
    """Rows by `update`, or by `rows` and the metrics' own calls."""
    columns, values = columns_of(rnd, rnd.randrange(60))
    together = rnd.random() < 0.5
    chosen = sorted(rnd.sample(range(4), rnd.randrange(1, 5)))

    def call(core):
        if together:
            return core.update(columns, {core.metrics[i]: values[i] for i in chosen})
        rows = core.rows(columns)
        calls = (core.metrics[0].incrby_many, core.metrics[1].set_many, core.metrics[2].record_many,
                 core.metrics[3].add_many)
        return [calls[i](rows, values[i]) for i in chosen if len(rows) == len(values[i])]

    return [outcome(call, core) for core in cores]


def one_change(rnd, cores, others):
    """Another mode, a reset, or a merge."""
    kind, keep = rnd.randrange(4), rnd.random() < 0.5
    mode, most, overflow = rnd.choice(MODES), rnd.randrange(3, 60), rnd.random() < 0.5

    def call(core, other):
        if kind == 0:
            return core.reset(keep)
        if kind == 1:
            return core.sample(mode, most, ranking(core, mode), overflow)
        if kind == 2 and other.mode == core.mode:
            return core.merge(other, list(zip(core.metrics, other.metrics)))
        return None

    return [outcome(call, core, other) for core, other in zip(cores, others)]


def outcome(call, *given):
    """What a call returned; or that it raised: where two things are wrong, each build may find another one first."""
    try:
        return call(*given)
    except (TypeError, ValueError, OverflowError, CubeError):
        return "raised"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(6))
def test_the_same_calls_leave_the_same(mode, seed):
    rnd = random.Random(f"{mode} {seed}")
    overflow = rnd.random() < 0.5
    cores = [filled(room, mode, 20, overflow) for room in ROOMS]
    others = [filled(room, mode, 20, overflow, origin=9) for room in ROOMS]
    for step in range(60):
        roll = rnd.random()
        pair = others if rnd.random() < 0.4 else cores
        if roll < 0.5:
            answers = one_update(rnd, pair)
        elif roll < 0.85:
            answers = one_batch(rnd, pair)
        else:
            answers = one_change(rnd, cores, others)
        assert answers[0] == answers[1], step
        states = [dump(core) for core in pair]
        assert states[0] == states[1], step
        ranks = [[core.key_bytes(slot) for slot in core.ranked(by=core.metrics[step % 4])] for core in pair]
        assert ranks[0] == ranks[1]
