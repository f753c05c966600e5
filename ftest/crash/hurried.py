"""A server in a hurry, as a process: ftest/crash/fastserver.py, with the next one loaded while one runs."""
from __future__ import annotations

import json
import subprocess
import sys

from ftest.harness.serverprocess import ROOT, ServerProcess


class FastServer(ServerProcess):
    """A server in a hurry. While it runs, the next one loads its modules."""

    spare: subprocess.Popen[bytes] | None = None

    def _spawn(self) -> subprocess.Popen[bytes]:
        assert self.process is None, "it runs already"
        self.process, self.spare = self.spare or self._load(), None
        arguments = [text for name, value in self.options.items() for text in (f"--{name}", str(value))]
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(arguments).encode() + b"\n")
        self.process.stdin.close()
        return self.process

    def prepare(self) -> None:
        """Let the next one load."""
        self.spare = self.spare or self._load()

    def _load(self) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "ftest.crash.fastserver"], cwd=ROOT, env=self.environment,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)

    def let_go(self) -> None:
        """End what still runs."""
        if self.process is not None:
            self.kill9()
        if self.spare is not None:
            assert self.spare.stdin is not None
            self.spare.stdin.close()            # it ends by itself then
            self.spare.wait()
            self.spare = None
