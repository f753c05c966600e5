"""A server process under test: start it, and read from /proc what it costs. Knows no protocol."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

TICK = os.sysconf("SC_CLK_TCK")  # [ticks per s] unit of the times in /proc/PID/stat
QUIET_SHARE = 0.03  # of one core
START_LIMIT = 60.0  # [s]
STOP_LIMIT = 120.0  # [s]


class BenchError(Exception):
    """A measurement that cannot be made; the text says what is missing and what to do."""


# What one mode may meet when a server is missing, dies or answers otherwise than expected; the others go on.
FAILURES = (BenchError, OSError, LookupError, ValueError, TypeError)


def free_port() -> int:
    """A port of the loopback address that was free a moment ago, TCP and UDP, and that the kernel gives to nobody.

    It lies below those that Linux chooses from, at random, so that of two measurements at once each has its own.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, suppress(OSError):
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port


class Process:
    """One server process and its descendants."""

    quiet_span = 2.0  # [s] how long it must stay below QUIET_SHARE to count as quiet

    def __init__(self, argv: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> None:
        self._log: IO[bytes] = log.open("ab")
        self.log = log
        self.started = time.monotonic()
        self._popen = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        self.pid = self._popen.pid

    def line(self) -> str:
        """The next line of standard output, without its end; raises BenchError when there is none."""
        assert self._popen.stdout is not None
        text = self._popen.stdout.readline().decode(errors="replace").strip()
        if not text:
            self.stop()
            raise BenchError(f"the server said nothing; its log {self.log} ends: {self.tail()}")
        return text

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-600:]

    def alive(self) -> bool:
        return self._popen.poll() is None

    def wait_for(
        self, ready: Callable[[], bool], what: str, limit: float = START_LIMIT, pause: float = 0.005
    ) -> None:
        """Polls `ready` until it holds; raises BenchError after `limit` seconds or when the process ends."""
        end = time.monotonic() + limit
        while not ready():
            if not self.alive() or time.monotonic() > end:
                raise BenchError(f"{what}: not within {limit:.0f} s; the log {self.log} ends: {self.tail()}")
            time.sleep(pause)

    def pids(self) -> list[int]:
        found = [self.pid]
        for pid in found:  # grows while it is walked: children of children
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                found.extend(int(child) for child in task.read_text().split())
        return found

    def cpu(self) -> float:
        """User and system seconds so far, of this process, its children and those it has waited for."""
        total = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(field) for field in fields[11:15])  # utime stime cutime cstime, proc(5)
        return total / TICK

    def quiet(self, limit: float = 180.0) -> float:
        """Waits until it has been below 3 % of a core for `quiet_span`; returns the CPU seconds so far."""
        end = time.monotonic() + limit
        window: list[tuple[float, float]] = []
        while True:
            now, cpu = time.monotonic(), self.cpu()
            window.append((now, cpu))
            old = [point for point in window if point[0] <= now - self.quiet_span]
            if old:
                window = window[len(old) - 1 :]
                if cpu - old[-1][1] < QUIET_SHARE * (now - old[-1][0]):
                    return cpu
            if now > end:
                raise BenchError(f"process {self.pid} was not quiet within {limit:.0f} s")
            time.sleep(0.1)

    def _status(self, field: str) -> int:
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(field):
                    total += int(line.split()[1]) * 1024
        return total

    def rss(self) -> int:
        """Resident bytes now."""
        return self._status("VmRSS:")

    def rss_peak(self) -> int:
        """The most resident bytes that it ever had."""
        return self._status("VmHWM:")

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Ends the process; returns all CPU seconds it used, the work of a clean stop included."""
        if not self.alive():
            return 0.0
        os.kill(self.pid, number)
        end = time.monotonic() + STOP_LIMIT
        while True:
            pid, _, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.01)
        self._popen.returncode = 0
        if self._popen.stdout is not None:
            self._popen.stdout.close()
        self._log.close()
        return usage.ru_utime + usage.ru_stime


def udp_drops(port: int) -> int:
    """Datagrams that the kernel dropped at the sockets bound to this port (/proc/net/udp, last column)."""
    total = 0
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        if not os.path.exists(table):
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port:
                total += int(fields[-1])
    return total


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file below `folder`, by its path relative to it (apparent size)."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def fresh(folder: Path) -> Path:
    """An empty folder of this name."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
