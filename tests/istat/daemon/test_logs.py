"""Log lines: with times for people, with priorities for the journal."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from istat import owners
from istat.daemon import logs

SCRIPT = """
import logging, os, sys
from istat import owners
from istat.daemon import logs
if "journal" in sys.argv:
    found = os.fstat(2)
    os.environ["JOURNAL_STREAM"] = f"{found.st_dev}:{found.st_ino}"
logs.to_standard_error("info")
log = logging.getLogger("istat.some")
log.debug("not shown"); log.info("one\\ntwo"); log.warning("three"); log.error("four")
"""


def logged(*arguments: str, **environ: str) -> list[str]:
    run = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True,
                         env={**os.environ, **environ})
    assert run.returncode == 0, run.stderr
    return run.stderr.splitlines()


def test_the_journal_gets_priorities_and_no_times() -> None:
    assert logged("journal") == ["<6>istat.some: one", "<6>  two", "<4>istat.some: three", "<3>istat.some: four"]


@pytest.mark.parametrize("stream", ["", "1:2"])
def test_all_else_gets_times(stream: str) -> None:
    lines = logged(JOURNAL_STREAM=stream)
    assert len(lines) == 4
    assert lines[0][:4].isdigit() and lines[0].endswith(" INFO istat.some: one")
    assert lines[2].endswith(" WARNING istat.some: three")


def test_no_standard_error_is_no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", open(os.devnull))  # noqa: SIM115
    assert not logs.to_journal({"JOURNAL_STREAM": "8:1"})
    sys.stderr.close()
    assert not logs.to_journal({"JOURNAL_STREAM": "8:1"})


def line_to(handler: logging.Handler, text: str) -> None:
    handler.handle(logging.LogRecord("some", logging.INFO, "", 0, text, None, None))


def test_a_log_file_that_was_renamed_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    handler = logs.LogFile(path)
    line_to(handler, "one")
    path.rename(tmp_path / "log.1")
    line_to(handler, "two \udcff")
    handler.close()
    assert (tmp_path / "log.1").read_text().endswith(" INFO some: one\n")
    assert path.read_text().endswith(" INFO some: two \\udcff\n")


def test_where_that_cannot_be_lines_go_on_into_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    handler = logs.LogFile(path)
    path.rename(tmp_path / "log.1")
    path.mkdir()
    for text in ("one", "two"):
        line_to(handler, text)
    path.rmdir()
    line_to(handler, "three")
    handler.close()
    told, one, two = (tmp_path / "log.1").read_text().splitlines()
    assert told == f"{path} cannot be opened anew, so that lines go on here: Is a directory"
    assert (one[-3:], two[-3:], path.read_text()[-6:]) == ("one", "two", "three\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_a_log_file_that_root_makes_is_the_users_who_goes_on_with_it(tmp_path: Path) -> None:
    logs.LogFile(tmp_path / "log", owners.User(1234, 1235, ())).close()
    assert ((tmp_path / "log").stat().st_uid, (tmp_path / "log").stat().st_gid) == (1234, 1235)
    (tmp_path / "old").touch()
    logs.LogFile(tmp_path / "old", owners.User(1234, 1235, ())).close()
    assert (tmp_path / "old").stat().st_uid == 0, "one that is there stays whose it is"
    (tmp_path / "link").symlink_to("old")
    os.chown(tmp_path / "link", 1234, 1234, follow_symlinks=False)
    with pytest.raises(OSError, match="a link of the user 1234"):
        logs.LogFile(tmp_path / "link")


def test_lines_can_go_to_what_is_no_file(tmp_path: Path) -> None:
    handler = logs.LogFile("/dev/null")
    line_to(handler, "one")
    handler.close()
