"""One cube's data: keys, handles, batches, what a full cube refuses, merging, resetting; both builds alike."""
from __future__ import annotations

import pytest

from istat.errors import ConcurrentUse, CubeError
from tests.kernels.cubes.cores import dump, filled, value

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
