"""istatd_lint and `istat ring lint`: what is wrong with files, in the original's words; nothing is written."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from istatd_writer import Ring
from test_importing import NOW, run

from istat.errors import BadRetention
from tests.tools.ring.conftest import Program


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = Ring(10, 512, NOW - 200)
    made.sample(NOW - 100, 1.0)
    whole = made.encode()
    old = Ring(10, 512, NOW - 300_000)
    old.sample(NOW - 200_000, 1.0)
    for name, data in {"good": whole, "short": whole[:300], "text": b"x" * 9000, "cut": whole[:-1], "old": old.encode(),
                       "page": whole[:40] + struct.pack("<q", 8191) + whole[48:],
                       "small": whole[:40] + struct.pack("<q", 1024) + whole[48:]}.items():
        (tmp_path / "a" / name).mkdir(parents=True)
        (tmp_path / "a" / name / "10s").write_bytes(data)
    (tmp_path / "a/link").symlink_to(tmp_path / "a/old")
    return tmp_path / "a"


WRONG = {"cut": "file is too small", "old": "file exceeds age", "page": "bad page size in header",
         "short": "short file", "small": "too small page size in header", "text": "not an istatd file"}


def test_each_kind_of_damage_has_its_line_and_the_status_is_0(tree: Path, program: Program) -> None:
    before = {path: path.read_bytes() for path in tree.glob("*/10s")}
    status, out, err = program("istatd_lint", tree)
    assert (status, err) == (0, "")
    assert out.splitlines() == [f"W: {text}: {tree}/{name}/10s" for name, text in WRONG.items()]
    assert {path: path.read_bytes() for path in tree.glob("*/10s")} == before


def test_ages(tree: Path, program: Program) -> None:
    assert "exceeds age" not in program("istatd_lint", "--age", "4d", tree)[1]
    assert program("istatd_lint", "--age", "50s", tree)[1].count("exceeds age") == 2
    for age in ("9s", "9", "x", ""):
        status, _, err = program("istatd_lint", "--age", age, tree)
        assert status == 1 and err.startswith("Command line error near"), age


def test_a_store_of_ours_within_is_told_once_and_passed_over(tree: Path, program: Program) -> None:
    store = tree / "text/store"
    (store / "10s").mkdir(parents=True)
    for name in ("FORMAT", "MANIFEST", "10s/1.statfile"):
        (store / name).write_text("ours")
    status, out, err = program("istatd_lint", tree)
    assert status == 0
    assert err == f"E: {store} is a store of ours, which has no ring files: istat check {store}\n"
    assert out.splitlines() == [f"W: {text}: {tree}/{name}/10s" for name, text in WRONG.items()]


def test_errors_go_to_standard_error(tmp_path: Path, program: Program) -> None:
    assert program("istatd_lint", tmp_path / "none") == (0, "", f"E: there is no {tmp_path}/none\n")


def test_the_sub_command(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ring", "lint", tree, "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found == [{"file": f"{tree}/{name}/10s", "wrong": text} for name, text in WRONG.items()]
    assert run("ring", "lint", tree, "--age", "5s") == BadRetention.exit_code
