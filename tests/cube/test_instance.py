"""Instances: their cubes, names, identity and time; forks; what importing costs."""
from __future__ import annotations

import subprocess
import sys
import threading

import pytest

import istat.cube
from istat.cube import ConcurrentUse, CubeError, DuplicateName, Instance


@pytest.fixture
def instance():
    return Instance("edge-proxy")


def counted(instance, name="http", **shared):
    cube = instance.cube_create(name, ("method", "status"), shared)
    cube.register_counter("requests")
    return cube


def test_cubes_are_found_by_name_and_tags(instance):
    web1, web2, dns = counted(instance, host="web1"), counted(instance, host="web2"), counted(instance, "dns")
    assert instance.cubes == (web1, web2, dns) and [cube.id for cube in instance.cubes] == [0, 1, 2]
    assert instance.cube("dns") is dns and instance.cube("http", {"host": "web2"}) is web2
    with pytest.raises(CubeError, match="several cubes are called 'http'"):
        instance.cube("http")
    with pytest.raises(CubeError, match="no cube 'smtp'; there are: dns, http"):
        instance.cube("smtp")
    with pytest.raises(CubeError, match="web3"):
        instance.cube("http", {"host": "web3"})


def test_a_cube_of_the_same_name_and_tags_is_refused_in_any_order_of_tags(instance):
    instance.cube_create("http", ["a"], {"x": "1", "y": "2"})
    with pytest.raises(DuplicateName, match=r"http\{x=1, y=2\}"):
        instance.cube_create("http", ["b"], {"y": "2", "x": "1"})


@pytest.mark.parametrize("name", ["", "a\nb", "\x7f", "\x85", "x" * 256, "é" * 128, "\ud800"])
def test_names_that_cannot_be_are_refused_everywhere(instance, name):
    cube = counted(instance)
    for make in (lambda: Instance(name), lambda: instance.cube_create(name, ["a"]),
                 lambda: instance.cube_create("b", [name]), lambda: instance.cube_create("c", ["a"], {name: "x"}),
                 lambda: cube.register_counter(name), lambda: cube.register_gauge(name),
                 lambda: cube.register_histogram(name), lambda: cube.register_hll(name)):
        with pytest.raises(ValueError):
            make()
    assert len(instance.cubes) == 1 and len(cube.metrics) == 1


def test_names_of_other_types_are_refused(instance):
    for make in (lambda: Instance(5), lambda: instance.cube_create(None, ["a"]),
                 lambda: instance.cube_create("b", [b"a"]), lambda: instance.cube_create("c", ["a"], {"x": 1}),
                 lambda: instance.cube_create("d", "abc"), lambda: instance.cube_create("e", 5),
                 lambda: instance.cube_create("f", ["a"], ["x"])):
        with pytest.raises(TypeError):
            make()
    assert instance.cubes == ()


def test_names_may_be_long_and_of_any_script(instance):
    cube = instance.cube_create("ж" * 127, ["x" * 255], {"tag": ""})
    assert cube.name == "ж" * 127 and cube.dimensions == ("x" * 255,) and cube.shared == {"tag": ""}


@pytest.mark.parametrize("dimensions, shared, error", [
    (["a", "a"], None, DuplicateName), (["a", "b"], {"a": "x"}, DuplicateName), ([], None, ValueError),
    ([str(i) for i in range(65)], None, ValueError), (["a"], {str(i): "" for i in range(65)}, CubeError),
])
def test_dimensions_and_tags_that_cannot_be(instance, dimensions, shared, error):
    with pytest.raises(error):
        instance.cube_create("http", dimensions, shared)
    assert instance.cubes == ()


def test_what_is_told_in_one_line(instance):
    cube = counted(instance, host="web1")
    requests = cube.metric("requests")
    requests.incrby(("GET", 200), 3)
    assert repr(instance) == f"<instance edge-proxy {instance.id.hex()[:8]}: 1 cubes>"
    assert repr(cube) == "<cube http(method, status) host=web1: 1 cells, 1 metrics>"
    assert repr(requests) == "CounterMetric('requests')"
    assert repr(cube.cells()[0]) == "<cell ('GET', 200), requests=3>"
    assert repr(cube.totals) == "<totals requests=3>"


def test_every_instance_is_another_one(instance):
    other = Instance("edge-proxy")
    assert len(instance.id) == 16 and instance.id != other.id and len(instance.boot_id) == 16
    assert instance.boot_id == other.boot_id
    instance.identify(bytes(range(16)))
    assert instance.id == bytes(range(16)) and instance.guard.origin == 0x0001020304050607
    with pytest.raises(ValueError):
        instance.identify(b"short")


def test_a_fork_has_the_schema_and_nothing_else(instance):
    cube = counted(instance, host="web1")
    cube.metric("requests").incrby(("GET", 200))
    instance.tick = 5
    fork = instance.fork()
    assert fork.schema is instance.schema and fork.id != instance.id and fork.tick == 5
    assert len(fork.cube("http")) == 0 and fork.cube("http").totals["requests"] == 0
    fork.cube("http").metric("requests").incrby(("GET", 200), 7)
    assert cube.totals["requests"] == 1
    assert fork.fork().schema is instance.schema


def test_the_schema_is_the_same_until_something_changes(instance):
    first = instance.schema
    assert instance.schema is first
    cube = counted(instance)
    second = instance.schema
    assert second is not first and second.epoch > first.epoch and [schema.name for schema in second.cubes] == ["http"]
    cube.metric("requests").incrby(("GET", 200))
    assert instance.schema is second
    cube.set_sampling("comprehensive", 5)
    third = instance.schema
    assert third is not second and third.cubes[0].sampling.max_cells == 5
    cube.register_gauge("open")
    assert instance.schema is not third


def test_an_interval_ends_where_the_next_one_begins(instance):
    cube = counted(instance)
    cube.metric("requests").incrby(("GET", 200))
    assert instance.t1 >= instance.t0
    instance.t0, instance.t1 = 100, 200
    instance.reset()
    assert (instance.t0, instance.sequence, len(cube), cube.totals["requests"]) == (200, 1, 0, 0)
    assert instance.t1 > 200
    instance.reset()
    assert instance.sequence == 2


@pytest.mark.parametrize(("t0", "t1"), [(200, 199), (2**63, 2**63), (-2**63 - 1, 0)])
def test_times_that_no_frame_can_have_are_told_where_it_would_be_written(instance, t0, t1):
    instance.t0, instance.t1 = t0, t1
    with pytest.raises(ValueError, match="t0 is at most t1"):
        instance.serialize()


def test_a_closed_instance_takes_nothing(instance):
    with instance:
        cube = counted(instance)
        requests = cube.metric("requests")
        requests.incrby(("GET", 200))
    assert instance.cubes == ()
    for use in (lambda: requests.incrby(("GET", 200)), lambda: cube.register_counter("more"),
                instance.fork, instance.reset, lambda: counted(instance),
                lambda: instance.merge(Instance("b")), lambda: Instance("b").merge(instance)):
        with pytest.raises(CubeError):
            use()


def test_a_second_writer_is_turned_away_and_the_data_stay(instance):
    cube = counted(instance)
    requests = cube.metric("requests")
    requests.incrby(("GET", 200))
    failed = []

    def second():
        for use in (lambda: requests.incrby(("GET", 200)), cube.cells, cube.stats, instance.reset, instance.memory,
                    lambda: instance.cube_create("b", ["a"]), lambda: cube.register_counter("b"),
                    lambda: Instance("c").merge(instance), lambda: cube.update([["GET"], 200], {requests: 1})):
            try:
                use()
            except ConcurrentUse as error:
                failed.append(str(error))

    with instance.guard:
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(failed) == 9 and "Easy" in failed[0]
    assert cube.totals["requests"] == 1 and len(cube) == 1 and len(cube.metrics) == 1


def test_memory_is_told_by_cube_and_part(instance):
    counted(instance, host="web1").metric("requests").incrby(("GET", 200))
    memory = instance.memory()
    assert list(memory) == ["http{host=web1}"] and set(memory["http{host=web1}"]) == {"cells", "metrics", "sketch"}
    assert memory["http{host=web1}"]["metrics"]["requests"] > 0


def test_importing_loads_neither_gevent_nor_numpy():
    loaded = "import sys, istat.cube; print([name for name in {} if name in sys.modules])"
    for what in (("gevent", "numpy", "requests"), ("threading", "logging", "socket")):
        found = subprocess.run([sys.executable, "-c", loaded.format(what)], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "[]"


def test_all_that_is_offered_is_there():
    for name in istat.cube.__all__:
        assert getattr(istat.cube, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Eazy'"):
        istat.cube.Eazy  # noqa: B018


def test_names_and_tags_that_cannot_be_are_told():
    with pytest.raises(ValueError, match="^the name of an instance is not empty$"):
        Instance("")
    with pytest.raises(TypeError, match="^the name of a cube is a text, not int: 5$"):
        Instance("x").cube_create(5, ("a",))
    with pytest.raises(TypeError, match="^the value of the tag 'host' is a text, not int: 1$"):
        Instance("x", tags={"host": 1})
