"""`istat retention --plan`: what it says beforehand is what a start then does."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from istat.clock import FakeClock
from istat.errors import BadRetention, StoreError, UsageError
from istat.retention import Ladder, Rules
from istat.settings.retentions import RetentionRules
from istat_server.store.files import manifest
from istat_server.store.statstore import StatStore
from istat_server.tools.retention import COMMAND
from tests.store.levels.test_retention_change import OLD, fill, opened


def plan(capsys: pytest.CaptureFixture[str], clock: FakeClock, folder: Path, *words: str) -> Any:
    parser = argparse.ArgumentParser()
    COMMAND.arguments(parser)
    parser.add_argument("--json", action="store_true")
    COMMAND.action(parser.parse_args(["--store", str(folder), *words]), clock)
    out = capsys.readouterr().out
    return json.loads(out)["rules"] if "--json" in words else out


@pytest.mark.parametrize("levels", ["10s:6h,1m:1d,10m:8d", "10s:3h,10m:4d", "10s:3h,10m:4d,30m:8d", "1m:1d,10m:8d",
                                    "10s:1h,1m:2h,10m:5h"])
def test_what_is_said_is_what_happens(tmp_path: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str],
                                      levels: str) -> None:
    fill(tmp_path, clock)
    untouched = (tmp_path / "MANIFEST").read_bytes()
    files = {entry.path: entry for entry in manifest.decode(untouched, "").files}
    [change] = plan(capsys, clock, tmp_path, "--plan", levels, "--json")
    assert (tmp_path / "MANIFEST").read_bytes() == untouched
    assert (change["rule"], change["old"], change["new"], change["counters"]) == ("", OLD, levels, 4)
    amounts = [change[key] for key in ("stays", "adopted", "moved", "dropped")]
    assert sum(amount["files"] for amount in amounts) == len(files)
    assert sum(amount["bytes"] for amount in amounts) == sum(entry.size for entry in files.values())
    store = StatStore.open(tmp_path, Ladder.parse(levels), clock)
    live = {entry.path: entry.policy for entry in store.files.manifest.files}
    number = store.files.manifest.default.number
    if not change["dropped"]["files"]:
        assert sum(policy == number for path, policy in live.items() if path in files) == change["adopted"]["files"]
        assert sum(policy != number for path, policy in live.items() if path in files) == change["moved"]["files"]
    gone = {"10s", "1m", "10m"} - {level.name for level in Ladder.parse(levels).levels}
    assert set(change["goes"]) == gone
    assert change["until"] == {level.name: level.keep for level in Ladder.parse(levels).levels}
    store.close()


def test_rules_that_come_and_go(tmp_path: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path, clock)
    rules = "db.** = 1m:1d,1h:8d; nothing.* = 10s:1d"
    default, db, nothing = plan(capsys, clock, tmp_path, "--rules", rules, "--json")
    assert [(one["counters"], one["taken_over"]) for one in (default, db, nothing)] == [(2, 0), (2, 2), (0, 0)]
    assert default["stays"]["files"] > 0 == default["moved"]["files"] + default["adopted"]["files"]
    opened(tmp_path, clock, Rules(Ladder.parse(OLD), RetentionRules().parse(rules))).close()
    default, db, nothing = plan(capsys, clock, tmp_path, "--rules", "", "--json")
    assert [(one["new"], one["counters"], one["taken_over"]) for one in (default, db, nothing)] == [
        (OLD, 4, 2), ("", 2, 0), ("", 0, 0)]
    said = plan(capsys, clock, tmp_path, "--plan", "10s:3h,10m:4d")
    assert "default = 10s:3h,10m:4d: changes from 10s:2h,1m:6h,10m:4d" in said
    assert "goes: 1m            its files go soon after the restart; 10m has the same samples\n" in said
    assert "db.** = 1m:1d,1h:8d: stays as it is" in said
    assert "Nothing was changed." in said


def test_beside_a_running_server_names_of_its_journal_count(tmp_path: Path, clock: FakeClock,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    store = opened(tmp_path, clock, OLD)
    store.learn(b"a")
    store.learn(b"*b")
    store.tick()
    store._journal.drain(10.0)
    [change] = plan(capsys, clock, tmp_path, "--json")
    assert (change["counters"], change["old"]) == (2, change["new"])
    store.close()


def test_what_cannot_be_told_is_said(tmp_path: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StoreError, match="holds no store"):
        plan(capsys, clock, tmp_path)
    opened(tmp_path / "s", clock, OLD).close()
    with pytest.raises(BadRetention, match="interval:keep"):
        plan(capsys, clock, tmp_path / "s", "--plan", "10s")
    with pytest.raises(UsageError, match="rules such as"):
        plan(capsys, clock, tmp_path / "s", "--rules", "x")


@pytest.mark.parametrize(("old", "new", "goes"), [
    (OLD, "10s:6h,5m:2d,10m:4d", {"1m": "its files go once 5m is written from them"}),
    (OLD, "1m:6h,10m:4d", {"10s": "its files go soon after the restart; 1m has the same samples"}),
    (OLD, "10s:6h", dict.fromkeys(("1m", "10m"), "its data are lost: no level is as coarse")),
    ("10s:2h,1m:4d,10m:1d", "10s:2h,10m:4d", {"1m": "its files go soon after the restart; 10m has the same samples of "
                                                    "the last 1d; what is older is lost"}),
    (OLD + ",1m:1d:day:0.9", OLD, {"day": "its files go soon after the restart"}),
    (OLD + ",1m:1d:day:0.9", "10s:6h,20m:4d,1m:1d:dd:0.9", {
        "1m": "its files go soon after the restart; 20m has the same samples",
        "10m": "its files go once 20m is written from them", "day": "begins anew"}),
])
def test_each_level_that_goes_is_named_with_what_becomes_of_it(tmp_path: Path, clock: FakeClock,
                                                               capsys: pytest.CaptureFixture[str], old: str, new: str,
                                                               goes: dict[str, str]) -> None:
    opened(tmp_path, clock, old).close()
    [change] = plan(capsys, clock, tmp_path, "--plan", new, "--json")
    assert change["goes"] == goes
