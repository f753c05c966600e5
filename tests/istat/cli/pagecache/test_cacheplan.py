"""`istat cacheplan` and `istat cacheplan advise`: what they say and what they refuse."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.cli import command
from istat.cli.figures import bytes_text
from istat.cli.pagecache import planadvice
from istat.cli.pagecache.cacheplan import COMMAND
from istat.pagecache import layouts
from istat.pagecache.fleets import peeking
from istat.pagecache.model import machine
from istat.pagecache.ranges import Ranges
from istat.pagecache.syscalls import PAGE

BROUGHT = {"cacheplan": lambda: COMMAND}
NONE = ("--memory", "10G", "--overhead", "none")


def run(*words: str) -> int:
    return command.main(["cacheplan", *words], None, BROUGHT)


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert run(*words, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(("memory", "pages", "overhead", "files"), [
    ("10G", 8, "none", 327_680), ("10G", 8, "ext4", 302_428), ("10G", 26, "none", 100_824),
    ("20GiB", 9, "ext4", 540_873)])
def test_files_that_fit(capsys: pytest.CaptureFixture[str], memory: str, pages: int, overhead: str, files: int) -> None:
    words = ("--memory", memory, "--pages", str(pages), "--overhead", overhead)
    [kind] = told(capsys, *words)["kinds"]
    assert [(row["pages"], row["files"]) for row in kind["table"]] == [(pages, files)]
    assert run(*words) == 0
    assert f"\n{pages:>5}  {files:>5}" in capsys.readouterr().out
    assert run(*words, "-o", "pages,files", "--csv") == 0
    assert capsys.readouterr().out == f"pages,files\n{pages},{files}\n"


def test_the_knee_and_what_is_lost_without_advice(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, *NONE, "--meta", "2", "--model", "lru", "--budget", "250")
    assert 280_000 <= found["most"] <= 330_000
    [kind] = told(capsys, *NONE, "--layout", "mrtg=160000")["kinds"]
    assert kind["unadvised"]["files"] == 100_824
    assert kind["unadvised"]["rate"] == pytest.approx(160_000 * 26 / 300)
    assert kind["boundary_storm"] == {"page_ins": 320_000.0, "every_seconds": 76_800.0}


def test_the_times_of_day_of_the_papers_fleet(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, *NONE, "--meta", "2", "--layout", "mrtg=320000")
    [kind] = found["kinds"]
    cycles = {cycle["slot"]: cycle for cycle in kind["cycles"]}
    assert list(cycles) == ["plain", "after an aggregation", "half hour", "two hours", "midnight"]
    assert cycles["midnight"]["dirty_bytes"] == pytest.approx(11.6e9, rel=0.02)
    assert kind["pages_each"] == 8 and not found["fits"]
    assert kind["coalesced"]["updates"] == 12


def test_words_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*NONE, "--layout", "mrtg=320000") == 0
    out = capsys.readouterr().out
    for words in ("320,000 files: 8 pages each", "a lower bound: plain LRU costs up to 5.6 times",
                  "Up to 374,491 such files", "do not depend on how long a file is", "page boundaries cost less",
                  "An archive MAX of single updates costs one of three pages", "100,824 files fit",
                  "12 updates written at once"):
        assert words in " ".join(out.split()), words
    assert max(map(len, out.splitlines())) <= 110


def test_what_is_not_said_is_asked_of_the_machine(capsys: pytest.CaptureFixture[str],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cache_bytes", lambda: 123 << 20)
    assert told(capsys)["memory"] == 123 << 20
    monkeypatch.setattr(machine, "reads_a_second", lambda folder, clock: 400.0)
    found = told(capsys, "--test-device", ".")
    assert (found["device_iops"], found["budget"]) == (400, 200)
    assert told(capsys, "--device-iops", "1000")["budget"] == 500
    assert told(capsys, "--device-iops", "1000", "--budget", "7")["budget"] == 7


def test_a_counter_of_ring_files_has_a_file_for_each_level(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "--memory", "4G", "--layout", "statfile:10s:10d,5m:1y=100000")
    assert [(kind["layout"], kind["interval"], kind["pages_each"]) for kind in found["kinds"]] == [
        ("ring file 10s", 10, 7), ("ring file 5m", 300, 2)]
    assert found["growth"] > 1 and found["most"] is None
    assert run("--memory", "4G", "--layout", "statfile:10s:10d,5m:1y=100000") == 0
    assert "All together" in capsys.readouterr().out


def test_our_own_store(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "--memory", "2G", "--layout", "store=1000000")
    assert found["kinds"] == []
    [store] = found["stores"]
    assert (store["memory"], store["page_ins_for_writing"]) == (630_000_000, 0)
    assert store["counters_that_fit"] > 3_000_000
    assert run("--memory", "2G", "--layout", "store:10s:1d=5", "--layout", "mrtg=7") == 0
    out = capsys.readouterr().out
    assert "istatd's own store, 5 counters kept 10s:1d" in out and "7 files" in out


def test_another_interval_page_and_file_system(capsys: pytest.CaptureFixture[str]) -> None:
    slow, fast = (told(capsys, *NONE, "--layout", "mrtg=480000", "--interval", seconds)["page_ins_per_second"]
                  for seconds in ("300", "60"))
    assert fast == pytest.approx(5 * slow)
    assert told(capsys, *NONE, "--page-size", "16K", "--layout", "mrtg=1")["kinds"][0]["file_pages"] == 7
    assert told(capsys, "--memory", "1G", "--overhead", "xfs")["overhead"] == {"name": "xfs", "file": 1800, "page": 0}


def test_a_picture(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "plan.svg"
    assert run(*NONE, "--plot", str(out)) == 0
    assert "without advice" in out.read_text() and "mrtg in 10 GiB of page cache" in out.read_text()
    capsys.readouterr()
    assert run(*NONE, "--plot", "-") == 0
    assert "● lru, with advice" in capsys.readouterr().out
    assert run(*NONE, "--plot", str(tmp_path / "plan.gif")) == 2


def test_a_step_too_long_for_lru_is_done_by_opt(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--memory", "1G", "--layout", "rrd:1:AVERAGE/1/10000,AVERAGE/1000000/10000=100000")
    assert run(*words) == 110
    assert "use the model opt" in capsys.readouterr().err
    assert run(*words, "--model", "opt") == 0
    assert run(*words, "--model", "opt", "--plot", "-") == 0


@pytest.mark.parametrize("words", [
    ("--layout", "mrtg=0"), ("--layout", "mrtg=many"), ("--layout", "mrtg=1099511627777"), ("--budget", "0"),
    ("--budget", "nan"), ("--meta", "3"), ("--coalesce", "0"), ("--pages", "0"), ("--interval", "0.5"),
    ("--page-size", "5000"), ("--page-size", "0"), ("--layout", "mrtg=5", "--layout", "mrtg"), ("--read-ahead", "-1"),
    ("-o", "COLOUR"), ("--json", "--csv"), ("--plot", "-", "--layout", "store")])
def test_what_makes_no_sense_is_refused_in_a_sentence(capsys: pytest.CaptureFixture[str],
                                                      words: tuple[str, ...]) -> None:
    assert run("--memory", "1G", *words) == 2
    error = capsys.readouterr().err
    assert error.startswith(("istat: ", '{"error"')) and "Traceback" not in error


def test_few_files_want_no_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*NONE, "--layout", "mrtg=1000") == 0
    shown = capsys.readouterr().out
    assert "even if none of their pages stays in memory" in shown and "0 pages:" not in shown


def test_a_layout_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--layout", "whisper") == 110
    assert run("--layout", "store:nonsense") == 82
    assert "Traceback" not in capsys.readouterr().err


def advice(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict[str, Any]]:
    return {one["what"]: one for one in told(capsys, "advise", *words)["advice"]}


def test_advice_with_this_fleets_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    found = advice(capsys, *NONE, "--layout", "mrtg=320000", "--meta", "2")
    assert list(found) == ["stagger", "split", "coalesce", "peaks", "random", "read-ahead", "backups"]
    assert "640,000 page-ins in one cycle" in found["stagger"]["text"] and "2,133 a second" in found["stagger"]["text"]
    assert "10.1 a second all the time" in found["stagger"]["text"]
    assert found["split"]["now"] and "32 pollers" in found["split"]["text"]
    assert found["coalesce"]["now"] and found["random"]["now"] is None
    assert "write 64 of a file at once (each 5 h 20 min)" in found["coalesce"]["text"]
    full = advice(capsys, "--memory", "1M", "--layout", "mrtg=100000000", "--model", "paper")
    assert "only more memory or fewer files" in full["coalesce"]["text"]
    few = advice(capsys, *NONE, "--layout", "mrtg=1000")
    assert not few["split"]["now"] and not few["coalesce"]["now"]
    assert run("advise", *NONE) == 0
    assert capsys.readouterr().out.startswith("--  mrtg: make files one by one")
    assert run("advise", "--layout", "store") == 2


def rrd_file(path: Path) -> Path:
    """MRTG's, all pointers at row 0, last update at a midnight."""
    archives = [(name, steps) for name in ("AVERAGE", "MAX") for steps in (1, 6, 24, 288)]
    head = struct.pack("<4s5s7xdQQQ80x", b"RRD\0", b"0003\0", 8.642135e130, 2, 8, 300) + bytes(240)
    head += b"".join(struct.pack("<20s4xQQ80x", name.encode(), 800, steps) for name, steps in archives)
    head += struct.pack("<qq", 86_400 * 800, 0) + bytes(112 * 2 + 80 * 16 + 8 * 8)
    path.write_bytes(head + bytes(105_312 - len(head)))
    return path


def test_pages_that_a_day_of_updates_touches(tmp_path: Path) -> None:
    """Pages of 288, 48, 12 and 1 rows back from row 0, that is, from the rings' ends."""
    head = planadvice._head(str(rrd_file(tmp_path / "a")), ((0, 25),))
    assert head is not None
    found = planadvice._touched(head)
    assert 0 in found and {3, 16} <= found
    assert 9 < len(found) < 20
    (tmp_path / "b").write_bytes(b"RRD\0damaged" + bytes(200))
    (tmp_path / "c").write_bytes(b"")
    assert planadvice._head(str(tmp_path / "b"), ()) is planadvice._head(str(tmp_path / "c"), ()) is None


@given(st.integers(1, 3000), st.integers(0, 3000), st.integers(1, 300), st.integers(0, 10_000), st.integers(1, 600))
def test_pages_of_a_ring_are_those_of_its_rows(rows: int, start: int, steps: int, last: int, interval: int) -> None:
    layout = replace(layouts.parse(f"rrd:3:AVERAGE/{steps}/{rows}")[0], interval=interval)
    (ring,) = layout.rings
    newest, back = ring.row(last, start % rows), min(rows, 86_400 // (interval * steps) + 1)
    wanted = {page for row in range(newest - back + 1, newest + 1) for page in ring.pages(row % rows, PAGE)}
    assert planadvice._pages(layout, last, [start % rows]) == {0} | wanted


def test_a_file_that_goes_meanwhile_is_passed_over_and_others_are_none_of_ours(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for place in range(4):
        rrd_file(tmp_path / f"{place}.rrd")
        (tmp_path / f"{place}.txt").write_text("x")
    real = peeking.head_of

    def head_of(path: str, resident: Ranges) -> bytes:
        if path.endswith("3.rrd"):
            os.unlink(path)
        return real(path, resident)

    monkeypatch.setattr(peeking, "head_of", head_of)
    found = told(capsys, "advise", *NONE, str(tmp_path))
    assert found["files"]["files"] == found["files"]["there"] == 3


def test_files_that_cannot_be_looked_at(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("advise", *NONE, str(tmp_path / "none\x1b[1m.rrd")) == 1
    assert "\x1b" not in (err := capsys.readouterr().err) and "m.rrd: No such file or directory\n" in err
    (tmp_path / "text").write_text("no RRD file")
    found = told(capsys, "advise", *NONE, str(tmp_path / "text"))
    assert (found["files"]["there"], found["files"]["files"]) == (1, 0)
    assert [one["what"] for one in found["advice"]] == ["random", "backups"], "nothing of files that nobody has"
    assert "None of 1 file is an RRD file" in found["advice"][0]["text"]


def test_the_plan_is_for_the_files_that_there_are(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for place in range(3):
        rrd_file(tmp_path / str(place))     # just written: in memory
    found = {one["what"]: one["text"] for one in told(capsys, "advise", *NONE, str(tmp_path))["advice"]}
    assert found["split"].startswith("mrtg: 1 poller for 3 files")
    asked = advice(capsys, *NONE, "--layout", "mrtg=20000", str(tmp_path))
    assert asked["split"]["text"].startswith("mrtg: 2 pollers for 20,000 files")
    other = layouts.parse("rrd:1:AVERAGE/1/10")[0]
    looked = planadvice.Looked(20_000, 1000, 5, 0, (), ((layouts.parse("mrtg")[0], 750), (other, 250)))
    assert [(kind.name, kind.count) for kind in looked.kinds(None)] == [
        ("mrtg", 15_000), (f"RRD files of {bytes_text(other.size)}", 5000)]


