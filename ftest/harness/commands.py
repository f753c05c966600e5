"""`istat` as users type it, asked of a server of a test's."""
from __future__ import annotations

import subprocess
import sys

from ftest.harness.serverprocess import ROOT, START_SECONDS, ServerProcess


def istat(server: ServerProcess, *words: str, admin_token: str = "") -> subprocess.CompletedProcess[str]:
    """A command to its end, with the admin token in the environment."""
    return subprocess.run([sys.executable, "-m", "istat.cli.command", *words, "--server", server.url], cwd=ROOT,
                          text=True, capture_output=True, timeout=START_SECONDS,
                          env={**server.environment, "ISTAT_ADMIN_TOKEN": admin_token})
