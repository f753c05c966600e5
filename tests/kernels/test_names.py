"""Names to ids: values of the specification, and kernel = twin."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.kernels import implementation

TWIN = implementation("python").names
NAME = st.text("ab.", max_size=7).map(str.encode)


def table_of(module, names):
    table = module.NameTable(42)
    for name in names:
        table.add(name)
    return table


def test_ids_are_dense_and_stay(kernels):
    names = [b"n%d" % i for i in range(5000)]
    table = table_of(kernels.names, names)
    assert [table.add(name) for name in names] == list(range(5000))
    assert [table.name(i) for i in range(5000)] == names
    assert table.find(b"absent") == -1
    assert len(table) == 5000
    with pytest.raises(IndexError):
        table.name(5000)


def test_an_unlisted_id_is_found_no_more_and_still_tells_its_name(kernels):
    table = table_of(kernels.names, [b"a.b", b"a.c", b"a.d.e"])
    table.unlist(1)
    assert table.find(b"a.c") == -1
    assert (table.name(1), table.has(1), table.has(0), len(table), table.count()) == (b"a.c", False, True, 3, 2)
    with pytest.raises(ValueError, match="no name here"):
        table.unlist(1)
    with pytest.raises(ValueError, match="no name here"):
        table.unlist(3)


def test_an_unlisted_id_is_listed_again_or_its_name_goes_to_another(kernels):
    table = table_of(kernels.names, [b"a", b"b"])
    table.unlist(0)
    table.relist(0, b"a")
    assert table.find(b"a") == 0
    table.unlist(0)
    assert table.add(b"a") == 2
    for id, name in ((0, b"a"), (1, b"c"), (0, b"b"), (9, b"x")):
        with pytest.raises(ValueError, match="cannot be called"):
            table.relist(id, name)
    table.relist(0, b"longer.than.before")
    assert [table.name(id) for id in range(3)] == [b"longer.than.before", b"b", b"a"]
    assert [table.find(name) for name in (b"longer.than.before", b"b", b"a")] == [0, 1, 2]


def test_names_that_come_and_go_need_no_more_slots(kernels):
    table = kernels.names.NameTable(3)
    for id in range(20_000):
        assert table.add(b"n%d" % id) == id
        if id >= 100:
            table.unlist(id - 100)
    assert table.count() == 100
    assert [table.find(b"n%d" % id) for id in (0, 19_899, 19_900, 19_999)] == [-1, -1, 19_900, 19_999]


MOVE = st.one_of(NAME.map(lambda name: ("add", name)), st.integers(0, 20).map(lambda id: ("unlist", id)),
                 st.tuples(st.integers(0, 20), NAME).map(lambda pair: ("relist", *pair)))


@given(st.lists(MOVE, max_size=60))
def test_kernel_is_twin_when_names_come_and_go(native, moves):
    ours, twin = table_of(native.names, []), table_of(TWIN, [])
    for do, *what in moves:
        results = []
        for table in (ours, twin):
            try:
                results.append(getattr(table, do)(*what))
            except ValueError as error:
                results.append(str(error))
        assert results[0] == results[1]
    assert [ours.name(id) for id in range(len(ours))] == [twin.name(id) for id in range(len(twin))]
    assert [ours.has(id) for id in range(len(ours))] == [twin.has(id) for id in range(len(twin))]
    assert (ours.count(), len(ours), ours.moved) == (twin.count(), len(twin), twin.moved)


def test_ids_with_another_name_than_their_first_are_listed(kernels):
    table = table_of(kernels.names, [b"a", b"b"])
    for id, name in ((0, b"x.y"), (0, b"x.z"), (1, b"b")):
        table.unlist(id)
        table.relist(id, name)
    assert (table.find(b"a"), table.find(b"x.y"), table.find(b"x.z"), table.moved) == (-1, -1, 0, [0])


def test_names_have_a_longest(kernels):
    table = table_of(kernels.names, [b"", b"n" * 65535])
    assert (table.name(0), table.find(b"n" * 65535)) == (b"", 1)
    with pytest.raises(ValueError, match="65535"):
        table.add(b"n" * 65536)


def test_slots_stay_right_when_many_are_freed(kernels):
    table = table_of(kernels.names, [b"n%d" % i for i in range(20000)])
    for i in range(0, 20000, 3):
        table.unlist(i)
    assert [table.find(b"n%d" % i) for i in range(20000)] == [-1 if i % 3 == 0 else i for i in range(20000)]
    assert [table.add(b"n%d" % i) for i in range(0, 20000, 3)] == list(range(20000, 20000 + 6667))


def test_one_text_serves_a_counter_and_its_route(native):
    """What a table that shares needs for a name of some 43 bytes: 8 for the reference, 10 to 15 for the slot."""
    engine = native.engine.Engine([10], 7)
    for i in range(100000):
        name = b"host.web%04d.cpu.core%04d.user.percent.sum" % (i // 50, i)
        assert len(name) == 42 + (i > 9999)
        engine.add_route((b"*" if i % 2 else b"") + name, (engine.add_counter(name, i % 2),))
    assert engine.routes.memory() < 25 * 100000
    assert engine.counters.memory() < 70 * 100000
    assert engine.route(b"*host.web0000.cpu.core0001.user.percent.sum") == (1,)
    assert engine.route(b"host.web0000.cpu.core0001.user.percent.sum") is None
