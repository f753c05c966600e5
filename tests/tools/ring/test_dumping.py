"""istatd_filedump, istatd_fileinfo and `istat ring dump|info`: what istatd's print, of files and of our counters."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
from istatd_writer import Ring
from test_importing import NOW, RETENTION, imported, istatd_store, run

from istat.clock import FakeClock
from istat.errors import StoreLocked, UsageError
from istat.retention import Ladder
from istat_server.store.statstore import StatStore
from istat_server.tools.ring import guessing
from tests.tools.ring.conftest import Program

EXAMPLE = Path(__file__).parents[2] / "fixtures/foreign/10s"        # that of docs/formats/ring-file.md


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example of part 15.1 of istatd's behaviour."""
    ring = Ring(10, 512, 960)
    ring.sample(990, 1.0)
    ring.sample(990, 2.0)
    path = tmp_path / "10s"
    path.write_bytes(ring.encode())
    return path


def test_filedump_prints_a_line_for_each_bucket_and_writes_nothing(example: Path, program: Program) -> None:
    before, written = example.read_bytes(), example.stat().st_mtime_ns
    assert program("istatd_filedump", example) == (
        0, 'DATE,SUM,SUMSQ,MIN,MAX,COUNT,AVG,SDEV\n"1970-01-01T00:16:30Z",3,5,1,2,2,1.5,0.707107\n', "")
    assert example.read_bytes() == before and example.stat().st_mtime_ns == written
    assert list(example.parent.iterdir()) == [example]


def test_filedump_reads_what_nobody_may_write(example: Path, program: Program) -> None:
    example.chmod(0o444)
    assert program("istatd_filedump", example)[0] == 0


def test_the_full_dump_has_istatds_fields_and_every_slot(program: Program) -> None:
    status, out, err = program("istatd_filedump", "--full", EXAMPLE)
    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert lines[0] == 'magic="istatd 4.0\\012\\000\\365\\024\\007\\000"'
    assert lines[1:5] == ["hdr_size=464", "cfg_interval=10", "cr_version=8", "rd_version=4"] and lines[5] == 'unit=""'
    assert lines[7:18] == [
        "page_size=8192", "page_count=2", "first_bucket=-4", "last_bucket=9", "last_time=1325395090",
        "cumulative_sum=4", "cumulative_sum_sq=7.5", "cumulative_count=3", "last_cumulative_clear_time=1325395000",
        "file_create_time=1325395000", "flags=1"]
    assert lines[18].split() == ["#", "valid", "bucket", "time", "sum", "sumsq", "min", "max", "count"]
    assert len(lines) == 19 + 512
    assert [line.split()[:4] for line in lines[19:] if line.split()[0] == "1"] == [
        ["1", "0", "1325395000", "1"], ["1", "9", "1325395090", "2.5"], ["1", "-4", "1325394960", "0.5"]]


def test_files_that_cannot_be_read_are_told_with_status_1(tmp_path: Path, program: Program) -> None:
    assert program("istatd_filedump", tmp_path / "none") == (1, "", f"Cannot open: {tmp_path}/none\n")
    (tmp_path / "text").write_text("hello" * 99)
    assert program("istatd_filedump", tmp_path / "text") == (1, "", f"{tmp_path}/text is no istatd file\n")
    assert (tmp_path / "text").read_text() == "hello" * 99
    assert program("istatd_filedump")[0] == 1 and program("istatd_filedump", "--wrong", "x")[0] == 1


def test_a_pipe_is_no_ring_file_and_nobody_waits_for_its_other_end(tmp_path: Path, program: Program) -> None:
    os.mkfifo(tmp_path / "pipe")
    told = (1, "", f"{tmp_path}/pipe is no plain file\n")
    assert program("istatd_filedump", tmp_path / "pipe") == program("istatd_fileinfo", tmp_path / "pipe") == told
    assert program("istatd_filedump", "--full", "--force", tmp_path / "pipe") == told


def test_force_guesses_what_a_damaged_header_does_not_tell(example: Path, program: Program) -> None:
    whole = bytearray(example.read_bytes())
    whole[:464] = bytes(464)
    example.write_bytes(whole)
    assert program("istatd_filedump", "--full", example)[0] == 1
    status, out, err = program("istatd_filedump", "--full", "--force", example)
    valid = [line.split() for line in out.splitlines() if line.startswith("      1 ")]
    assert status == 0 and "is no istatd file" in err and "an interval of 10 s" in err
    assert [(line[2], line[3], line[7]) for line in valid] == [("990", "3", "2")]
    assert example.read_bytes() == bytes(whole)
    example.write_bytes(b"short")
    assert program("istatd_filedump", "--full", "--force", example)[0] == 1


def test_a_guess_finds_where_a_ring_that_went_round_begins(tmp_path: Path) -> None:
    ring = Ring(300, 512, 3000)
    for number in range(5, 1300, 5):
        ring.sample(3000 + 300 * number, float(number))
    path = tmp_path / "5m"
    path.write_bytes(struct.pack("<16s", b"x") + ring.encode()[16:])
    found, _ = guessing.guessed(path)
    assert found.header.interval == 300 and found.header.last_time == 3000 + 300 * 1295
    assert [row[2] for row in found.rows(NOW, 10).rows()] == [float(n) for n in range(785, 1300, 5)]


def test_fileinfo_aligns_the_header_and_counts_what_failed(tmp_path: Path, program: Program) -> None:
    status, out, err = program("istatd_fileinfo", EXAMPLE, tmp_path / "a", tmp_path / "b")
    assert (status, err) == (2, f"Cannot open: {tmp_path}/a\nCannot open: {tmp_path}/b\n")
    lines = out.splitlines()
    assert lines[0] == f"{EXAMPLE}:" and len({line.index("=") for line in lines[1:]}) == 1
    told = dict(line.strip().split("= ") for line in lines[1:])
    assert list(told) == [
        "cr_version", "rd_version", "cfg_interval", "unit", "page_size", "page_count", "first_bucket", "last_bucket",
        "last_time", "cumulative_sum", "cumulative_sum_sq", "cumulative_count", "last_cumulative_clear_time",
        "file_create_time", "lambda", "season", "fixed_count", "flags", "bucketsize"]
    assert told["last_time"] == "2012-01-01T05:18:10Z 1325395090" and told["flags"] == "0x1"
    assert (told["bucketsize"], told["lambda"], told["first_bucket"]) == ("32", "0.9", "-4")


def test_ring_info_is_what_ring_alone_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ring", EXAMPLE) == 0
    alone = capsys.readouterr().out
    assert run("ring", "info", EXAMPLE) == 0 and capsys.readouterr().out == alone
    assert run("ring", "info", EXAMPLE, "--json") == 0
    assert json.loads(capsys.readouterr().out)["last_time"] == 1325395090


@pytest.fixture
def store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A store of ours with gauges and events, and beside it, in `old`, the ring files that it was made of."""
    istatd_store(tmp_path / "old")
    imported(capsys, tmp_path / "old", "--store", tmp_path / "store", "--retention", RETENTION)
    return tmp_path / "store"


@pytest.mark.parametrize("level", ["10s", "5m", "1h"])
@pytest.mark.parametrize("host", ["h1", "h2"])      # a gauge, an event counter
def test_a_path_below_a_store_of_ours_names_a_counter(host: str, level: str, store: Path, program: Program) -> None:
    status, ours, _ = program("istatd_filedump", f"{store}/host/{host}/cpu/{level}")
    _, theirs, _ = program("istatd_filedump", f"{store.parent}/old/host/{host}/cpu/{level}")
    newest = {line.split(",")[0]: line.split(",") for line in theirs.splitlines()}
    lines = [line.split(",") for line in ours.splitlines()]
    shared = [line for line in lines if line[0] in newest]
    assert status == 0 and len(shared) >= 3
    for line in shared[1:-1]:
        assert float(line[1]) == pytest.approx(float(newest[line[0]][1]), rel=1e-4), line
        assert line[5] == newest[line[0]][5], line
    _, info, _ = program("istatd_fileinfo", f"{store}/host/{host}/cpu/{level}")
    assert f"flags= {'0x0' if host == 'h1' else '0x1' if level == '10s' else '0x4'}\n" in info


def test_counters_and_levels_that_a_store_does_not_have(store: Path, program: Program) -> None:
    status, out, err = program("istatd_filedump", store / "host/h1/cpu/1d")
    assert (status, out) == (1, "")
    assert err == ("the counter host.h1.cpu has the levels 10s, 5m, 1h, not 1d; a path is STORE/foo/bar/10s for level "
                   "10s of the counter foo.bar\n")
    status, out, err = program("istatd_fileinfo", store / "no/such/10s")
    assert (status, out) == (1, "") and "has no counter no.such with buckets; a path is STORE/foo/bar/10s" in err


def test_a_store_that_is_in_use_is_asked_of_its_server_or_the_answer_says_how(
    store: Path, program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ISTAT_URL", "http://127.0.0.1:1")
    held = StatStore.open(store, Ladder.parse(RETENTION), FakeClock(NOW))
    try:
        assert run("ring", "dump", store / "host/h1/cpu/10s") == StoreLocked.exit_code
        assert "say where that one answers in ISTAT_URL" in capsys.readouterr().err
        assert program("istatd_filedump", store / "host/h1/cpu/10s")[0] == 1
    finally:
        held.close()


def test_dump_of_what_is_nothing(tmp_path: Path) -> None:
    assert run("ring", "dump", tmp_path / "none") == 1
    assert run("ring", "lint", tmp_path / "none") == UsageError.exit_code
