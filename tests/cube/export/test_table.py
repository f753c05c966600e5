"""A cube for people: columns, order, groups, what is in no cell."""

from __future__ import annotations

import json

import pytest

from istat.cube import CubeError, Instance
from istat.cube.export.table import CubeTable, number
from tests.cube.export.instances import made


def test_a_row_for_each_cell_the_largest_first_and_totals_last():
    instance, http = made(host="web1")
    table = CubeTable(http, 20).table()
    assert table.title == "http{host=web1}: 2 of at most 1,000,000 cells; all cells are kept"
    assert table.heads == ("method", "path", "status", "requests", "open", "latency_us count", "latency_us p50",
                           "latency_us p99", "latency_us max", "distinct clients")
    assert [row[:6] for row in table.rows] == [("GET", "/", "200", "3", "3", "3"), ("GET", "/b", "200", "2", "10", "2")]
    assert table.last == [("total", "", "", "5", "", "5", "300", "1,000", "1,000", "4")]
    assert (table.keys, table.notes) == (3, [])


def test_other_orders_and_fewer_rows():
    instance, http = made()
    by_open = CubeTable(http, 1, "open").table()
    assert [row[1] for row in by_open.rows] == ["/b"] and by_open.notes == ["1 more cell"]
    with pytest.raises(CubeError, match="no metric 'none'"):
        CubeTable(http, 5, "none")


def test_groups():
    instance, http = made()
    shown = CubeTable(http, 20, None, ("method",))
    table = shown.table()
    assert table.heads[:3] == ("method", "cells", "requests") and table.rows[0][:4] == ("GET", "2", "5", "13")
    assert shown.as_json()["groups"][0]["key"] == ["GET"]
    ordered = CubeTable(http, 1, "latency_us", ("path",)).table()
    assert [row[0] for row in ordered.rows] == ["/"] and ordered.notes == ["1 more group"]
    with pytest.raises(CubeError, match="no dimension 'host'"):
        CubeTable(http, 20, None, ("host",))


def test_what_found_no_cell_is_told():
    instance = Instance("x")
    cube = instance.cube_create("c", ("d",))
    counter = cube.register_counter("n")
    cube.set_sampling("comprehensive", 1)
    for key, amount in (("a", 5), ("b", 2), ("c", 3)):
        counter.incrby((key,), amount)
    table = CubeTable(cube, 20).table()
    assert table.rows == [("a", "5")] and table.last == [("(no cell)", "5"), ("total", "10")]
    assert table.notes == ["2 updates of about 2 keys found no cell"]
    cube.register_gauge("g").set(("b",), 1.0)
    assert CubeTable(cube, 20).table().notes == [
        "3 updates of about 2 keys found no cell (each metric of a key is one)"]


def test_figures_for_scripts():
    instance, http = made(host="web1")
    told = CubeTable(http, 1).as_json()
    assert (told["name"], told["shared"], told["mode"], told["primary"]) == ("http", {"host": "web1"}, "comprehensive",
                                                                             None)
    assert told["totals"]["requests"] == 5 and told["totals"]["latency_us"]["max"] == 1000
    cell, = told["cells"]
    assert cell["key"] == ["GET", "/", 200]
    assert (cell["values"]["requests"], cell["values"]["clients"], cell["values"]["latency_us"]["count"]) == (3, 3, 3)


def test_what_is_not_finite_is_null_for_scripts():
    instance = Instance("x")
    cube = instance.cube_create("c", ("d",))
    cube.register_gauge("g").set((float("-inf"),), float("inf"))
    told = CubeTable(cube, 1).as_json()
    assert told["cells"] == [{"key": [None], "values": {"g": None}}]
    json.dumps(told, allow_nan=False)


def test_a_cube_without_metrics_or_cells():
    instance = Instance("x")
    cube = instance.cube_create("c", ("d",))
    assert CubeTable(cube, 5).table().last == [("total",)]
    cube.register_histogram("h")
    assert CubeTable(cube, 5).table().rows == [] and CubeTable(cube, 5).as_json()["totals"]["h"]["count"] is None


@pytest.mark.parametrize(("value", "text"), [(None, ""), (1234567, "1,234,567"), (2.0, "2"), (0.1234567, "0.123457"),
                                             (float("inf"), "inf")])
def test_numbers(value, text):
    assert number(value) == text
