"""The StatFile store against the plain-Python model: any mix of samples, flushes, compaction, restarts, crashes."""
from __future__ import annotations

import json
import math
import shutil
from threading import Event

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from istat.clock import FakeClock
from istat.errors import StoreLocked
from istat.retention import Ladder
from istat_server.store.files import manifest
from istat_server.store.interface import Kind, NamePattern, Syntax
from istat_server.store.names import nameindex
from istat_server.store.names.catalogue import Learned
from istat_server.store.options import Options
from istat_server.store.pool import InlinePool
from istat_server.store.statstore import StatStore
from istat_server.store.work.journaling import Journal
from istat_server.testing.memory import MemoryStore
from tests.store.harness import FIXTURES, LADDER, NOW, crash, glob, open_store, put, rows

NAMES = ["g.one", "g.two^x^y^", "*ev", "*ev2^x^", "g.one^x"]


def same(store, model, exact=True):
    """Every bucket of every counter at every level."""
    assert store.count() == model.count()
    for id in range(model.count()):
        counter = model.counter(id)
        assert store.find(counter.name.encode()).kind is counter.kind
        for level in range(len(LADDER.levels)):
            (expected,) = model.select([id], level, 0, NOW + 10 ** 7)
            found = rows(store, counter.name, level, 0, NOW + 10 ** 7)
            where = f"{counter.name} level {level}"
            assert [row[:2] for row in found] == [row[:2] for row in expected.rows()], where
            for ours, theirs in zip(found, expected.rows()):
                size = theirs[1] * max(abs(theirs[4]), abs(theirs[5]), 1e-300)
                assert math.isclose(ours[2], theirs[2], rel_tol=1e-12, abs_tol=1e-12 * size), where
                if counter.kind is Kind.EVENT and level:
                    continue            # exact only where no events came too late for the finest level
                if counter.kind is Kind.EVENT:      # min and max are the rate: a sum
                    assert ours[4:] == pytest.approx(theirs[4:], rel=1e-12, abs=1e-12 * size), where
                else:
                    assert ours[4:] == theirs[4:], where
                assert math.isclose(ours[3], theirs[3], rel_tol=1e-6, abs_tol=1e-9 * size * size), where


ONE = st.tuples(st.sampled_from(NAMES), st.sampled_from([0, 3, 12, 40, 700, 3000, 3599, 4000, 9000, 20000, 90000, -30]),
                st.sampled_from([1.0, 2.5, -3.0, 0.1, 1e9, 12345.678]))
STEP = st.one_of(st.lists(ONE, min_size=1, max_size=8),
                 st.sampled_from(["tick", "flush", "compact", "reopen", "crash"]),
                 st.sampled_from([5, 60, 700, 3600, 7200, 40000]))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, max_size=14))
def test_it_answers_as_the_model_whatever_happens(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("store")
    clock = FakeClock(NOW)
    model, store = MemoryStore(LADDER, clock), open_store(folder, clock)
    for step in steps:
        if isinstance(step, list):
            for name, age, value in step:
                model.add(name, clock.now() - age, value)
                put(store, f"{name} {int(clock.now()) - age} {value!r}")
        elif isinstance(step, int):
            clock.advance(step)
            store.tick()
        elif step in ("reopen", "crash"):
            store.close() if step == "reopen" else crash(store)
            store = open_store(folder, clock)
        else:
            getattr(store, step)()
        same(store, model)
    store.close()
    store = open_store(folder, clock)
    same(store, model)
    store.close()


@pytest.fixture
def store(tmp_path, clock):
    opened = open_store(tmp_path / "s", clock)
    yield opened
    opened.close()


def test_what_was_fed_is_visible_at_once_and_after_everything_else(tmp_path, clock):
    store = open_store(tmp_path, clock)
    put(store, f"foo.bar {NOW - 1000} 5", f"foo.bar {NOW - 1000} 7.25", f"foo.bar {NOW - 970} 1000")
    expected = [(NOW - 1000, 2, 12.25, 2.53125, 5.0, 7.25), (NOW - 970, 1, 1000.0, 0.0, 1000.0, 1000.0)]
    assert rows(store, "foo.bar", 0) == expected
    store.flush()
    assert rows(store, "foo.bar", 0) == expected
    store.close()
    store = open_store(tmp_path, clock)
    assert rows(store, "foo.bar", 0) == expected
    assert rows(store, "FOO.bar", 1)[0][:3] == (NOW - 1000, 3, 1012.25)
    store.close()


def test_a_second_server_on_one_store_is_refused(store, clock):
    with pytest.raises(StoreLocked, match="in use by another istat-server"):
        open_store(store.folder, clock)


def test_a_cut_comes_by_age_and_by_bytes(tmp_path, clock):
    store = open_store(tmp_path, clock, cut_seconds=100, cut_bytes=4096)
    put(store, "a 1")
    store.tick()
    assert store.figures["cuts"] == 0
    clock.advance(100)
    store.tick()
    store.tick()
    assert (store.figures["cuts"], store.status()["rows_in_memory"]) == (1, 0)
    put(store, *(f"a {NOW - 10 * at} 1" for at in range(400)))
    store.tick()
    assert store.figures["cuts"] == 2
    store.close()


def test_the_journal_shrinks_with_each_flush(store):
    for value in (1, 2, 3):
        put(store, f"a {value}")
        store.flush()
        assert store._journal.drain(30)
    assert len(list((store.folder / "journal").iterdir())) == 2     # the one before is the previous MANIFEST's


def test_files_of_a_crash_are_removed_at_the_next_start(tmp_path, clock):
    open_store(tmp_path, clock).close()
    orphans = [tmp_path / "10s" / "1-2-3.statfile", tmp_path / "names" / "00000099.names", tmp_path / "HEARD.tmp"]
    for path in orphans:
        path.write_bytes(b"half")
    open_store(tmp_path, clock).close()
    assert not any(path.exists() for path in orphans)


def test_the_previous_manifest_serves_when_the_newest_is_damaged(tmp_path, clock, caplog):
    store = open_store(tmp_path, clock)
    put(store, "a 1")
    store.flush()
    put(store, "a 2")
    crash(store)
    (tmp_path / "MANIFEST").write_bytes(b"nonsense")
    store = open_store(tmp_path, clock)
    assert "going on from the MANIFEST before it" in caplog.text
    assert store.find(b"a") is None or rows(store, "a", 0)
    store.close()


def test_a_journal_that_lags_behind_flushes_still_serves_the_previous_manifest(tmp_path, clock, monkeypatch):
    caught_up = Event()
    attempt = Journal._try
    monkeypatch.setattr(Journal, "_try", lambda journal, item: caught_up.wait(30) and attempt(journal, item))
    store = open_store(tmp_path, clock)
    for value in (1, 2):
        put(store, f"a {NOW} {value}")
        store.flush()
    caught_up.set()
    crash(store)
    (tmp_path / "MANIFEST").write_bytes(b"nonsense")
    store = open_store(tmp_path, clock)
    assert rows(store, "a", 0) == [(NOW, 2, 3.0, 0.5, 1.0, 2.0)]
    store.close()


def test_segments_that_are_made_late_go_too(tmp_path, clock, monkeypatch):
    caught_up = Event()
    attempt = Journal._try
    monkeypatch.setattr(Journal, "_try", lambda journal, item: caught_up.wait(30) and attempt(journal, item))
    store = open_store(tmp_path, clock)
    for value in range(6):
        put(store, f"a {NOW} {value}")
        store.flush()
    caught_up.set()
    assert store._journal.drain(30)         # makes the segments of all those flushes
    put(store, f"a {NOW} 6")
    store.flush()
    assert store._journal.drain(30)
    kept = sorted(int(path.stem) for path in (tmp_path / "journal").iterdir())
    assert kept[0] == manifest.load_previous(tmp_path).replay_from
    assert rows(store, "a", 0) == [(NOW, 7, 21.0, 28.0, 0.0, 6.0)]
    store.close()


def test_compaction_leaves_one_file_per_window_and_expiry_removes_old_ones(tmp_path, clock):
    store = open_store(tmp_path, clock)
    for at in range(5):
        put(store, *(f"c{k} {NOW - 100 * at} {k}" for k in range(20)))
        store.flush()
    clock.advance(7200)
    store.tick()
    store.compact()
    kinds = [(entry.level, entry.kind) for entry in store.files.manifest.files]
    assert kinds.count((0, "fine")) <= 2
    assert kinds.count((1, "derived")) == kinds.count((2, "derived")) == 1
    before = rows(store, "c7", 1, NOW - 3600)
    clock.advance(3600)
    store.tick()
    store.compact()
    assert [entry for entry in store.files.manifest.files if entry.level == 0] == []
    assert rows(store, "c7", 1, NOW - 3600) == before != []
    clock.advance(5 * 86400)
    store.tick()
    store.compact()
    assert store.files.manifest.files == ()
    store.close()


def test_the_name_budget_is_kept_and_a_lone_star_is_nothing(tmp_path, clock):
    store = open_store(tmp_path, clock, max_counters=2)
    assert [store.learn(name) for name in (b"a", b"b^x", b"c", b"A", b"*", b"^", b"n" * 2000)] == [
        Learned.KNOWN, Learned.KNOWN, Learned.FULL, Learned.KNOWN, Learned.NOTHING, Learned.NOTHING, Learned.TOO_LONG]
    assert [counter.name for counter in store.match(glob(b"*"), 10).items] == ["a", "b.x"]
    store.close()


def test_a_store_of_version_1_reads_as_ever(tmp_path):
    """Bytes kept for ever: journal not yet flushed, names, all three kinds of files, a MANIFEST."""
    shutil.copytree(FIXTURES / "v1/store", tmp_path / "s")
    expected = json.loads((FIXTURES / "v1/store.json").read_text())
    store = StatStore.open(tmp_path / "s", Ladder.parse(), FakeClock(NOW))
    assert {counter.name for counter in store.match(glob(b"*"), 100).items} == set(expected)
    for name, kept in expected.items():
        assert store.find(name.encode()).kind.value == kept["kind"]
        assert [[list(row) for row in rows(store, name, level)] for level in range(3)] == kept["levels"], name
    store.close()


def test_a_prefix_with_more_children_than_a_page_has_says_so_and_gives_all(tmp_path, clock):
    store = open_store(tmp_path, clock)
    for at in range(12_345):
        store.learn(b"host.n%05d" % at)
    pages, token = [], ""
    while token or not pages:
        page = store.children(b"host", 5000, token)
        pages.append([child.label for child in page.items])
        token = page.token
    assert [len(page) for page in pages] == [5000, 5000, 2345]
    assert sum(pages, []) == [f"n{at:05}" for at in range(12_345)]
    store.close()


class CountingPool(InlinePool):
    """How often others had their turn."""

    def __init__(self):
        self.calls = 0

    def apply(self, function, args=()):
        self.calls += 1
        return function(*args)


def test_long_searches_let_others_have_their_turn_and_find_the_same(tmp_path, clock, monkeypatch):
    pool = CountingPool()
    store = StatStore.open(tmp_path, LADDER, clock, pool=pool, options=Options(key=1))
    for at in range(25):
        store.learn(b"a%d.b^x.%d" % (at % 3, at))


    def asked():
        return [store.match(glob(b"*.x.*"), 7), store.search([b"x"], 9), store.search([b".x.1"], 5),
                store.children(b"a1.b.x", 5), store.children(b"", 2), store.match(glob(b"a2*"), 100, "m5"),
                store.match(NamePattern(Syntax.REGEX, rb"^a[02].*\.\d$"), 100, "m5")]

    few = asked()
    assert pool.calls == 0
    monkeypatch.setattr(nameindex, "NAMES_AT_ONCE", 4)
    assert asked() == few
    assert pool.calls == len(few)
    monkeypatch.setattr(nameindex, "TAIL_NAMES", 10)
    assert asked() == few
    assert store.catalogue.memory() > 0
    assert pool.calls < 2 * len(few)          # some of them look at few names now
    store.close()


def test_only_small_questions_are_answered_in_the_hub(tmp_path, clock):
    pool = CountingPool()
    store = StatStore.open(tmp_path, LADDER, clock, pool=pool, options=Options(key=1))
    put(store, *(f"a{at} 1" for at in range(50)))
    store.select([0], 0, NOW - 3600, NOW)
    assert pool.calls == 0
    store.select(range(50), 0, NOW - 100, NOW)          # few rows, but a read per counter and file
    store.select([0], 2, NOW - 86400, NOW)              # few rows, but of many finest ones
    assert pool.calls == 2
    store.close()
