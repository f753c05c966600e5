"""What the service manager says of our services on this machine; nothing, where there is none. Knows no server."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

SERVER, AGENT = "istat-server.service", "istat-agent.service"
RUNS_HERE = "/run/systemd/system"       # sd_booted(3): it is there where systemd is the first process
# It answers at once, or something is wrong with it [s].
TIMEOUT = 3.0


@dataclass(frozen=True)
class Unit:
    """A service that is known here. `state` in systemd's words: active, inactive, failed, activating ..."""

    name: str
    state: str
    result: str

    @property
    def active(self) -> bool:
        """Whether it runs."""
        return self.state == "active"


def units(names: tuple[str, ...] = (SERVER, AGENT)) -> list[Unit]:
    """Those of our services that are installed here. Never raises: without an answer there are none."""
    if not os.path.isdir(RUNS_HERE) or shutil.which("systemctl") is None:
        return []
    command = ["systemctl", "show", "--property=Id,LoadState,ActiveState,Result", *names]
    try:
        answer = subprocess.run(command, capture_output=True, encoding="utf-8",
                                errors="replace", timeout=TIMEOUT, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = []
    for block in answer.split("\n\n"):
        told = dict(line.partition("=")[::2] for line in block.splitlines())
        if told.get("LoadState") == "loaded":
            found.append(Unit(told.get("Id", ""), told.get("ActiveState", ""), told.get("Result", "")))
    return found
