"""`istat cachesim`: tables, JSON and pictures of a log that is replayed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from istat.cli import command
from istat.cli.pagecache.cachesim import COMMAND, numbers
from istat.errors import UsageError
from istat.pagecache import layouts
from istat.pagecache.replay import pagelog
from istat.pagecache.replay.generating import Plan
from istat.pagecache.replay.simulating import POLICIES


def istat(*words: object) -> int:
    try:
        return command.main(["cachesim", *map(str, words)], None, {"cachesim": lambda: COMMAND})
    except SystemExit as end:       # argparse has said what is wrong
        return int(str(end.code))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 days of the paper's file, with inode and indirect block."""
    path = tmp_path_factory.mktemp("logs") / "mrtg.log.gz"
    plan = Plan(layouts.parse("mrtg"), 1, 30, meta=True, synchronised=True)
    pagelog.save(path, plan.header, plan.records())
    return path


def test_the_table_has_the_specifications_numbers(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert istat(log, "--frames-per-file", "4-5") == 0
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "POLICY FILES FRAMES UPDATES REFS MISSES COLD PER_UPDATE PAGES_S MB_S OUT_PER_UPDATE",
        "lru 1 4 8640 46017 43448 21 5.0287 0.0168 0.0001 3.3260",
        "lru 1 5 8640 46017 11974 21 1.3859 0.0046 0.0000 3.3260"]


def test_memory_is_shared_among_so_many_files(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert istat(log, "--memory", "10G", "--files", "160000,320000", "-o", "FILES,FRAMES", "-n") == 0
    assert capsys.readouterr().out.split() == ["160000", "16", "320000", "8"]
    assert istat(log, "--memory", "32K", "-o", "FRAMES,MISSES", "-n") == 0
    assert capsys.readouterr().out.split() == ["8", "2480"]
    assert istat(log, "--memory", "8K", "--files", "3") == 2
    assert "not one page" in capsys.readouterr().err


def test_times_of_day(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert istat(log, "--frames-per-file", "8", "--by-slot", "-o", "SLOT,UPDATES,MISSES", "-n") == 0
    rows = [line.rsplit(None, 2) for line in capsys.readouterr().out.splitlines()]
    assert [(slot.strip(), int(updates)) for slot, updates, _ in rows] == [
        ("plain", 5760), ("after an aggregation", 1440), ("half hour", 1080), ("two hours", 330), ("midnight", 30)]
    assert sum(int(misses) for *_, misses in rows) == 2480


def test_policies_beside_each_other(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert istat(log, "--frames", "8", "--compare") == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[3:] == ["LRU", "FIFO", "CLOCK", "2Q", "ARC", "S3-FIFO", "LINUX2", "MGLRU", "LIRS", "OPT"]
    assert float(row.split()[3]) == round(2480 / 8640, 4)
    assert istat(log, "--frames", "8", "--policy", "all", "--jsonl") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["policy"] for row in rows} == set(POLICIES)


def test_json_is_one_document(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert istat(log, log, "--frames-per-file", "26", "--policy", "lru,opt", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["logs"][0]["cache"] == "each file"
    assert answer["logs"][0]["references"] == 46017
    assert [(row["policy"], row["misses"], row["cold"]) for row in answer["results"]] == [
        ("lru", 21, 21), ("opt", 21, 21)] * 2


@pytest.mark.parametrize("more", [(), ("--by-slot", "--frames-per-file", "8"), ("--policy", "lru,opt"),
                                  ("--memory", "10G", "--files", "160000,320000")])
def test_pictures(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]) -> None:
    for name, begins in (("a.png", b"\x89PNG"), ("a.svg", b"<svg")):
        assert istat(log, "--plot", tmp_path / name, *more) == 0
        assert (tmp_path / name).read_bytes().startswith(begins)
    assert capsys.readouterr().out.startswith("POLICY")
    assert istat(log, "--plot", "-", *more) == 0
    drawn = capsys.readouterr().out
    assert "POLICY" not in drawn
    assert len(drawn.splitlines()) > 8


def test_a_picture_of_two_logs_names_them(log: Path, tmp_path: Path) -> None:
    other = tmp_path / "readahead.log"
    plan = Plan(layouts.parse("mrtg"), 1, 2, meta=True, readahead="linux-2.6.9")
    pagelog.save(other, plan.header, plan.records())
    assert istat(log, other, "--plot", tmp_path / "a.svg") == 0
    drawn = (tmp_path / "a.svg").read_text()
    assert ">mrtg<" in drawn
    assert ">readahead<" in drawn
    assert istat(log, other, "--plot", tmp_path / "b.svg", "--by-slot", "--frames-per-file", "8") == 0
    assert ">written readahead<" in (tmp_path / "b.svg").read_text()


def test_policies_that_are_named_are_compared_the_default_too(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert istat(log, "--frames", "8", "--compare", "--policy", "lru") == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["LOG", "FILES", "FRAMES", "LRU"]
    assert istat(log, "--frames", "8", "--compare") == 0
    assert len(capsys.readouterr().out.splitlines()[0].split()) > 8


@pytest.mark.parametrize(("words", "status", "said"), [
    (("--policy", "sieve"), 2, "no such policy"), (("--frames", "0"), 2, "from 1 on"),
    (("--frames", "x"), 2, "from 1 on"), (("--frames", "1-99999999"), 2, "at most"),
    (("--frames", "5-4"), 2, "from 1 on"), (("--warm-up", "-1"), 2, "0 or more"),
    (("--warm-up", "9000"), 111, "none are left"), (("--plot", "x.gif"), 2, ".png or .svg"),
    (("--plot", ""), 2, ".png or .svg"), (("--policy", ""), 2, "no such policy"),
    (("--memory", "x"), 2, "no number of bytes"), (("--frames", "1", "--memory", "1G"), 2, "not allowed"),
    (("--json", "--csv"), 2, "choose one"),
    (("/no/such/log",), 1, "No such file"), (("-o", "X"), 2, "no such column"),
])
def test_what_cannot_be_done_is_told(log: Path, words: tuple[str, ...], status: int, said: str,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    assert istat(log, *words) == status
    assert said in capsys.readouterr().err


def test_an_empty_log_and_one_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty, none = tmp_path / "empty", tmp_path / "none"
    pagelog.save(empty, pagelog.Header(4096), [])
    none.write_bytes(b"\x1f\x8b\x08")
    assert istat(empty) == 2
    assert istat(none) == 111
    assert "damaged or cut off" in capsys.readouterr().err


def test_numbers_and_ranges() -> None:
    assert numbers("--frames", "3-5, 8") == [3, 4, 5, 8]
    with pytest.raises(UsageError):
        numbers("--frames", ",".join(["1-9000"] * 2))
