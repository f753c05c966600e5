"""What a service manager does for a server's sockets: it keeps them, and passes them on at the next start.

sd_notify(3) (`FDSTORE`) and sd_listen_fds(3), as systemd does both; it starts nothing itself.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from ftest.harness.serverprocess import ServerProcess

# Descriptors are numbered from 3 on for the server, whatever they were here; then this process becomes the server.
PASS_ON = """\
import fcntl, os, sys
given = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in sys.argv[1].split(",")]
os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), str(len(given))
for place, one in enumerate(given, 3):
    os.dup2(one, place)
    os.close(one)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class Manager:
    """Keeps the sockets of one server."""

    def __init__(self, folder: Path) -> None:
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.path = folder / "notify"
        self._notify.bind(str(self.path))
        self._notify.setblocking(False)
        self.kept: dict[str, int] = {}      # name -> descriptor

    def listen(self) -> None:
        """Take what the server has said until now."""
        while True:
            try:
                said, descriptors, _, _ = socket.recv_fds(self._notify, 4096, 16)
            except BlockingIOError:
                return
            words = dict(line.partition("=")[::2] for line in said.decode().splitlines())
            if words.get("FDSTORE") == "1":
                self.kept[words["FDNAME"]] = descriptors[0]

    def pass_on(self, server: ServerProcess) -> None:
        """The server's next start gets all that is kept."""
        descriptors = list(self.kept.values())
        server.pass_fds = tuple(descriptors)
        server.environment["LISTEN_FDNAMES"] = ":".join(self.kept)
        server.command = [sys.executable, "-c", PASS_ON, ",".join(map(str, descriptors)), "-m", "istat_server.main"]

    def close(self) -> None:
        """Let go of everything."""
        self._notify.close()
        for descriptor in self.kept.values():
            os.close(descriptor)
