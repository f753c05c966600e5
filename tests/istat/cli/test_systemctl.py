"""What systemd says of our services; where it says nothing sensible there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from istat.cli import systemctl
from istat.cli.systemctl import Unit, units

ANSWER = """\
Result=success
Id=istat-server.service
LoadState=loaded
ActiveState=active

Result=exit-code
Id=istat-agent.service
LoadState=loaded
ActiveState=failed
"""


def command(folder: Path, script: str) -> None:
    (folder / "systemctl").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "systemctl").chmod(0o755)


@pytest.fixture(autouse=True)
def booted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemctl, "RUNS_HERE", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def test_states_of_services(tmp_path: Path) -> None:
    command(tmp_path, f"cat <<'END'\n{ANSWER}END")
    assert units() == [Unit("istat-server.service", "active", "success"),
                       Unit("istat-agent.service", "failed", "exit-code")]
    assert [unit.active for unit in units()] == [True, False]


def test_services_that_are_not_installed_are_left_out(tmp_path: Path) -> None:
    command(tmp_path, "echo Id=istat-agent.service; echo LoadState=not-found; echo ActiveState=inactive")
    assert units() == []


@pytest.mark.parametrize("script", ["exit 1", "echo no bus >&2; exit 1", "printf '\\377='", "sleep 9"])
def test_it_never_fails(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemctl, "TIMEOUT", 0.5)
    command(tmp_path, script)
    assert units() == []


def test_no_systemd_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(tmp_path, f"cat <<'END'\n{ANSWER}END")
    monkeypatch.setattr(systemctl, "RUNS_HERE", str(tmp_path / "nothing"))
    assert units() == []
    monkeypatch.setattr(systemctl, "RUNS_HERE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert units() == []
