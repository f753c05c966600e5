"""What quickstart.sh and runtests.sh share, in a folder where nothing was made yet."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import own_port

ROOT = Path(__file__).parent.parent
SHARED = ROOT / "packaging/setup-machine.sh"


def test_first_start_is_not_silent(tmp_path: Path) -> None:
    """Under `set -e`, as quickstart.sh has it, a stamp that is not there yet must not end the script."""
    (tmp_path / "setup.py").touch()
    python = tmp_path / "no-python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    script = f"set -eu; PYTHON={python}; . {SHARED}; python_stamp() {{ echo 1; }}; prepare_python"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert "Building istatd in .venv" in done.stdout
    assert "Could not make the virtual environment" in done.stderr
    assert done.returncode == 1


def test_missing_package_lock_is_not_the_end(tmp_path: Path) -> None:
    (tmp_path / ".venv/bin").mkdir(parents=True)
    script = f"set -eu; . {SHARED}; prepare_page; echo went on"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert "will show no charts" in done.stdout
    assert done.stdout.endswith("went on\n")


def test_what_the_environment_is_made_from_is_in_its_stamp(tmp_path: Path) -> None:
    """A new dependency in pyproject.toml, as after a pull, is installed."""
    native = tmp_path / "istat/kernels/native"
    native.mkdir(parents=True)
    preload = tmp_path / "istat/pagecache/preload/advice.c"
    preload.parent.mkdir(parents=True)
    files = [tmp_path / "setup.py", tmp_path / "pyproject.toml", native / "loop.pyx", native / "loop.pxd", preload]
    for file in files:
        file.write_text("one")

    def stamp() -> str:
        script = f"set -eu; . {SHARED}; python_stamp dev"
        return subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=30,
                              check=True).stdout

    seen = {stamp()}
    for file in files:
        file.write_text("two")
        seen.add(stamp())
    assert len(seen) == 1 + len(files)


@pytest.mark.parametrize(("stat", "http", "said"), [
    ("abc", "8000", "ISTAT_STAT_PORT='abc' is no port"), ("", "99999", "ISTAT_HTTP_PORT='99999' is no port"),
    ("0", "8000", "ISTAT_STAT_PORT='0' is no port")])
def test_what_is_no_port_is_a_sentence(stat: str, http: str, said: str) -> None:
    text = (ROOT / "quickstart.sh").read_text()
    check = text.partition("<<'END' || exit 1\n")[2].partition("\nEND\n")[0]
    found = subprocess.run([sys.executable, "-", stat or str(own_port()), http], input=check, capture_output=True,
                           text=True, timeout=60)
    assert found.returncode == 1
    assert found.stderr == f"{said}; give it a number from 1 to 65535.\n"


def test_quickstart_has_its_usual_ports_and_place() -> None:
    lines = (ROOT / "quickstart.sh").read_text().splitlines()
    assert {"STAT_PORT=${ISTAT_STAT_PORT:-8111}", "HTTP_PORT=${ISTAT_HTTP_PORT:-8000}",
            "DATA=${ISTAT_DATA:-./istat-data}"} <= set(lines)
