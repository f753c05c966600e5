"""An instance through all that can be done to it, beside a model of dicts: what they tell is the same after each
step."""
from __future__ import annotations

import copy

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from istat.cube import Instance, Sampling

KEYS = st.tuples(st.sampled_from(["GET", "PUT", None]), st.integers(0, 3))
UPDATES = {"n": "incrby", "g": "set", "h": "record", "u": "add"}
KINDS = {"n": "counter", "g": "gauge", "h": "histogram", "u": "hll"}
NAMES = [letter + number for letter in KINDS for number in "12"]     # the letter tells the kind


class Model:
    """A cube without metrics, as dicts: cells by key, values by the metrics' names."""

    def __init__(self):
        self.metrics, self.most = [], 1_000_000
        self.reset()

    def reset(self, keep_cells=False):
        keys = list(self.cells) if keep_cells else []
        self.cells, self.touched = {key: {} for key in keys}, set()
        self.totals, self.refused, self.refused_keys, self.evicted = {}, 0, set(), 0

    def update(self, name, key, value):
        self.totals[name] = joined(name, self.totals.get(name), value)
        if key not in self.cells and len(self.cells) >= self.most:
            self.refused += 1
            self.refused_keys.add(key)
            return False
        self.touched.add(key)
        values = self.cells.setdefault(key, {})
        values[name] = value if name[0] == "g" else joined(name, values.get(name), value)
        return True

    def shrink(self, most):
        self.most = most
        gone = list(self.cells)[most:]
        self.evicted += len(gone)
        for key in gone:
            del self.cells[key]
            self.touched.discard(key)

    def calibrate(self, metrics, most):
        for values in [self.totals, *self.cells.values()]:
            for name in set(values) - set(metrics):
                del values[name]
        self.metrics = list(metrics)
        self.shrink(most)

    def merge(self, other):
        self.metrics += [name for name in other.metrics if name not in self.metrics]
        for name, value in other.totals.items():
            self.totals[name] = joined(name, self.totals.get(name), value)
        self.refused += other.refused
        self.refused_keys |= other.refused_keys
        self.evicted += other.evicted
        for key, values in other.cells.items():
            if key not in other.touched:
                continue
            if key not in self.cells and len(self.cells) >= self.most:
                self.refused += 1
                self.refused_keys.add(key)
                continue
            self.touched.add(key)
            mine = self.cells.setdefault(key, {})
            for name, value in values.items():
                mine[name] = joined(name, mine.get(name), value)

    def told(self):
        return {
            "cells": [(key, {name: summary(name, values.get(name)) for name in self.metrics})
                      for key, values in self.cells.items() if key in self.touched],
            "totals": {name: summary(name, self.totals.get(name)) for name in self.metrics if name[0] != "g"},
            "other": {name: self.totals.get(name, 0) - sum(values.get(name, 0) for values in self.cells.values())
                      for name in self.metrics if name[0] == "n"},
            "stats": (len(self.cells), self.most, self.refused, len(self.refused_keys), self.evicted),
        }  # fmt: skip


def joined(name, mine, value):
    """Two values of a metric as one: counters and gauges add up; of the others, all values are kept."""
    if name[0] in "hu" and not isinstance(value, list):
        value = [value]
    return value if mine is None else mine + value


def summary(name, value):
    if name[0] == "h":
        return (len(value), sum(value), min(value), max(value)) if value else (0, 0)
    if name[0] == "u":
        return len(set(value or []))
    return 0 if value is None and name[0] == "n" else value


def seen(metric, value):
    """A value that was read, as the model tells it."""
    if metric.kind == "histogram":
        return (value.count, value.sum, value.min, value.max) if value.count else (0, 0)
    return round(value.estimate()) if metric.kind == "hll" else value


def told(cube):
    stats = cube.stats()
    return {
        "cells": [(view.key, {metric.name: seen(metric, view[metric]) for metric in cube.metrics})
                  for view in cube.cells()],
        "totals": {metric.name: seen(metric, cube.totals[metric]) for metric in cube.metrics if metric.kind != "gauge"},
        "other": {metric.name: cube.other(metric) for metric in cube.metrics if metric.kind == "counter"},
        "stats": (stats.cells, stats.max_cells, stats.rejected, stats.rejected_keys, stats.evicted),
    }  # fmt: skip


def register(cube, name):
    kind = KINDS[name[0]]
    options = {"gauge": {"merge": "sum"}, "histogram": {"highest": 10**6}, "hll": {"precision": 12}}.get(kind, {})
    getattr(cube, f"register_{kind}")(name, **options)


class Machine(RuleBasedStateMachine):
    """A master that changes, and two forks of it that count."""

    @initialize()
    def begin(self):
        self.master, self.wanted = Instance("master"), Model()
        self.master.cube_create("http", ("method", "status"))
        self.forks = [self.master.fork(), self.master.fork()]
        self.models = [Model(), Model()]

    @rule(name=st.sampled_from(NAMES))
    def register(self, name):
        if name not in self.wanted.metrics:
            register(self.master.cube("http"), name)
            self.wanted.metrics.append(name)

    @rule(most=st.integers(1, 8))
    def limit(self, most):
        self.master.cube("http").set_sampling(Sampling.COMPREHENSIVE, max_cells=most)
        self.wanted.most = most

    @rule(keep=st.sets(st.sampled_from(NAMES)))
    def begin_another_master(self, keep):
        self.wanted.metrics = [name for name in self.wanted.metrics if name in keep]
        self.master = Instance("master")
        cube = self.master.cube_create("http", ("method", "status"))
        for name in self.wanted.metrics:
            register(cube, name)
        cube.set_sampling(Sampling.COMPREHENSIVE, max_cells=self.wanted.most)

    @rule(which=st.integers(0, 1))
    def calibrate(self, which):
        changed = self.forks[which].schema is not self.master.schema
        assert self.forks[which].calibrate(self.master) is changed
        self.models[which].calibrate(self.wanted.metrics, self.wanted.most)

    @rule(which=st.integers(0, 1), key=KEYS, value=st.integers(0, 900), at=st.integers(0, 7), by_handle=st.booleans())
    def update(self, which, key, value, at, by_handle):
        model, cube = self.models[which], self.forks[which].cube("http")
        if model.metrics:
            name = model.metrics[at % len(model.metrics)]
            metric = cube.metric(name)
            done = getattr(metric, UPDATES[name[0]])(cube.cell(*key) if by_handle else key, value)
            assert done is model.update(name, key, value)

    @rule(which=st.integers(0, 1), rows=st.lists(st.tuples(KEYS, st.integers(0, 900)), min_size=1, max_size=9))
    def update_by_batch(self, which, rows):
        model, cube = self.models[which], self.forks[which].cube("http")
        columns = {"method": [key[0] for key, _ in rows], "status": [key[1] for key, _ in rows]}
        values = {name: [value for _, value in rows] for name in model.metrics}
        if values:
            applied = 0
            for key, value in rows:
                done = [model.update(name, key, value) for name in model.metrics]
                applied += all(done)
            assert cube.update(columns, values) == applied

    @rule(which=st.integers(0, 1), keep_cells=st.booleans())
    def reset(self, which, keep_cells):
        self.forks[which].reset(keep_cells)
        self.models[which].reset(keep_cells)

    @rule(which=st.integers(0, 1))
    def merge(self, which):
        before = told(self.forks[1 - which].cube("http"))
        self.forks[which].merge(self.forks[1 - which])
        self.models[which].merge(copy.deepcopy(self.models[1 - which]))
        assert told(self.forks[1 - which].cube("http")) == before

    @rule(which=st.integers(0, 1), compress=st.booleans())
    def go_through_a_frame(self, which, compress):
        frame = self.forks[which].serialize(compress)
        self.forks[which] = Instance.deserialize(frame)
        self.forks[which].t1 = None

    @rule(which=st.integers(0, 1))
    def fork(self, which):
        most, metrics = self.models[which].most, self.models[which].metrics
        self.forks[which], self.models[which] = self.forks[which].fork(), Model()
        self.models[which].most, self.models[which].metrics = most, list(metrics)

    @invariant()
    def both_tell_the_same(self):
        for instance, model in zip(self.forks, self.models):
            assert told(instance.cube("http")) == model.told()


Machine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
test_an_instance_tells_what_its_model_tells = Machine.TestCase
