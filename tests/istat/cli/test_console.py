"""The program `istat` before there is a command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from istat.cli import console

ROOT = Path(__file__).parents[3]
# Stands for Ctrl-C at the moment when some module that `istat` needs is being loaded.
INTERRUPTED_AT = """
import sys
from istat.cli import console
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
sys.exit(console.main())
"""


@pytest.mark.parametrize("module", ["istat.cli.command", "argparse", "istat.client"])
def test_ctrl_c_while_modules_are_loaded_is_quiet(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED_AT, module], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_it_runs_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["istat", "--version"])
    with pytest.raises(SystemExit, match="0"):
        console.main()
    assert capsys.readouterr().out.startswith("istat ")
