"""Lines of an instance: names, fields, and that our own parser takes every one."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.cube import Instance
from istat.cube.export.components import component, label
from istat.cube.export.lines import MOST_PINNED, LinesExporter
from istat.names import expand
from istat.wire.explaining import explain
from istat.wire.lines import Sample, parse_line
from tests.cube.export.instances import BEGUN, ENDED, LATENCIES, made

WHEN = ENDED // 10**9 - 1       # the last second that such an instance covers


def samples_of(instance, **options):
    """Name -> sample, of all lines; each must be one that a server takes."""
    found = {}
    for line in LinesExporter(instance, **options).export().splitlines(keepends=True):
        assert line.endswith(b"\n") and explain(line, time.time()) is None, line
        sample = parse_line(line)
        assert isinstance(sample, Sample) and expand(sample.name).names
        found[sample.name.decode()] = sample
    return found


def test_each_kind_of_metric_has_its_series():
    instance, http = made()
    found = samples_of(instance)
    assert set(found) == {
        "*cubes.http.requests", "cubes.http.open", "cubes.http.latency_us", "cubes.http.latency_us.p50",
        "cubes.http.latency_us.p90", "cubes.http.latency_us.p99", "cubes.http.latency_us.p999",
        "cubes.http.clients.distinct", "cubes.http._cells", "*cubes.http._rejected", "*cubes.http._evicted"}
    assert {sample.time for sample in found.values()} == {WHEN}
    assert found["*cubes.http.requests"].sum == 5
    opened, latency = found["cubes.http.open"], found["cubes.http.latency_us"]
    assert (opened.sum, opened.sumsq, opened.min, opened.max, opened.count) == (13, 109, 3, 10, 2)
    assert (latency.sum, latency.min, latency.max, latency.count) == (2000, 100, 1000, 5)
    assert latency.sumsq == pytest.approx(sum(value**2 for value in LATENCIES), rel=1e-12)
    assert found["cubes.http.latency_us.p50"].sum == 300 and found["cubes.http.clients.distinct"].sum == 4
    assert found["cubes.http._cells"].sum == 2


def test_totals_have_what_found_no_cell():
    instance = Instance("x", delta=True)
    cube = instance.cube_create("c", ("d",))
    counter, histogram, items = cube.register_counter("n"), cube.register_histogram("h"), cube.register_hll("u")
    cube.set_sampling("comprehensive", 2)
    for place in range(10):
        counter.incrby((place,), 1)
        histogram.record((place,), place + 1)
        items.add((place,), place)
    found = samples_of(instance)
    assert found["*cubes.c.n"].sum == 10 and found["cubes.c.h"].count == 10 and found["cubes.c.h"].max == 10
    assert found["cubes.c.u.distinct"].sum == 10
    assert (found["cubes.c._cells"].sum, found["*cubes.c._rejected"].sum) == (2, 24)


def test_shared_tags_are_carets_on_what_a_server_may_add_up():
    instance, http = made(host="Web1.example.net", **{"class": "front end"})
    found = samples_of(instance)
    tags = "^class.front_end^host.web1_example_net^"
    assert {name for name in found if "^" in name} == {
        f"{name}{tags}" for name in ("*cubes.http.requests", "cubes.http.open", "cubes.http.latency_us",
                                     "cubes.http._cells", "*cubes.http._rejected", "*cubes.http._evicted")}
    assert expand(f"*cubes.http.requests{tags}".encode()).names == (
        b"cubes.http.requests.class.front_end", b"cubes.http.requests.host.web1_example_net", b"cubes.http.requests")
    assert f"*cubes.http.requests{tags[:-1]}" in samples_of(instance, aggregate=False)
    assert not any(name.endswith((".p50", ".distinct")) for name in samples_of(instance, distributions=False))


def test_percentiles_of_cubes_of_one_name_are_of_all_their_values():
    instance = Instance("x", delta=True)
    for host, values in (("a", range(1, 100)), ("b", range(1000, 1099))):
        cube = instance.cube_create("c", ("d",), {"host": host})
        histogram, items = cube.register_histogram("h", precision=12), cube.register_hll("u")
        for value in values:
            histogram.record(("x",), value)
            items.add(("x",), value % 50)
    found = samples_of(instance)
    assert found["cubes.c.h.p50"].sum == 99 and found["cubes.c.h.p99"].sum == pytest.approx(1096, abs=1)
    assert found["cubes.c.u.distinct"].sum == 50
    assert found["cubes.c.h^host.a^"].count == 99, "what was merged for percentiles left the cubes as they were"


def test_pinned_cells_have_series_of_their_own():
    instance, http = made(host="web1")
    found = samples_of(instance, pin=["GET|/|200", "PUT|/|200"])
    key = f"{component('GET')}.{component('/')}.200"
    assert found[f"*cubes.http.requests.{key}^host.web1^"].sum == 3
    assert found[f"cubes.http.latency_us.{key}^host.web1^"].max == 300
    assert found[f"cubes.http.clients.{key}.distinct^host.web1^"].sum == 3
    assert sum(".200" in name for name in found) == 4
    assert sum(".200" in name for name in samples_of(instance, pin_top=1)) == 4
    assert sum(".200" in name for name in samples_of(instance, pin_top=50)) == 8


def test_pinned_series_have_a_bound_and_the_rest_is_counted():
    instance = Instance("x", delta=True)
    cube = instance.cube_create("c", ("d",))
    counter = cube.register_counter("n")
    for place in range(MOST_PINNED + 7):
        counter.incrby((f"k{place}",), place)
    exporter = LinesExporter(instance, pin_top=1000)
    lines = exporter.export().splitlines()
    assert sum(line.startswith(b"*cubes.c.n.k") for line in lines) == MOST_PINNED
    refused = [line.split() for line in lines if b"_refused" in line]
    assert exporter.refused == 7
    assert [(name, count) for name, _, count in refused] == [(b"*cubes.c._refused_series", b"7")]


def test_what_has_no_values_has_no_line():
    instance = Instance("x", delta=True)
    cube = instance.cube_create("c", ("d",))
    cube.register_gauge("g")
    cube.register_histogram("h")
    cube.register_gauge("i").set(("a",), math.inf)
    assert set(samples_of(instance)) == {"cubes.c._cells", "*cubes.c._rejected", "*cubes.c._evicted"}


def test_a_time_can_be_given():
    instance, http = made()
    assert {line.split()[1] for line in LinesExporter(instance).export(1700000000).splitlines()} == {b"1700000000"}


def test_large_numbers_are_exact():
    instance = Instance("x", delta=True)
    instance.t0, instance.t1 = BEGUN, ENDED
    cube = instance.cube_create("c", ("d",))
    cube.register_counter("n").incrby(("a",), 2**63 - 1)
    cube.register_counter("f", dtype=float).incrby(("a",), 1e300)
    lines = LinesExporter(instance).export().splitlines()
    assert b"*cubes.c.n %d 9223372036854775807" % (WHEN) in lines
    assert samples_of(instance)["*cubes.c.f"].sum == 1e300


@pytest.mark.parametrize(("value", "text"), [
    ("get", "get"), ("GET", "get-2b88ed1d"), (200, "200"), ("a.b", "a_b-"), ("", "_-ef46db37"), (None, "_-ef46db37"),
    ("a b^c/d", "a_b_c_d-"), (-5, "-5"), (1.5, "1_5-"), ("x" * 64, "x" * 64), ("x" * 65, "x" * 64 + "-"),
    ("é", "_-"), (b"get", "get"),
])
def test_a_value_is_one_component_with_a_hash_where_something_was_lost(value, text):
    made_of = component(value)
    assert made_of == text or (text.endswith("-") and made_of.startswith(text) and len(made_of) == len(text) + 8)


@given(st.text(max_size=80), st.text(max_size=80))
def test_components_are_names_and_two_texts_have_two(one, other):
    for text in (one, other):
        name = f"a.{component(text)}"
        assert expand(name.encode()).names == (name.encode(),) and len(component(text)) <= 73
        assert "." not in component(text) and "^" not in label(text) and label(text)
    assert (component(one) == component(other)) == (one == other)


def test_options_that_cannot_be_are_refused():
    with pytest.raises(TypeError):
        LinesExporter(made()[0], pin="GET|/|200")
    with pytest.raises(ValueError):
        LinesExporter(made()[0], pin_top=-1)
