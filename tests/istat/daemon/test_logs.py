"""Log lines: with times for people, with priorities for the journal."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from istat.daemon import logs

SCRIPT = """
import logging, os, sys
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
