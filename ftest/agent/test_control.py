"""`istat-agent plugins`, `reload`, `try` and `new` with a real agent, from nothing to a plugin that runs."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ports import own_port

pytestmark = pytest.mark.seconds(25)
ROOT = Path(__file__).parents[2]
SOON = 30.0  # seconds that a busy machine may need for anything here


def istat_agent(*words: object, status: int = 0) -> str:
    """What the command says, which ends with this status."""
    done = subprocess.run([sys.executable, "-m", "istat_agent.main", *map(str, words)], cwd=ROOT, text=True,
                          capture_output=True, timeout=120)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert done.returncode == status, said
    return done.stdout if status == 0 else said


class Agent:
    """An agent with a settings file, a drop-in folder and a control socket."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.drop_ins, self.control = folder, folder / "d", folder / "control"
        self.drop_ins.mkdir(mode=0o755)
        self.file = folder / "agent.toml"
        self.set()
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def set(self, text: str = "") -> None:
        """Write the settings file."""
        self.file.write_text(f'server = "127.0.0.1:{own_port()}"\ncontrol-path = "{self.control}"\nhost = "web1"\n'
                             f'interval = 1\nplugin-dir = ["{self.drop_ins}"]\ndisable = ["pagecache"]\n{text}')
        self.file.chmod(0o644)

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "istat_agent.main", "--config", str(self.file)],
                                            cwd=ROOT, stdout=log, stderr=log)
        self.until(self._listens, "it listens")
        return self.process

    def _listens(self) -> bool:
        """Whether somebody does; a dead agent leaves the socket's file."""
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(os.fspath(self.control))
            except OSError:
                return False
        return True

    def ask(self, command: str, *words: object, status: int = 0) -> str:
        return istat_agent(command, *words, "--config", self.file, status=status)

    def told(self, command: str, *words: object) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask(command, *words, "--json"))
        return found

    def states(self) -> dict[str, dict[str, Any]]:
        """What is told of each plugin, by name."""
        return {one["name"]: one for one in self.told("plugins")["plugins"]}

    def until(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + SOON
        while not condition():
            assert time.monotonic() < end, f"not within {SOON:g} s: {what}\n{self.log.read_text()}"
            time.sleep(0.1)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    one = Agent(tmp_path)
    yield one
    if one.process is not None and one.process.poll() is None:
        one.process.kill()
        one.process.wait()


def test_from_a_new_plugin_to_one_that_runs(agent: Agent) -> None:
    process = agent.start()
    assert stat.S_IMODE(agent.control.stat().st_mode) == 0o600
    agent.ask("new", "mails", "--folder", agent.folder)
    tried = agent.ask("try", agent.folder / "mails.py")
    sent = re.search(r"^ *mails\.files\^host\.web1 (\d+) \d+$", tried, re.MULTILINE)
    assert sent is not None and 0 <= time.time() - int(sent[1]) < SOON, tried
    assert f"Run by the agent (process {process.pid}) as the user " in tried
    assert "mails" not in agent.states(), "trying is not running"
    (agent.folder / "mails.py").rename(agent.drop_ins / "mails.py")
    agent.until(lambda: agent.states().get("mails", {}).get("samples"), "it runs, without a restart")
    found = agent.states()
    assert (found["mails"]["state"], found["mails"]["names"], found["mails"]["errors"]) == ("runs", 1, 0)
    assert found["mails"]["own"] is False and found["cpu"]["own"] is True
    assert found["mails"]["last_run"] <= time.time() and found["mails"]["cpu_ms"] >= 0
    assert found["pagecache"]["state"] == "off"
    table = agent.ask("plugins")
    assert f"istat-agent {agent.told('plugins')['agent']['version']}, process {process.pid}, user " in table
    assert any(line.startswith("mails ") and line.endswith(f"{agent.drop_ins}/mails.py")
               for line in table.splitlines())
    process.send_signal(signal.SIGTERM)
    assert process.wait(SOON) == 0
    assert not agent.control.exists()
    assert "no agent listens" in agent.ask("plugins", status=120)


def test_a_reload_says_what_was_exchanged_and_wrong_settings_change_nothing(agent: Agent) -> None:
    for name in ("queue", "mails"):
        istat_agent("new", name, "--script", "--folder", agent.drop_ins)
    agent.start()
    agent.until(lambda: "exec:mails" in agent.states(), "scripts run")
    istat_agent("new", "news", "--folder", agent.folder)
    agent.set("aggregate = true\n[plugins.cpu]\ninterval = 2\n")
    (agent.drop_ins / "mails").unlink()
    (agent.drop_ins / "test_mails.py").unlink()
    (agent.folder / "news.py").rename(agent.drop_ins / "news.py")
    told = agent.told("reload")
    assert set(told["settings"]) == {"aggregate", "server"}
    assert (told["changed"], told["waiting"], told["problems"]) == (["cpu"], [], [])
    # Where the command took long to begin, the agent has seen it itself, and said so.
    seen = "added news; removed exec:mails" in agent.log.read_text()
    assert (told["added"], told["removed"]) == (([], []) if seen and not told["added"] else (["news"], ["exec:mails"]))
    agent.set("intervall = 5\n")
    said = agent.ask("reload", status=78)
    assert "'intervall' is no setting of istat-agent (did you mean 'interval'?)" in said
    assert agent.states()["cpu"]["interval"] == 2, "it goes on as it was"
    agent.set("aggregate = true\n[plugins.cpu]\ninterval = 2\n")
    (agent.drop_ins / "broken.py").write_text("import no_such_database\n")
    assert "no_such_database" in agent.ask("reload", status=86)
    assert agent.states()["broken"]["state"] == "refused"


def test_who_says_nothing_and_who_listens_there_already(agent: Agent) -> None:
    agent.start()
    silent = [socket.socket(socket.AF_UNIX) for _ in range(12)]
    for one in silent:
        one.connect(os.fspath(agent.control))
    assert agent.states()["cpu"]["state"] == "runs"
    for one in silent:
        one.close()
    said = istat_agent("--config", agent.file, status=87)
    assert f"{agent.control} is in use by another process" in said
    assert agent.states()["cpu"]["state"] == "runs"
    assert agent.process is not None
    agent.process.kill()
    agent.process.wait()
    assert agent.control.exists()
    process = agent.start()
    assert f"process {process.pid}, " in agent.ask("plugins"), "the next agent has taken its place"
