"""What `istat-agent new` writes works as it is, and so does its test; nothing that is there is lost."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from istat.access import dropin
from istat.plugin import API_VERSION
from istat_agent.control import commands

ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3])}


def new(folder: Path, *words: str) -> int:
    return commands.main(["new", "--folder", str(folder), "--plugin-dir", str(folder / "d"), *words])


def passes(test: Path) -> str:
    """Run a test as its author is told to."""
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test.name], cwd=test.parent,
                          env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sends(what: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines that `try` says would be sent, without times and values."""
    capsys.readouterr()
    assert commands.main(["try", "--here", "--json", str(what), "--host", "web1"]) == 0
    answer = json.loads(capsys.readouterr().out)
    return [line.split()[0] for job in answer["jobs"] for line in job["lines"]]


def test_a_python_file_and_its_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new(tmp_path, "mails") == 0
    told = capsys.readouterr().out
    plugin, test = tmp_path / "mails.py", tmp_path / "test_mails.py"
    for words in ("istat-agent try ", "mails.py", f"python3 -m pytest {os.path.relpath(test)}", f"{tmp_path}/d/"):
        assert words in told
    assert f'ISTAT_API = "{API_VERSION}"' in plugin.read_text()
    assert "2 passed" in passes(test)
    assert sends(plugin, capsys) == ["mails.files^host.web1"]


def test_a_script_and_its_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new(tmp_path, "mails", "--script") == 0
    assert "install -m 755" in capsys.readouterr().out
    plugin = tmp_path / "mails"
    assert stat.S_IMODE(plugin.stat().st_mode) & 0o111
    assert "1 passed" in passes(tmp_path / "test_mails.py")
    assert sends(plugin, capsys) == ["exec.mails.seconds^host.web1", "mails.files^host.web1", "*mails.runs^host.web1"]


def test_a_file_hides_no_module_of_pythons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new(tmp_path, "queue", "--json") == 0
    written = json.loads(capsys.readouterr().out)
    assert written == {"plugin": str(tmp_path / "queue_plugin.py"), "test": str(tmp_path / "test_queue_plugin.py")}
    assert "2 passed" in passes(tmp_path / "test_queue_plugin.py")
    assert sends(tmp_path / "queue_plugin.py", capsys) == ["queue.files^host.web1"]


def test_in_a_drop_in_folder_the_test_is_no_plugin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    assert commands.main(["new", "mails", "--folder", str(folder), "--plugin-dir", str(folder)]) == 0
    assert "it is in a drop-in folder" in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == ["mails.py", "test_mails.py"]
    assert dropin.python_files([str(folder)]) == [str(folder / "mails.py")]
    assert "2 passed" in passes(folder / "test_mails.py")


def test_nothing_is_written_over_and_nothing_by_halves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mails.py").write_text("mine")
    assert new(tmp_path, "mails") == 2
    assert f"{tmp_path}/mails.py is there already" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("mails.py", "mine")]
    (tmp_path / "mails.py").rename(tmp_path / "test_mails.py")
    assert new(tmp_path, "mails") == 2
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("test_mails.py", "mine")]
    (tmp_path / "news.py").symlink_to(tmp_path / "elsewhere")
    assert new(tmp_path, "news") == 2
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(("name", "hint"), [
    ("Bad-Name", "such as bad_name"), ("../x", "such as x"), ("9", ""), ("", ""), ("x" * 61, f"such as {'x' * 60}"),
    ("cpu", "there is a built-in")])
def test_names_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, hint: str) -> None:
    assert new(tmp_path, name) == 2
    assert hint in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new(tmp_path / "missing", "mails") == 1
    assert "cannot be written: No such file or directory" in capsys.readouterr().err
