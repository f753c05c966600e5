"""The zoo: plugins and scripts that do all that they should not, together, in one agent.

The agent's own collectors lose nothing by it, its memory stays as it is, well-behaved plugins go on, and no process of
any of them is left when the agent has ended, in whatever way.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.seconds(90)
ROOT = Path(__file__).parents[2]
SOON = 60.0  # seconds that a busy machine may need for anything here
INTERVAL = 5  # seconds of all collectors
SETTLED, WATCHED = 4, 4  # intervals until all have been dealt with, and in which memory is looked at then
GROWTH = 6 * 1024  # kB that the agent may grow meanwhile: what lies free of a flood is now more, now less

HEAD = "import ctypes, os, signal, subprocess, sys, threading, time\nfrom istat.plugin import collector\n"
PLUGINS = {
    "sleeps": "time.sleep(600)",
    "spins": "while True: pass",
    "waits": "threading.Event().wait()",
    "deaf": "while True:\n        try: time.sleep(600)\n        except BaseException: pass",
    "forks": "os.fork()\n    emit.gauge('forks.forked', 1)",
    "starts": "subprocess.Popen(['setsid', 'sleep', '600'])\n    emit.gauge('starts.started', 1)",
    "floods": "for n in range(1_000_000): emit.gauge(f'floods.n{n}', n)",
    "names": "for n in range(5_000): emit.gauge(f'names.n{time.time_ns()}', n)",
    "prints": "print('cpu.idle 4711 ' * 1000, flush=True)\n    emit.gauge('prints.printed', 1)",
    "raises": "raise BaseException('whatever')",
    "exits": "sys.exit(3)",
    "ends": "os._exit(3)",
    "kills": "os.kill(os.getpid(), signal.SIGKILL)",
    "holds": "ctypes.PyDLL(None).sleep(600)",
    "good": "emit.gauge('good.pid', os.getpid())",
}
ISOLATED = {
    "leaks": "kept.append(bytearray(64 << 20))\n    emit.gauge('leaks.kept', len(kept))",
    "garbage": "os.write(64, b'garbage, much of it')",
    "wrong": "os.write(64, bytes([0, 0, 0, 9]) + b'[1, 2, 3]')",
    "crashes": "ctypes.string_at(1)",
    "bombs": "while True:\n        try: os.fork()\n        except OSError: time.sleep(0.01)",
    "deserts": "os.fork() or os.setsid() or time.sleep(600)\n    emit.gauge('deserts.left', 1)",
    "calm": "emit.gauge('calm.pid', os.getpid())",
}
IMPORTS = {
    "never": "time.sleep(600)",
    "breaks": "1/0",
    "leaves": "os._exit(4)",
    "unfinished": "def collect(:",
}
SCRIPTS = {
    "hangs": "trap '' TERM HUP\n(setsid sleep 600 &)\nsleep 600",
    "yells": "yes 'cpu.idle 4711'",
    "babbles": "head -c 30000 /dev/urandom",
    "forked": "bomb() { sleep 600 & bomb; }\nbomb",
    "fails": "exit 3",
    "fine": "echo fine.pid $$",
}


class Sink:
    """A server that listens: values by name and time."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.port: int = self._socket.getsockname()[1]
        self.times: dict[str, set[int]] = {}
        self._thread = threading.Thread(target=self._listen)
        self._open = True
        self._thread.start()

    def _listen(self) -> None:
        while self._open:
            try:
                data = self._socket.recv(65536).decode()
            except TimeoutError:
                continue
            for name, when in re.findall(r"^\*?([a-z][^^ ]*)\S* (\d+) ", data, re.MULTILINE):
                if not name.startswith(("floods.", "names.")):
                    self.times.setdefault(name, set()).add(int(when))

    def close(self) -> None:
        self._open = False
        self._thread.join()
        self._socket.close()


class Zoo:
    """An agent with all of them. Whatever it starts has its folder as HOME, by which it is known."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.sink = folder, Sink()
        drop_ins = folder / "d"
        drop_ins.mkdir(mode=0o755)
        for name, body in PLUGINS.items():
            (drop_ins / f"{name}.py").write_text(f"{HEAD}@collector(timeout=1)\ndef collect(emit):\n    {body}\n")
        for name, body in ISOLATED.items():
            (drop_ins / f"{name}.py").write_text(
                f"{HEAD}kept = []\n@collector(timeout=2, isolated=True)\ndef collect(emit):\n    {body}\n")
        for name, body in IMPORTS.items():
            (drop_ins / f"{name}.py").write_text(f"{HEAD}{body}\n@collector()\ndef collect(emit): pass\n")
        for name, body in SCRIPTS.items():
            path = drop_ins / name
            path.write_text(f"#!/bin/sh\n# istat: timeout=2\n{body}\n")
            path.chmod(0o755)
        self.log = folder / "log"
        command = [sys.executable, "-m", "istat_agent.main", "--server", f"127.0.0.1:{self.sink.port}", "--interval",
                   str(INTERVAL), "--plugin-dir", str(drop_ins), "--watchdog", "1", "--host", "zoo",
                   "--control-path", str(folder / "control")]
        environment = {**os.environ, "HOME": str(folder), "RUNTIME_DIRECTORY": str(folder)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment)

    def until(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + SOON
        while not condition():
            assert time.monotonic() < end, f"not within {SOON:g} s: {what}\n{self.log.read_text()[-5000:]}"
            time.sleep(0.05)

    def processes(self) -> list[int]:
        """All that the agent and its plugins have started, and the agent."""
        mark = f"HOME={self.folder}\0".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        return found

    def memory(self) -> int:
        """Of the agent: private, in kB."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return sum(int(size) for size in re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.sink.close()


@pytest.fixture
def zoo(tmp_path: Path) -> Iterator[Zoo]:
    tmp_path.chmod(0o755)
    made = Zoo(tmp_path)
    yield made
    made.close()


def slots(zoo: Zoo, name: str) -> list[int]:
    return sorted(zoo.sink.times.get(name, ()))


def test_the_agent_goes_on_as_if_they_were_not_there(zoo: Zoo) -> None:
    zoo.until(lambda: len(slots(zoo, "cpu.idle")) > SETTLED, "the first readings")
    before, began = zoo.memory(), slots(zoo, "cpu.idle")[-1]
    zoo.until(lambda: slots(zoo, "cpu.idle")[-1] >= began + WATCHED * INTERVAL, "more of them")
    after = zoo.memory()
    log = zoo.log.read_text()

    found = slots(zoo, "cpu.idle")
    assert found == list(range(found[0], found[-1] + 1, INTERVAL)), f"a gap\n{log[-5000:]}"
    assert zoo.process.poll() is None, "the process that was started is the agent"
    assert after - before < GROWTH, f"{before} kB, then {after}"
    last = range(began + INTERVAL, found[-1], INTERVAL)  # when all have been dealt with
    for name in ("good.pid", "calm.pid", "fine.pid", "prints.printed", "forks.forked", "starts.started"):
        assert set(last) <= set(slots(zoo, name)), f"{name}\n{log[-5000:]}"
    assert "holds.py is isolated from now on: the agent stood still while it ran" in log
    assert "Traceback" not in log

    running = zoo.processes()
    assert zoo.process.pid in running and len(running) > 5
    zoo.process.send_signal(signal.SIGTERM)
    assert zoo.process.wait(SOON) == 0
    assert zoo.processes() == [], zoo.log.read_text()[-3000:]


def test_none_outlives_an_agent_that_is_killed(zoo: Zoo) -> None:
    names = ("cpu.idle", "calm.pid", "fine.pid")
    zoo.until(lambda: all(slots(zoo, name) for name in names) and len(zoo.processes()) > 5, "they run")
    zoo.process.kill()
    zoo.process.wait()
    zoo.until(lambda: zoo.processes() == [], "all are gone")
