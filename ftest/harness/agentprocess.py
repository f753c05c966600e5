"""A real istat-agent as a process that forwards: its local port, its spool, its log.

    with AgentProcess(tmp_path, [f"127.0.0.1:{server.stat_port}"]) as agent:
        Generator("a", lambda: agent.stat_port)

Of its own collectors it runs only `agent`, for what others report is no test's business here.
"""
from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from ftest.harness.serverprocess import ROOT, START_SECONDS, STOP_SECONDS
from tests.ports import own_port


class AgentProcess:
    """One agent over one spool; may be killed and started again, and keeps its port. `options` are flags without
    dashes, as of ServerProcess."""

    def __init__(self, folder: Path, forward: Sequence[str] | None, **options: object) -> None:
        """`forward`: None where a settings file says it."""
        self.folder = Path(folder)
        self.spool = self.folder / "spool"
        self.log_path = self.folder / "agent.log"
        self.options: dict[str, object] = {
            "spool": self.spool, "stat-port": own_port(), "host": "web1", "enable": "agent", "plugin-dir": "",
            "interval": 1}
        if forward is not None:
            self.options["forward"] = ",".join(forward)
        self.options.update({name.replace("_", "-"): value for name, value in options.items()})
        self.stat_port = int(str(self.options["stat-port"]))
        self.command = [sys.executable, "-m", "istat_agent.main"]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.environment = {**os.environ, "PYTHONPATH": path}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> AgentProcess:
        """Start it, and wait until its port is open."""
        assert self.process is None, "it runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [*self.command]
        for name, value in self.options.items():
            command += [f"--{name}", str(value)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while not self._listens():
            assert self.process.poll() is None and time.monotonic() < end, f"the agent did not start:\n{self.log()}"
            time.sleep(0.02)
        return self

    def terminate(self) -> int:
        """SIGTERM, and wait: the exit code."""
        return self._end(signal.SIGTERM)

    def kill9(self) -> None:
        """SIGKILL: what is not in the kernel's hands by now is lost."""
        self._end(signal.SIGKILL)

    def restart(self, *, kill: bool = False) -> AgentProcess:
        """End it (gently, unless `kill`) and start it over the same spool, on the same port."""
        if kill:
            self.kill9()
        else:
            assert self.terminate() == 0, self.log()
        return self.start()

    def __enter__(self) -> AgentProcess:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        code = self.terminate() if self.process is not None else 0
        if kind is None:
            assert code == 0, f"the agent ended with {code}:\n{self.log()}"
            assert "Traceback" not in self.log(), self.log()

    def log(self) -> str:
        """Everything it has said, over all its starts."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.stat_port), timeout=1).close()
        except OSError:
            return False
        return True

    def _end(self, number: int) -> int:
        process, self.process = self.process, None
        assert process is not None, "it does not run"
        process.send_signal(number)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the agent did not end within {STOP_SECONDS:g} s:\n{self.log()}") from None
