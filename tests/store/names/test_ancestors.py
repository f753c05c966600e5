"""Ancestors of counters: fed with `rollup`, made with `make-parents`; over crashes, restarts, deletes and renames."""
from __future__ import annotations

import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from istat.clock import FakeClock
from istat.errors import StoreError
from istat.names import ancestors, expand
from istat.retention import Ladder, Rule, Rules
from istat_server.store.files import manifest
from istat_server.store.files.manifest import Lineage
from istat_server.store.interface import Batch, Fields, Kind
from istat_server.store.names.ancestors import PAUSE
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore
from tests.store.harness import LADDER, NOW, crash, glob, open_store, put, rows
from tests.store.names.test_idling import pass_days

T = NOW - NOW % 10


@pytest.fixture
def opened(tmp_path, clock):
    stores = []

    def make(rollup=0, parents=False, **options):
        stores.append(open_store(tmp_path / "s", clock, lineage=Lineage(rollup, parents), **options))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def names_of(store):
    return {counter.name for counter in store.match(glob(b"*"), 1000).items}


def sums(store, *names):
    """(count, sum) over all buckets of the finest level."""
    found = [rows(store, name, 0) for name in names]
    return [(sum(row[1] for row in one), sum(row[2] for row in one)) for one in found]


@pytest.mark.parametrize(("name", "most", "wanted"), [
    (b"a.b.c.d", None, [b"a.b.c", b"a.b", b"a"]), (b"a.b.c.d", 2, [b"a.b.c", b"a.b"]), (b"a.b", 9, [b"a"]),
    (b"a", None, []), (b"a.b", 0, []), (b"a..b", None, [b"a"]), (b".a.b", None, [b".a"]), (b"a.", None, [b"a"]),
    (b"...", None, []), (b"", None, [])])
def test_what_is_above_a_name(name, most, wanted):
    assert ancestors(name, most) == wanted


def test_a_sample_feeds_so_many_ancestors(opened):
    store = opened(rollup=2)
    put(store, f"a.b.c.d {T} 5", f"a.b.c.x {T} 7", f"solo {T} 1")
    assert names_of(store) == {"a.b.c.d", "a.b.c.x", "a.b.c", "a.b", "solo"}
    assert sums(store, "a.b.c.d", "a.b.c.x", "a.b.c", "a.b") == [(1, 5), (1, 7), (2, 12), (2, 12)]
    time, count, total, _m2, low, high = rows(store, "a.b", 0)[0]
    assert (time, count, total, low, high) == (T, 2, 12, 5, 7)


def test_each_once_a_line_however_many_carets_lead_to_it(opened):
    store = opened(rollup=3)
    put(store, f"cpu.idle^host.a^host.b^ {T} 4")
    assert sums(store, "cpu.idle.host.a", "cpu.idle.host.b", "cpu.idle", "cpu.idle.host", "cpu") == [(1, 4)] * 5
    assert store.totals().samples == 5


def test_ancestors_of_events_are_events_and_what_exists_keeps_its_kind(opened):
    store = opened(rollup=2)
    put(store, f"a {T} 1", f"*a.b.c {T} 10", f"*a.b.d {T} 20")
    kinds = {name: store.find(name.encode()).kind for name in ("a.b.c", "a.b", "a")}
    assert kinds == {"a.b.c": Kind.EVENT, "a.b": Kind.EVENT, "a": Kind.GAUGE}
    assert rows(store, "a.b", 0)[0][:3] == (T, 1, 3.0)       # 30 in 10 seconds
    assert rows(store, "a", 0)[0][:3] == (T, 3, 31.0)


def test_pre_aggregated_samples_and_batches_feed_them_too(opened):
    store = opened(rollup=1)
    put(store, f"a.b {T} 10 34 2 5 3")
    store.accept_batch(Batch([b"a.c"], [T], Fields([2], [12.0], [0.0], [6.0], [6.0])))
    assert sums(store, "a") == [(5, 22)]


@pytest.mark.parametrize("end", ["crash", "close"])
def test_a_crash_and_a_restart_lose_and_double_nothing(tmp_path, clock, end):
    lineage = Lineage(2)
    store = open_store(tmp_path, clock, lineage=lineage)
    put(store, f"a.b.c {T} 5", f"*e.x {T} 10")
    store.flush()
    put(store, f"a.b.d {T} 6", f"a.b.c {T + 10} 7")
    for _ in range(2):
        crash(store) if end == "crash" else store.close()
        store = open_store(tmp_path, clock, lineage=lineage)
        assert sums(store, "a.b.c", "a.b.d", "a.b", "a") == [(2, 12), (1, 6), (3, 18), (3, 18)]
        assert rows(store, "e", 0)[0][:3] == (T, 1, 1.0)
        assert len(store.engine.routes) == 3, "nothing was learnt anew"
    store.close()


@pytest.mark.parametrize("end", ["crash", "close"])
def test_another_number_of_ancestors_holds_from_the_next_start_on(tmp_path, clock, end):
    wanted = {0: [(1, 1), (0, 0), (0, 0)]}
    store = open_store(tmp_path, clock)
    put(store, f"a.b.c {T} 1")
    for step, rollup in enumerate((2, 1, 0), 1):
        crash(store) if end == "crash" else store.close()
        store = open_store(tmp_path, clock, lineage=Lineage(rollup))
        put(store, f"a.b.c {T} 1")
        put(store, f"a.b.c {T} 1")
        fed = {1: (2, 2), 2: (4, 2), 3: (4, 2)}[step]
        wanted = [(1 + 2 * step,) * 2, (fed[0],) * 2, (fed[1],) * 2]
        assert sums(store, "a.b.c", "a.b", "a") == wanted
    crash(store)
    store = open_store(tmp_path, clock)
    assert sums(store, "a.b.c", "a.b", "a") == wanted
    store.close()


def test_a_start_that_was_cut_off_is_done_again(tmp_path, clock, monkeypatch):
    store = open_store(tmp_path, clock)
    put(store, f"a.b {T} 1")
    store.close()
    commits = []

    def fail(_state, _add):
        commits.append(1)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("istat_server.store.files.livefiles.LiveFiles.commit", lambda self, change, add, flushed=False:
                      fail(change, add))
        with pytest.raises(StoreError):
            open_store(tmp_path, clock, lineage=Lineage(1))
    assert commits
    store = open_store(tmp_path, clock, lineage=Lineage(1))
    put(store, f"a.b {T} 1")
    assert sums(store, "a.b", "a") == [(2, 2), (1, 1)]
    store.close()


def test_tools_that_open_the_store_leave_the_ancestors_as_they_are(tmp_path, clock):
    store = open_store(tmp_path, clock, lineage=Lineage(2, True))
    put(store, f"a.b.c.d {T} 1")
    store.close()
    store = StatStore.open(tmp_path, LADDER, clock)
    put(store, f"a.b.c.d {T} 1", f"a.b.c.e {T} 1")
    assert sums(store, "a.b.c") == [(3, 3)]
    store.close()
    assert manifest.load(tmp_path)[0].lineage == Lineage(2, True)


def test_a_store_without_ancestors_says_nothing_of_them(opened, tmp_path):
    opened().flush()
    assert b"lineage" not in (tmp_path / "s" / "MANIFEST").read_bytes()


def test_a_deleted_ancestor_comes_again_with_the_next_sample_and_an_undelete_brings_the_old_one_back(opened):
    store = opened(rollup=1)
    put(store, f"a.b {T} 1")
    old = store.find(b"a").id
    store.delete([old])
    assert names_of(store) == {"a.b"}
    put(store, f"a.b {T} 2")
    assert store.find(b"a").id != old
    assert sums(store, "a.b", "a") == [(2, 3), (1, 2)]
    new = store.find(b"a").id
    store.delete([new])
    assert store.undelete([new]) == []
    put(store, f"a.b {T} 3")
    assert sums(store, "a.b", "a") == [(3, 6), (2, 5)]


def test_a_renamed_counter_takes_its_data_along_and_its_ancestors_stay(opened):
    store = opened(rollup=1)
    put(store, f"a.b {T} 1")
    store.rename([(store.find(b"a.b").id, b"x.b"), (store.find(b"a").id, b"y")])
    put(store, f"a.b {T} 2", f"x.b {T} 4")
    assert sums(store, "a.b", "a", "x.b", "x", "y") == [(1, 2), (1, 2), (2, 5), (1, 4), (1, 1)]


def test_where_there_is_no_room_new_names_are_refused_and_known_ones_are_fed_alone(tmp_path, clock, caplog):
    store = open_store(tmp_path, clock, max_counters=2)
    put(store, f"a.b.c {T} 1")
    store.close()
    store = open_store(tmp_path, clock, max_counters=2, lineage=Lineage(2))
    text = f"a.b.c {T} 1\nx.y {T} 1\na.b.c {T} 1\n".encode()
    with caplog.at_level(logging.WARNING):
        left = store.accept(memoryview(text), 0, len(text)).left
        store.tick()
    assert [(one.kind, one.text) for one in left] == [("name_refused", b"x.y %d 1" % T)]
    assert names_of(store) == {"a.b.c"}
    assert (sums(store, "a.b.c"), store.status()["routes_without_ancestors"]) == ([(3, 3)], 1)
    assert "without their ancestors" in caplog.text
    store.close()
    store = open_store(tmp_path, clock, max_counters=9, lineage=Lineage(2))
    put(store, f"a.b.c {T} 1")
    assert sums(store, "a.b.c", "a.b", "a") == [(4, 4), (1, 1), (1, 1)]
    store.close()


def test_that_there_was_no_room_is_noted_as_soon_as_the_disk_takes_it(tmp_path, clock, caplog, monkeypatch):
    store = open_store(tmp_path, clock, max_counters=2)
    put(store, f"a.b.c {T} 1")
    store.close()
    store = open_store(tmp_path, clock, max_counters=2, lineage=Lineage(2))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "save", full)
        put(store, f"a.b.c {T} 1")
        for _ in range(10):
            store.tick()
    assert manifest.load(tmp_path)[0].lineage == Lineage(2)
    assert caplog.text.count("tried again: [Errno 28] No space left on device") == 1, "not at every tick"
    for _ in range(PAUSE):
        store._elders.tick([])
    assert manifest.load(tmp_path)[0].lineage == Lineage(-1)
    store.close()


def test_what_is_refused_feeds_no_ancestors(opened):
    store = opened(rollup=1, parents=True)
    put(store, f"a.b {NOW + 61} 1", f"a.c {T} 12 100 1 2 2", f"a.d {T} 3")
    assert names_of(store) == {"a.d", "a"}
    assert sums(store, "a") == [(1, 3)]


def test_an_ancestor_of_shorter_levels_refuses_what_its_counter_takes(tmp_path, clock):
    rules = Rules(Ladder.parse("10s:1h"), (Rule("a.b", Ladder.parse("10s:10d")),))
    store = StatStore.open(tmp_path, rules, clock, options=Options(key=1, lineage=Lineage(1)))
    put(store, f"a.b {T - 7200} 1", f"a.b {T} 2")
    assert sums(store, "a.b", "a") == [(2, 3), (1, 2)]
    assert store.totals().refused["from_past"] == 1
    store.close()


def test_make_parents_registers_all_ancestors_without_samples(opened):
    store = opened(parents=True)
    put(store, f"*a.b.c {T} 10", f"g^x.y {T} 1")
    assert names_of(store) == {"a.b.c", "a.b", "a", "g.x.y", "g.x", "g"}
    assert store.find(b"a.b").kind is Kind.EVENT
    assert store.find(b"g").kind is Kind.GAUGE
    assert [rows(store, name, level) for name in ("a.b", "a", "g") for level in (0, 1)] == [[]] * 6
    assert store.totals().samples == 2


def test_a_parent_that_the_same_line_makes_is_made_once(opened):
    store = opened(parents=True)
    put(store, f"a.b^x^ {T} 1")
    assert names_of(store) == {"a.b.x", "a.b", "a"}
    assert sums(store, "a.b.x", "a.b", "a") == [(1, 1), (1, 1), (0, 0)]


def test_both_feed_the_nearest_and_make_the_others(opened):
    store = opened(rollup=1, parents=True)
    put(store, f"a.b.c.d {T} 1")
    assert sums(store, "a.b.c", "a.b", "a") == [(1, 1), (0, 0), (0, 0)]


def test_parents_of_counters_that_were_there_before_come_with_their_next_sample(tmp_path, clock):
    store = open_store(tmp_path, clock)
    put(store, f"a.b {T} 1")
    store.close()
    for _ in range(2):
        store = open_store(tmp_path, clock, lineage=Lineage(0, True))
        put(store, f"a.b {T} 1")
        assert names_of(store) == {"a.b", "a"}
        crash(store)


def test_parents_stay_as_long_as_there_is_something_below_them(tmp_path, clock):
    store = StatStore.open(tmp_path, Ladder.parse("10s:10m,1m:1h"), clock,
                           options=Options(key=1, lineage=Lineage(0, True)))
    put(store, "a.stays 1", "b.goes 1")
    pass_days(store, clock, 8, "a.stays 1")
    assert names_of(store) == {"a.stays", "a"}
    store.close()


PARTS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(".".join)
WIRES = st.tuples(PARTS, st.lists(PARTS, max_size=3), st.booleans()).map(
    lambda it: "^".join([it[0], *it[1], *([""] if it[2] else [])]))
STEPS = st.lists(st.one_of(st.tuples(st.just("put"), WIRES, st.integers(1, 9)),
                           st.tuples(st.sampled_from(["flush", "crash", "close"]), st.integers(0, 3), st.booleans())),
                 min_size=5, max_size=25)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_whatever_happens_each_counter_has_what_it_and_those_below_it_were_sent(tmp_path_factory, steps):
    """As a plain model has it, over flushes, crashes and restarts with other numbers of ancestors."""
    folder, clock, lineage = tmp_path_factory.mktemp("s"), FakeClock(NOW), Lineage()
    store, wanted, made = open_store(folder, clock), {}, set()
    for what, first, second in steps:
        if what == "put":
            put(store, f"{first} {T} {second}")
            found = [name.decode() for name in expand(first.encode()).names]
            above = {up.decode() for name in found for up in ancestors(name.encode(), lineage.rollup)}
            for name in above | set(found):
                count, total = wanted.get(name, (0, 0))
                wanted[name] = (count + 1, total + second)
            made |= {up.decode() for name in found for up in ancestors(name.encode())} if lineage.parents else set()
        elif what == "flush":
            store.flush()
        else:
            crash(store) if what == "crash" else store.close()
            lineage = Lineage(first, second)
            store = open_store(folder, clock, lineage=lineage)
        assert names_of(store) == wanted.keys() | made
    assert sums(store, *wanted) == [*wanted.values()]
    store.close()


def test_a_sample_fans_out_to_a_bounded_number(opened):
    store = opened(rollup=16)
    pieces = "^".join(f"{n}" + ".x" * 16 for n in range(26))
    put(store, f"^{pieces} {T} 1")
    assert store.count() == 26 * 17
