"""Waiting between starts that fail."""

from __future__ import annotations

from pathlib import Path

from istat.backoff import FILE, BackOff


def test_starts_that_fail_wait_longer_and_longer(tmp_path: Path) -> None:
    environ = {"RUNTIME_DIRECTORY": f"{tmp_path}:/elsewhere"}
    waits = [BackOff(environ).begin() for _ in range(10)]
    assert waits == [0.0, 0.0, 0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    BackOff(environ).succeeded()
    assert BackOff(environ).begin() == 0.0


def test_without_a_folder_of_its_own_there_is_no_waiting(tmp_path: Path) -> None:
    for environ in ({}, {"RUNTIME_DIRECTORY": str(tmp_path / "missing")}):
        for _ in range(5):
            back_off = BackOff(environ)
            assert back_off.begin() == 0.0
            back_off.succeeded()


def test_a_file_that_says_nonsense_is_the_first_start(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xff12")
    assert BackOff({"RUNTIME_DIRECTORY": str(tmp_path)}).begin() == 0.0
