"""The server's signs of life to its service manager, which this stands in for: how far apart they are.

A greenlet of the server's event loop gives them, so a sign that is late is the time that the loop did not turn.
"""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

INTERVAL = 0.05  # [s] half of what the server is told that it may take


class Signs:
    """Listens, from the beginning to `close`."""

    def __init__(self, folder: Path) -> None:
        path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(round(2e6 * INTERVAL))}
        self._times: list[float] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                said = self._socket.recv(4096)
            except OSError:
                return
            if not said:
                return
            if b"WATCHDOG=1" in said:
                self._times.append(time.monotonic())

    def longest(self, begin: float, end: float) -> float:
        """Seconds by which the latest sign of a span was late."""
        times = [begin, *(at for at in list(self._times) if begin < at < end), end]
        return max(0.0, max(b - a for a, b in zip(times, times[1:], strict=False)) - INTERVAL)

    def close(self) -> None:
        """Listen no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
