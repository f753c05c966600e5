"""An agent that a plugin holds up, or ends, goes on: the same process to whoever watches it, the plugin in a child."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from istat.kernels import native_missing
from tests.ports import own_port

pytestmark = pytest.mark.seconds(25)
ROOT = Path(__file__).parents[2]
SOON = 30.0  # seconds that a busy machine may need for anything here
native = pytest.mark.skipif(bool(native_missing()), reason="native kernels not built")

GOOD = """import ctypes, os, pathlib, time
from istat.plugin import collector
@collector(timeout=1)
def collect(emit):
    emit.gauge('it.pid', os.getpid())
"""
LEAKS = GOOD + "    os.kept = [*getattr(os, 'kept', ()), *(os.open('/', os.O_PATH) for _ in range({at_once}))]\n"
HOLDS = GOOD + "    pathlib.Path('{held}').touch()\n    ctypes.PyDLL(None).sleep(600)\n"
CRASHES = GOOD + "    time.sleep(0.2)\n    ctypes.string_at(1)\n"


class Sink:
    """Values by name, the last one first."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]
        self.values: dict[str, list[float]] = {}

    def take(self, name: str) -> list[float]:
        """All that have come since this was asked for."""
        while True:
            try:
                data = self.socket.recv(65536).decode()
            except BlockingIOError:
                return self.values.pop(name, [])
            for found, value in re.findall(r"^\*?([a-z][^^ ]*)\S* \d+ (\S+)", data, re.MULTILINE):
                self.values.setdefault(found, []).append(float(value))


class Agent:
    """An agent with the plugin `it`, a runtime folder, and a socket in place of the service manager."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.folder, self.sink, self.log = folder, Sink(), folder / "log"
        self.held = folder / "held"
        self.plugin = folder / "d" / "it.py"
        self.plugin.parent.mkdir(mode=0o755)
        self.runtime = folder / "run"
        self.runtime.mkdir(mode=0o777)
        self.runtime.chmod(0o777)
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(folder / "notify"))
        os.chmod(folder / "notify", 0o777)
        self.notified.setblocking(False)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, watchdog: float = 0.5, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "istat_agent.main", "--server", f"127.0.0.1:{self.sink.port}", "--interval",
                   "1", "--plugin-dir", str(self.plugin.parent), "--enable", "cpu,it", "--watchdog", str(watchdog),
                   *arguments]
        own = {"RUNTIME_DIRECTORY": str(self.runtime), "NOTIFY_SOCKET": str(self.folder / "notify")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env={**os.environ, **own, **environment})
        return self.process

    def until(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + SOON
        while not condition():
            assert time.monotonic() < end, f"not within {SOON:g} s: {what}\n{self.log.read_text()[-5000:]}"
            time.sleep(0.02)

    def messages(self) -> list[str]:
        """What the service manager is told, since this was asked for."""
        found = []
        while True:
            try:
                found.append(self.notified.recv(4096).decode())
            except BlockingIOError:
                return found

    def goes_on(self, what: str) -> None:
        """Two readings of `cpu`, which has rates at the second one, and one of the plugin, in another process."""
        assert self.process is not None
        self.sink.take("it.pid")
        self.sink.take("cpu.idle")
        self.until(lambda: self.sink.take("cpu.idle"), what)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.notified.close()
        self.sink.socket.close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path)
    yield made
    made.close()


def stamp_of(pid: int) -> str:
    """When a process began: the same number may be another one's later."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def answers(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=SOON) as asking:
        asking.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        return asking.recv(100).startswith(b"HTTP/1.")


@native
def test_it_is_the_same_process_with_the_same_port_and_pid_file(agent: Agent) -> None:
    agent.plugin.write_text(HOLDS.format(held=agent.held))
    port, pid_file = own_port(), agent.folder / "pid"
    process = agent.start("--prometheus-port", str(port), "--pid-file", str(pid_file))
    began = stamp_of(process.pid)
    agent.until(agent.held.exists, "it is held up")
    agent.until(lambda: "it.py is isolated from now on: the agent stood still while it ran" in agent.log.read_text(),
                "it was executed anew")
    agent.goes_on("it collects again")
    assert process.poll() is None and stamp_of(process.pid) == began
    assert "socket listening was handed over" in agent.log.read_text() and answers(port)
    assert pid_file.read_text().split() == [str(process.pid)]
    second = subprocess.run([sys.executable, "-m", "istat_agent.main", "--pid-file", str(pid_file)], cwd=ROOT,
                            capture_output=True, text=True, check=False, timeout=SOON)
    assert f"already running as process {process.pid}" in second.stderr
    assert sum("READY=1" in message for message in agent.messages()) == 2
    assert f'File "{agent.plugin}", line 7 in collect' in agent.log.read_text(), "where it stood"
    process.send_signal(signal.SIGTERM)
    assert process.wait(SOON) == 0 and not pid_file.exists()


@native
def test_a_daemon_goes_on_in_the_background_with_its_log(agent: Agent) -> None:
    agent.plugin.write_text(HOLDS.format(held=agent.held))
    pid_file, log = agent.folder / "pid", agent.folder / "daemon.log"
    process = agent.start("--daemonize", "--pid-file", str(pid_file), "--log-file", str(log))
    assert process.wait(SOON) == 0
    pid = int(pid_file.read_text())
    try:
        agent.until(lambda: "isolated from now on" in log.read_text(), "it was executed anew")
        agent.goes_on("it collects again")
        assert int(pid_file.read_text()) == pid
    finally:
        os.kill(pid, signal.SIGTERM)
    agent.until(lambda: not pid_file.exists(), "it ends")


@native
def test_who_starts_a_daemon_hears_of_it_though_it_stood_still_before_it_was_ready(agent: Agent) -> None:
    agent.plugin.write_text("import ctypes\nctypes.PyDLL(None).sleep(600)\n" + GOOD)
    pid_file, log = agent.folder / "pid", agent.folder / "daemon.log"
    process = agent.start("--daemonize", "--pid-file", str(pid_file), "--log-file", str(log))
    assert process.wait(SOON) == 0
    pid = int(pid_file.read_text())
    try:
        assert "isolated from now on" in log.read_text()
        assert [os.readlink(f"/proc/{pid}/fd/{stream}") for stream in range(3)] == ["/dev/null"] * 3
        agent.goes_on("it collects")
    finally:
        os.kill(pid, signal.SIGTERM)
    agent.until(lambda: not pid_file.exists(), "it ends")


@native
def test_a_word_to_end_that_comes_meanwhile_holds(agent: Agent) -> None:
    agent.plugin.write_text(HOLDS.format(held=agent.held))
    process = agent.start(watchdog=2)
    agent.until(agent.held.exists, "it is held up")
    process.send_signal(signal.SIGTERM)
    assert process.wait(SOON) == 0
    assert "isolated from now on" not in agent.log.read_text()


def test_what_ends_the_agent_runs_in_a_child_of_the_next_one_until_its_file_changes(agent: Agent) -> None:
    agent.plugin.write_text(CRASHES)
    assert agent.start().wait(SOON) == -signal.SIGSEGV
    process = agent.start()
    agent.goes_on("it collects")
    assert "it.py is isolated from now on: the agent ended by a crash while it ran" in agent.log.read_text()
    agent.plugin.write_text(GOOD)
    agent.until(lambda: process.pid in agent.sink.take("it.pid"), "what has changed runs in the agent's own process")
    process.send_signal(signal.SIGTERM)
    assert process.wait(SOON) == 0
    process = agent.start()
    agent.until(lambda: process.pid in agent.sink.take("it.pid"), "a good end leaves no marks")


def test_without_native_kernels_it_ends_with_a_traceback_and_the_next_one_knows(agent: Agent) -> None:
    agent.plugin.write_text(HOLDS.format(held=agent.held))
    assert agent.start(ISTAT_KERNELS="python").wait(SOON) == 1
    assert f'File "{agent.plugin}", line 7 in collect' in agent.log.read_text()
    agent.start(ISTAT_KERNELS="python")
    agent.goes_on("it collects")
    assert "it.py is isolated from now on" in agent.log.read_text()


@native
def test_without_a_runtime_folder_it_knows_as_well(agent: Agent) -> None:
    agent.plugin.write_text(HOLDS.format(held=agent.held))
    process = agent.start(RUNTIME_DIRECTORY="")
    agent.until(lambda: "isolated from now on" in agent.log.read_text(), "it was executed anew")
    agent.goes_on("it collects again")
    assert process.poll() is None


def test_what_a_plugin_leaves_for_the_end_does_not_keep_the_agent(agent: Agent) -> None:
    agent.plugin.write_text(f"import atexit, time\natexit.register(time.sleep, {10 * SOON})\n{GOOD}")
    process = agent.start()
    agent.until(lambda: agent.sink.take("it.pid"), "it collects")
    process.send_signal(signal.SIGTERM)
    assert process.wait(SOON) == 1
    assert "Timeout" in agent.log.read_text(), "it is told where it was"


@pytest.mark.parametrize(("at_once", "told"), [(40, r"\d+ of 600"), (700, "all of its 600")])
def test_a_plugin_that_leaks_descriptors_is_moved_to_a_child(agent: Agent, at_once: int, told: str) -> None:
    """Before there are none left for the agent's own, or when there are none."""
    agent.plugin.write_text(LEAKS.format(at_once=at_once))
    process = agent.start()
    began = stamp_of(process.pid)
    agent.until(lambda: agent.sink.take("it.pid"), "it runs")
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (600, 600))
    agent.until(lambda: re.search(rf"it.py is isolated from now on: the agent had {told} descriptors open",
                                  agent.log.read_text()), "that was seen")
    agent.until(lambda: any(pid != process.pid for pid in agent.sink.take("it.pid")), "it runs in a child")
    agent.goes_on("the agent's own go on")
    assert process.poll() is None and stamp_of(process.pid) == began
    process.send_signal(signal.SIGTERM)
    assert process.wait(SOON) == 0
