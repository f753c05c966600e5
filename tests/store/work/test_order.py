"""Any order, any splitting, any lateness of a stream gives what the ordered stream gives: docs/formats/lines.md."""
from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from istat.clock import FakeClock
from tests.store.harness import LADDER, NOW, crash, open_store, put

GAUGES, EVENTS = ("g.one", "g.two"), ("*ev",)
INTERVALS = [level.interval for level in LADDER.levels]
AGES = st.integers(0, 3000)     # the finest level keeps 3600 s
# Doubles of every kind that people measure: decimals, halves, large and small ones, of both signs.
VALUES = st.one_of(st.integers(-1000, 1000).map(lambda n: n / 100), st.floats(-1e9, 1e9), st.floats(-1e-3, 1e-3))
SAMPLES = st.lists(st.tuples(st.sampled_from(GAUGES + EVENTS), AGES, VALUES), min_size=1, max_size=80)
STEPS = st.lists(st.sampled_from(["", "flush", "crash", "restart", "compact", "wait"]), min_size=1, max_size=12)

SUM_BOUND = Fraction(1, 2 ** 52)
M2_BOUND, M2_FLOOR = Fraction(1, 2 ** 20), Fraction(1, 2 ** 48)
LEAST = Fraction(1, 2 ** 1072)      # a few times the least double: squares below it are nothing


def line(sample):
    """Events count whole things, so that their rates are exact."""
    name, age, value = sample
    return f"{name} {NOW - age} {round(abs(value)) % 1000 if name.startswith('*') else value!r}"


def answers(store, name):
    """Per level the rows of one counter by time."""
    counter = store.find(name.lstrip("*").encode())
    if counter is None:
        return [{} for _ in INTERVALS]
    return [{row[0]: row[1:] for row in store.select([counter.id], level, NOW - 20_000, NOW + 20_000)[0].rows()}
            for level in range(len(INTERVALS))]


def ordered(folder, samples):
    """What one store answers that got them in order, at once."""
    store = open_store(folder, FakeClock(NOW))
    put(store, *map(line, sorted(samples, key=lambda sample: -sample[1])))
    try:
        return {name: answers(store, name) for name in GAUGES + EVENTS}
    finally:
        crash(store)


def disordered(folder, portions, steps, late):
    """What a store answers that got them in portions, with something done after each; the last ones `late` s later."""
    clock = FakeClock(NOW)
    store = open_store(folder, clock)
    for at, portion in enumerate(portions):
        if late and at == len(portions) - 1:
            clock.advance(late)
            store.tick()
        put(store, *map(line, portion))
        step = steps[at % len(steps)]
        if step in ("crash", "restart"):
            (crash if step == "crash" else type(store).close)(store)
            store = open_store(folder, clock)
        elif step == "flush":
            store.flush()
        elif step == "compact":
            store.compact()
        elif step == "wait":
            clock.advance(30)
            store.tick()
    try:
        return {name: answers(store, name) for name in GAUGES + EVENTS}
    finally:
        crash(store)


def exact(samples, name, interval):
    """Per bucket the values that went in."""
    found = {}
    for sample in samples:
        if sample[0] == name:
            when = NOW - sample[1]
            found.setdefault(when - when % interval, []).append(Fraction(sample[2]))
    return found


def check_gauge(samples, name, level, wanted, found):
    assert {time: (row[0], row[3], row[4]) for time, row in found.items()} == {
        time: (row[0], row[3], row[4]) for time, row in wanted.items()}
    for time, values in exact(samples, name, INTERVALS[level]).items():
        count, total, m2 = len(values), sum(values), Fraction(found[time][2])
        assert abs(Fraction(found[time][1]) - total) <= count * SUM_BOUND * sum(map(abs, values))
        squares = sum(value * value for value in values)
        true = squares - total * total / count
        assert abs(m2 - true) <= M2_BOUND * true + count * (M2_FLOOR * squares + LEAST)


def check_event(wanted, found):
    assert wanted.keys() == found.keys()
    for time, row in wanted.items():
        assert (row[0], row[3], row[4]) == (found[time][0], found[time][3], found[time][4])
        assert abs(row[1] - found[time][1]) <= 1e-12 * abs(row[1])


def portions_of(samples, cuts):
    places = sorted(cut % (len(samples) + 1) for cut in cuts)
    return [samples[start:end] for start, end in zip([0, *places], [*places, len(samples)])]


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@example([(GAUGES[0], 0, 1e-272), (GAUGES[0], 0, 3e-272)], Random(1), [1], ["flush"])
@given(SAMPLES, st.randoms(use_true_random=False), st.lists(st.integers(0, 1000), max_size=8), STEPS)
def test_any_order_and_any_portions(samples, rng, cuts, steps):
    with tempfile.TemporaryDirectory() as folder:
        wanted = ordered(Path(folder) / "a", samples)
        mixed = samples[:]
        rng.shuffle(mixed)
        found = disordered(Path(folder) / "b", portions_of(mixed, cuts), steps, 0)
        for name in GAUGES:
            for level in range(len(INTERVALS)):
                check_gauge(samples, name, level, wanted[name][level], found[name][level])
        for level in range(len(INTERVALS)):
            check_event(wanted[EVENTS[0]][level], found[EVENTS[0]][level])


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(SAMPLES, st.randoms(use_true_random=False), st.lists(st.integers(0, 1000), min_size=1, max_size=6), STEPS)
def test_what_comes_too_late_for_the_finest_level_counts_in_all_coarser_ones(samples, rng, cuts, steps):
    with tempfile.TemporaryDirectory() as folder:
        wanted = ordered(Path(folder) / "a", samples)
        mixed = samples[:]
        rng.shuffle(mixed)
        found = disordered(Path(folder) / "b", portions_of(mixed, cuts), steps, 4000)
        for name in GAUGES:
            for level in range(1, len(INTERVALS)):
                check_gauge(samples, name, level, wanted[name][level], found[name][level])
