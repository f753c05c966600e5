"""Ports for what must be told its port before it is started, or must come back to one that it had.

Everything else takes port 0 and asks which it became.
"""
from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

from istat.daemon.handover import Handover
from istat_server.sockets import HTTP, open_service

FIRST = 20_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ours: set[int] = set()
_locks = -1


def own_port() -> int:
    """A port that nothing uses, by TCP or UDP, and that is this process's as long as it lives.

    The kernel gives it to nobody who binds port 0, for it lies below the range of those; other test processes of
    this user leave it alone, for it is locked: a byte of one file each, since tests count descriptors. OSError when all
    are taken.
    """
    for port in range(FIRST, int(_RANGE.read_text().split()[0])):
        if port in _ours:
            continue
        try:
            _lock(port)
            _try(port)
        except OSError:
            continue
        _ours.add(port)
        return port
    raise OSError("no port is free")


def _lock(port: int) -> None:
    """OSError when another process has it. Our own locks last until we end, or close any descriptor of the file."""
    global _locks
    if _locks < 0:
        _locks = os.open(Path(tempfile.gettempdir()) / f"istat-test-ports-{os.getuid()}.locks",
                         os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    fcntl.lockf(_locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)


def open_http_socket(host: str, port: int, handover: Handover | None = None) -> socket.socket:
    """A socket for HTTP, as a server opens its own; port 0 is one that is free."""
    return open_service({"http-port": port, "http-listen-address": host}, HTTP, handover or Handover())[0]


def _try(port: int) -> None:
    """OSError when something uses it."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.bind(("127.0.0.1", port))
