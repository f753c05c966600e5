"""Flat JSON of an instance: what stands around cells, tags of three sources, options."""

from __future__ import annotations

import json
import threading

import orjson
import pytest

from istat.cube import Instance, JsonExporter
from tests.cube.export.instances import count, made


def exported(*arguments: object, **options: object) -> list[dict]:
    text = JsonExporter(*arguments, **options).export_flat()
    assert orjson.loads(text) == json.loads(text)
    return json.loads(text)


def test_it_is_an_array_of_an_object_for_each_cell():
    instance, http = made(host="web1")
    first, second = exported(instance, {"dc": "ams"})
    assert list(first) == ["name", "timestamp_ms", "interval_ms", "tags", "fields"]
    assert (first["name"], first["timestamp_ms"], first["interval_ms"]) == ("http", 1763769610000, 10000)
    assert list(first["tags"].items()) == [("dc", "ams"), ("host", "web1"), ("method", "GET"), ("path", "/"),
                                           ("status", 200)]
    assert first["fields"]["requests"] == 3 and first["fields"]["open"] == 3 and first["fields"]["clients"] == 3
    latency = first["fields"]["latency_us"]
    assert list(latency) == ["count", "sum", "min", "max", "p50", "p90", "p99", "p99.9"]
    assert (latency["count"], latency["sum"], latency["min"], latency["max"]) == (3, 600, 100, 300)
    assert second["tags"]["path"] == "/b"


def test_of_tags_with_one_name_a_dimension_wins_over_shared_and_shared_over_global():
    instance, http = made(host="web1", dc="fra")
    exporter = JsonExporter(instance, {"dc": "ams", "path": "none", "rack": 7})
    exporter.set_global_dimension("rack", 8)
    tags = json.loads(exporter.export_flat())[0]["tags"]
    assert tags == {"dc": "fra", "rack": 8, "host": "web1", "method": "GET", "path": "/", "status": 200}


def test_lines_are_the_same_cells():
    instance, http = made(host="web1")
    exporter = JsonExporter(instance, {"text": "two\nlines"})
    lines = list(exporter.iter_flat())
    assert [json.loads(line) for line in lines] == json.loads(exporter.export_flat()) and len(lines) == 2
    assert not any("\n" in line for line in lines)
    assert exporter.export_flat_bytes() == exporter.export_flat().encode()


def test_empty_cubes_are_left_out():
    instance = Instance("empty")
    instance.cube_create("nothing", ("a",)).register_counter("n")
    assert JsonExporter(instance).export_flat() == "[]"
    assert list(JsonExporter(instance).iter_flat()) == []
    instance.cube_create("one", ("a",)).register_counter("n").incrby((1,))
    instance.cube_create("two", ("a",)).register_counter("n").incrby((2,))
    assert [cell["name"] for cell in exported(instance)] == ["one", "two"]


def test_quantiles_are_named_by_their_percent():
    instance, http = made()
    latency = exported(instance, quantiles=(99, 12.5, 0, 100))[0]["fields"]["latency_us"]
    assert list(latency)[4:] == ["p0", "p12.5", "p99", "p100"]
    assert (latency["p0"], latency["p100"]) == (100, 300)


def test_a_limit_keeps_the_largest_cells():
    instance, http = made()
    http.set_sampling("topk", 10, "requests")
    cells = exported(instance, limit_per_cube=1, with_meta=True)
    assert [(cell["tags"]["path"], cell["meta"]) for cell in cells] == [
        ("/", {"mode": "topk", "rank": 1, "late": False, "inherited": 0})]
    assert exported(instance, limit_per_cube=0) == []


def test_other_ways_to_write_sketches():
    instance, http = made()
    fields = exported(instance, histogram="buckets", hll="encoded")[0]["fields"]
    assert sum(count for _, _, count in fields["latency_us"]["buckets"]) == 3
    assert fields["clients"]["precision"] == 12
    assert "slots" in exported(instance, histogram="encoded")[0]["fields"]["latency_us"]


@pytest.mark.parametrize("options", [{"histogram": "all"}, {"hll": "none"}, {"quantiles": (101,)},
                                     {"quantiles": (float("nan"),)}, {"limit_per_cube": -1}])
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError):
        JsonExporter(made()[0], **options)


def test_tags_that_cannot_be_are_refused_and_change_nothing():
    exporter = JsonExporter(made()[0])
    for name, value, error in (("a", b"x", TypeError), (1, "x", TypeError), ("a", float("nan"), ValueError),
                               ("a", "\ud800", ValueError)):
        with pytest.raises(error):
            exporter.set_global_dimension(name, value)
    assert "a" not in json.loads(exporter.export_flat())[0]["tags"]


def test_a_program_may_write_between_two_pieces():
    instance, http = made()
    for place in range(2000):
        count(http, ("GET", f"/{place}", 200), 5, "x")
    seen = set()
    for place, line in enumerate(JsonExporter(instance).iter_flat()):
        seen.add(json.loads(line)["tags"]["path"])
        count(http, ("PUT", f"/{place}", 200), 5, "x")
    assert {f"/{place}" for place in range(2000)} <= seen


def test_another_thread_may_not_export_while_one_writes():
    instance, http = made()
    problems: list[BaseException] = []

    def export() -> None:
        try:
            JsonExporter(instance).export_flat()
        except BaseException as error:  # noqa: BLE001 - it is looked at below
            problems.append(error)

    with instance.guard:
        thread = threading.Thread(target=export)
        thread.start()
        thread.join()
    assert [type(problem).__name__ for problem in problems] == ["ConcurrentUse"]


def test_percentiles_have_names_of_their_own():
    """The name of 99.99999 was p100 too."""
    instance, http = made()
    fields = exported(instance, quantiles=(50, 50.0, 99.9, 99.99999, 100))[0]["fields"]["latency_us"]
    assert list(fields)[4:] == ["p50", "p99.9", "p99.99999", "p100"]


@pytest.mark.parametrize("tags", [{"dc": "\ud800"}, {"\ud800": "ams"}])
def test_a_tag_that_is_no_unicode_is_told_when_it_is_given(tags):
    instance, http = made()
    with pytest.raises(ValueError, match="surrogates"):
        JsonExporter(instance, tags)
