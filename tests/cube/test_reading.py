"""Reading cubes: cells, groups, totals, and views of cells that are gone."""
from __future__ import annotations

import pytest

from istat.cube import CubeError, Instance, Sampling


@pytest.fixture
def cube():
    cube = Instance("edge-proxy").cube_create("http", ("method", "path", "status"))
    reqs, conns = cube.register_counter("requests"), cube.register_gauge("open", merge="sum")
    lat, ips = cube.register_histogram("latency", highest=1000), cube.register_hll("clients", precision=10)
    for i, key in enumerate([("GET", "/", 200), ("PUT", "/", 200), ("GET", "/a", 404), ("GET", "/", 404)], 1):
        reqs.incrby(key, i)
        conns.set(key, i)
        lat.record(key, 100 * i)
        ips.add(key, f"client {i % 2}")
    return cube


def test_cells_come_in_the_order_in_which_they_were_made(cube):
    assert [view.key for view in cube.cells()] == [
        ("GET", "/", 200), ("PUT", "/", 200), ("GET", "/a", 404), ("GET", "/", 404)]
    assert len(cube) == 4 and cube.get(("GET", "/b", 200)) is None and not cube.cells()[0].late


def test_the_top_is_by_any_metric_and_ties_go_by_key(cube):
    def names(views):
        return [f"{view.key[0]}{view.key[1]}{view.key[2]}" for view in views]

    assert names(cube.top(2)) == ["GET/404", "GET/a404"]
    assert names(cube.top(by="open")) == ["GET/404", "GET/a404", "PUT/200", "GET/200"]
    assert names(cube.top(by="clients")) == ["GET/404", "GET/200", "GET/a404", "PUT/200"]
    assert cube.top(0) == [] and len(cube.top()) == len(cube.top(100)) == 4
    with pytest.raises(ValueError, match="0 or more"):
        cube.top(-1)
    bare = Instance("b").cube_create("bare", ["a"])
    with pytest.raises(ValueError, match="no metric ranks"):
        bare.top(3)


def test_groups_merge_cells_by_the_rules_of_their_metrics(cube):
    rows = cube.group_by("method")
    assert [(row.key, row.cells, row["requests"], row["open"], row["latency"].count) for row in rows] == [
        (("GET",), 3, 8, 8.0, 3), (("PUT",), 1, 2, 2.0, 1)]
    assert [round(row["clients"].estimate()) for row in rows] == [2, 1]
    assert rows.complete and all(row.complete for row in rows) and rows.other["requests"] == 0
    by_two = cube.group_by(["status", "method"], "requests")
    assert [(row.key, row["requests"]) for row in by_two] == [((200, "GET"), 1), ((200, "PUT"), 2), ((404, "GET"), 7)]
    whole, = cube.group_by([], "requests")
    assert whole.key == () and whole["requests"] == 10
    assert repr(rows[0]) == "<row ('GET',), requests=8, open=8.0: 3 cells>"


def test_groups_tell_what_is_not_there(cube):
    with pytest.raises(CubeError, match="no dimension 'host'; it has: method, path, status"):
        cube.group_by("host")
    with pytest.raises(CubeError, match="no metric 'errors'"):
        cube.group_by("method", "errors")
    with pytest.raises(CubeError, match="not grouped with a metric 'open'"):
        cube.group_by("method", "requests")[0]["open"]


def test_groups_of_a_cube_that_lost_something_are_not_complete(cube):
    cube.set_sampling(Sampling.COMPREHENSIVE, max_cells=2, overflow_cell=True)
    rows = cube.group_by("method")
    assert not rows.complete and not rows[0].complete
    assert rows.other["requests"] == 7 and rows.other["latency"].count == 2 and rows.other["open"] is None
    overflow = cube.overflow
    assert overflow.overflow and overflow.key == (None, None, None) and overflow["requests"] == 7
    assert cube.other("latency").count == 2 and cube.other("open") is None


def test_totals_are_of_all_updates(cube):
    assert cube.totals["requests"] == 10 and cube.totals["latency"].count == 4
    assert round(cube.totals["clients"].estimate()) == 2 and cube.totals["open"] is None


def test_a_view_reads_in_place_until_its_cell_is_gone(cube):
    view = cube.get(("GET", "/", 200))
    cube.metric("requests").incrby(("GET", "/", 200), 10)
    cube.metric("requests").incrby(("NEW", "/", 200), 10)
    assert view["requests"] == 11
    cube.set_sampling(Sampling.COMPREHENSIVE, max_cells=1)
    for read in (lambda: view["requests"], lambda: view.key, lambda: view.late, lambda: view.inherited,
                 lambda: view.floor, lambda: view.overflow):
        with pytest.raises(CubeError, match="gone"):
            read()
    assert cube.get(("GET", "/", 200))["requests"] == 11


def test_views_and_totals_tell_a_metric_of_another_cube(cube):
    other = Instance("b").cube_create("b", ["a"]).register_counter("requests")
    for read in (lambda: cube.cells()[0][other], lambda: cube.totals[other], lambda: cube.top(by=other)):
        with pytest.raises(ValueError, match="another cube"):
            read()
    with pytest.raises(TypeError):
        cube.cells()[0][5]


def test_values_read_are_copies(cube):
    view = cube.get(("GET", "/", 200))
    view["latency"].record(5)
    view["clients"].add("another")
    cube.totals["latency"].record(5)
    assert view["latency"].count == 1 and round(view["clients"].estimate()) == 1 and cube.totals["latency"].count == 4


def test_cells_kept_by_a_reset_are_not_shown_before_their_next_update():
    instance = Instance("b")
    cube = instance.cube_create("b", ["a"])
    counter, gauge = cube.register_counter("n"), cube.register_gauge("g")
    counter.incrby(("x",), 5)
    gauge.set(("y",), 5)
    instance.reset(keep_cells=True)
    assert cube.cells() == [] and cube.get(("x",)) is None and cube.group_by("a") == [] and len(cube) == 0
    counter.incrby(("y",), 1)
    assert [(view.key, view[counter], view[gauge]) for view in cube.cells()] == [(("y",), 1, None)]
