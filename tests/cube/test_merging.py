"""Merging instances: the laws of each kind of metric, what is made, what is refused before anything changes."""
from __future__ import annotations

import itertools
import pickle
import random

import pytest

from istat.cube import CubeError, Instance, Sampling, SchemaMismatch
from tests.cube.told import told

RULES = ("last", "sum", "max", "min")


def master():
    instance = Instance("all")
    cube = instance.cube_create("http", ("method", "status"), {"class": "frontend"})
    cube.register_counter("requests")
    cube.register_counter("cost", dtype=float)
    for rule in RULES:
        cube.register_gauge(rule, merge=rule)
    cube.register_histogram("latency", highest=100_000, precision=4)
    cube.register_hll("clients", precision=8)
    return instance


def counted(schema, seed, updates=60):
    """A fork with updates of its own."""
    draw, instance = random.Random(seed), schema.fork()
    instance.identify(draw.randbytes(16))
    cube = instance.cube("http")
    for _ in range(updates):
        instance.tick = draw.randrange(5)
        key = (draw.choice(["GET", "PUT", None]), draw.randrange(4))
        cube.metric("requests").incrby(key, draw.randrange(-5, 100))
        cube.metric("cost").incrby(key, draw.randrange(100) / 4)        # exact in binary, in whatever order
        for rule in RULES:
            cube.metric(rule).set(key, draw.randrange(50))
        cube.metric("latency").record(key, draw.randrange(-10, 200_000))
        cube.metric("clients").add(key, draw.randrange(300))
    return instance


def merged(schema, instances):
    total = schema.fork()
    for instance in instances:
        total.merge(instance)
    return total


def test_merging_is_the_same_in_all_orders():
    schema = master()
    parts = [counted(schema, seed) for seed in range(5)]
    expected = told(merged(schema, parts))
    for order in itertools.permutations(parts):
        assert told(merged(schema, order)) == expected


def test_merging_is_the_same_in_all_groupings():
    schema = master()
    a, b, c, d, e = (counted(schema, seed) for seed in range(5))
    expected = told(merged(schema, (a, b, c, d, e)))
    for groups in (((a, b), (c, d, e)), ((a,), (b, c, d, e)), ((e, c), (d,), (b, a))):
        assert told(merged(schema, [merged(schema, group) for group in groups])) == expected


def test_merging_with_an_empty_one_changes_nothing():
    schema = master()
    instance = counted(schema, 1)
    before = told(instance)
    instance.merge(schema.fork())
    assert told(instance) == before
    assert told(merged(schema, [instance])) == before


def test_what_can_be_merged_twice():
    schema = master()
    instance = counted(schema, 1)
    once, twice = told(merged(schema, [instance])), told(merged(schema, [instance, instance]))
    for key, values in once["http{class=frontend}"]["cells"].items():
        again = twice["http{class=frontend}"]["cells"][key]
        for name in ("last", "max", "min", "clients"):
            assert again[name] == values[name]
        for name in ("requests", "cost", "sum"):
            assert again[name] == 2 * values[name]


def test_the_merged_one_stays_as_it_was():
    schema = master()
    source, total = counted(schema, 1), counted(schema, 2)
    before = told(source), source.schema, source.t0, source.sequence
    total.merge(source)
    assert (told(source), source.schema, source.t0, source.sequence) == before


def test_a_merge_of_parts_is_what_one_would_have_counted():
    schema = master()
    whole, parts = schema.fork(), [schema.fork() for _ in range(3)]
    draw = random.Random(7)
    for _ in range(200):
        key, n = ("GET", draw.randrange(9)), draw.randrange(1000)
        for instance in (whole, draw.choice(parts)):
            cube = instance.cube("http")
            cube.metric("requests").incrby(key, n)
            cube.metric("latency").record(key, n)
            cube.metric("clients").add(key, n)
    assert told(merged(schema, parts)) == told(whole)


def test_cubes_and_metrics_that_are_missing_are_made():
    source = counted(master(), 1)
    total = Instance("total")
    own = total.cube_create("http", ("method", "status"), {"class": "frontend"})
    own.register_counter("errors").incrby(("GET", 1), 3)
    own.register_counter("requests").incrby(("GET", 1), 1000)
    source.cube_create("dns", ["name"]).register_counter("queries").incrby(("example.net",), 5)
    total.merge(source)
    assert [cube.name for cube in total.cubes] == ["http", "dns"]
    assert total.cube("dns").totals["queries"] == 5
    assert [metric.name for metric in own.metrics] == ["errors", "requests", "cost", *RULES, "latency", "clients"]
    assert own.get(("GET", 1))["errors"] == 3
    assert own.totals["requests"] == 1000 + source.cube("http").totals["requests"]
    assert [schema.name for schema in total.schema.cubes] == ["http", "dns"]


def test_cubes_are_told_apart_by_their_tags():
    source, total = Instance("a"), Instance("b")
    source.cube_create("http", ["a"], {"host": "web1"}).register_counter("n").incrby(("x",), 5)
    total.cube_create("http", ["a"], {"host": "web2"}).register_counter("n").incrby(("x",), 7)
    total.merge(source)
    assert [(cube.shared, cube.totals["n"]) for cube in total.cubes] == [({"host": "web2"}, 7), ({"host": "web1"}, 5)]


def test_all_conflicts_are_told_and_nothing_changes():
    total, source = counted(master(), 1), Instance("other")
    cube = source.cube_create("http", ("method", "status"), {"class": "frontend"})
    cube.register_gauge("requests")
    cube.register_counter("cost")
    cube.register_gauge("last", merge="sum")
    cube.register_histogram("latency", highest=100_000, precision=5)
    cube.register_hll("clients", precision=8, hash="datasketches")
    cube.register_counter("new").incrby(("GET", 1))
    source.cube_create("fresh", ["a"]).register_counter("n").incrby(("x",))
    before = told(total), total.schema
    with pytest.raises(SchemaMismatch) as error:
        total.merge(source)
    for name in ("requests", "cost", "last", "latency", "clients"):
        assert f"http{{class=frontend}}.{name} is a" in str(error.value)
    assert (told(total), total.schema) == before


@pytest.mark.parametrize("change, told_there", [
    (lambda cube: None, "dimensions"),
    (lambda cube: cube.set_sampling(Sampling.TOPK, 10, "n"), "topk by n"),
])
def test_cubes_of_other_dimensions_or_sampling_do_not_merge(change, told_there):
    total, source = Instance("a"), Instance("b")
    total.cube_create("http", ("a", "b")).register_counter("n")
    source.cube_create("http", ("b", "a") if told_there == "dimensions" else ("a", "b")).register_counter("n")
    change(source.cube("http"))
    with pytest.raises(SchemaMismatch, match=told_there):
        total.merge(source)


@pytest.mark.parametrize("given", [b"frame", None, master().cube("http")])
def test_only_an_instance_is_merged(given):
    with pytest.raises(TypeError, match="Instance is wanted, not .*: merge_bytes takes"):
        master().merge(given)


def test_an_instance_cannot_be_merged_into_itself():
    instance = counted(master(), 1)
    with pytest.raises(ValueError, match="itself"):
        instance.merge(instance)


def test_hlls_of_more_registers_are_folded_and_of_fewer_only_where_it_is_wanted():
    fine, coarse = Instance("a"), Instance("b")
    for instance, precision in ((fine, 12), (coarse, 8)):
        clients = instance.cube_create("http", ["a"]).register_hll("clients", precision=precision)
        for i in range(5000):
            clients.add(("x",), f"{instance.name}{i}")
    total = coarse.fork()
    total.merge(coarse)
    total.merge(fine)
    assert total.cube("http").get(("x",))["clients"].precision == 8
    assert abs(total.cube("http").totals["clients"].estimate() - 10_000) < 2500
    with pytest.raises(SchemaMismatch, match="precision"):
        fine.merge(coarse)
    assert fine.cube("http").metric("clients").precision == 12
    fine.merge(coarse, allow_precision_loss=True)
    assert fine.cube("http").metric("clients").precision == 8
    assert fine.schema.cubes[0].metrics[0].precision == 8
    assert told(fine)["http"]["cells"] == told(total)["http"]["cells"]


def test_of_two_full_cubes_what_finds_no_room_is_refused_and_kept_in_the_totals():
    total, source = Instance("a"), Instance("b")
    for instance, keys in ((total, "abc"), (source, "cdea")):
        cube = instance.cube_create("http", ["key"])
        counter, lat = cube.register_counter("n"), cube.register_histogram("latency", highest=100)
        cube.set_sampling(Sampling.COMPREHENSIVE, max_cells=4, overflow_cell=True)
        cube.update([list(keys)], {counter: 1, lat: 5})
    total.merge(source)
    cube = total.cube("http")
    assert {view.key[0]: view["n"] for view in cube.cells()} == {"a": 2, "b": 1, "c": 2, "d": 1}
    assert cube.totals["n"] == 7 and cube.other("n") == 1 and cube.other("latency").count == 1
    assert cube.stats().rejected == 1 and cube.stats().rejected_keys == 1


def test_cubes_that_rank_their_cells_keep_the_largest_of_both():
    schema = Instance("a")
    cube = schema.cube_create("http", ["key"])
    cube.set_sampling(Sampling.TOPK, max_cells=3, primary=cube.register_counter("n"))
    cube.register_histogram("latency", highest=100)
    parts = [schema.fork(), schema.fork()]
    for instance, counts in zip(parts, ({"a": 50, "b": 40, "c": 5}, {"a": 1, "d": 30, "e": 2})):
        for key, n in counts.items():
            instance.cube("http").update([key], {"n": n, "latency": n})
    for order in (parts, parts[::-1]):
        total = merged(schema, order).cube("http")
        assert [(view.key[0], view["n"], view["latency"].count) for view in total.top()] == [
            ("a", 51, 2), ("b", 40, 1), ("d", 30, 1)]
        assert total.totals["n"] == 128 and total.other("n") == 7 and total.stats().evicted == 2


def test_the_time_of_a_merge_covers_both():
    total, source = counted(master(), 1), counted(master(), 2)
    total.t0, total.t1, source.t0, source.t1 = 100, 200, 150, 250
    total.tick, source.tick = 5, 9
    total.merge(source)
    assert (total.t0, total.t1, total.tick, source.t0) == (100, 250, 9, 150)
    empty = Instance("empty")
    empty.merge(source)
    assert (empty.t0, empty.t1) == (150, 250), "nothing was counted here before"


def test_intervals_and_sums_since_a_start_are_not_mixed_up():
    interval, running = counted(master(), 1), counted(master(), 2)
    interval.delta = True
    with pytest.raises(SchemaMismatch, match="interval"):
        interval.merge(running)
    running.merge(interval)
    assert running.delta is False
    total = Instance("total")
    total.merge(interval)
    assert total.delta is True, "an empty one takes what comes"


def test_tags_of_both_are_kept():
    total, source = Instance("a", tags={"dc": "ams"}), Instance("b", tags={"dc": "fra", "rack": "7"})
    total.merge(source)
    assert total.tags == {"dc": "ams", "rack": "7"}


def test_tags_of_many_sources_are_as_many_as_a_frame_can_hold():
    total = Instance("all", tags={"dc": "ams"})
    for first in (0, 50):
        total.merge(Instance("one", tags={f"t{number}": "x" for number in range(first, first + 50)}))
    again = Instance.deserialize(total.serialize())
    assert again.tags == total.tags == {"dc": "ams", **{f"t{number}": "x" for number in range(63)}}


def test_a_merge_that_made_too_many_cubes_would_be_refused(monkeypatch):
    monkeypatch.setattr("istat.cube.merging.MOST_CUBES", 1)
    total, source = Instance("a"), Instance("b")
    total.cube_create("one", ["a"])
    source.cube_create("two", ["a"])
    with pytest.raises(CubeError, match="at most 1 cubes"):
        total.merge(source)
    assert [cube.name for cube in total.cubes] == ["one"]


def test_pickles_and_frames_merge_as_the_instance_itself():
    schema = master()
    parts = [counted(schema, seed) for seed in range(3)]
    expected = told(merged(schema, parts))
    assert told(merged(schema, [pickle.loads(pickle.dumps(part)) for part in parts])) == expected
    total = schema.fork()
    for part in parts:
        total.merge_bytes(part.serialize(compress=True))
    assert told(total) == expected
