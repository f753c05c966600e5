"""Columns of metrics in a cube: counters, gauges, histograms and sketches, with their totals; both builds alike."""
from __future__ import annotations

import math

import pytest

from tests.kernels.cubes.cores import LEAST, MOST, value

# Counters.

def test_a_counter_counts_by_cell_and_in_total(core):
    counter = core.add_counter("n")
    assert counter.incrby(("GET", 200)) is True
    assert counter.incrby(("GET", 200), 4) and counter.incrby(["PUT", 500], -2)
    assert [value(core, counter, key) for key in (("GET", 200), ("PUT", 500), ("PUT", 200))] == [5, -2, "no cell"]
    assert counter.total == 3 and counter.other == 0
    assert [core.key(slot) for slot in core.slots()] == [("GET", 200), ("PUT", 500)]


def test_a_counter_that_is_set_moves_the_total_by_the_difference(core):
    counter = core.add_counter("n")
    counter.incrby(("GET", 200), 5)
    assert counter.set(("GET", 200), 2) and counter.set(("PUT", 200), 10)
    assert value(core, counter, ("GET", 200)) == 2 and counter.total == 12
    assert counter.set_many(core.rows([["GET", "PUT"], 200]), [1, 2]) == 2
    assert counter.total == 3


def test_a_counter_stops_at_its_limits_and_tells(core):
    counter = core.add_counter("n")
    counter.incrby(("GET", 200), MOST)
    assert core.stats()["saturated"] is False
    counter.incrby(("GET", 200), 1)
    assert value(core, counter, ("GET", 200)) == MOST == counter.total and core.stats()["saturated"] is True
    core.reset()
    counter.incrby(("GET", 200), LEAST)
    counter.incrby(("GET", 200), LEAST)
    assert value(core, counter, ("GET", 200)) == LEAST and core.stats()["saturated"] is True


def test_a_real_counter_adds_floats_and_stays_finite(core):
    counter = core.add_counter("n", True)
    counter.incrby(("GET", 200), 0.5)
    counter.incrby(("GET", 200), 2)
    assert value(core, counter, ("GET", 200)) == 2.5 and counter.total == 2.5
    counter.incrby(("GET", 200), 1.7e308)
    counter.incrby(("GET", 200), 1.7e308)
    assert value(core, counter, ("GET", 200)) == 1.7976931348623157e308 and core.stats()["saturated"]


@pytest.mark.parametrize("real, amount, error", [
    (False, 1.5, TypeError), (False, "1", TypeError), (False, None, TypeError), (False, MOST + 1, OverflowError),
    (True, math.nan, ValueError), (True, math.inf, ValueError), (True, "1", TypeError), (True, None, TypeError),
])
def test_what_is_no_amount_changes_nothing(core, real, amount, error):
    counter = core.add_counter("n", real)
    rows = core.rows([["GET", "PUT"], 200])
    for update in (lambda: counter.incrby(("GET", 200), amount), lambda: counter.set(("GET", 200), amount),
                   lambda: counter.incrby_many(rows, [1, amount]), lambda: counter.set_many(rows, [1, amount]),
                   lambda: core.update([["GET", "PUT"], 200], {counter: [1, amount]})):
        with pytest.raises(error):
            update()
    assert core.slots() == [] and counter.total == 0


# Gauges.

def test_a_gauge_is_not_set_before_it_is(core):
    gauge, counter = core.add_gauge("g"), core.add_counter("n")
    counter.incrby(("GET", 200))
    assert value(core, gauge, ("GET", 200)) is None and not gauge.is_set(0)
    assert gauge.set(("GET", 200), 3) and gauge.set_many(core.rows([["PUT"], [1]]), [0.5]) == 1
    assert value(core, gauge, ("GET", 200)) == 3.0 and value(core, gauge, ("PUT", 1)) == 0.5
    assert gauge.stamp(core.find(("GET", 200))) == (5, 7)
    with pytest.raises(ValueError):
        gauge.set(("GET", 200), math.nan)
    with pytest.raises(TypeError):
        gauge.set(("GET", 200), "3")
    assert value(core, gauge, ("GET", 200)) == 3.0


@pytest.mark.parametrize("rule, expected", [("sum", 7.0), ("max", 5.0), ("min", 2.0), ("last", 2.0)])
def test_gauges_merge_by_their_rule_in_either_order(room, rule, expected):
    def one(number, tick, origin):
        core = room.Core(("a",), room.Guard(origin, tick))
        core.add_gauge("g", rule).set(("x",), number)
        return core

    for first, second in (((5, 10, 9), (2, 11, 3)), ((2, 11, 3), (5, 10, 9))):
        to, of = one(*first), one(*second)
        to.merge(of, [(to.metrics[0], of.metrics[0])])
        assert to.metrics[0].value(0) == expected
        assert to.metrics[0].stamp(0) == (11, 3)


def test_of_two_gauges_set_at_one_tick_the_larger_origin_wins_then_the_larger_value(room):
    def last(*stamps):
        cores = []
        for number, tick, origin in stamps:
            core = room.Core(("a",), room.Guard(origin, tick))
            core.add_gauge("g").set(("x",), number)
            cores.append(core)
        for other in cores[1:]:
            cores[0].merge(other, [(cores[0].metrics[0], other.metrics[0])])
        return cores[0].metrics[0].value(0)

    assert last((5, 1, 2**64 - 1), (6, 1, 3)) == last((6, 1, 3), (5, 1, 2**64 - 1)) == 5
    assert last((5, 1, 3), (6, 1, 3)) == last((6, 1, 3), (5, 1, 3)) == 6


def test_infinite_gauges_add_up_to_the_same_in_all_orders(room):
    def one(number):
        core = room.Core(("a",), room.Guard())
        core.add_gauge("g", "sum").set(("x",), number)
        return core

    for first, second in ((math.inf, -math.inf), (-math.inf, math.inf)):
        to, of = one(first), one(second)
        to.merge(of, [(to.metrics[0], of.metrics[0])])
        assert to.metrics[0].value(0) == math.inf


# Histograms and HLLs.

def test_histograms_and_sketches_stand_in_columns(room, core):
    lat, ips = core.add_histogram("h", room.Shape(1, 1000, precision=7)), core.add_hll("u", 10)
    for number in (5, 7, 700):
        assert lat.record(("GET", 200), number) is True
    assert lat.record(("PUT", 200), 9, 3) and lat.record_many(core.rows([["PUT", "GET"], 200]), [1, 2], [2, 1]) == 2
    assert ips.add(("GET", 200), "a") and ips.add_many(core.rows([["GET"] * 3, 200]), ["a", "b", 5]) == 3
    get, put = core.find(("GET", 200)), core.find(("PUT", 200))
    assert (lat.value(get).count, lat.value(get).min, lat.value(get).max) == (4, 2, 700)
    assert (lat.value(put).count, lat.value(put).sum) == (5, 29)
    assert round(ips.value(get).estimate()) == 3 and ips.value(put).is_empty
    assert lat.total.count == 9 and round(ips.total.estimate()) == 3
    assert lat.merged([get, put]).count == 9 and round(ips.merged([get, put]).estimate()) == 3


def test_values_read_are_copies(room, core):
    lat, ips = core.add_histogram("h", room.Shape(1, 1000, precision=7)), core.add_hll("u", 10)
    lat.record(("GET", 200), 5)
    ips.add(("GET", 200), "a")
    lat.value(0).record(9)
    ips.value(0).add("b")
    lat.total.record(9)
    assert lat.value(0).count == lat.total.count == 1 and round(ips.value(0).estimate()) == 1


def test_what_is_no_value_of_a_sketch_changes_nothing(room, core):
    lat, ips = core.add_histogram("h", room.Shape(1, 1000, precision=7)), core.add_hll("u", 10)
    rows = core.rows([["GET", "PUT"], 200])
    for update in (lambda: lat.record(("GET", 200), "x"), lambda: lat.record(("GET", 200), 1.5j),
                   lambda: lat.record_many(rows, [1, "x"]), lambda: ips.add(("GET", 200), 1.5),
                   lambda: ips.add_many(rows, ["a", None])):
        with pytest.raises(TypeError):
            update()
    for update in (lambda: lat.record(("GET", 200), 5, -1), lambda: lat.record(("GET", 200), math.nan),
                   lambda: lat.record_many(rows, [1, 2], [1, -1])):
        with pytest.raises(ValueError):
            update()
    with pytest.raises(OverflowError):
        ips.add(("GET", 200), 2**64)
    assert core.slots() == [] and lat.total.count == 0 and ips.total.is_empty


def test_waiting_that_was_not_seen_is_recorded(room, core):
    lat = core.add_histogram("h", room.Shape(1, 100_000, precision=7))
    lat.record_corrected(("GET", 200), 1000, 250)
    found = lat.value(core.find(("GET", 200)))
    assert (found.count, found.min, found.max, found.sum) == (4, 250, 1000, 2500)
    assert lat.record_corrected_many(core.rows([["GET", "PUT"], 200]), [600, 100], 250, [1, 2]) == 2
    assert lat.value(core.find(("GET", 200))).count == 6 and lat.value(core.find(("PUT", 200))).count == 2
    for interval in (0, -1, 0.00001):
        with pytest.raises(ValueError, match="interval"):
            lat.record_corrected(("NEW", 200), 1000, interval)
    with pytest.raises(ValueError, match="1,000,000"):
        lat.record_corrected(("NEW", 200), 10_000_000, 1)
    with pytest.raises(ValueError, match="1,000,000"):
        lat.record_corrected_many(core.rows([["NEW"], 200]), [10_000_000], 1)
    assert core.find(("NEW", 200)) < 0


def test_more_values_than_a_histogram_counts_are_left_out_and_told(room, core):
    lat = core.add_histogram("h", room.Shape(1, 1000, precision=7))
    assert lat.record(("GET", 200), 5, MOST) and core.stats()["saturated"] is False
    assert lat.record(("GET", 200), 7) and core.stats()["saturated"] is True
    found = lat.value(core.find(("GET", 200)))
    assert found.count == MOST and found.max == 5
    other = room.Core(("method", "status"), room.Guard())
    other.add_histogram("h", lat.shape).record(("GET", 200), 9)
    core.merge(other, [(lat, other.metrics[0])])
    assert lat.value(core.find(("GET", 200))).count == MOST == lat.total.count
