"""Deletes, undo and renames: hidden at once, kept over crashes, space given back, refused in a sentence."""
from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from istat.clock import FakeClock
from istat.errors import BadQuery
from istat.retention import Ladder, Rule, Rules
from istat_server.store.names import changing, deletes
from istat_server.store.names.tombstones import Due
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore
from istat_server.store.work import planning
from istat_server.testing.memory import MemoryStore
from tests.store.harness import LADDER, NOW, crash, glob, open_store, put, rows
from tests.store.test_statstore import STEP

DAY = 86_400


@pytest.fixture
def store(tmp_path, clock):
    opened = open_store(tmp_path / "s", clock)
    yield opened
    opened.close()


def ids_of(store, *names):
    return [store.find(name.encode()).id for name in names]


def pass_time(store, clock, seconds):
    """Time goes on steadily, so that the clock is believed."""
    for _ in range(seconds // 1800):
        clock.advance(1800)
        store.tick()


def names_of(store):
    return [counter.name for counter in store.match(glob(b"*"), 100).items]


def test_a_deleted_counter_is_hidden_everywhere_at_once_and_stays_so(tmp_path, clock):
    store = open_store(tmp_path, clock)
    put(store, "a.b 1", "a.c 2", "a^b^d 3")
    assert store.delete(ids_of(store, "a.b")) == 1
    for _ in range(3):
        assert names_of(store) == ["a.c", "a.d"]
        assert store.find(b"a.b") is None
        assert store.count() == 2
        assert store.search([b"b"], 9).items == []
        assert [child.label for child in store.children(b"a", 9).items] == ["c", "d"]
        assert [entry.counter.name for entry in store.deleted(glob(b"a.*"), 9)] == ["a.b"]
        crash(store)
        store = open_store(tmp_path, clock)
        store.flush()
    store.close()


def test_a_sample_of_a_deleted_name_makes_a_new_counter_and_carets_do_too(store):
    put(store, f"a.b {NOW} 1", f"a^b^c {NOW} 2")
    old = ids_of(store, "a.b", "a.c")
    store.delete(old[:1])
    put(store, f"a^b^c {NOW} 5", f"a.b {NOW} 6")
    new = store.find(b"a.b").id
    assert new not in old
    assert rows(store, "a.b", 0)[0][:3] == (NOW, 2, 11.0)
    assert rows(store, "a.c", 0)[0][:3] == (NOW, 2, 7.0)
    (refused,) = store.undelete(old[:1])
    assert "a counter of that name has come since" in refused.problem


def test_a_delete_can_be_undone_with_all_data_until_rows_are_dropped(store, clock):
    put(store, f"a.b {NOW} 1", f"keep {NOW} 1")
    ids = ids_of(store, "a.b")
    store.flush()
    store.delete(ids)
    pass_time(store, clock, 4 * 3600)           # merged and derived meanwhile, but not dropped
    assert store.undelete(ids) == []
    assert rows(store, "a.b", 1)[0][:3] == (NOW - NOW % 60, 1, 1.0)
    store.delete(ids)
    store.compact()
    (refused,) = store.undelete(ids)
    assert refused.problem == "compaction has begun to drop its data"
    store.tick()
    (refused,) = store.undelete(ids)
    assert refused.problem == "it is not deleted, or its data are gone for good"


@pytest.mark.parametrize("then", ["1m:2h,10m:30d", "10s:1h,20m:30d"])
def test_what_a_change_of_retention_dropped_cannot_be_undone_after_a_restart_either(tmp_path, then):
    clock = FakeClock(NOW)
    keep = Rule.parse("keep* = 10s:9d")          # its file stays as it is, so that no counter is gone yet
    rules = Rules(Ladder.parse("10s:1h,10m:30d"), (keep,))
    store = StatStore.open(tmp_path, rules, clock, options=Options(key=1))
    put(store, f"a.b {NOW} 1", f"late {NOW} 1", *(f"keep{k} {NOW} 1" for k in range(30)))
    store.flush()
    early, late = ids_of(store, "a.b", "late")
    store.delete([early])
    pass_time(store, clock, DAY + 1800)
    store.delete([late])
    store.close()
    rules = Rules(Ladder.parse(then), (keep,))
    store = StatStore.open(tmp_path, rules, clock, options=Options(key=1))
    store.housekeeping.work_off()
    for _ in range(2):
        (refused,) = store.undelete([early])
        assert refused.problem == "compaction has begun to drop its data"
        crash(store)
        store = StatStore.open(tmp_path, rules, clock, options=Options(key=1))
    assert store.undelete([late]) == []
    assert rows(store, "late", 1)[0][1] == 1
    store.close()


def test_lists_of_many_deleted_counters_give_others_their_turns(store, monkeypatch):
    monkeypatch.setattr(deletes, "LISTED_AT_ONCE", 10)
    put(store, *(f"n{k} {NOW} 1" for k in range(40)))
    for k in range(40):
        store.delete(ids_of(store, f"n{k}"))
    turns = []
    monkeypatch.setattr(store.deletes, "_pool", SimpleNamespace(apply=lambda *_: turns.append(1)))
    assert [entry.counter.name for entry in store.deleted(glob(b"n1?"), 3)] == ["n19", "n18", "n17"]
    assert len(turns) == 2                  # 20 to 39 are looked at before
    assert store.deleted(glob(b"x*"), 3) == []
    assert len(turns) == 6
    assert {entry.counter.name for entry in store.deleted_called([b"n39", b"n5", b"x"])} == {"n39", "n5"}
    assert len(turns) == 10


def test_space_comes_back_and_the_id_is_gone_once_no_file_has_it(tmp_path, clock):
    store = open_store(tmp_path, clock)
    put(store, *(f"n{k} {NOW} {k}" for k in range(100)), f"keep {NOW} 1")
    store.flush()
    before = sum(live.entry.rows for live in store.files.view.files)
    store.delete(ids_of(store, *(f"n{k}" for k in range(100))))
    store.compact()
    assert sum(live.entry.rows for live in store.files.view.files) == before - 100
    store.flush()
    store.tick()
    store.tick()
    assert store.deleted(glob(b"*"), 9) == []
    assert store.engine.is_gone(5)
    assert store.engine.route(b"n5") is None
    assert store.status()["counters_gone"] == 100
    crash(store)
    store = open_store(tmp_path, clock)
    assert store.engine.is_gone(5)
    assert names_of(store) == ["keep"]
    put(store, "n5 1")
    assert store.find(b"n5").id == 101
    store.close()


def test_old_files_are_written_anew_once_enough_of_them_is_deleted(store, clock):
    put(store, *(f"n{k} {NOW} {k}" for k in range(20)))
    store.compact()
    pass_time(store, clock, 2 * 3600)
    store.compact()
    store.delete(ids_of(store, "n1"))
    assert store.deletes.due().ids.tolist() == []
    pass_time(store, clock, DAY + 3600)
    assert store.deletes.due().ids.tolist() == [1]
    assert all(entry.cleaned < store.deletes.last for entry in store.files.manifest.files)      # one of 20 is too few
    store.delete(ids_of(store, "n2", "n3"))
    pass_time(store, clock, DAY + 3600)
    assert all(entry.cleaned >= store.deletes.last for entry in store.files.manifest.files)
    assert store.engine.deleted == {} or all(
        number > store.deletes.last for number in store.engine.deleted.values())


def test_a_rename_keeps_the_data_and_the_old_name_means_a_new_counter(tmp_path, clock):
    store = open_store(tmp_path, clock)
    put(store, f"old.a {NOW} 1", f"old.b {NOW} 2", f"new.b {NOW} 3")
    store.rename([(ids_of(store, "old.a")[0], b"new.a")])
    put(store, f"old.a {NOW} 10", f"new.a {NOW} 20")
    for _ in range(2):
        assert rows(store, "new.a", 0)[0][:3] == (NOW, 2, 21.0)
        assert rows(store, "old.a", 0)[0][:3] == (NOW, 1, 10.0)
        crash(store)
        store = open_store(tmp_path, clock)
        store.flush()
    with pytest.raises(BadQuery, match="there is a counter new.b already") as info:
        store.rename([(ids_of(store, "old.a")[0], b"x"), (ids_of(store, "old.b")[0], b"new.b")])
    assert info.value.status == 409
    assert store.find(b"x") is None                 # all or none
    for name in (b"", b"Upper", b"a^b", b"x" * 1001):
        assert list(store.rename_problems([(0, name)])) == [f"no counter can be called {name.decode()[:200]!r}"]
    assert list(store.rename_problems([(99, b"y")])) == ["the counter 99 is not there any more"]
    store.close()


def test_shares_of_deleted_counters():
    due = Due(30, (10, 20, 30), (1, 2, 3), 7)
    entry = planning.FileEntry("p", 0, "fine", 0, 10, 1, 1, 5, 5, True, 0)
    assert due.share(entry) == 0.3
    assert Due().share(entry) == 0
    assert LADDER.levels[0].interval == 10


def same_names(store, model):
    """Every bucket of every name that is there."""
    found = {counter.name: counter for counter in store.match(glob(b"*"), 100).items}
    expected = {counter.name: counter for counter in model.match(glob(b"*"), 100).items}
    assert found.keys() == expected.keys()
    assert store.count() == model.count()
    for name, counter in found.items():
        assert counter.kind is expected[name].kind
        for level in range(len(LADDER.levels)):
            ours, theirs = (one.select([one.find(name.encode()).id], level, 0, NOW + 10 ** 7)[0].rows()
                            for one in (store, model))
            assert [row[:2] for row in ours] == [row[:2] for row in theirs], f"{name} level {level}"
            assert [row[2] for row in ours] == pytest.approx([row[2] for row in theirs])


KNOWN = st.sampled_from(["g.one", "g.two.x", "ev", "ev2.x", "new.a", "new.b"])
CHANGE = st.one_of(st.tuples(st.just("delete"), KNOWN), st.tuples(st.just("undelete"), KNOWN),
                   st.tuples(st.just("rename"), KNOWN, KNOWN))


def change(store, model, what, name, new=""):
    """The same to both, where it is possible."""
    if what == "undelete":
        entries = store.deleted(glob(name.encode()), 99)
        back = entries and not store.undelete([entries[0].counter.id])
        if back:
            assert not model.undelete([model.deleted(glob(name.encode()), 1)[0].counter.id])
        return
    counter = store.find(name.encode())
    if counter is None:
        return
    if what == "delete":
        assert store.delete([counter.id]) == model.delete([model.find(name.encode()).id]) == 1
    elif store.find(new.encode()) is None:
        for one in (store, model):
            one.rename([(one.find(name.encode()).id, new.encode())])


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(STEP, CHANGE, CHANGE), max_size=16))
def test_it_answers_as_the_model_whatever_is_changed(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("store")
    clock = FakeClock(NOW)
    model, store = MemoryStore(LADDER, clock), open_store(folder, clock)
    for step in steps:
        if isinstance(step, list):
            for name, age, value in step:
                model.add(name, clock.now() - age, value)
                put(store, f"{name} {int(clock.now()) - age} {value!r}")
        elif isinstance(step, tuple):
            change(store, model, *step)
        elif isinstance(step, int):
            clock.advance(step)
            store.tick()
        elif step in ("reopen", "crash"):
            store.close() if step == "reopen" else crash(store)
            store = open_store(folder, clock)
        else:
            getattr(store, step)()
        same_names(store, model)
    store.close()
    store = open_store(folder, clock)
    same_names(store, model)
    store.close()


def test_a_head_cut_in_the_middle_of_a_long_delete_is_not_taken_for_clean_of_all_of_it(store, monkeypatch):
    monkeypatch.setattr(changing, "CHANGES_AT_ONCE", 1)
    put(store, f"a {NOW} 1", f"b {NOW} 2", f"c {NOW} 3")
    a, b, c = ids_of(store, "a", "b", "c")
    written = store._written

    def while_it_is_written():      # what other greenlets do while this one waits
        monkeypatch.setattr(store, "_written", written)
        store.delete([c])
        store.flush()
        put(store, f"b {NOW} 5")
        written()

    monkeypatch.setattr(store, "_written", while_it_is_written)
    store.delete([a, b])
    store.flush()
    by_id = {entry.counter.id: entry.number for entry in store.deleted(glob(b"*"), 9)}
    assert len(set(by_id.values())) == 3
    before, with_b = sorted(store.files.manifest.files, key=lambda entry: entry.seq_lo)
    assert before.cleaned < by_id[a]
    assert by_id[c] <= with_b.cleaned < by_id[b] == store.deletes.last


def test_deleted_counters_that_wait_are_not_looked_through_at_every_tick(store):
    class Watched(dict):
        looks = 0

        def items(self):
            self.looks += 1
            return super().items()

    put(store, f"a {NOW} 1", f"b {NOW} 2")
    store.flush()
    store.delete(ids_of(store, "a"))
    store.delete(ids_of(store, "b"))
    engine = store.engine
    watched = Watched(engine.deleted)
    store.deletes._engine = SimpleNamespace(
        deleted=watched, routes=engine.routes, sweep_routes=engine.sweep_routes, gone=engine.gone,
        give_back=engine.give_back)
    for _ in range(20):
        store.deletes.tick(None)
    assert watched.looks <= 1
    store.deletes._engine = engine
    store.compact()
    for _ in range(3):
        store.tick()
    assert store.deleted(glob(b"*"), 9) == []
    assert store.status()["counters_gone"] == 2
