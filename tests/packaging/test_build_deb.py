"""packaging/build-deb.sh where it cannot begin; what it builds is ftest/debian/test_packages.py's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SYSTEM = "/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.mark.parametrize(("words", "said"), [
    (["--output"], "--output wants a folder"), (["--output", ""], "--output wants a folder"),
    (["--help"], "usage: sh packaging/build-deb.sh"),
])
def test_wrong_words_are_told(words: list[str], said: str) -> None:
    done = subprocess.run(["sh", ROOT / "packaging/build-deb.sh", *words], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


@pytest.mark.skipif(any(shutil.which(tool, path=SYSTEM) is None for tool in ("apt-get", "git")), reason="not Debian")
def test_what_git_says_is_not_kept_from_the_reader(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "packaging", tmp_path / "packaging", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(["sh", tmp_path / "packaging/build-deb.sh"], capture_output=True, text=True, timeout=30,
                          env={"PATH": SYSTEM, "LC_ALL": "C", "GIT_CEILING_DIRECTORIES": str(tmp_path)})
    assert done.returncode == 1
    assert "not a git repository" in done.stderr
    assert "Packages are built from a clone; what git says stands above." in done.stderr
    assert not (tmp_path / "dist").exists()
