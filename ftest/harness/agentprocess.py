"""A real istat-agent as a process that forwards: its local port, its spool, its log.

    with AgentProcess(tmp_path, [f"127.0.0.1:{server.stat_port}"]) as agent:
        Generator("a", lambda: agent.stat_port)

Of its own collectors it runs only `agent`, for what others report is no test's business here.
"""
from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from ftest.harness.serverprocess import START_SECONDS, DaemonProcess
from tests.ports import own_port


class AgentProcess(DaemonProcess):
    """One agent over one spool, which keeps its port. `options` are flags without dashes, as of ServerProcess."""

    what = "agent"

    def __init__(self, folder: Path, forward: Sequence[str] | None, **options: object) -> None:
        """`forward`: None where a settings file says it."""
        self.spool = Path(folder) / "spool"
        ours: dict[str, object] = {
            "spool": self.spool, "stat-port": own_port(), "host": "web1", "enable": "agent", "plugin-dir": "",
            "interval": 1}
        if forward is not None:
            ours["forward"] = ",".join(forward)
        super().__init__(folder, "istat_agent.main", ours, options)
        self.stat_port = int(str(self.options["stat-port"]))

    def start(self) -> Self:
        """Start it, and wait until its port is open."""
        process = self._spawn()
        end = time.monotonic() + START_SECONDS
        while not self._listens():
            assert process.poll() is None and time.monotonic() < end, f"the agent did not start:\n{self.log()}"
            time.sleep(0.02)
        return self

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.stat_port), timeout=1).close()
        except OSError:
            return False
        return True
