"""Bringing an instance to a changed schema: what is new, what is gone, what stays."""
from __future__ import annotations

import pytest

from istat.cube import CubeError, Instance, Sampling
from tests.cube.told import told, told_of


@pytest.fixture
def master():
    instance = Instance("master")
    cube = instance.cube_create("http", ("method", "status"))
    cube.register_counter("requests")
    cube.register_gauge("open")
    cube.register_histogram("latency", highest=1000)
    cube.register_hll("clients", precision=8)
    return instance


@pytest.fixture
def fork(master):
    fork = master.fork()
    cube = fork.cube("http")
    for i in range(6):
        cube.update(["GET", i], {"requests": 10 - i if i % 2 else 10 + i, "open": i, "latency": i, "clients": i})
    return fork


def test_nothing_changes_when_nothing_changed(master, fork):
    before, cubes = told(fork), fork.cubes
    assert fork.calibrate(master) is False
    assert told(fork) == before and fork.cubes == cubes
    assert fork.fork().calibrate(fork) is False


def test_afterwards_both_have_one_schema(master, fork):
    master.cube("http").register_counter("errors")
    assert fork.calibrate(master) is True and fork.schema is master.schema
    assert fork.calibrate(master) is False


def test_a_new_metric_is_empty_in_cells_that_are_there(master, fork):
    before = told(fork)["http"]["cells"]
    master.cube("http").register_counter("errors")
    fork.calibrate(master)
    cube = fork.cube("http")
    assert [view["errors"] for view in cube.cells()] == [0] * 6
    assert cube.metric("errors").incrby(("GET", 3), 5) and cube.get(("GET", 3))["errors"] == 5
    assert {key: values["requests"] for key, values in told(fork)["http"]["cells"].items()} == {
        key: values["requests"] for key, values in before.items()}


def test_a_new_cube_is_empty_and_one_that_is_gone_is_dropped(master, fork):
    other = Instance("other")
    other.cube_create("dns", ["name"]).register_counter("queries")
    requests, old = fork.cube("http").metric("requests"), fork.cube("http")
    fork.calibrate(other)
    assert [cube.name for cube in fork.cubes] == ["dns"] and len(fork.cube("dns")) == 0
    with pytest.raises(CubeError, match="dropped"):
        requests.incrby(("GET", 1))
    assert len(old) == 0


def test_a_metric_that_is_gone_is_dropped_and_the_others_stay(master, fork):
    other = Instance("other")
    cube = other.cube_create("http", ("method", "status"))
    cube.register_hll("clients", precision=8)
    cube.register_counter("requests")
    clients, gone = fork.cube("http").metric("clients"), fork.cube("http").metric("open")
    before = told(fork)["http"]
    fork.calibrate(other)
    after = told(fork)["http"]
    assert [metric.name for metric in fork.cube("http").metrics] == ["clients", "requests"], "in the master's order"
    assert fork.cube("http").metric("clients") is clients and clients.add(("GET", 1), "x")
    assert after["totals"] == {name: before["totals"][name] for name in ("clients", "requests")}
    for key, values in after["cells"].items():
        assert values == {name: before["cells"][key][name] for name in ("clients", "requests")}
    with pytest.raises(CubeError, match="'open' was dropped"):
        gone.set(("GET", 1), 1)


@pytest.mark.parametrize("register", [
    lambda cube: cube.register_counter("latency"),
    lambda cube: cube.register_histogram("latency", highest=2000),
    lambda cube: cube.register_histogram("latency", highest=1000, precision=3),
])
def test_a_metric_of_another_kind_or_parameter_begins_anew_alone(master, fork, register):
    other = Instance("other")
    cube = other.cube_create("http", ("method", "status"))
    cube.register_counter("requests")
    cube.register_gauge("open")
    register(cube)
    cube.register_hll("clients", precision=8)
    before = told(fork)["http"]
    fork.calibrate(other)
    after = told(fork)["http"]
    empty = told_of(other.cube("http"))["totals"]["latency"]
    assert after["totals"] == {**before["totals"], "latency": empty}
    for key, values in after["cells"].items():
        assert values == {**before["cells"][key], "latency": empty}


def test_other_dimensions_begin_anew(master, fork):
    other = Instance("other")
    other.cube_create("http", ("method",)).register_counter("requests")
    fork.calibrate(other)
    assert fork.cube("http").dimensions == ("method",) and len(fork.cube("http")) == 0
    assert fork.cube("http").metric("requests").incrby(("GET",))


def test_fewer_cells_keep_the_oldest(master, fork):
    master.cube("http").set_sampling(Sampling.COMPREHENSIVE, max_cells=2)
    fork.calibrate(master)
    cube = fork.cube("http")
    assert [view.key[1] for view in cube.cells()] == [0, 1] and cube.stats().max_cells == 2
    assert cube.totals["requests"] == 10 + 9 + 12 + 7 + 14 + 5 and cube.stats().evicted == 4


def test_another_mode_keeps_the_top_cells(master, fork):
    master.cube("http").set_sampling(Sampling.TOPK, max_cells=3, primary="requests")
    fork.calibrate(master)
    cube = fork.cube("http")
    assert [(view.key[1], view["requests"]) for view in cube.top()] == [(4, 14), (2, 12), (0, 10)]
    assert not any(view.inherited or view.late for view in cube.cells())
    assert [view["open"] for view in cube.top()] == [4, 2, 0]
    assert cube.metric("requests").incrby(("GET", 9), 100) and cube.top(1)[0].key == ("GET", 9)
    master.cube("http").set_sampling(Sampling.TOPK, max_cells=1, primary="requests")
    fork.calibrate(master)
    assert [view.key[1] for view in cube.cells()] == [9]
    master.cube("http").set_sampling(Sampling.COMPREHENSIVE, max_cells=2)
    fork.calibrate(master)
    assert cube.metric("requests").incrby(("GET", 1), -5) and len(cube) == 2


def test_the_ranking_metric_may_change_its_kind(master, fork):
    master.cube("http").set_sampling(Sampling.TOPK, max_cells=3, primary="requests")
    fork.calibrate(master)
    other = Instance("other")
    cube = other.cube_create("http", ("method", "status"))
    cube.register_hll("requests", precision=8)
    cube.register_gauge("open")
    cube.set_sampling(Sampling.TOP_CARDINALITY, max_cells=2, primary="requests")
    fork.calibrate(other)
    cube = fork.cube("http")
    assert len(cube) == 2 and all(view["requests"].is_empty for view in cube.cells())
    assert cube.metric("requests").add(cube.cells()[1].key, "x")


def test_calibrating_a_thousand_unchanged_cubes_looks_at_none(monkeypatch):
    master = Instance("master")
    for i in range(1000):
        master.cube_create(f"cube {i}", ["a"]).register_counter("n")
    fork = master.fork()
    monkeypatch.setattr("istat.cube.calibrating.calibrate", lambda *_: pytest.fail("a cube was looked at"))
    assert fork.calibrate(master) is False
    assert len(fork.cubes) == 1000


def test_a_cell_that_was_below_0_before_the_cube_ranked_its_cells_adds_nothing_to_others():
    master = Instance("master")
    cube = master.cube_create("http", ("path",))
    cube.register_counter("n")
    one, other = master.fork(), master.fork()
    one.cube("http").metric("n").incrby(("/",), -5)
    cube.set_sampling(Sampling.TOPK, max_cells=1, primary="n")
    one.calibrate(master)
    other.calibrate(master)
    one.cube("http").metric("n").incrby(("/new",), 2)       # takes the place of the other cell
    other.cube("http").metric("n").incrby(("/",), 10)
    other.merge(one)
    merged = other.cube("http")
    assert [(cell.key, cell["n"], cell.inherited) for cell in merged.cells()] == [(("/",), 10, 0)]
    assert merged.totals["n"] == 7 and merged.other("n") == -3


def test_cells_below_0_of_a_cube_that_ranks_its_cells_by_now_come_back_from_a_frame():
    master = Instance("master")
    cube = master.cube_create("http", ("path",))
    cube.register_counter("n")
    fork = master.fork()
    fork.cube("http").metric("n").incrby(("/",), -5)
    cube.set_sampling(Sampling.TOPK, max_cells=2, primary="n")
    fork.calibrate(master)
    read = Instance.deserialize(fork.serialize()).cube("http")
    assert [(cell.key, cell["n"]) for cell in read.cells()] == [(("/",), -5)] and read.totals["n"] == -5


def test_what_was_estimated_of_a_cell_is_no_more_than_what_is_left_of_it_after_a_merge():
    master = Instance("master")
    cube = master.cube_create("http", ("path",))
    cube.register_counter("n")
    below = master.fork()
    below.cube("http").metric("n").incrby(("/b",), -3)
    cube.set_sampling(Sampling.TOPK, max_cells=2, primary="n")
    below.calibrate(master)
    late = master.fork()
    for path, n in (("/a", 9), ("/b", 2), ("/c", 3), ("/b", 2)):
        late.cube("http").metric("n").incrby((path,), n)
    cell = late.cube("http").get(("/b",))
    assert cell is not None and (cell["n"], cell.inherited) == (4, 2)
    late.merge(below)
    for instance in (late, Instance.deserialize(late.serialize())):
        cell = instance.cube("http").get(("/b",))
        assert cell is not None and (cell["n"], cell.inherited) == (1, 1)


def test_where_there_is_no_memory_for_a_new_cube_those_that_there_are_stay(master, fork, monkeypatch):
    before, cubes = told(fork), fork.cubes
    master.cube_create("dns", ["name"]).register_counter("queries")
    with monkeypatch.context() as patched:
        patched.setattr("istat.cube.schema.CubeSchema.core", no_memory)
        with pytest.raises(MemoryError):
            fork.calibrate(master)
    assert fork.cubes == cubes and told(fork) == before
    assert cubes[0].metric("requests").incrby(("GET", 1))
    assert fork.calibrate(master) is True and [cube.name for cube in fork.cubes] == ["http", "dns"]


def test_where_there_is_no_memory_for_a_sketch_a_cube_tells_how_far_it_came(master, fork, monkeypatch):
    cube = master.cube("http")
    cube.register_counter("errors")
    cube.set_sampling(Sampling.TOPK, max_cells=3, primary="errors")
    before = fork.cube("http").totals["requests"]
    with monkeypatch.context() as patched:
        patched.setattr("istat.cube.schema.SamplingSchema.apply", no_memory)
        with pytest.raises(MemoryError):
            fork.calibrate(master)
    schema = fork.schema.cubes[0]
    assert [metric.name for metric in schema.metrics] == [metric.name for metric in fork.cube("http").metrics]
    assert schema.sampling.mode == "comprehensive" and fork.cube("http").totals["requests"] == before
    assert told(Instance.deserialize(fork.serialize())) == told(fork)
    assert fork.calibrate(master) is True and fork.schema is master.schema
    assert fork.cube("http").schema == cube.schema and fork.cube("http").totals["requests"] == before


def no_memory(*_):
    raise MemoryError


def test_a_cube_that_is_gone_takes_no_metrics(master, fork):
    gone = fork.cube("http")
    fork.calibrate(Instance("other"))
    for use in (lambda: gone.register_counter("more"), lambda: gone.register_gauge("more"),
                lambda: gone.register_histogram("more"), lambda: gone.register_hll("more"),
                lambda: gone.set_sampling(Sampling.COMPREHENSIVE, max_cells=5)):
        with pytest.raises(CubeError, match="'http' is gone"):
            use()
