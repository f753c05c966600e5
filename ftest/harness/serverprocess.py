"""A real istat-server as a process, for functional tests: free loopback ports, a store folder, its log.

    with ServerProcess(tmp_path) as server:
        server.send_tcp(b"a.b 1\n")
        requests.get(server.url + "/api/v1/names")

It starts only what it ends itself, by process id. Leaving the block ends the server and fails the test when
the server's log holds a traceback.
"""
from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

ROOT = Path(__file__).parents[2]
START_SECONDS = 30.0        # a loaded machine that builds or tests other things at once
STOP_SECONDS = 60.0
READY = re.compile(r"istat-server ready stat-port=(\d+) http-port=(\d+)")


def now_bucket() -> int:
    """The start [s] of the last finest bucket that is surely over."""
    return int(time.time()) // 10 * 10 - 20


class DaemonProcess:
    """A daemon of ours over its folder, which may be ended and started again. `options` are flags without dashes."""

    what = ""                   # it is called in sentences

    def __init__(self, folder: Path, module: str, options: dict[str, object], given: dict[str, object]) -> None:
        """`module`: its main program; `given`: options by names with underscores, which replace others."""
        self.folder = Path(folder)
        self.log_path = self.folder / f"{self.what}.log"
        self.options = {**options, **{name.replace("_", "-"): value for name, value in given.items()}}
        self.command = [sys.executable, "-m", module]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.environment = {**os.environ, "PYTHONPATH": path}
        self.pass_fds: tuple[int, ...] = ()         # descriptors that it inherits
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it and wait until it is ready. AssertionError with the log otherwise."""
        raise NotImplementedError

    def terminate(self) -> int:
        """SIGTERM, and wait: the exit code."""
        return self._end(signal.SIGTERM)

    def kill9(self) -> None:
        """SIGKILL: what is not in the kernel's hands by now is lost."""
        self._end(signal.SIGKILL)

    def restart(self, *, kill: bool = False) -> Self:
        """End it (gently, unless `kill`) and start it over the same folder; free ports are chosen anew."""
        if kill:
            self.kill9()
        else:
            assert self.terminate() == 0, self.log()
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        code = self.terminate() if self.process is not None else 0
        if kind is None:
            assert code == 0, f"the {self.what} ended with {code}:\n{self.log()}"
            self.assert_no_traceback()

    def log(self) -> str:
        """Everything it has logged, over all its starts."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def assert_no_traceback(self) -> None:
        """AssertionError when its log has one."""
        assert "Traceback" not in self.log(), self.log()

    def _spawn(self) -> subprocess.Popen[bytes]:
        assert self.process is None, "it runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        command = list(self.command)
        for name, value in self.options.items():
            command += [f"--{name}", str(value)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.environment,
                                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                                            pass_fds=self.pass_fds)
        return self.process

    def _end(self, number: int) -> int:
        process, self.process = self.process, None
        assert process is not None, "it does not run"
        process.send_signal(number)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the {self.what} did not end within {STOP_SECONDS:g} s:\n{self.log()}") from None
        finally:
            assert process.stdout is not None
            process.stdout.close()


class ServerProcess(DaemonProcess):
    """One server over one store folder; may be ended and started again. `options` are flags without dashes:
    ServerProcess(tmp_path, retention="10s:1h", flush=5)."""

    what = "server"

    def __init__(self, folder: Path, *, environment: dict[str, str] | None = None, ca: Path | None = None,
                 token: str = "", **options: object) -> None:
        """`ca`: whom to believe, where it speaks TLS; `token`: what questions are sent with."""
        self.scheme = "https" if ca else "http"
        self.ask: dict[str, Any] = {"verify": str(ca) if ca else True,
                                    "headers": {"Authorization": f"Bearer {token}"} if token else {}}
        self.store = Path(folder) / "store"
        super().__init__(folder, "istat_server.main", {"stat-port": 0, "http-port": 0, "store": self.store}, options)
        self.environment |= environment or {}
        self.ready_line = ""        # what it said of itself on standard output
        self.stat_port = 0
        self.http_port = 0

    # -- life

    def start(self) -> Self:
        """Start it and wait until it is ready and /health says so. AssertionError with the log otherwise."""
        self._spawn()
        self.ready_line = self._first_line()
        found = READY.match(self.ready_line)
        assert found, f"the server did not become ready:\n{self.log()}"
        self.stat_port, self.http_port = int(found[1]), int(found[2])
        self.wait_until(self.healthy, "the server is healthy", START_SECONDS)
        return self

    def start_expecting_failure(self) -> tuple[int, str]:
        """Start it where it cannot start: its exit code, and what it said on standard error."""
        process = self._spawn()
        code = process.wait(START_SECONDS)
        self.process = None
        return code, self.log()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    # -- talking to it

    @property
    def url(self) -> str:
        """Of the HTTP server, without a slash at the end."""
        return f"{self.scheme}://127.0.0.1:{self.http_port}"

    def get(self, path: str, **params: object) -> Any:
        """The JSON that a path answers; AssertionError for any status but 200."""
        answer = requests.get(self.url + path, params=params, timeout=10, **self.ask)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}\n{self.log()}"
        return answer.json()

    def post(self, path: str, body: object) -> Any:
        """The JSON that a path answers to a JSON body; AssertionError for any status but 200."""
        answer = requests.post(self.url + path, json=body, timeout=10, **self.ask)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}\n{self.log()}"
        return answer.json()

    def connect(self) -> socket.socket:
        """A TCP connection to the stat port."""
        return socket.create_connection(("127.0.0.1", self.stat_port), timeout=10)

    def send_tcp(self, data: bytes) -> None:
        """Send bytes over a connection of their own."""
        with self.connect() as sock:
            sock.sendall(data)

    def send_udp(self, data: bytes) -> None:
        """Send one datagram."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(data, ("127.0.0.1", self.stat_port))

    def ingest(self) -> dict[str, Any]:
        """The ingest figures of /api/v1/status."""
        found: dict[str, Any] = self.get("/api/v1/status")["ingest"]
        return found

    def refused(self) -> dict[str, int]:
        """What it refused so far, by kind; kinds without any left out."""
        return {kind: count for kind, count in self.get("/api/v1/status")["refused"].items() if count}

    def values(self, name: str, start: int, end: int, column: str = "sum") -> list[float | None]:
        """One column of one counter's buckets in [start, end), at the level /api/v1/series chooses."""
        answer = self.get("/api/v1/series", name=name, to=end, columns=column, **{"from": start})
        found: list[float | None] = answer["series"][0][column]
        return found

    def healthy(self) -> bool:
        """Whether /health says ok."""
        try:
            answer = requests.get(self.url + "/health", timeout=5, **self.ask)
        except requests.RequestException:
            return False
        return answer.status_code == 200 and answer.json() == {"status": "ok"}

    def wait_until(self, condition: Callable[[], object], what: str, seconds: float = 10.0) -> None:
        """Poll until the condition holds; AssertionError with the log when it does not in time."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds:g} s: {what}\n{self.log()}"
            time.sleep(0.02)

    def wait_for_samples(self, count: int) -> None:
        """Poll until it has taken so many samples since its start."""
        self.wait_until(lambda: self.ingest()["samples"] >= count, f"{count} samples are taken")

    # -- what it said and uses

    def resident_bytes(self) -> int:
        """Its resident memory now."""
        assert self.process is not None
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    # -- inside

    def _first_line(self) -> str:
        assert self.process is not None and self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        return self.process.stdout.readline().decode() if readable else ""
