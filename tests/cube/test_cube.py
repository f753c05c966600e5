"""Cubes: their metrics, sampling, updates one by one and by batch, handles of cells."""
from __future__ import annotations

import array
import math

import pytest

from istat.cube import CubeError, DuplicateName, Instance, KeyTooLong, Sampling


@pytest.fixture
def cube():
    return Instance("edge-proxy").cube_create("http", ("method", "path", "status"), {"host": "web1"})


def test_the_metrics_of_the_manual(cube):
    reqs = cube.register_counter("requests")
    conns = cube.register_gauge("open_connections", merge="sum")
    lat = cube.register_histogram("latency_us", lowest=1, highest=60_000_000, precision=7)
    ips = cube.register_hll("clients", precision=12)
    reqs.incrby(("GET", "/", 200), 1)
    cell = cube.cell("GET", "/", 200)
    lat.record(cell, 1834)
    ips.add(cell, "10.1.2.3")
    conns.set(cell, 17)
    assert cube.update({"method": ["GET", "PUT"], "path": "/", "status": array.array("q", [200, 201])},
                       {reqs: 1, lat: array.array("d", [10.0, 20.0]), ips: ["10.1.2.3", "10.1.2.4"]}) == 2
    found = cube.get(("GET", "/", 200))
    assert found[reqs] == 2 and found[conns] == 17.0 and round(found[ips].estimate()) == 1
    assert found[lat].count == 2 and found[lat].percentile(100) == 1834
    assert [(row.key, row[reqs]) for row in cube.group_by("method", reqs, lat)] == [(("GET",), 2), (("PUT",), 1)]
    assert [view.key for view in cube.top(20)] == [("GET", "/", 200), ("PUT", "/", 201)]


def test_metrics_are_found_by_name(cube):
    reqs = cube.register_counter("requests")
    assert cube.metrics == (reqs,) and cube.metric("requests") is reqs and cube.metric(reqs) is reqs
    assert (reqs.name, reqs.kind) == ("requests", "counter")
    with pytest.raises(CubeError, match="no metric 'latency'; it has: requests"):
        cube.metric("latency")


def test_a_metric_of_the_same_name_is_refused(cube):
    cube.register_counter("requests")
    for register in (cube.register_counter, cube.register_gauge, cube.register_histogram, cube.register_hll):
        with pytest.raises(DuplicateName, match="'http' has a metric 'requests'"):
            register("requests")
    assert len(cube.metrics) == 1


@pytest.mark.parametrize("register, error", [
    (lambda cube: cube.register_counter("n", dtype=str), TypeError),
    (lambda cube: cube.register_counter("n", dtype="int"), TypeError),
    (lambda cube: cube.register_gauge("n", merge="mean"), ValueError),
    (lambda cube: cube.register_histogram("n", lowest=0), ValueError),
    (lambda cube: cube.register_histogram("n", lowest=10, highest=10), ValueError),
    (lambda cube: cube.register_histogram("n", precision=15), ValueError),
    (lambda cube: cube.register_histogram("n", digits=6), ValueError),
    (lambda cube: cube.register_histogram("n", digits=2, precision=7), TypeError),
    (lambda cube: cube.register_histogram("n", highest=2**62, precision=14, scale=math.nan), ValueError),
    (lambda cube: cube.register_hll("n", precision=3), ValueError),
    (lambda cube: cube.register_hll("n", precision=19), ValueError),
    (lambda cube: cube.register_hll("n", hash="md5"), ValueError),
])
def test_metrics_that_cannot_be_leave_the_cube_as_it_was(cube, register, error):
    schema = cube.schema
    with pytest.raises(error):
        register(cube)
    assert cube.metrics == () and cube.schema is schema
    cube.register_counter("n")


def test_a_cube_has_256_metrics_at_most(cube):
    for i in range(256):
        cube.register_counter(str(i))
    with pytest.raises(CubeError, match="256"):
        cube.register_counter("one more")


def test_digits_are_an_alternative_to_precision(cube):
    assert cube.register_histogram("a", highest=100_000, digits=2).shape.precision == 7
    assert cube.register_histogram("b", highest=100_000, digits=1).shape.precision == 4


def test_a_histogram_of_seconds_is_scaled(cube):
    lat = cube.register_histogram("seconds", highest=60_000_000, scale=1e6)
    lat.record(("GET", "/", 200), 0.25)
    assert cube.get(("GET", "/", 200))[lat].count == 1


# Sampling.

@pytest.mark.parametrize("arguments, error", [
    ({"mode": "best"}, ValueError),
    ({"mode": Sampling.COMPREHENSIVE, "max_cells": 0}, ValueError),
    ({"mode": Sampling.COMPREHENSIVE, "max_cells": 2**24 + 1}, ValueError),
    ({"mode": Sampling.COMPREHENSIVE, "max_cells": "5"}, TypeError),
    ({"mode": Sampling.COMPREHENSIVE, "primary": "n"}, ValueError),
    ({"mode": Sampling.COMPREHENSIVE, "width": 5}, TypeError),
    ({"mode": Sampling.TOPK}, ValueError),
    ({"mode": Sampling.TOPK, "primary": "real"}, ValueError),
    ({"mode": Sampling.TOPK, "primary": "u"}, ValueError),
    ({"mode": Sampling.TOPK, "primary": "none"}, CubeError),
    ({"mode": Sampling.TOPK, "primary": "n", "widht": 5}, TypeError),
    ({"mode": Sampling.TOPK, "primary": "n", "depth": 9}, ValueError),
    ({"mode": Sampling.TOP_CARDINALITY, "primary": "n"}, ValueError),
])
def test_sampling_that_cannot_be_leaves_it_as_it_was(cube, arguments, error):
    cube.register_counter("n")
    cube.register_counter("real", dtype=float)
    cube.register_hll("u")
    cube.set_sampling(Sampling.COMPREHENSIVE, max_cells=7)
    schema = cube.schema
    with pytest.raises(error):
        cube.set_sampling(**arguments)
    assert cube.schema is schema and cube.stats().max_cells == 7


def test_a_counter_that_ranks_cells_only_rises(cube):
    reqs, errors = cube.register_counter("requests"), cube.register_counter("errors")
    cube.set_sampling(Sampling.TOPK, max_cells=10, primary=reqs)
    with pytest.raises(ValueError, match="requests ranks the cells"):
        reqs.incrby(("GET", "/", 200), -1)
    with pytest.raises(CubeError, match="ranks"):
        reqs.set(("GET", "/", 200), 5)
    assert len(cube) == 0
    assert errors.incrby(("GET", "/", 200), -1) and errors.set(("GET", "/", 200), 3)


def test_a_counter_below_zero_cannot_rank_cells(cube):
    reqs = cube.register_counter("requests")
    reqs.incrby(("GET", "/", 200), -1)
    with pytest.raises(ValueError, match="below 0"):
        cube.set_sampling(Sampling.TOPK, max_cells=10, primary=reqs)


def test_the_cells_with_the_most_stay_in_a_full_cube(cube):
    reqs, lat = cube.register_counter("requests"), cube.register_histogram("latency", highest=1000)
    cube.set_sampling(Sampling.TOPK, max_cells=2, primary=reqs, overflow_cell=True)
    for path, n in (("/a", 5), ("/b", 1), ("/c", 3)):
        cube.update({"method": "GET", "path": [path] * n, "status": 200}, {reqs: 1, lat: 10})
    assert [(view.key[1], view[reqs], view.late) for view in cube.top()] == [("/a", 5, False), ("/c", 3, True)]
    late = cube.get(("GET", "/c", 200))
    assert late[reqs] - late.inherited == 2, "what it counted since it came"
    stats = cube.stats()
    assert (stats.evicted, stats.admitted_late, stats.complete) == (1, 1, False)
    assert cube.totals[reqs] == 9 and cube.other(reqs) == 1
    assert cube.totals[lat].count == 9 == sum(view[lat].count for view in [*cube.cells(), cube.overflow])
    row, = cube.group_by("method", reqs)
    assert row[reqs] == 8 and row.complete is False


def test_the_cells_with_the_most_distinct_items_stay_in_a_full_cube(cube):
    ips = cube.register_hll("clients", precision=10)
    cube.set_sampling("top_cardinality", max_cells=2, primary=ips)
    for path, n in (("/a", 300), ("/b", 2), ("/c", 200)):
        cube.update({"method": "GET", "path": path, "status": 200}, {ips: [f"{path}{i}" for i in range(n)]})
    assert [view.key[1] for view in cube.top()] == ["/a", "/c"]
    assert cube.get(("GET", "/c", 200)).floor > 0 and cube.get(("GET", "/a", 200)).floor == 0
    assert abs(cube.totals[ips].estimate() - 502) < 50


# Updates.

def test_cells_are_named_in_order_or_by_name(cube):
    reqs = cube.register_counter("requests")
    reqs.incrby(cube.cell(status=200, method="GET", path="/"))
    assert cube.get(("GET", "/", 200))[reqs] == 1 and cube.get(cube.cell("GET", "/", 200))[reqs] == 1
    with pytest.raises(TypeError, match="not both"):
        cube.cell("GET", path="/", status=200)
    with pytest.raises(ValueError, match="method, path, status"):
        cube.cell(method="GET", path="/")
    with pytest.raises(ValueError, match="method, path, status"):
        cube.cell(method="GET", path="/", status=1, host="x")


def test_columns_are_named_in_order_or_by_name(cube):
    reqs = cube.register_counter("requests")
    assert reqs.incrby_many(cube.rows({"status": [200, 201], "path": "/", "method": "GET"}), [1, 2]) == 2
    assert reqs.incrby_many(cube.rows(["GET", "/", [200, 201]])) == 2
    assert [view[reqs] for view in cube.cells()] == [2, 3]
    with pytest.raises(ValueError, match="method, path, status"):
        cube.rows({"path": ["/"]})
    with pytest.raises(ValueError, match="method, path, status"):
        cube.update([["GET"]], {reqs: 1})


def test_an_update_takes_metrics_by_handle_or_name(cube):
    reqs = cube.register_counter("requests")
    cube.update(["GET", "/", 200], {"requests": 2})
    assert cube.totals[reqs] == cube.totals["requests"] == 2
    other = Instance("b").cube_create("other", ("method", "path", "status")).register_counter("requests")
    with pytest.raises(ValueError, match="another cube"):
        cube.update(["GET", "/", 200], {other: 2})
    with pytest.raises(CubeError, match="no metric"):
        cube.update(["GET", "/", 200], {"errors": 2})
    with pytest.raises(TypeError):
        cube.update(["GET", "/", 200], reqs)
    with pytest.raises(TypeError):
        cube.update(["GET", "/", 200], {5: 2})


def test_a_batch_that_is_wrong_anywhere_changes_nothing(cube):
    reqs, gauge = cube.register_counter("requests"), cube.register_gauge("open")
    for columns, values, error in (
            ([["GET", "PUT"], "/", 200], {reqs: [1, 2], gauge: [1, math.nan]}, ValueError),
            ([["GET", "PUT"], "/", 200], {reqs: [1, 2, 3]}, ValueError),
            ([["GET", {}], "/", 200], {reqs: 1}, TypeError),
            ([["GET", "x" * 5000], "/", 200], {reqs: 1}, KeyTooLong),
            ([["GET", "PUT"], "/", 200], {reqs: [1, 2**64]}, OverflowError)):
        with pytest.raises(error):
            cube.update(columns, values)
    assert len(cube) == 0 and cube.totals[reqs] == 0 and not cube.core.has_updates


def test_a_full_cube_tells_what_it_refused(cube):
    reqs = cube.register_counter("requests")
    cube.set_sampling(Sampling.COMPREHENSIVE, max_cells=2)
    assert cube.update(["GET", ["/a", "/b", "/c", "/a"], 200], {reqs: 1}) == 3
    assert reqs.incrby(("GET", "/d", 200)) is False
    stats = cube.stats()
    assert (stats.cells, stats.max_cells, stats.rejected, stats.rejected_keys, stats.complete) == (2, 2, 2, 2, False)
    assert cube.totals[reqs] == 5 and cube.other(reqs) == 2 and cube.overflow is None


def test_a_metric_that_stands_twice_in_a_batch_is_refused(cube):
    """By its name and by its handle: one of the two columns would be lost."""
    reqs = cube.register_counter("requests")
    with pytest.raises(ValueError, match="twice"):
        cube.update(["GET", "/", 200], {"requests": 1, reqs: 2})
    assert len(cube) == 0
