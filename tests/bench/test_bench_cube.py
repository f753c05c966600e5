"""The pieces of the cubes' benchmark, and a tiny run of most of its rows."""
from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import cube
from bench.cubes import judging, work
from bench.cubes.rows import KEY, OURS, QUICK, Goal, Row, measure
from bench.figures import Mode

PROCESSES = ("import", "memory-")     # rows that start programs, which takes seconds


def run(row: Row, ours: float, **peers: float) -> list[judging.Line]:
    mode = Mode(row.name, row.title, {OURS: [{KEY: ours * 3}, {KEY: ours}, {KEY: ours * 2}]})
    for label, value in peers.items():
        mode.add(label, {KEY: value})
    return list(judging.lines(row, mode))


def no_side(size: object) -> object:
    raise AssertionError("nothing is measured here")


def test_the_least_of_all_runs_is_judged() -> None:
    row = Row("a", "add", {OURS: no_side}, (Goal(10),))
    (line,) = run(row, 10)
    assert (line.ours, line.goal, line.reached) == ("10 (20) ns", "<= 10 ns", "yes")
    assert run(row, 10.1)[0].reached == "NO"


def test_a_share_of_a_peer_is_judged() -> None:
    row = Row("a", "add", {OURS: no_side, "peer": no_side}, (Goal(1000), Goal(1 / 6, "peer")))
    own, beside = run(row, 10, peer=61)
    assert (own.reached, beside.title, beside.goal, beside.reached) == ("yes", "the same", "<= 1/6 x peer", "yes")
    assert (beside.peer, beside.ratio) == ("peer 61 (61) ns", "0.164")
    assert run(row, 10, peer=59)[1].reached == "NO"
    assert run(row, 10)[1].reached == "-", "the peer was not measured"


def test_peers_without_a_goal_have_a_line() -> None:
    (line,) = run(Row("a", "add", {OURS: no_side, "peer": no_side}), 10, peer=20)
    assert (line.ratio, line.goal, line.reached) == ("0.5", "-", "-")


def test_every_row_has_its_own_name_and_is_about_something() -> None:
    assert len(cube.ROWS) == sum(len(part.ROWS) for part in cube.PARTS)
    for row in cube.ROWS.values():
        assert OURS in row.sides and row.title and all(goal.peer in ("", *row.sides) for goal in row.goals), row.name


def test_the_work_is_what_it_says() -> None:
    assert work.values(1000).min() >= 1 and work.values(1000).max() <= work.HIGHEST
    assert {len(np.unique(made(5000))) for made in (work.keys, work.texts, work.items)} == {5000}
    assert not set(work.keys(100).tolist()) & set(work.keys(100, 1).tolist())
    assert len(set(work.tag_tuples(300, 300))) == 300
    assert len(set(work.tag_tuples(3000, 20))) == 20
    counts = np.bincount(work.skewed(10_000, 500, 1.1), minlength=500)
    assert counts.max() > 20 * np.median(counts)


@pytest.mark.parametrize("row", [row for row in cube.ROWS.values() if not row.name.startswith(PROCESSES)],
                         ids=lambda row: row.name)
def test_a_tiny_run(row: Row) -> None:
    mode = measure(row, QUICK, 1)
    assert set(mode.runs) == set(row.sides)
    assert all(values[0][KEY] >= 0 for values in mode.runs.values())


def test_a_table_of_what_was_measured(capsys: pytest.CaptureFixture[str], tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    saved = tmp_path / "saved.json"
    monkeypatch.setattr("sys.argv", ["cube", "merge", "hll-call-6", "--quick", "--json", str(saved)])
    cube.main()
    assert "A quick run" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["cube", "--from", str(saved), "--markdown"])
    cube.main()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(rows) == 4 and re.match(r"\| merge a cell, counter \| .* ns \| - \| - \| <= 60 ns \| ", rows[2])


def test_memory_in_a_process_of_its_own() -> None:
    (row,) = (row for row in cube.ROWS.values() if row.name == "memory-counters")
    (run,) = measure(row, replace(QUICK, held=2000), 1).runs[OURS]
    assert run[KEY] >= 0
