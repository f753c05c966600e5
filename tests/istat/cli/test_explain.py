"""`istat explain`: what a person sees of wrong lines."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from istat.cli import command, explaining
from istat.clock import FakeClock
from istat.errors import BadLine


def run(*arguments: str) -> int:
    return command.main(("explain", *arguments), FakeClock(1325395000), brought={})


def test_wrong_lines_are_told_with_the_right_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"a 5\n#agent web1\nshop.orders 17 1325395000\r\nb\x1b[31m x\n\na 1")
    assert run(str(file)) == BadLine.exit_code
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "3: shop.orders 17 1325395000",
        "    the time stands behind the value, as Graphite has it",
        "    right: shop.orders 1325395000 17",
        "4: b\\x1b[31m x",
        "    'x' is no number; times are Unix seconds, and decimals have a point",
        "6: a 1",
        "    its line feed is missing, so that a server waits for the rest of it",
        "    right: a 1",
    ]
    assert said.err == "istat: 3 of 6 lines are wrong\n"


def test_the_standard_input_and_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def given(text: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))

    given(b"a 5\n*e 1325395000 5\n")
    assert run("-") == 0
    assert capsys.readouterr().out == (
        "nothing is wrong with 2 lines; whether a server keeps their times only it can tell\n")
    given(b"a 1325395000123 5\n")
    assert run("-", "--json") == BadLine.exit_code
    assert json.loads(capsys.readouterr().out) == {"lines": 1, "wrong": [
        {"line": 1, "text": "a 1325395000123 5", "kind": "from_future",
         "wrong": "its time is in milliseconds; it wants Unix seconds", "right": "a 1325395000 5"}]}


def test_a_line_that_is_too_long_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"n" * (3 * explaining.LONGEST) + b" 5\nx\n" + b"n" * 2 * explaining.LONGEST)
    assert run(str(file)) == BadLine.exit_code
    said = capsys.readouterr()
    assert said.err == "istat: 3 of 3 lines are wrong\n"
    assert [line for line in said.out.splitlines() if line.startswith("2: ")] == ["2: x"]
    assert max(map(len, said.out.splitlines())) < 300


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("/none/there") == 1
    assert "/none/there: No such file" in capsys.readouterr().err
