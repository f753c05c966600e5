"""The Reach table from made-up runs, and a smoke run of every benchmark against the toy server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import figures, report
from bench.figures import Mode

ROOT = Path(__file__).parents[2]


def goal(title: str) -> report.Goal:
    return next(goal for goal in report.GOALS if goal.title.startswith(title))


def test_a_ratio_is_taken_run_by_run_and_judged_by_its_median() -> None:
    runs = {"istatd": [{"cpu_us_per_sample": v} for v in (0.2, 0.3, 0.2)]}
    runs["victoria-metrics"] = [{"cpu_us_per_sample": v} for v in (1.0, 1.0, 0.5)]
    row = report.row(goal("TCP, live times, few"), [Mode("tcp-live-few", "w", runs)])
    assert row.ratio == "0.3 (0.2-0.4)"
    assert row.reached == "NO"
    assert row.ours == "0.2 (0.2-0.3) us"


@pytest.mark.parametrize(("lost", "reached"), [(0.099, "yes"), (0.1, "NO"), (3.0, "NO")])
def test_an_absolute_goal_needs_no_peer(lost: float, reached: str) -> None:
    mode = Mode("udp", "w", {"istatd": [{"lost_percent": lost}]})
    assert report.row(goal("UDP"), [mode]).reached == reached


def test_the_fastest_form_without_cache_is_the_one_compared() -> None:
    runs = {"istatd": [{"p50_ms": 1.0}]}
    for form, value in (("export", 2.0), ("range", 0.5), ("cached", 0.1)):
        runs[f"victoria-metrics {form}"] = [{"p50_ms": value}]
    row = report.row(goal("1 series x 6 h: p50"), [Mode("query-one-6h", "w", runs)])
    assert (row.ratio, row.peer, row.reached) == ("2", "0.5 ms (range)", "NO")


def test_what_was_not_measured_says_so() -> None:
    row = report.row(goal("agent: RSS"), [])
    assert (row.ours, row.reached) == ("not measured", "-")


def test_saved_runs_come_back(tmp_path: Path) -> None:
    mode = Mode("udp", "w", {"istatd": [{"lost_percent": 0.0}]})
    figures.save(tmp_path / "f.json", [mode])
    assert figures.load(tmp_path / "f.json")[2] == [mode]


def test_smoke_of_all_benchmarks(tmp_path: Path) -> None:
    result = tmp_path / "all.json"
    command = [
        sys.executable,
        "-m",
        "bench.report",
        "--quick",
        "--peer",
        "none",
        "--ours",
        "toy",
        "--markdown",
    ]
    done = subprocess.run(
        [*command, "--json", str(result)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "not measured:" not in done.stdout
    modes = {mode["name"]: mode for mode in json.loads(result.read_text())["modes"]}
    assert modes["udp"]["runs"]["toy"][0]["lost_percent"] == 0
    assert modes["tcp-backfill-many"]["runs"]["toy"][0]["lost_percent"] == 0
    assert modes["query-one-6h"]["runs"]["toy"][0]["values"] == 100
    assert "| UDP 500,000 samples/s: lost |" in done.stdout
