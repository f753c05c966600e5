"""Waiting between starts that fail."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from istat.daemon import service
from istat.daemon.backoff import FILE, BackOff


def test_starts_that_fail_wait_longer_and_longer(tmp_path: Path) -> None:
    environ = {"RUNTIME_DIRECTORY": f"{tmp_path}:/elsewhere"}
    waits = [BackOff(environ).begin() for _ in range(10)]
    assert waits == [0.0, 0.0, 0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    BackOff(environ).forget()
    assert BackOff(environ).begin() == 0.0


def test_without_a_folder_of_its_own_there_is_no_waiting(tmp_path: Path) -> None:
    for environ in ({}, {"RUNTIME_DIRECTORY": str(tmp_path / "missing")}):
        for _ in range(5):
            back_off = BackOff(environ)
            assert back_off.begin() == 0.0
            back_off.forget()


def test_a_file_that_says_nonsense_is_the_first_start(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xff12")
    assert BackOff({"RUNTIME_DIRECTORY": str(tmp_path)}).begin() == 0.0


def test_a_folder_that_is_not_ours_any_more_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).mkdir()       # cannot be unlinked, even by root
    BackOff({"RUNTIME_DIRECTORY": str(tmp_path)}).forget()
    assert "so the next start may wait" in caplog.text


def test_a_start_that_waits_and_is_told_to_end_forgets_what_failed(tmp_path: Path) -> None:
    environ = {"RUNTIME_DIRECTORY": str(tmp_path)}
    (tmp_path / FILE).write_text("20")
    sender = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM))
    signals_before = signal.pthread_sigmask(signal.SIG_BLOCK, service.END_SIGNALS)     # for the timer's thread too
    sender.start()
    try:
        assert not service.wait_to_start(BackOff(environ))
    finally:
        sender.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, signals_before)
    assert BackOff(environ).begin() == 0.0


def test_a_start_that_waited_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(signal, "sigtimedwait", lambda signals, seconds: waited.append(seconds))
    (tmp_path / FILE).write_text("4")
    assert service.wait_to_start(BackOff({"RUNTIME_DIRECTORY": str(tmp_path)}))
    assert waited == [4.0]
    assert service.wait_to_start(BackOff({}))
    assert waited == [4.0]
