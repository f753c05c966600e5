"""One cube's data: updates, what a full cube refuses, totals, merging, resetting; both builds alike."""
from __future__ import annotations

import array
import math
from threading import Event, Thread

import numpy as np
import pytest

from istat.errors import ConcurrentUse, CubeError
from tests.kernels.cubes.cores import ROOMS, dump, filled

MOST, LEAST = 2**63 - 1, -2**63


@pytest.fixture(params=ROOMS, ids=lambda room: room.build)
def room(request):
    return request.param


@pytest.fixture
def core(room):
    return room.Core(("method", "status"), room.Guard(origin=7, tick=5))


def value(core, metric, key):
    slot = core.find(key)
    return metric.value(slot) if slot >= 0 else "no cell"


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


# Keys, handles, batches.

def test_a_handle_makes_no_cell_before_its_first_update(core):
    counter = core.add_counter("n")
    cell = core.cell("GET", 200)
    assert cell.key == ("GET", 200) and not cell.resident and core.slots() == []
    assert counter.incrby(cell, 2) and cell.resident and value(core, counter, cell) == 2
    assert repr(cell) == "Cell('GET', 200)"


def test_a_handle_finds_its_cell_again_after_a_reset_and_an_eviction(core):
    counter = core.add_counter("n")
    first, second = core.cell("A", 1), core.cell("B", 1)
    counter.incrby(first)
    counter.incrby(second)
    core.sample("comprehensive", 1)
    assert first.resident and not second.resident
    assert counter.incrby(second) is False and counter.incrby(first)
    core.reset()
    assert counter.incrby(second, 7) and [core.key(slot) for slot in core.slots()] == [("B", 1)]
    assert counter.incrby(first) is False


def test_a_handle_of_another_cube_is_told(room, core):
    other = room.Core(("method", "status"), room.Guard())
    counter = core.add_counter("n")
    with pytest.raises(ValueError, match="another cube"):
        counter.incrby(other.cell("GET", 200))
    with pytest.raises(ValueError, match="another cube"):
        counter.incrby_many(other.rows([["GET"], 200]))
    with pytest.raises(ValueError, match="another cube"):
        other.update([["GET"], 200], {counter: 1})
    with pytest.raises(TypeError):
        counter.incrby_many([("GET", 200)])
    assert core.slots() == other.slots() == []


def test_a_wrong_number_of_values_names_the_dimensions(core):
    counter = core.add_counter("n")
    with pytest.raises(ValueError, match=r"2 values \(method, status\)"):
        counter.incrby(("GET",))
    with pytest.raises(ValueError, match=r"method, status"):
        core.cell("GET", 200, 1)
    with pytest.raises(TypeError, match="tuple"):
        counter.incrby("GET")


def test_a_batch_is_good_for_several_metrics_and_over_resets(core):
    counter, gauge = core.add_counter("n"), core.add_gauge("g")
    rows = core.rows([["GET", "PUT", "GET"], 200])
    assert len(rows) == 3
    assert counter.incrby_many(rows, [1, 2, 3]) == 3 and gauge.set_many(rows, 5) == 3
    assert [value(core, counter, (method, 200)) for method in ("GET", "PUT")] == [4, 2]
    core.reset()
    assert counter.incrby_many(rows) == 3 and value(core, counter, ("GET", 200)) == 2
    with pytest.raises(ValueError, match="3 rows"):
        counter.incrby_many(rows, [1, 2])


def test_an_update_is_row_by_row_and_tells_how_many_rows_had_a_cell(room, core):
    counter, lat = core.add_counter("n"), core.add_histogram("h", room.Shape(1, 1000, precision=7))
    core.sample("comprehensive", 2)
    assert core.update([["A", "B", "C", "A"], 1], {lat: [1, 2, 3, 4], counter: 1}) == 3
    assert [core.key(slot)[0] for slot in core.slots()] == ["A", "B"]
    assert counter.total == 4 and counter.other == 1 and lat.total.count == 4
    assert core.stats()["rejected"] == 2
    assert core.update(["Z", 9], {counter: 1}) == 0
    assert core.update([[], []], {counter: []}) == 0


# Full cubes.

def test_a_full_cube_refuses_what_is_new_and_counts_it(core):
    counter = core.add_counter("n")
    core.sample("comprehensive", 2)
    applied = [counter.incrby((name, 1)) for name in "ABCDCA"]
    assert applied == [True, True, False, False, False, True]
    stats = core.stats()
    assert (stats["cells"], stats["max_cells"], stats["rejected"], stats["rejected_keys"]) == (2, 2, 3, 2)
    assert counter.total == 6 and counter.other == 3 and core.overflow_slot < 0


def test_the_overflow_cell_takes_what_finds_no_cell(room):
    core = filled(room, max_cells=1, overflow_cell=True)
    counter, gauge, lat, ips = core.metrics
    assert core.overflow_slot < 0
    for name in "ABB":
        counter.incrby((name, 1), 2)
        gauge.set((name, 1), 5)
        lat.record((name, 1), 100)
        ips.add((name, 1), name)
    kept = core.overflow_slot
    assert core.key(kept) == (None, None) and core.marks(kept) & room.OVERFLOW
    assert counter.value(kept) == 4 and lat.value(kept).count == 2 and round(ips.value(kept).estimate()) == 1
    assert gauge.value(kept) is None
    assert core.slots() == [core.find(("A", 1))]
    assert core.find((None, None)) < 0, "a cell of missing values is another one"


def test_fewer_cells_keep_the_oldest(room):
    core = filled(room, overflow_cell=True)
    counter, _, lat, ips = core.metrics
    for i, name in enumerate("ABCDE"):
        counter.incrby((name, 1), i)
        lat.record((name, 1), i)
        ips.add((name, 1), name)
    core.sample("comprehensive", 3, overflow_cell=True)
    assert [core.key(slot)[0] for slot in core.slots()] == ["A", "B", "C"]
    assert [counter.value(slot) for slot in core.slots()] == [0, 1, 2]
    assert counter.total == 10 and counter.other == 7 and core.stats()["evicted"] == 2
    assert lat.value(core.overflow_slot).count == 2 and round(ips.value(core.overflow_slot).estimate()) == 2
    core.sample("comprehensive", 3)
    assert core.overflow_slot < 0 and counter.other == 7
    core.sample("comprehensive", 2, overflow_cell=True)
    assert lat.value(core.overflow_slot).count == 1 and counter.value(core.overflow_slot) == 9


def test_keys_made_to_collide_get_no_cell_and_others_do(room):
    core = room.Core(("a",), room.Guard())
    counter = core.add_counter("n")
    mask, colliding, i = 511, [], 0
    while len(colliding) < 140:
        i += 1
        if room.xxh64(room.encoded((i,))) & mask == 77:
            colliding.append(i)
    applied = [counter.incrby((number,)) for number in colliding]
    assert applied == [True] * 128 + [False] * 12
    assert core.stats()["rejected"] == 12 and core.stats()["rejected_keys"] == 12
    assert counter.incrby(("another",)) and all(counter.incrby((number,)) for number in colliding[:128])


# As a whole.

def test_a_reset_leaves_metrics_and_nothing_else(room):
    core = filled(room, max_cells=2, overflow_cell=True)
    empty = dump(core)
    core.update([["A", "B", "C"], 1], dict.fromkeys(core.metrics, 1))
    assert core.has_updates
    core.reset()
    assert dump(core) == empty and not core.has_updates
    core.update([["C", "D"], 1], {core.metrics[0]: 1})
    assert [core.key(slot)[0] for slot in core.slots()] == ["C", "D"]


def test_cells_kept_by_a_reset_are_shown_from_their_next_update_on(room):
    core = filled(room)
    core.update([["A", "B"], 1], dict.fromkeys(core.metrics, 1))
    core.reset(keep_cells=True)
    assert core.slots() == [] and len(core.slots(True)) == 2 and core.metrics[0].total == 0
    core.metrics[0].incrby(("B", 1), 3)
    assert [core.key(slot)[0] for slot in core.slots()] == ["B"]
    counter, gauge, lat, ips = core.metrics
    slot = core.slots()[0]
    assert (counter.value(slot), gauge.value(slot)) == (3, None)
    assert lat.value(slot).count == 0 and ips.value(slot).is_empty


def test_merging_adds_cells_totals_and_what_was_refused(room):
    to, of = filled(room, max_cells=2, overflow_cell=True), filled(room, max_cells=5, overflow_cell=True)
    to.update([["A", "B", "X"], 1], dict.fromkeys(to.metrics, 1))
    of.update([["B", "C", "A", "D"], 1], {metric: [10, 20, 30, 40] for metric in of.metrics})
    before = dump(of)
    to.merge(of, zip(to.metrics, of.metrics))
    assert dump(of) == before
    counter, gauge, lat, ips = to.metrics
    assert [(to.key(slot)[0], counter.value(slot), gauge.value(slot)) for slot in to.slots()] == [
        ("A", 31, 31.0), ("B", 11, 11.0)]
    assert counter.total == 103 and counter.other == 61
    kept = to.overflow_slot
    assert lat.value(kept).count == 3 and round(ips.value(kept).estimate()) == 3
    assert to.stats()["rejected"] == 4 + 2, "four updates of X, and two cells"


def test_all_cores_of_an_instance_at_once(room):
    mine, theirs = [filled(room) for _ in range(3)], [filled(room) for _ in range(3)]
    assert not room.any_updates(mine)
    theirs[1].update([["A", "B"], 1], dict.fromkeys(theirs[1].metrics, 5))
    mine[2].metrics[0].incrby(("A", 1), 7)
    before = [dump(core) for core in theirs]
    room.merge_alike(mine, theirs)
    assert room.any_updates(mine) and [dump(core) for core in theirs] == before
    assert [core.metrics[0].total for core in mine] == [0, 10, 7]
    assert dump(mine[1]) == before[1]
    with pytest.raises(ValueError):
        room.merge_alike(mine, theirs[:2])
    other = room.Core(("method", "status"), room.Guard())
    other.add_gauge("n").set(("A", 1), 5)
    with pytest.raises((ValueError, TypeError)):
        room.merge_alike([mine[0]], [other])
    room.reset_all(mine)
    assert not room.any_updates(mine) and not room.any_updates([])


def test_metrics_can_come_late_and_go(core):
    first = core.add_counter("a")
    first.incrby(("A", 1))
    second = core.add_counter("b")
    assert second.value(0) == 0 and second.incrby(("A", 1), 5) and second.value(0) == 5
    core.drop(first)
    assert core.metrics == [second]
    with pytest.raises(CubeError, match="dropped"):
        first.incrby(("A", 1))
    core.order([second])
    assert second.incrby(("B", 1), 1)


def test_cells_are_ranked_by_a_metric_and_ties_by_key(core):
    counter = core.add_counter("n")
    for name, n in (("B", 5), ("A", 5), ("C", -9), ("D", 7)):
        counter.incrby((name, 1), n)
    assert [core.key(slot)[0] for slot in core.ranked(by=counter)] == ["D", "A", "B", "C"]
    assert [core.key(slot)[0] for slot in core.ranked(2, counter)] == ["D", "A"]
    with pytest.raises(ValueError):
        core.ranked(3)


def test_a_slot_tells_by_its_generation_that_it_has_another_owner(core):
    counter = core.add_counter("n")
    counter.incrby(("A", 1))
    before = core.generation(0)
    counter.incrby(("B", 1))
    assert core.generation(0) == before
    core.reset()
    counter.incrby(("B", 1))
    assert core.generation(0) != before


def test_who_comes_second_is_turned_away(core):
    counter = core.add_counter("n")
    with core.guard:
        for update in (lambda: counter.incrby(("A", 1)), lambda: counter.set(("A", 1), 1),
                       lambda: core.update([["A"], 1], {counter: 1}),
                       lambda: core.add_gauge("g").set(("A", 1), 1)):
            with pytest.raises(ConcurrentUse):
                update()
    assert counter.incrby(("A", 1)) and counter.total == 1


def test_memory_rises_with_cells(room):
    core = filled(room)
    few = core.memory()
    assert set(few) == {"cells", "metrics", "sketch"} and list(few["metrics"]) == ["n", "g", "h", "u"]
    core.update([[str(i) for i in range(1000)], 1], {core.metrics[0]: 1, core.metrics[2]: 5})
    many = core.memory()
    assert many["cells"] > 20_000 and many["metrics"]["n"] >= 8_000 and many["metrics"]["h"] > many["metrics"]["g"]


def test_a_reader_of_files_makes_the_same(room):
    core = filled(room, max_cells=2, overflow_cell=True)
    core.update([["A", "B", "C"], 1], {metric: [1, 2, 3] for metric in core.metrics})
    copy = filled(room, max_cells=2, overflow_cell=True)
    for slot in [*core.slots(), core.overflow_slot]:
        made = copy.insert(core.key_bytes(slot), core.marks(slot))
        for metric, source in zip(copy.metrics, core.metrics):
            if slot != core.overflow_slot or metric.kind in ("histogram", "hll"):
                metric.put(made, source.value(slot), *(source.stamp(slot) if source.kind == "gauge" else ()))
    counter, _, lat, ips = copy.metrics
    counter.total = core.metrics[0].total
    lat.put_total(core.metrics[2].total)
    ips.put_total(core.metrics[3].total)
    stats = core.stats()
    copy.put_stats(stats["rejected"], stats["evicted"], stats["admitted_late"], stats["saturated"], core.refused_keys)
    assert dump(copy) == dump(core)
    with pytest.raises(ValueError):
        copy.insert(core.key_bytes(core.slots()[0]), 0)
    with pytest.raises(ValueError):
        room.Core(("method", "status"), room.Guard()).insert(room.encoded((None, None)), room.OVERFLOW)


# A program's code that runs while its values are read.

class Number:
    """Stands for an int, and does something first."""

    def __init__(self, then, value=1):
        self.then, self.value = then, value

    def __index__(self):
        self.then()
        return self.value


def test_a_list_that_becomes_shorter_while_its_key_is_made_names_the_cell_it_named(room):
    core = room.Core(("a", "b", "c"), room.Guard())
    counter = core.add_counter("n")
    named = [Number(lambda: named.clear()), "b" * 30, "c" * 40]
    assert counter.incrby(named) and core.key(0) == (1, "b" * 30, "c" * 40)


def test_codes_that_change_while_values_are_read_are_as_they_were(room):
    core = room.Core(("a",), room.Guard())
    codes = array.array("q", [0, 0, 1])

    def change():
        codes[0], codes[1] = 1 << 40, 1 << 41

    rows = core.rows([(codes, [Number(change), 5])])
    assert core.add_counter("n").incrby_many(rows, 1) == 3 and [core.key(slot) for slot in core.slots()] == [(1,), (5,)]


@pytest.mark.parametrize("update", [
    lambda core, dropped, number: dropped.incrby((number, 2)),
    lambda core, dropped, number: dropped.incrby_many(core.rows(["GET", 1]), [number]),
    lambda core, dropped, number: dropped.set_many(core.rows(["GET", 1]), [number]),
    lambda core, dropped, number: core.update(["GET", 1], {dropped: [number]}),
], ids=["incrby", "incrby_many", "set_many", "update"])     # fmt: skip
def test_a_metric_that_is_dropped_while_its_values_are_read_takes_none(core, update):
    kept, dropped = core.add_counter("kept"), core.add_counter("dropped")
    dropped.incrby(("GET", 1))

    def drop():
        core.drop(dropped)
        for i in range(5000):       # its column grows no more
            kept.incrby(("GET", i))

    try:
        update(core, dropped, Number(drop, 4999))
    except CubeError:
        assert dropped.total == 1
    with core.guard:                # and nobody is in
        assert len(core.slots()) >= 5000


def test_a_dropped_metric_is_read_no_further_than_its_column(core):
    kept, dropped = core.add_counter("kept"), core.add_counter("dropped")
    dropped.incrby(("GET", 1))
    core.drop(dropped)
    for i in range(5000):
        kept.incrby(("GET", i))
    assert dropped.memory() > 0 and dropped.total == 1
    with pytest.raises(IndexError):
        dropped.value(4999)
    with pytest.raises(CubeError):
        core.ranked(by=dropped)
    with pytest.raises(CubeError):
        dropped.other  # noqa: B018
    with pytest.raises(ValueError, match="another cube"):
        core.ranked(by=filled_alike(core))


def filled_alike(core):
    """A metric of another cube."""
    return type(core)(("method", "status"), core.guard).add_counter("n")


def test_rows_that_no_memory_can_hold_are_refused(room):
    core = room.Core(("a",), room.Guard())
    with pytest.raises((MemoryError, OverflowError)):
        core.rows([np.broadcast_to(np.array(b"a"), 2**61)])     # its step is 0 bytes: it takes one


def test_a_batch_in_several_columns_is_one_piece_of_work(core, room):
    """Nobody gets in between the columns of a batch."""
    native = room.build == "native"
    first, second = core.add_counter("first"), core.add_counter("second")
    seen = set()
    stop = Event()

    def look():
        while not stop.is_set():
            try:
                with core.guard:
                    seen.add(first.total - second.total)
            except ConcurrentUse:
                pass

    thread = Thread(target=look)
    thread.start()
    try:
        for _ in range(30 if native else 2):
            while True:
                try:
                    core.update([["GET"] * 20_000, 1], {first: 1, second: 1})
                    break
                except ConcurrentUse:       # before anything changed
                    pass
    finally:
        stop.set()
        thread.join()
    assert seen <= {0} and first.total == second.total == (600_000 if native else 40_000)
