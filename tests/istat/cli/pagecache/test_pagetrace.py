"""`istat pagetrace`: logs made, converted and told of from the command line."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from istat.cli import command
from istat.cli.pagecache.pagetrace import converting
from istat.pagecache.replay import pagelog, recording

Said = pytest.CaptureFixture[str]


def istat(*words: object) -> int:
    try:
        return command.main(["pagetrace", *map(str, words)], None, {})
    except SystemExit as end:       # argparse has said what is wrong
        return int(str(end.code))


def test_generate_and_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "a.log.gz"
    assert istat("generate", log, "--days", 1, "--synchronised", "--meta") == 0
    assert capsys.readouterr().out == f"{log}: 288 records\n"
    assert istat("info", log) == 0
    shown = capsys.readouterr().out
    assert "updates     288 in 288 records" in shown
    assert shown.startswith(f"{log}: layout rrd, targets 1, days 1, seed 1, readahead random, meta yes\n")
    assert istat("info", log, "--json") == 0
    about = json.loads(capsys.readouterr().out)["logs"][0]
    assert (about["updates"], about["files"], about["levels"]) == (288, 1, [1, 6, 24, 288])
    assert sum(records for _, records in about["histogram"]) == 288


def test_a_log_on_standard_output_is_one(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert istat("generate", "-", "--days", 0.01) == 0
    log = pagelog.read(io.BytesIO(capfdbinary.readouterr().out))
    assert len(list(log.records)) == 2


def test_json_says_what_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert istat("generate", tmp_path / "a", "--days", 1, "--layout", "statfile:10s:1d", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"log": str(tmp_path / "a"), "records": 288}


def test_accesses_become_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                               monkeypatch: pytest.MonkeyPatch) -> None:
    source, log = tmp_path / "a.csv", tmp_path / "a.log"
    source.write_bytes(b"5,a\xff,0,1\n6,b,4096,8192,w\n")
    assert istat("convert", source, log) == 0
    with pagelog.opened(log) as read:
        assert [(record.file, record.pages, record.written) for record in read.records] == [
            ("a\\xff", (0,), ()), ("b", (1, 2), (1, 2))]
    with source.open(encoding="utf-8") as strict:       # as in a terminal of UTF-8
        monkeypatch.setattr(sys, "stdin", strict)
        assert istat("convert", "-", tmp_path / "b.log") == 0
    assert (tmp_path / "b.log").read_bytes() == log.read_bytes()
    source.write_bytes(b"5,a,0\n")
    capsys.readouterr()
    with source.open() as wrong:
        monkeypatch.setattr(sys, "stdin", wrong)
        assert istat("convert", "-", log) == 111
    assert capsys.readouterr().err.startswith("istat: line 1: it is no time,file,offset,length")


def test_accesses_are_on_pages_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, log = tmp_path / "a.csv", tmp_path / "a.log"
    source.write_bytes(b"5,a,65535,2\n")
    monkeypatch.setattr(converting, "PAGE", 65536)
    assert istat("convert", source, log) == 0
    with pagelog.opened(log) as read:
        assert (read.header.page_size, next(read.records).pages) == (65536, (0, 1))


@pytest.mark.parametrize("words", [
    ("generate", "--days", 1, "--layout", "rrd:1:" + ",".join(f"AVERAGE/{step}/9" for step in range(1, 66))),
    ("generate", "--days", 1, "--layout", f"rrd:1:AVERAGE/{1 << 31}/9"),
    ("record", "a.rrd", "--cmd", "true {f}", "--levels", f"1,{1 << 31}"),
    ("record", "a.rrd", "--cmd", "true {f}", "--begin", -400),
    ("record", "a.rrd", "--cmd", "true {f}", "--begin", 1 << 53)])
def test_no_log_is_written_that_could_not_be_read(tmp_path: Path, words: tuple[str, ...], capsys: Said,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recording, "evict", lambda file: None)
    (tmp_path / "a.rrd").touch()
    log = tmp_path / "a.log"
    assert istat(words[0], log, *words[1:]) == 111
    assert not log.exists() and capsys.readouterr().err.startswith("istat: ")


@pytest.mark.parametrize("end", ["png", "svg"])
def test_a_picture_of_pages_an_update(tmp_path: Path, capsys: pytest.CaptureFixture[str], end: str) -> None:
    log, out = tmp_path / "a.log", tmp_path / f"a.{end}"
    istat("generate", log, "--days", 1)
    assert istat("info", log, "--plot", out) == 0
    assert out.read_bytes().startswith({"png": b"\x89PNG", "svg": b"<svg"}[end])
    capsys.readouterr()
    assert istat("info", log, "--plot", "-") == 0
    assert "% of updates" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "status", "said"), [
    (("generate", "x", "--layout", "nothing"), 110, "is no layout"),
    (("generate", "x", "--files", "0"), 111, "1 to 10000000 targets"),
    (("generate", "x", "--days", "nan"), 111, "days"),
    (("generate", "x", "--coalesce", "-1"), 2, "--coalesce"),
    (("generate", "x", "--coalesce", "450"), 111, "no whole number of updates"),
    (("generate", "x", "--readahead", "none"), 2, "--readahead"),
    (("record", "x", "f", "--cmd", "true"), 111, "write {f} in it"),
    (("record", "x", "f", "--cmd", "true {f}", "--updates", "0"), 2, "--updates"),
    (("record", "x", "f", "--cmd", "true {f}", "--levels", "0,a"), 2, "--levels"),
    (("info", "pyproject.toml"), 111, "line 1"),
    (("info", "/no/such/log"), 1, "No such file"),
    (("info", "x", "--plot", "x.gif"), 2, ".png or .svg"),
])
def test_what_cannot_be_done_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...],
                                     status: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").write_text("[project]\n")
    assert istat(*words) == status
    assert said in capsys.readouterr().err
    assert not Path("x").exists()
