"""Another retention for a store that has data: nothing is lost that a new level can hold, nothing is counted twice."""
from __future__ import annotations

import importlib
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from istat.clock import FakeClock
from istat.retention import Ladder, Rule, Rules
from istat_server.query.select import series
from istat_server.store.files import manifest
from istat_server.store.files.livefiles import LiveFiles
from istat_server.store.interface import Kind
from istat_server.store.levels.policies import longest
from istat_server.store.offline import checking
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore
from istat_server.store.work.housekeeping import Interrupted
from istat_server.store.work.planning import Move
from tests.store.harness import FIXTURES, crash, send

T = 1325376000      # aligned to a day
OLD = "10s:2h,1m:6h,10m:4d"
Row = tuple[Any, ...]


def opened(folder: Path, clock: FakeClock, retention: str | Rules) -> StatStore:
    rules = Ladder.parse(retention) if isinstance(retention, str) else retention
    return StatStore.open(folder, rules, clock, options=Options(key=1))


def fill(folder: Path, clock: FakeClock, retention: str | Rules = OLD) -> None:
    """Some hours of two gauges and two event counters, some of it late, in files of all kinds."""
    clock.set(T)
    store = opened(folder, clock, retention)
    for hour in range(14):
        clock.advance(3600)
        for minute in range(0, 60, 10):
            at = T + hour * 3600 + minute * 60
            for name, value in (("db.g", hour + minute / 100), ("web.g", minute), ("*db.e", 10 * hour), ("*web.e", 60)):
                send(store, f"{name} {at} {value}", f"{name} {at + 13} {value + 1}")
        if hour in (9, 12):
            send(store, *(f"{name} {clock.now() - hours * 3600} 7" for name in ("db.g", "*web.e") for hours in (3, 8)))
        if hour % 3 == 0:
            store.flush()
        if hour % 7 == 0:
            store.compact()
    assert store.engine.tally()["from_future"] == store.engine.tally()["from_past"] == 0
    store.close()


def at(store: StatStore, name: str, interval: int, start: int = 0) -> list[Row]:
    counter = store.find(name.encode())
    assert counter is not None
    intervals = [level.interval for level in store.ladder_of(counter.id).levels]
    (rows,) = store.select([counter.id], intervals.index(interval), start, T + 10 * 86400)
    return rows.rows()


def total(store: StatStore, name: str, interval: int, start: int = 0) -> float:
    """What came, in all: of an event counter the events."""
    rows = at(store, name, interval, start)
    counter = store.find(name.encode())
    assert counter is not None
    fine = store.ladder_of(counter.id).finest.interval
    return math.fsum(row[2] for row in rows) * (fine if counter.kind is Kind.EVENT else 1)


def same(found: list[Row], wanted: list[Row], fine: tuple[int, int] = (1, 1)) -> None:
    """Counts in the ratio of the finest intervals; the rest to the last bits."""
    assert [row[0] for row in found] == [row[0] for row in wanted]
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours[1] * fine[1] == theirs[1] * fine[0]
        assert ours[2] / ours[1] == pytest.approx(theirs[2] / theirs[1], rel=1e-12)
        assert ours[4:] == pytest.approx(theirs[4:], rel=1e-12)


NAMES = ("db.g", "web.g", "db.e", "web.e")


def answers(store: StatStore) -> dict[tuple[str, int], list[Row]]:
    return {(name, level.interval): at(store, name, level.interval) for name in NAMES
            for counter in [store.find(name.encode())] if counter for level in store.ladder_of(counter.id).levels}


@pytest.fixture
def folder(tmp_path: Path, clock: FakeClock) -> Path:
    fill(tmp_path / "s", clock)
    return tmp_path / "s"


def before(folder: Path, clock: FakeClock) -> dict[tuple[str, int], list[Row]]:
    store = opened(folder, clock, OLD)
    found = answers(store)
    store.close()
    return found


def stages(folder: Path, clock: FakeClock, retention: str | Rules) -> Any:
    """The store as it is at each stage of a change: at once, after jobs whose process was killed, at the end."""
    store = opened(folder, clock, retention)
    yield store
    done = 0
    while job := store.housekeeping.next_job(force=True):
        store.housekeeping.do(job, store.deletes.drop_due(force=True))
        done += 1
        if isinstance(job, Move) or done % 8 == 0:
            crash(store)
            store = opened(folder, clock, retention)
            yield store
    yield store
    store.close()
    assert not [group for group in store.files.manifest.groups() if group.policy.leaving and group.policy.heir]


@pytest.mark.parametrize("retention", [
    "10s:6h,1m:1d,10m:8d",                      # kept longer
    "10s:1h,1m:3h,10m:10h",                     # kept shorter
    "10s:2h,1m:6h,10m:4d,1h:30d",               # a new coarsest level
    "10s:3h,5m:1d,10m:4d,30m:30d",              # one vanishes, new ones come
    "10s:3h,10m:4d",                            # a level less
    "10s:2h,1m:6h:fine,10m:4d:coarse",         # names only
])
def test_the_same_finest_interval_keeps_every_bucket(folder: Path, clock: FakeClock, retention: str) -> None:
    was = before(folder, clock)
    ladder = Ladder.parse(retention)
    keep = {level.interval: level.keep for level in ladder.levels}
    old = {level.interval: level.keep for level in Ladder.parse(OLD).levels}
    for store in stages(folder, clock, retention):
        for (name, interval), rows in was.items():
            if interval in keep:
                oldest = int(clock.now()) - min(keep[interval], old[interval])
                oldest -= oldest % interval
                same(at(store, name, interval, oldest), [row for row in rows if row[0] >= oldest])
        for level in ladder.levels[1:]:
            if level.interval not in old:       # a new one holds what the one below it in the old ladder had
                source = max(interval for interval in old if level.interval % interval == 0)
                start = int(clock.now()) - old[source]
                start += -start % level.interval
                for name in NAMES:
                    wanted = math.fsum(row[2] for row in was[name, source] if row[0] >= start)
                    found = total(store, name, level.interval, start)
                    assert found == pytest.approx(wanted * (10 if name.endswith("e") else 1), rel=1e-12)


@pytest.mark.parametrize("retention", ["30s:6h,1m:12h,10m:4d", "1m:12h,10m:4d", "1s:1h,10s:6h,1m:12h,10m:4d",
                                       "5s:3h,10m:4d", "20m:8d", "7s:2h,49s:1d,686s:8d"])
def test_another_finest_interval_keeps_all_that_its_levels_can_hold(folder: Path, clock: FakeClock,
                                                                    retention: str) -> None:
    was = before(folder, clock)
    ladder = Ladder.parse(retention)
    fine = ladder.finest.interval
    first: dict[tuple[str, int], list[Row]] = {}
    for store in stages(folder, clock, retention):
        first = first or answers(store)
        for key, rows in answers(store).items():
            same(rows, first[key])
        for (name, interval), rows in was.items():
            if interval in [level.interval for level in ladder.levels[1:]]:
                start = rows[0][0]
                same(at(store, name, interval, start), rows, (10, fine) if name.endswith("e") else (1, 1))
        for name in NAMES:
            wanted = math.fsum(row[2] for row in was[name, 600]) * (10 if name.endswith("e") else 1)
            assert total(store, name, ladder.coarsest.interval) == pytest.approx(wanted, rel=1e-12)


def test_new_samples_come_on_top_while_old_files_move(folder: Path, clock: FakeClock) -> None:
    was = before(folder, clock)
    now = int(clock.now())
    store = opened(folder, clock, "1m:1d,1h:8d")
    for age in (0, 30, 7000, 20000, 100000):
        send(store, f"db.g {now - age} 5", f"*web.e {now - age} 120")
    for _ in range(2):
        wanted = {name: math.fsum(row[2] for row in was[name, 600]) for name in NAMES}
        assert total(store, "db.g", 3600) == pytest.approx(wanted["db.g"] + 25)
        assert total(store, "web.e", 3600) == pytest.approx(wanted["web.e"] * 10 + 600)
        assert total(store, "db.e", 3600) == pytest.approx(wanted["db.e"] * 10)
        store.compact()
    store.close()


def test_back_and_forth_loses_nothing_that_was_kept_meanwhile(folder: Path, clock: FakeClock) -> None:
    was = before(folder, clock)
    for retention in ("1m:12h,10m:4d", OLD, "10s:3h,1m:12h,10m:4d,1h:30d", OLD):
        store = opened(folder, clock, retention)
        if retention != OLD:
            store.compact()
        for name in NAMES:
            fine = store.ladder.finest.interval
            same(at(store, name, 600), was[name, 600], (10, fine) if name.endswith("e") else (1, 1))
        crash(store)


def test_a_new_rule_is_for_new_samples_and_the_old_ones_are_still_there(folder: Path, clock: FakeClock,
                                                                       caplog: pytest.LogCaptureFixture) -> None:
    was = before(folder, clock)
    now = int(clock.now())
    rules = Rules(Ladder.parse(OLD), (Rule.parse("db.** = 1m:12h,10m:8d"),))
    for _ in range(2):
        store = opened(folder, clock, rules)
        found = [store.find(name.encode()) for name in NAMES]
        assert [store.ladder_of(one.id).finest.interval for one in found if one] == [60, 10, 60, 10]
        for name in NAMES:
            fine = 60 if name == "db.e" else 10
            same(at(store, name, 600)[:75], was[name, 600][:75], (10, fine) if name.endswith("e") else (1, 1))
        crash(store)
    store = opened(folder, clock, rules)
    send(store, f"db.g {now} 3", f"*db.e {now} 3", f"*web.e {now} 3")
    for _ in range(2):
        for name in NAMES:
            wanted = math.fsum(row[2] for row in was[name, 600]) * (10 if name.endswith("e") else 1)
            assert total(store, name, 600) == pytest.approx(wanted + (3 if name != "web.g" else 0))
        store.compact()
    store.close()
    # The rule goes again: the counters are of the default once more, with all that they had.
    with caplog.at_level("INFO"):
        store = opened(folder, clock, OLD)
    assert "counters that have another retention rule now: 2" in caplog.text
    for name in NAMES:
        wanted = math.fsum(row[2] for row in was[name, 600]) * (10 if name.endswith("e") else 1)
        assert total(store, name, 600) == pytest.approx(wanted + (3 if name != "web.g" else 0))
    assert [row[0] for row in at(store, "web.g", 10)] == [row[0] for row in was["web.g", 10]]
    store.close()


def test_rules_and_levels_that_change_together_or_one_after_the_other(tmp_path: Path, clock: FakeClock) -> None:
    fill(tmp_path, clock, Rules(Ladder.parse(OLD), (Rule.parse("db.** = 10s:1h,10m:4d"),)))
    store = opened(tmp_path, clock, Rules(Ladder.parse(OLD), (Rule.parse("db.** = 10s:1h,10m:4d"),)))
    was = answers(store)
    store.close()
    wide = Rule.parse("db.** = 10s:1h,10m:4d,20m:8d")
    for rules in ((Rule.parse("db.g = 1m:1h,10m:4d"), wide),
                  (Rule.parse("db.g = 1m:1h,10m:4d"), Rule.parse("db.** = 10s:3h")),
                  (Rule.parse("db.g = 10s:2h,10m:5d"), Rule.parse("db.** = 1m:2h,1h:4d"))):
        for store in stages(tmp_path, clock, Rules(Ladder.parse("10s:1h,10m:4d"), rules)):
            for name in ("db.g", "web.g", "web.e"):
                same(at(store, name, 600), was[name, 600])
        assert not checking.check(tmp_path).findings


def test_a_changed_rule_moves_its_counters_only(tmp_path: Path, clock: FakeClock) -> None:
    rule = Rule.parse("db.** = 10s:6h,10m:8d")
    fill(tmp_path, clock, Rules(Ladder.parse(OLD), (rule,)))
    store = opened(tmp_path, clock, Rules(Ladder.parse(OLD), (rule,)))
    was = answers(store)
    store.close()
    for store in stages(tmp_path, clock, Rules(Ladder.parse(OLD), (Rule.parse("db.** = 10s:6h,20m:8d"),))):
        for name in ("web.g", "web.e"):
            for interval in (10, 60, 600):
                same(at(store, name, interval), was[name, interval])
        for name in ("db.g", "db.e"):
            same(at(store, name, 10), was[name, 10])
            assert math.fsum(row[2] for row in at(store, name, 1200)) == pytest.approx(
                math.fsum(row[2] for row in was[name, 600]))


def test_a_check_finds_nothing_wrong_at_any_stage(folder: Path, clock: FakeClock) -> None:
    for retention in ("10s:4h,1m:6h,10m:4d", "10s:2h,1m:6h,10m:4d,20m:8d", "1m:6h,10m:4d"):
        store = opened(folder, clock, retention)
        for _ in range(2):
            assert not checking.check(folder).findings
            store.compact()
        store.close()
        assert not checking.check(folder).findings


def ask(store: StatStore, name: str, start: int, end: int, points: int, now: int) -> tuple[int, list[Row]]:
    found = series(store, [name], start, end, points, now)
    return found.grid.interval, found.rows[0].rows()


def test_what_a_longer_level_does_not_have_yet_is_answered_from_a_coarser_one(folder: Path, clock: FakeClock) -> None:
    was = before(folder, clock)
    now = int(clock.now())
    start = now - 5 * 3600
    for retention, interval in (("10s:12h,1m:1d,10m:8d", 60), ("10s:20h,10m:8d", 600), ("10s:1d,20m:8d", 1200)):
        store = opened(folder, clock, retention)
        for _ in range(2):
            found = ask(store, "db.g", start, start + 3600, 3600, now)
            assert found[0] == interval
            wanted = [row for row in was["db.g", 60] if start <= row[0] < start + 3600]
            assert sum(row[1] for row in found[1]) == sum(row[1] for row in wanted)
            assert ask(store, "db.g", now - 3600, now, 3600, now)[0] == 10
            store.compact()
        store.close()
    clock.advance(86400)        # what is asked for now came after the change
    store = opened(folder, clock, "10s:1d,20m:8d")
    assert ask(store, "db.g", now, now + 3600, 3600, now + 86400)[0] == 10
    store.close()


def test_a_new_rules_counters_are_answered_from_levels_that_they_had(folder: Path, clock: FakeClock) -> None:
    was = before(folder, clock)
    now = int(clock.now())
    start = now - 5 * 3600
    rules = Rules(Ladder.parse(OLD), (Rule.parse("db.** = 10s:12h,5m:2d"),))
    for _ in range(2):
        store = opened(folder, clock, rules)
        for name, interval in (("db.g", 300), ("web.g", 60)):
            found = ask(store, name, start, start + 3600, 3600, now)
            wanted = [row for row in was[name, 60] if start <= row[0] < start + 3600]
            assert found[0] == interval
            assert sum(row[1] for row in found[1]) == sum(row[1] for row in wanted)
        store.close()


def test_the_same_rules_change_nothing(folder: Path, clock: FakeClock) -> None:
    state = manifest.load(folder)[0]
    opened(folder, clock, OLD).close()
    assert manifest.load(folder)[0] == replace(state, epoch=int(clock.now()))


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("commits", range(4))
def test_a_kill_while_counters_get_another_rule_hides_nothing(tmp_path, monkeypatch, commits):
    clock = FakeClock(T + 40)
    store = opened(tmp_path, clock, OLD)
    send(store, f"db.g {T + 10} 5", f"web.g {T + 10} 6")
    store.flush()
    send(store, f"db.g {T + 20} 7")
    crash(store)
    rules = Rules(Ladder.parse(OLD), (Rule("db.*", Ladder.parse("10s:6h,1m:1d")),))
    commit, left = LiveFiles.commit, [commits]

    def killed(*args, **options):
        if not left[0]:
            raise Killed
        left[0] -= 1
        commit(*args, **options)

    monkeypatch.setattr(LiveFiles, "commit", killed)
    try:
        crash(opened(tmp_path, clock, rules))
    except Killed:
        pass
    monkeypatch.setattr(LiveFiles, "commit", commit)
    for _ in range(2):
        store = opened(tmp_path, clock, rules)
        assert at(store, "db.g", 10) == [(T + 10, 1, 5.0, 0.0, 5.0, 5.0), (T + 20, 1, 7.0, 0.0, 7.0, 7.0)]
        assert at(store, "web.g", 10) == [(T + 10, 1, 6.0, 0.0, 6.0, 6.0)]
        store.close()


@pytest.mark.parametrize(("then", "where"), [
    ("10s:6h,5m:3d,1h:4d", "istat_server.store.work.compaction.Output.finish"),
    (OLD + ",5m:4d:ret-1d:0.9", "istat_server.store.work.workshop.roll_up_seasons")])
def test_a_job_that_ends_among_its_outputs_leaves_no_files(tmp_path, monkeypatch, then, where):
    clock = FakeClock(T)
    store = opened(tmp_path, clock, OLD if "ret" not in then else then)
    send(store, f"g {T + 10} 5", f"*e {T + 10} 6")
    clock.advance(8 * 3600)
    send(store, f"g {clock.now()} 5")
    if "ret" not in then:
        store.compact()
    store.close()
    store = opened(tmp_path, clock, then)
    module, _, name = where.rpartition(".")
    parts = module.rpartition(".")
    owner = getattr(importlib.import_module(parts[0]), parts[2])
    whole, calls = getattr(owner, name), []

    def interrupted(*args):
        calls.append(args)
        if name != "finish" or (len(calls) == 3 and "Move" in str(job)):
            raise Interrupted
        return whole(*args)

    monkeypatch.setattr(owner, name, interrupted)
    known = set()
    while (job := store.housekeeping.next_job(force=True)) and repr(job) not in known:
        known.add(repr(job))
        calls.clear()
        store.housekeeping.do(job)
    assert type(job).__name__ == ("Move" if name == "finish" else "Rollup")
    store.files.commit(lambda state: state, ())
    on_disk = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.statfile")}
    assert on_disk == {entry.path for entry in store.files.manifest.files}
    store.close()


def test_a_silent_counter_is_known_for_as_long_as_its_old_rule_keeps_data(folder: Path, clock: FakeClock) -> None:
    rules = Rules(Ladder.parse(OLD), (Rule.parse("db.** = 10s:1h"),))
    store = opened(folder, clock, rules)
    default, rule = sorted(longest(store.files.manifest).items())
    assert (default[1], rule[1]) == (4 * 86400, 4 * 86400)
    store.close()
    fresh = opened(folder.parent / "fresh", clock, rules)
    assert longest(fresh.files.manifest) == {0: 4 * 86400, 1: 3600}
    fresh.close()


def test_a_store_of_version_2_with_leaving_policies_is_read_as_ever(tmp_path: Path) -> None:
    """tests/fixtures/store/v2/policies: killed just after its rules and levels were changed."""
    shutil.copytree(FIXTURES / "v2/policies", tmp_path / "store")
    wanted = json.loads((FIXTURES / "v2/policies.json").read_text())
    rules = Rules(Ladder.parse(wanted["retention"]), tuple(map(Rule.parse, wanted["rules"])))
    store = opened(tmp_path / "store", FakeClock(wanted["now"]), rules)
    assert [policy.heir for policy in store.files.manifest.policies if policy.leaving] == [2, 4]
    for at_rest in (False, True):
        for name, levels in wanted["rows"].items():
            counter = store.find(name.encode())
            assert counter is not None
            for number, rows in enumerate(levels):
                found = store.select([counter.id], number, 0, T + 10**6)[0].rows()
                if at_rest:         # what was past its old level's time, and still in files, has gone by now
                    least = min(len(found), len(rows))
                    assert least >= 6
                    rows, found = rows[-least:], found[-least:]
                assert [row[:2] for row in found] == [tuple(row[:2]) for row in rows]
                assert [value for row in found for value in row[2:]] == pytest.approx(
                    [value for row in rows for value in row[2:]], rel=1e-6, abs=1e-9)
        store.compact()
    store.close()
