"""The real agent as a process, sending to a plain UDP socket."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ports import own_port

pytestmark = pytest.mark.seconds(20)
ROOT = Path(__file__).parents[2]
SOON = 20.0  # seconds that a busy machine may need for anything here
LINE = re.compile(rb"(\*?)([^ ^]+)((?:\^[^ ^]+)+) (\d+) (-?[0-9.e+-]+)\n")

QUEUE = """
from istat.plugin import collector

@collector()
def collect(emit):
    emit.gauge("queue.depth", 3)
    emit.event("jobs.done", 5)
"""
BROKEN = """
from istat.plugin import collector

@collector()
def collect(emit, clock):
    pass
"""


class Sink:
    """A UDP socket in the server's place."""

    def __init__(self, port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.datagrams: list[bytes] = []

    def wait(self, pattern: bytes, since: int = 0) -> re.Match[bytes]:
        """Receive until a datagram, not counting the first `since`, matches."""
        end = time.monotonic() + SOON
        while True:
            for datagram in self.datagrams[since:]:
                found = re.search(pattern, datagram, re.MULTILINE)
                if found:
                    return found
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                self.datagrams.append(self.socket.recv(65536))
            except TimeoutError:
                pytest.fail(f"{pattern!r} did not come within {SOON} s; got {self.datagrams[-3:]}")

    def rest(self) -> bytes:
        """What is there now."""
        self.socket.setblocking(False)
        received = b""
        try:
            while True:
                received += self.socket.recv(65536)
        except BlockingIOError:
            return received


class Agent:
    """An agent process, and what it logs."""

    def __init__(self, folder: Path, port: int, *flags: str, **environment: str) -> None:
        self.log = folder / "log"
        command = [sys.executable, "-m", "istat_agent.main", "--server", f"127.0.0.1:{port}"]
        command += ["--host", "Web1.lan", "--tags", "class.web", "--interval", "1"]
        command += ["--plugin-dir", str(folder / "d"), *flags]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stderr=log, env={**os.environ, **environment}, stdout=log
            )

    def wait_for_log(self, words: str) -> None:
        end = time.monotonic() + SOON
        while words not in self.log.read_text():
            assert time.monotonic() < end, f"{words!r} is not in the log:\n{self.log.read_text()}"
            time.sleep(0.02)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SOON)


Start = Callable[..., Agent]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir(mode=0o700)
    return tmp_path


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink()
    yield made
    made.socket.close()


@pytest.fixture
def run(folder: Path) -> Iterator[Start]:
    """A function that starts an agent, which is gone when the test ends."""
    agents: list[Agent] = []

    def start(port: int, *flags: str, **environment: str) -> Agent:
        agents.append(Agent(folder, port, *flags, **environment))
        return agents[-1]

    yield start
    for agent in agents:
        if agent.process.poll() is None:
            agent.process.kill()
            agent.process.wait()


def test_lines_names_alignment_and_identity(run: Start, sink: Sink, folder: Path) -> None:
    (folder / "d/queue.py").write_text(QUEUE)
    script = folder / "d/mail"
    script.write_text("#!/bin/sh\necho mail.queue 7\n")
    script.chmod(0o755)
    agent = run(sink.port, "--interval", "2")
    began = time.time()
    sink.wait(rb"^queue\.depth\^host\.web1_lan\^class\.web \d+ 3$")
    sink.wait(rb"^\*jobs\.done\^host\.web1_lan\^class\.web \d+ 5$")
    sink.wait(rb"^mail\.queue\^host\.web1_lan\^class\.web \d+ 7$")
    for name in ("cpu.user", "memory.available_bytes", "network.lo.rx_bytes", "load.min1", "processes.total"):
        sink.wait(rb"^" + re.escape(name.encode()) + rb"\^host\.web1_lan")
    sink.wait(rb"^disk\.space\.root\.used_bytes\^")
    assert agent.stop() == 0
    assert sink.datagrams[0].startswith(b"#hostname ")
    assert b"\n#proto istat 1\n#agent web1_lan\n" in sink.datagrams[0]
    assert re.search(rb"^#version \d", sink.datagrams[0], re.MULTILINE)
    for datagram in sink.datagrams[1:]:
        assert len(datagram) <= 1400
        for line in datagram.splitlines(keepends=True):
            if line.startswith(b"#metric "):
                assert json.loads(line.split(b" ", 2)[2])["kind"] in ("gauge", "event")
                continue
            found = LINE.fullmatch(line)
            assert found, line
            assert found[3] == b"^host.web1_lan^class.web"
            if not found[2].startswith((b"disk.space", b"agent.")):
                assert int(found[4]) % 2 == 0
            assert began - 15 < int(found[4]) < time.time() + 1


def test_broken_plugin_is_told_and_the_others_run(run: Start, sink: Sink, folder: Path) -> None:
    (folder / "d/broken.py").write_text(BROKEN)
    (folder / "d/queue.py").write_text(QUEUE)
    agent = run(sink.port, "--disable", "cpu,disk,exec,load,memory,network,processes,space")
    sink.wait(rb"^queue\.depth\^")
    agent.wait_for_log("asks for 'clock'; it can have (emit, config)")
    agent.wait_for_log("def collect(emit, clock):")
    assert agent.stop() == 0


def test_stuck_collector_stops_nothing(run: Start, sink: Sink, folder: Path) -> None:
    stuck = QUEUE.replace('emit.gauge("queue.depth", 3)', "import time; time.sleep(600)")
    (folder / "d/stuck.py").write_text(stuck)
    (folder / "d/queue.py").write_text(QUEUE)
    agent = run(sink.port, "--enable", "stuck,queue,agent")
    sink.wait(rb"^\*agent\.late\^host\.web1_lan\^class\.web \d+ 1$")
    agent.wait_for_log("collector stuck: not finished after 1 s")
    sink.wait(rb"^queue\.depth\^", since=len(sink.datagrams))
    assert agent.stop() == 0  # although the thread still sleeps


def test_reload_finds_new_collectors_and_keeps_going_when_settings_are_wrong(
    run: Start, sink: Sink, folder: Path
) -> None:
    settings = folder / "agent.toml"
    settings.write_text("")
    agent = run(sink.port, "--config", str(settings))
    sink.wait(rb"^load\.min1\^")
    (folder / "d/queue.py").write_text(QUEUE)
    agent.process.send_signal(signal.SIGHUP)
    sink.wait(rb"^queue\.depth\^")
    settings.write_text('tags = ["class.db"]\npid-file = "x"\n')
    agent.process.send_signal(signal.SIGHUP)
    agent.wait_for_log("these settings change with a restart only: pid-file")
    settings.write_text("intervall = 3\n")
    agent.process.send_signal(signal.SIGHUP)
    agent.wait_for_log("'intervall' is no setting")
    sink.wait(rb"^queue\.depth\^", since=len(sink.datagrams))
    assert agent.stop() == 0


def test_files_that_come_change_and_go_take_effect_within_ten_seconds(run: Start, sink: Sink, folder: Path) -> None:
    agent = run(sink.port, "--enable", "load,exec,queue,other")
    sink.wait(rb"^load\.min1\^")

    def put(name: str, text: str, mode: int = 0o644) -> int:
        new = folder / name
        new.write_text(text)
        new.chmod(mode)
        new.rename(folder / "d" / name)
        return len(sink.datagrams)

    put("queue.py", QUEUE)
    put("mail", "#!/bin/sh\necho mail.queue 7\n", 0o755)
    began = int(sink.wait(rb"^queue\.depth\^\S+ (\d+) 3$")[1])
    sink.wait(rb"^mail\.queue\^\S+ \d+ 7$")
    since = put("queue.py", QUEUE.replace("3", "4"))
    put("mail", "#!/bin/sh\necho mail.queue 8\n", 0o755)
    sink.wait(rb"^queue\.depth\^\S+ \d+ 4$", since)
    sink.wait(rb"^mail\.queue\^\S+ \d+ 8$", since)
    put("queue.py", "def (")
    agent.wait_for_log("SyntaxError: invalid syntax (line 1 of")
    sink.wait(rb"^queue\.depth\^\S+ \d+ 4$", len(sink.datagrams))
    put("other.py", QUEUE.replace("queue.depth", "other.depth"))
    (folder / "d/queue.py").unlink()
    (folder / "d/mail").unlink()
    agent.wait_for_log("drop-in folders: added other; removed exec:mail, queue")
    ended = int(sink.wait(rb"^other\.depth\^\S+ (\d+) 3$")[1])
    assert agent.stop() == 0
    text = b"".join(sink.datagrams)
    loads = sorted({int(time) for time in re.findall(rb"^load\.min1\^\S+ (\d+) ", text, re.MULTILINE)})
    assert [time for time in range(began, ended) if time not in loads] == [], "who is the same misses no turn"


def test_absent_server_gets_what_waited(run: Start, folder: Path) -> None:
    port = own_port()
    first = Sink(port)
    agent = run(port, "--enable", "load")
    before = int(first.wait(rb"^load\.min1\^\S+ (\d+) ")[1])
    first.socket.close()
    agent.wait_for_log("cannot reach the server")
    time.sleep(3)
    second = Sink(port)
    second.wait(rb"^#hostname ")
    after = int(second.wait(rb"^load\.min1\^\S+ (\d+) ")[1])
    second.socket.close()
    assert after - before <= 3, "readings while the server was away were kept"
    assert agent.stop() == 0


def test_service_manager_is_told(run: Start, sink: Sink, folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(SOON)
        agent = run(sink.port, NOTIFY_SOCKET=str(folder / "notify"), WATCHDOG_USEC="400000")
        messages: list[bytes] = []
        while sum(b"WATCHDOG=1" in m for m in messages) < 3 or not any(b"READY=1" in m for m in messages):
            messages.append(manager.recv(4096))
        assert any(b"STATUS=sending to 127.0.0.1:" in m for m in messages)
        assert agent.stop() == 0
        while b"STOPPING=1" not in messages[-1]:
            messages.append(manager.recv(4096))
