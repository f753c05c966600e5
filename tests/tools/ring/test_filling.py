"""istatd_import, istatd_nums2file, istatd_filegen and `istat ring import|nums2file|gen`: they write ring files that
istatd reads, whole or not at all, and touch nothing that is none."""

from __future__ import annotations

import errno
import io
import json
import os
import struct
import sys
from pathlib import Path

import pytest
from istatd_writer import Ring
from test_importing import NOW, run

from istat_server.foreign import ring
from tests.tools.ring.conftest import Program
from tests.tools.ring.leases import has_leases

HEAD = "DATE,SUM,SUMSQ,MIN,MAX,COUNT,AVG,SDEV\n"
PAIRS = "".join(f"{time} {value}\n" for value, time in enumerate(range(1000, 1070, 10), 1))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ring file with buckets at 990 (1 and 2) and 1010 (7)."""
    made = Ring(10, 512, 960)
    for time, value in ((990, 1.0), (990, 2.0), (1010, 7.0)):
        made.sample(time, value)
    (tmp_path / "10s").write_bytes(made.encode())
    return tmp_path / "10s"


def buckets(path: Path) -> dict[int, tuple[float, int]]:
    """time -> sum, count."""
    return {row[0]: (row[2], row[1]) for row in ring.read(path).rows(NOW, 10).rows()}


def test_nums2file_makes_the_buckets_of_the_example(tmp_path: Path, program: Program) -> None:
    """Part 15.8 of istatd's behaviour."""
    file = tmp_path / "data/30s"
    assert program("istatd_nums2file", "--stat-file", file, "--interval", 30, "--zero-time", 1000, "--time-in-file",
                   stdin=PAIRS) == (0, "", "")
    assert buckets(file) == {990: (3.0, 2), 1020: (12.0, 3), 1050: (13.0, 2)}
    found = ring.read(file).header
    assert (found.created, found.interval, found.version, found.flags) == (990, 30, 8, 0)
    assert found.capacity == 1024       # for 1000 samples
    assert program("istatd_nums2file", "--stat-file", file, "--time-in-file", stdin="1021 1\n")[0] == 0
    assert buckets(file)[1020] == (13.0, 4)


def test_numbers_alone_take_one_bucket_after_the_other(tmp_path: Path, program: Program,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert program("istatd_nums2file", "--stat-file", "10s", stdin="1\n2\n3\n")[0] == 0     # no folder is needed
    assert buckets(tmp_path / "10s") == {NOW - 30: (1.0, 1), NOW - 20: (2.0, 1), NOW - 10: (3.0, 1)}


@pytest.mark.parametrize("zero", ["-100", "1000000000000000000000000", "99999999999"])
def test_no_file_begins_at_a_time_that_is_none(zero: str, tmp_path: Path, program: Program) -> None:
    status, _, err = program("istatd_nums2file", "--stat-file", tmp_path / "10s", "--zero-time", zero, stdin="1\n")
    assert status == 1 and "at the latest tomorrow" in err and not (tmp_path / "10s").exists()


def test_totals_of_events_make_an_event_counters_file(tmp_path: Path, program: Program) -> None:
    file = tmp_path / "10s"
    for _ in range(2):
        assert program("istatd_nums2file", "--stat-file", file, "--counter", "--time-in-file",
                       stdin="1000 30\n1001 20\n1010 5\n")[0] == 0
    assert ring.read(file).header.flags == ring.EVENT
    assert buckets(file) == {1000: (10.0, 1), 1010: (1.0, 1)}
    before = file.read_bytes()
    status, _, err = program("istatd_nums2file", "--stat-file", file, stdin="1\n")
    assert status == 1 and "of the other kind of counter" in err and file.read_bytes() == before


def test_bad_lines_are_told_and_passed_over(path: Path, program: Program) -> None:
    lines = ("1020 3 5 1 2 2\n" "1030 3 5 1 2\n" "x 3 5 1 2 2\n" "1040  3 5 1 2 2\n" "1050 nan 5 1 2 2\n"
             f"{NOW * 1000} 3 5 1 2 2\n" "1060 3 5 1 2 0\n" "1070 4 16 4 4 1\n")
    status, out, err = program("istatd_import", "--stat-file", path, stdin=lines)
    assert (status, out) == (0, "")
    assert [line.split(":")[0] for line in err.splitlines()] == [f"line {n}" for n in (2, 3, 4, 5, 6, 7)]
    assert buckets(path) == {990: (3.0, 2), 1010: (7.0, 1), 1020: (3.0, 2), 1070: (4.0, 1)}


def test_a_number_that_is_too_old_is_told_by_its_own_line(tmp_path: Path, program: Program) -> None:
    lines = f"bad\n{NOW - 10} 1\n{NOW - 10 - 366 * 86400} 2\n"
    status, _, err = program("istatd_nums2file", "--stat-file", tmp_path / "10s", "--time-in-file", stdin=lines)
    assert status == 0 and err.splitlines()[0].startswith("line 1: a time and a value are wanted")
    assert err.splitlines()[1] == f"line 3: the time {NOW - 10 - 366 * 86400} is too old for this file"


def test_import_replaces_and_fill_empty_merges(path: Path, program: Program) -> None:
    assert program("istatd_import", "--stat-file", path, stdin="990 5 25 5 5 1\n")[0] == 0
    assert buckets(path)[990] == (5.0, 1)
    lines = "990 5 25 5 5 1\n1000 1 1 1 1 1\n"
    assert program("istatd_import", "--stat-file", path, "--fill-empty", stdin=lines)[0] == 0
    assert buckets(path) == {990: (10.0, 2), 1000: (1.0, 1), 1010: (7.0, 1)}
    found = ring.read(path)
    assert (found.header.last_bucket, found.header.last_time) == (5, 1010)
    assert path.stat().st_size == found.header.file_size


def test_import_wants_a_file_that_is_there(tmp_path: Path, program: Program) -> None:
    status, _, err = program("istatd_import", "--stat-file", tmp_path / "none", stdin="1 1 1 1 1 1\n")
    assert status == 1 and "No such file" in err and not os.listdir(tmp_path)
    assert program("istatd_import", stdin="")[0] == 1


@pytest.mark.parametrize("damage", [(0, b"X"), (0, bytes(464)), (16, b"\0\0"), (40, struct.pack("<q", 100)),
                                    (48, struct.pack("<q", 9))])
@pytest.mark.parametrize("name", ["istatd_import", "istatd_nums2file"])
def test_what_is_no_sound_ring_file_is_refused_and_untouched(name: str, damage: tuple[int, bytes], path: Path,
                                                             program: Program) -> None:
    whole = bytearray(path.read_bytes())
    whole[damage[0] : damage[0] + len(damage[1])] = damage[1]
    path.write_bytes(whole)
    status, _, err = program(name, "--stat-file", path, stdin="1020 1 1 1 1 1\n")
    assert status == 1 and str(path) in err
    assert path.read_bytes() == bytes(whole) and os.listdir(path.parent) == ["10s"]


def test_a_file_that_another_process_writes_is_refused(tmp_path: Path, path: Path, program: Program) -> None:
    if not has_leases(tmp_path):
        pytest.skip("this file system has no leases")
    with open(path, "r+b") as held:
        status, _, err = program("istatd_import", "--stat-file", path, stdin="1020 1 1 1 1 1\n")
        assert status == 1 and "open in another process" in err and held.read(4) == b"ista"
    assert program("istatd_import", "--stat-file", path, stdin="1020 1 1 1 1 1\n")[0] == 0


def test_a_full_disk_leaves_the_file_as_it_was(path: Path, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("istat.pagecache.ownfiles.put_away", full)
    before = path.read_bytes()
    status, _, err = program("istatd_import", "--stat-file", path, stdin="1020 1 1 1 1 1\n")
    assert status == 1 and "No space left" in err
    assert path.read_bytes() == before and os.listdir(path.parent) == ["10s"]


def test_links_and_stores_of_ours_are_refused(path: Path, program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    (path.parent / "link").symlink_to(path)
    status, _, err = program("istatd_import", "--stat-file", path.parent / "link", stdin="")
    assert status == 1 and "is a link" in err
    store = path.parent / "store"
    (path.parent / "a.csv").write_text(f"name,time,value\na.b,{NOW - 100},1\n")
    assert run("import", path.parent / "a.csv", "--store", store) == 0
    for name in ("istatd_import", "istatd_nums2file"):
        status, _, err = program(name, "--stat-file", store / "a/b/10s", stdin="1\n")
        assert status == 1 and "istat import" in err
    assert program("istatd_filegen", "--base-path", store / "x")[0] == 1 and not (store / "a").exists()


def test_ring_import_and_nums2file_as_sub_commands(path: Path, program: Program, capsys: pytest.CaptureFixture[str],
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1020 1 1 1 1 1\nx\n")))
    assert run("ring", "import", path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"taken": 1, "refused": 1}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"5 1\n77 2\n")))
    assert run("ring", "nums2file", path.parent / "1m", "--interval", 60, "--times", "--events") == 0
    assert buckets(path.parent / "1m") == {60: (pytest.approx(2 / 60), 1)}      # a bucket at 0 is none to istatd


def test_filegen_makes_whole_event_counters(tmp_path: Path, program: Program) -> None:
    assert program("istatd_filegen", "--base-path", tmp_path / "g", "--num-files", 103, "--num-samples", 90,
                   "--store-increment", "1", "--store-value", "100", "--store-max", "110") == (0, "", "")
    made = sorted(tmp_path.glob("g/*/*"))
    assert len(made) == 103 and made[0] == tmp_path / "g/lev0_00/lev1_00" and made[-1] == tmp_path / "g/lev0_01/lev1_02"
    folder = tmp_path / "g/lev0_00/lev1_07"
    sizes = {name.name: name.stat().st_size for name in folder.iterdir()}
    assert sizes == {"10s": 2777088, "5m": 1392640, "1h": 1695744}
    fine = ring.read(folder / "10s")
    assert fine.header.flags == ring.EVENT and len(buckets(folder / "10s")) == 90
    assert sorted({total for total, _ in buckets(folder / "10s").values()}) == [n / 10 for n in range(100, 111)]
    five = ring.read(folder / "5m")
    assert (five.header.flags, five.header.fixed_count) == (ring.COARSE, 30)
    assert sum(total for total, _ in buckets(folder / "5m").values()) == pytest.approx(
        sum(total for total, _ in buckets(folder / "10s").values()))
    assert sum(name.stat().st_blocks * 512 for name in folder.iterdir()) < 300_000      # only what holds something
    before = (folder / "10s").read_bytes()
    status, _, err = program("istatd_filegen", "--base-path", tmp_path / "g", "--num-files", 1)
    assert status == 1 and "is there already" in err and (folder / "10s").read_bytes() == before
    assert program("istatd_filegen", "--base-path", tmp_path, "--num-files", 0)[0] == 1


@pytest.mark.parametrize("words", [("--store-value", "nan"), ("--store-increment", "inf"), ("--store-max", "-inf"),
                                   ("--num-samples", 1000000, "--interval-secs", 86400), ("--num-files", 0)])
def test_no_ring_file_is_made_of_what_it_cannot_hold(words: tuple[object, ...], tmp_path: Path,
                                                     program: Program) -> None:
    status, _, err = program("istatd_filegen", "--base-path", tmp_path / "g", *words)
    assert status == 1 and err.startswith("istatd_filegen: ") and not (tmp_path / "g").exists()


def test_wrong_options_are_told_as_istatds_programs_do(program: Program) -> None:
    """Part 14.1 of its behaviour."""
    for words, near in ((("--wrong",), "--wrong"), (("--interval", "x"), "x"), (("--interval=5",), "--interval=5"),
                        (("left",), "left"), (("--stat-file",), "--stat-file"), (("--", "--x"), "--x")):
        status, out, err = program("istatd_nums2file", *words)
        assert (status, out) == (1, "") and err.startswith(f"Command line error near {near}")
        assert "--interval SECONDS (10): of a new file's buckets, seconds" in err
    status, out, _ = program("istatd_nums2file", "--help")
    assert status == 0 and out.startswith("usage: istatd_nums2file")
