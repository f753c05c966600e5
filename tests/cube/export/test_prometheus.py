"""Prometheus' text, as its own parser reads it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from istat.cube import Easy, Instance, JsonExporter, LinesExporter
from istat.cube.export.prometheus import PrometheusExporter
from tests.cube.export.instances import made


def page_of(instance, **options):
    text = PrometheusExporter(instance, **options).export()
    assert text.endswith("\n")
    return {family.name: family for family in text_string_to_metric_families(text)}


def samples(family):
    return {(sample.name, *sample.labels.values()): sample.value for sample in family.samples}


def test_each_kind_of_metric_has_its_series():
    instance, http = made(host="web1")
    page = page_of(instance, boundaries={"latency_us": [200, 500, 2000]}, global_dimensions={"dc": "ams", "host": "x"})
    assert {name: family.type for name, family in page.items()} == {
        "http_requests": "counter", "http_open": "gauge", "http_latency_us": "histogram",
        "http_clients_distinct": "gauge", "cube_series_dropped": "gauge"}
    requests = page["http_requests"].samples
    assert [(sample.name, sample.value) for sample in requests] == [("http_requests_total", 3),
                                                                    ("http_requests_total", 2)]
    assert requests[0].labels == {"dc": "ams", "host": "web1", "method": "GET", "path": "/", "status": "200"}
    assert page["http_requests"].documentation == "requests of cube http"
    assert [sample.value for sample in page["http_open"].samples] == [3, 10]
    assert [sample.value for sample in page["http_clients_distinct"].samples] == [3, 2]
    latency = [(sample.name.removeprefix("http_latency_us_"), sample.labels.get("le"), sample.value)
               for sample in page["http_latency_us"].samples if sample.labels["path"] == "/"]
    assert latency == [("bucket", "200", 2), ("bucket", "500", 3), ("bucket", "2000", 3), ("bucket", "+Inf", 3),
                       ("sum", None, 600), ("count", None, 3)]


def test_boundaries_that_are_not_declared_are_1_2_5():
    instance = Instance("x")
    cube = instance.cube_create("c", ("d",))
    cube.register_histogram("h", lowest=10, highest=700, precision=5).record(("a",), 33)
    cube.register_histogram("s", lowest=1, highest=3_000_000, precision=5, scale=1e6).record(("a",), 0.004)
    page = page_of(instance)
    assert [sample.labels["le"] for sample in page["c_h"].samples if "le" in sample.labels] == [
        "10", "20", "50", "100", "200", "500", "+Inf"]
    small = [float(sample.labels["le"]) for sample in page["c_s"].samples if "le" in sample.labels]
    assert small[:4] == [1e-06, 2e-06, 5e-06, 1e-05] and small[-2:] == [2, math.inf]


def test_names_are_munged_and_stay_different():
    instance = Instance("x")
    for name in ("a-b", "a_b", "9 lives"):
        cube = instance.cube_create(name, ("le", "le2", "__name__", "x y", "x_y"))
        cube.register_counter("n").incrby(("1", "2", "3", "4", "5"), 7)
        cube.register_histogram("h", 1, 10, precision=3).record(("1", "2", "3", "4", "5"), 7)
    page = page_of(instance)
    counters = [family for name, family in page.items() if family.type == "counter"]
    assert len(counters) == 3 and {family.name for family in counters} >= {"a_b_n", "_9_lives_n"}
    for family in counters:
        assert family.samples[0].labels == {"exported_le": "1", "le2": "2", "exported_name__": "3", "x_y": "4",
                                            "x_y_": "5"}
        assert family.samples[0].value == 7


def test_cells_whose_labels_read_alike_are_one_series():
    instance = Instance("x")
    cube = instance.cube_create("c", ("status", "host"))
    counter, gauge = cube.register_counter("n"), cube.register_gauge("g", merge="max")
    for key, value in (((200, None), 1), (("200", ""), 2), (("200", "a"), 4)):
        counter.incrby(key, value)
        gauge.set(key, value)
    page = page_of(instance)
    assert samples(page["c_n"]) == {("c_n_total", "200"): 3, ("c_n_total", "200", "a"): 4}
    assert samples(page["c_g"]) == {("c_g", "200"): 2, ("c_g", "200", "a"): 4}


def test_series_beyond_the_limit_are_dropped_and_counted():
    instance = Instance("x")
    cube = instance.cube_create("c", ("d",))
    counter = cube.register_counter("n")
    for place in range(50):
        counter.incrby((f"p{place}",), place + 1)
    cube.set_sampling("topk", 100, counter)
    page = page_of(instance, max_series=11)
    assert [sample.labels["d"] for sample in page["c_n"].samples] == [f"p{place}" for place in range(49, 39, -1)]
    assert page["cube_series_dropped"].samples[0].value == 40
    assert sum(len(family.samples) for family in page.values()) == 11


def test_a_histogram_is_there_as_a_whole_or_not_at_all():
    instance, http = made()
    page = page_of(instance, boundaries={"latency_us": [1000]}, max_series=6)
    assert {name: len(family.samples) for name, family in page.items()} == {
        "http_requests": 2, "http_open": 2, "http_clients_distinct": 1, "cube_series_dropped": 1}
    assert page["cube_series_dropped"].samples[0].value == 2 * 4 + 1


def test_two_cubes_of_one_name_are_one_family():
    instance = Instance("x")
    for host in ("a", "b"):
        instance.cube_create("c", ("d",), {"host": host}).register_counter("n").incrby((1,), ord(host))
    text = PrometheusExporter(instance).export()
    assert text.count("# TYPE c_n_total counter\n") == 1
    assert samples(page_of(instance)["c_n"]) == {("c_n_total", "a", "1"): 97, ("c_n_total", "b", "1"): 98}


def test_a_page_of_nothing_tells_that_nothing_was_dropped():
    assert PrometheusExporter(Instance("x")).export().endswith("\ncube_series_dropped 0\n")


@given(st.lists(st.one_of(st.text(max_size=12), st.text('"\\\n,={}# ', max_size=8), st.binary(max_size=5)), min_size=1,
                max_size=5, unique_by=str))
def test_any_label_comes_back(values):
    instance = Instance("x")
    counter = instance.cube_create("c", ("d",)).register_counter("n")
    for place, value in enumerate(values):
        counter.incrby((value,), place + 1)
    found = {sample.labels.get("d", ""): sample.value for sample in page_of(instance)["c_n"].samples}
    assert {text: value for text, value in found.items() if not text.startswith("base64:")} == {
        value: place + 1 for place, value in enumerate(values) if isinstance(value, str)}
    assert sum(found.values()) == sum(range(1, len(values) + 1))


@pytest.mark.parametrize("options", [{"max_series": 0}, {"boundaries": {"h": []}}, {"boundaries": {"h": [2, 1]}},
                                     {"boundaries": {"h": [1, math.inf]}}])
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError):
        PrometheusExporter(Instance("x"), **options)


@pytest.mark.parametrize("exporter", [PrometheusExporter, JsonExporter, LinesExporter])
def test_who_gives_an_easy_or_a_cube_is_told_what_to_give(exporter):
    master = Instance("shop")
    for wrong in (Easy(master), master.cube_create("http", ("path",))):
        with pytest.raises(TypeError, match=r"Instance is wanted, not (Easy|Cube): .* snapshot\(\)"):
            exporter(wrong)


@pytest.mark.parametrize("labels", [{"dc": "\ud800"}, {"\ud800": "ams"}])
def test_a_label_that_is_no_unicode_is_told_when_it_is_given(labels):
    instance, http = made()
    with pytest.raises(ValueError, match="surrogates"):
        PrometheusExporter(instance, global_dimensions=labels)


def test_a_metric_that_is_called_as_a_series_of_a_histogram_gets_another_name():
    instance = Instance("web")
    http = instance.cube_create("http", dimensions=("path",))
    for name in ("size_count", "size_bucket", "size_sum"):
        http.register_gauge(name).set(("/",), 7)
    http.register_histogram("size", highest=10).record(("/",), 3)
    http.register_gauge("time_sum").set(("/",), 8)
    families = {family.name: family for family in text_string_to_metric_families(
        PrometheusExporter(instance, boundaries={"size": [5]}).export())}
    samples = [(sample.name, str(sample.labels)) for family in families.values() for sample in family.samples]
    assert len(samples) == len(set(samples))
    assert [sample.value for sample in families["http_size_count"].samples] == [7]
    assert "http_time_sum" in families
    other = next(family for family in families.values() if family.type == "histogram")
    assert other.name.startswith("http_size_") and [sample.value for sample in other.samples] == [1, 1, 3, 1]
