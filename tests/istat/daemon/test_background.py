"""The pid-file, and whom it may name."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from istat.daemon import background
from istat.errors import IstatError


def test_our_own_number_in_a_file_that_was_left_is_nobody_elses(tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container, where each life has the same number; ours may be called as the original's process was."""
    monkeypatch.setattr(background, "ISTATD", re.compile(".*"))
    path = tmp_path / "pid"
    path.write_text(f"{os.getpid()}\n")
    with background.hold(path):
        assert path.read_text() == f"{os.getpid()}\n"
    with subprocess.Popen(["sleep", "60"]) as another:
        path.write_text(f"{another.pid}\n")
        with pytest.raises(IstatError, match=f"is running as process {another.pid}"), background.hold(path):
            pass
        another.kill()
