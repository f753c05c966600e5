"""What scripts of a real agent start ends with their run, and with the agent, in whatever way it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ports import own_port

pytestmark = pytest.mark.seconds(12)
ROOT = Path(__file__).parents[2]
SOON = 20.0  # seconds that a busy machine may need for anything here

# Children in a session of their own, deaf to TERM, without the script's pipes; one of them an orphan from the start.
SCRIPT = """#!/bin/sh
# istat: interval=600 timeout={timeout}
(setsid sh -c 'trap "" TERM HUP INT; echo $$ >> {file}; sleep 300 & echo $! >> {file}; wait' >/dev/null 2>&1 &)
setsid sh -c 'echo $$ >> {file}; exec sleep 300' &
echo $$ >> {file}
sleep 300
"""
CHILDREN = 4  # that such a script has, itself among them

# A function in C that keeps the interpreter: no thread of the agent, and no signal's handler, goes on meanwhile.
HOLDING = """
import ctypes, pathlib, time
from istat.plugin import collector

@collector(timeout=1)
def collect(emit):
    while not all(pathlib.Path(name).exists() for name in {files}):
        time.sleep(0.01)
    pathlib.Path("{held}").touch()
    ctypes.PyDLL(None).sleep(600)
"""


class Agent:
    """An agent with one drop-in folder. It ends with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.drop_ins = folder / "d"
        self.drop_ins.mkdir(mode=0o755)
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def script(self, name: str, timeout: int = 300) -> Path:
        """A script that leaves children behind; the file in which it and they write their numbers."""
        path, file = self.drop_ins / name, self.folder / f"{name}.children"
        path.write_text(SCRIPT.format(timeout=timeout, file=file))
        path.chmod(0o755)
        return file

    def start(self, *enable: str, watchdog: float = 5) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "istat_agent.main", "--server", f"127.0.0.1:{own_port()}", "--interval", "1",
                   "--plugin-dir", str(self.drop_ins), "--enable", ",".join(enable), "--watchdog", str(watchdog)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        return self.process

    def until(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + SOON
        while not condition():
            assert time.monotonic() < end, f"not within {SOON:g} s: {what}\n{self.log.read_text()}"
            time.sleep(0.02)

    def children(self, file: Path) -> list[int]:
        """The processes of a script, once all of them are there."""
        self.until(lambda: file.exists() and len(file.read_text().split()) == CHILDREN, f"all are in {file.name}")
        return [int(word) for word in file.read_text().split()]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    tmp_path.chmod(0o755)
    made = Agent(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if _state(pid) not in ("", "Z", "X")]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def keepers(agent: int) -> list[int]:
    return [int(word) for task in Path(f"/proc/{agent}/task").iterdir()
            for word in (task / "children").read_text().split()]


def test_they_end_with_an_agent_that_is_killed(agent: Agent) -> None:
    file = agent.script("leaves")
    process = agent.start("exec")
    children = agent.children(file)
    ours = keepers(process.pid)
    assert len(ours) == 1 and alive(children) == children
    process.kill()
    process.wait()
    agent.until(lambda: not alive(children + ours), "all are gone")


def test_they_have_ended_when_an_agent_that_was_told_to_end_has(agent: Agent) -> None:
    file = agent.script("leaves")
    process = agent.start("exec")
    children = agent.children(file)
    process.send_signal(signal.SIGTERM)
    assert process.wait(SOON) == 0
    assert alive(children) == []


def test_they_end_with_their_run_and_the_agent_while_a_plugin_holds_the_interpreter(agent: Agent) -> None:
    short, long = agent.script("short", timeout=4), agent.script("long")
    held = agent.folder / "held"
    (agent.drop_ins / "hold.py").write_text(HOLDING.format(files=[str(short), str(long)], held=held))
    process = agent.start("exec", "hold", watchdog=0)
    agent.until(held.exists, "the interpreter is held")
    shorts, longs = agent.children(short), agent.children(long)
    agent.until(lambda: not alive(shorts), "the run ends at its deadline")
    assert alive(longs) == longs
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    assert process.poll() is None, "the interpreter was not held"
    process.kill()
    process.wait()
    agent.until(lambda: not alive(longs), "all are gone")


def test_they_end_when_a_terminal_hangs_up_or_all_are_told_to_end_at_once(agent: Agent) -> None:
    """As a service manager does, which sends SIGTERM to every process of the service."""
    file = agent.script("leaves")
    process = agent.start("exec")
    children = agent.children(file)
    ours = keepers(process.pid)
    wardens = [int(word) for word in Path(f"/proc/{ours[0]}/task/{ours[0]}/children").read_text().split()]
    assert len(wardens) == 1
    for pid in (*wardens, *ours, process.pid):
        os.kill(pid, signal.SIGTERM)
    assert process.wait(SOON) == 0
    agent.until(lambda: not alive(children + ours + wardens), "all are gone")
