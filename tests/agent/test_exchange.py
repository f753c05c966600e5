"""An agent that runs takes other plugins and settings over: what is the same goes on untouched, and nothing is lost."""

import gc
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from istat.clock import SystemClock
from istat_agent import agent as agent_module
from istat_agent.agent import Agent
from istat_agent.collecting import looking
from istat_agent.collecting.states import Changes, State
from istat_agent.counters import Counters
from istat_agent.options import DECLARATION

COUNTS = """
from istat.plugin import collector, Setting

@collector(interval=1, settings=[Setting("step", int, 1, "of the count")])
class Counts:
    def setup(self, config):
        self.count, self.step = 0, config["step"]
        if self.step == 13:
            raise RuntimeError("thirteen")

    def collect(self, emit):
        self.count += self.step
        emit.gauge("NAME.count", self.count)
"""
SOON = 20.0  # seconds until something has happened for sure
HOLDS = """
import os, time
from istat.plugin import collector

@collector(interval=1, timeout=30)
def collect(emit):
    emit.gauge("holds.begun", VERSION)
    open(FILE + ".begun", "w").close()
    while not os.path.exists(FILE):
        time.sleep(0.005)
    emit.gauge("holds.done", VERSION)
"""


class Bench:
    """An agent with a drop-in folder and the collectors that lie there; what it ships."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o700)
        self.folder, self.settings = folder / "d", folder / "agent.toml"
        self.folder.mkdir(mode=0o700)
        self.settings.write_text("")
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.lines: list[tuple[str, float]] = []
        self.counters = Counters()
        self.agent: Agent | None = None

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        new = self.folder / f".{name}"
        new.write_text(text.replace("NAME", name.removesuffix(".py")))
        new.chmod(mode)
        new.rename(self.folder / name)

    def values(self, *words: str):  # type: ignore[no-untyped-def]
        server = f"127.0.0.1:{self.socket.getsockname()[1]}"
        ours = "cpu,disk,load,memory,network,pagecache,processes,space"
        return DECLARATION.load(["--config", str(self.settings), "--host", "web1", "--plugin-dir", str(self.folder),
                                 "--disable", ours, "--server", server, "--interval", "1", *words], {})

    def start(self) -> Agent:
        self.agent = Agent(self.values(), self.counters, SystemClock(), self._shipped)
        self.agent.start()
        return self.agent

    def reload(self, *words: str) -> Changes:
        assert self.agent is not None
        return self.agent.reload(self.values(*words))

    def _shipped(self, lines: object) -> None:
        for line in lines:  # type: ignore[attr-defined]
            name, _, value = line.decode().split()
            self.lines.append((name.partition("^")[0], float(value)))

    def found(self, name: str) -> list[float]:
        return [value for one, value in self.lines if one == name]

    def wait(self, name: str, more: int = 1) -> list[float]:
        """Until so many values of a name have come from now on; all of them."""
        until = len(self.found(name)) + more
        with gevent.Timeout(SOON):
            while len(self.found(name)) < until:
                gevent.sleep(0.01)
        return self.found(name)

    def state(self, name: str) -> State:
        assert self.agent is not None
        return next(one for one in self.agent.states() if one.name == name)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    if made.agent is not None:
        made.agent.stop()
    made.socket.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other quickly."""
    monkeypatch.setattr(agent_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(agent_module, "SOON_SECONDS", 0.02)
    monkeypatch.setattr(looking, "STILL_SECONDS", 0.1)


def eventually(condition: Callable[[], object]) -> None:
    with gevent.Timeout(SOON):
        while not condition():
            gevent.sleep(0.01)


def test_what_is_the_same_keeps_its_state_over_a_reload(bench: Bench) -> None:
    bench.write("a.py", COUNTS)
    bench.write("b.py", COUNTS)
    bench.write("c.py", COUNTS)
    bench.start()
    bench.wait("a.count", 2)
    bench.wait("c.count")
    bench.write("c.py", COUNTS + "# another\n")
    bench.write("d.py", COUNTS)
    (bench.folder / "b.py").unlink()
    assert bench.reload() == Changes(("d",), ("c",), ("b",))
    counts = bench.wait("a.count")
    assert counts == [*map(float, range(1, len(counts) + 1))]
    eventually(lambda: bench.found("c.count").count(1) == 2)    # it has begun anew
    assert bench.wait("d.count")[0] == 1
    assert bench.reload() == Changes()
    assert str(bench.reload()) == "nothing changed"


def test_other_settings_exchange_the_collector_that_has_them(bench: Bench) -> None:
    bench.write("a.py", COUNTS)
    bench.write("b.py", COUNTS)
    bench.start()
    bench.wait("a.count")
    bench.settings.write_text("[plugins.b]\nstep = 100\n")
    assert bench.reload() == Changes(changed=("b",))
    eventually(lambda: 100 in bench.found("b.count"))
    bench.settings.write_text("[plugins.b]\nstep = 100\ninterval = 2\n")
    assert bench.reload() == Changes(changed=("b",))
    assert bench.state("b").interval == 2
    assert max(bench.wait("a.count")) < 100


def test_tags_are_other_ones_from_the_next_reading_on(bench: Bench) -> None:
    bench.write("a.py", COUNTS)
    agent = bench.start()
    seen: list[bytes] = []
    agent._watch = seen.extend
    assert bench.reload("--tags", "class.web") == Changes()
    eventually(lambda: any(b"a.count^host.web1^class.web " in line for line in seen))


@pytest.mark.parametrize("how", ["its settings are wrong", "its setup fails"])
def test_what_cannot_be_exchanged_goes_on_as_it_was(
    bench: Bench, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench.write("a.py", COUNTS)
    bench.start()
    before = bench.wait("a.count")
    bench.settings.write_text(f"[plugins.a]\nstep = {13 if 'setup' in how else 'true'}\n")
    with caplog.at_level(logging.ERROR):
        assert bench.reload() == Changes()
        assert bench.reload() == Changes()
    told = "collector a goes on as it was, since as it is wanted now it does not run: "
    assert caplog.text.count(told) == 1
    assert ("thirteen" if "setup" in how else "plugins.a.step wants a whole number") in bench.state("a").why
    assert bench.wait("a.count") == [*before, *range(len(before) + 1, len(bench.found("a.count")) + 1)]
    bench.settings.write_text("")
    assert bench.reload() == Changes()
    assert bench.state("a").why == ""


def test_a_reading_that_goes_on_is_not_lost_and_its_successor_waits(bench: Bench, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    text = HOLDS.replace("FILE", repr(str(gate)))
    bench.write("holds.py", text.replace("VERSION", "1"))
    bench.start()
    eventually(lambda: (tmp_path / "gate.begun").exists())
    for version in range(2, 6):  # the ones in between never begin
        bench.write("holds.py", text.replace("VERSION", str(version)))
        assert bench.reload() == Changes(changed=("holds",))
    gevent.sleep(0.1)
    assert bench.found("holds.begun") == []
    gate.touch()
    bench.wait("holds.done", 2)
    assert bench.found("holds.begun")[:2] == bench.found("holds.done")[:2] == [1, 5]


def test_scripts_are_exchanged_one_by_one(bench: Bench) -> None:
    bench.write("a", "#!/bin/sh\necho a.value 1\n", 0o755)
    bench.write("b", "#!/bin/sh\necho b.value 1\n", 0o755)
    bench.start()
    bench.wait("a.value")
    bench.wait("b.value")
    a = bench.state("exec:a")
    bench.write("b", "#!/bin/sh\necho b.value 22\n", 0o755)
    bench.write("c", "#!/bin/sh\n# istat: interval=5\necho c.value 3\n", 0o755)
    assert bench.reload() == Changes(added=("exec:c",), changed=("exec:b",))
    assert set(bench.wait("c.value")) == {3}
    eventually(lambda: bench.found("b.value")[-1] == 22)
    assert bench.state("exec:a").samples >= a.samples > 0
    assert bench.state("exec:c").interval == 5
    (bench.folder / "c").chmod(0o644)
    assert bench.reload() == Changes(removed=("exec:c",))


def test_a_script_that_was_mended_is_run_at_once(bench: Bench) -> None:
    bench.write("a", "#!/bin/sh\nexit 1\n", 0o755)
    bench.start()
    eventually(lambda: bench.state("exec:a").state == "waits")
    bench.write("a", "#!/bin/sh\necho a.value 1\n", 0o755)
    bench.reload()
    bench.wait("a.value")
    assert bench.state("exec:a").state == "runs"


def test_the_drop_in_folder_is_followed(bench: Bench, quick: None, caplog: pytest.LogCaptureFixture) -> None:
    bench.start()
    bench.write("a.py", COUNTS)
    with caplog.at_level(logging.INFO):
        bench.wait("a.count", 2)
        bench.write("b.py", COUNTS)
        bench.write("c", "#!/bin/sh\necho c.value 3\n", 0o755)
        bench.wait("b.count")
        bench.wait("c.value")
        bench.write("b.py", COUNTS.replace("NAME.count", "b.other"))
        bench.wait("b.other")
        (bench.folder / "b.py").unlink()
        (bench.folder / "c").unlink()
        eventually(lambda: {one.name for one in agent_states(bench)} == {"a"})
    counts = bench.wait("a.count")
    assert counts == [*map(float, range(1, len(counts) + 1))], "the others were not touched"
    assert "drop-in folders: added a" in caplog.text and "drop-in folders: changed b" in caplog.text


def agent_states(bench: Bench) -> list[State]:
    assert bench.agent is not None
    return [one for one in bench.agent.states() if not one.own or one.name.startswith("exec:")]


def test_a_broken_file_is_told_and_the_earlier_one_goes_on(
    bench: Bench, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    bench.write("a.py", COUNTS)
    bench.start()
    bench.wait("a.count")
    bench.write("a.py", "def (")
    eventually(lambda: "SyntaxError" in bench.state("a").why)
    assert caplog.text.count("what was loaded before goes on") == 1
    bench.wait("a.count", 2)
    bench.write("a.py", COUNTS)
    eventually(lambda: bench.state("a").why == "")
    counts = bench.wait("a.count")
    assert counts == [*map(float, range(1, len(counts) + 1))]
    bench.write("b.py", "def (")
    eventually(lambda: any(one.name == "b" for one in agent_states(bench)))
    assert (bench.state("b").state, bench.state("b").origin) == ("refused", f"{bench.folder}/b.py")
    (bench.folder / "b.py").unlink()
    eventually(lambda: not any(one.name == "b" for one in agent_states(bench)))


def test_what_could_not_be_loaded_is_tried_again_now_and_then(
    bench: Bench, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "RETRY_SECONDS", 0.1)
    bench.write("a.py", "import istat_no_such_module\n" + COUNTS)
    bench.start()
    assert bench.state("a").state == "refused"
    monkeypatch.setitem(sys.modules, "istat_no_such_module", sys)
    bench.wait("a.count")


def test_one_that_is_isolated_lives_in_a_child_and_is_exchanged_like_any_other(bench: Bench) -> None:
    text = COUNTS.replace("interval=1", "isolated=True, interval=1")
    bench.write("a.py", text)
    bench.write("b.py", "raise SystemExit(3)\n" + text)
    bench.start()
    eventually(lambda: bench.found("a.count"))
    assert bench.state("a").isolated
    assert bench.state("b").state == "refused"
    assert "SystemExit: 3" in bench.state("b").why
    bench.write("b.py", text)
    assert bench.reload() == Changes(added=("b",))
    bench.wait("b.count")
    bench.write("a.py", COUNTS)
    assert bench.reload() == Changes(changed=("a",))
    eventually(lambda: bench.found("a.count")[-1] == 1)
    assert not bench.state("a").isolated
    counts = bench.wait("b.count", 2)
    assert counts == [*map(float, range(1, len(counts) + 1))]


def test_the_agents_own_totals_are_told_once(bench: Bench) -> None:
    bench.counters.unreachable = 1000
    bench.start()
    assert sum(bench.wait("*agent.unreachable")) == 1000
    bench.reload()
    assert sum(bench.wait("*agent.unreachable", 2)) == 1000


def test_the_agent_tells_of_its_collectors(bench: Bench) -> None:
    bench.write("a.py", COUNTS)
    bench.write("b.py", "def (")
    bench.write("c-d", "#!/bin/sh\nexit 1\n", 0o755)
    bench.start()
    eventually(lambda: bench.wait("agent.plugins_failing")[-1] == 2)
    assert bench.found("agent.plugins")[-1] == 3, "a, the script, and the agent itself"
    assert 0 <= bench.wait("agent.plugin.a.ms")[-1] < 5000
    assert bench.wait("agent.plugin.exec_c-d.ms")


def test_what_waits_goes_to_another_server(bench: Bench) -> None:
    bench.write("a.py", COUNTS)
    agent = bench.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.setblocking(False)
        agent._shipper.offer([b"waits 1 1\n"])
        bench.reload("--server", f"127.0.0.1:{other.getsockname()[1]}")
        seen = b""
        with gevent.Timeout(SOON):
            while b"waits 1 1\n" not in seen or b"a.count" not in seen:
                gevent.sleep(0.01)
                try:
                    seen += other.recv(65536)
                except BlockingIOError:
                    continue
    assert seen.startswith(b"#hostname ")


def test_whatever_a_plugin_brings_ends_nothing_but_itself(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    jobs = "from istat.plugin import Job, collector\n@collector()\nclass A:\n    def jobs(self):\n        return [{}]\n"
    bad = "class E(Exception):\n    def __str__(self):\n        1 / 0\n"
    bench.write("none.py", jobs.format("3"))
    bench.write("number.py", jobs.format("Job(3, print)"))
    bench.write("minus.py", jobs.format("Job('minus', print, -1)"))
    bench.write("late.py", jobs.format("Job('late', print, timeout='x')"))
    bench.write("mute.py", COUNTS.replace("self.count += self.step", "raise E").replace("COUNTS", "") + bad)
    bench.write("dumb.py", bad + "raise E\n")
    bench.write("spoils.py", COUNTS.replace("self.count += self.step", "emit.readings = None; return"))
    bench.write("told.py", COUNTS.replace("self.count += self.step", "self.count += 1; emit.problem(3)"))
    bench.write("good.py", COUNTS)
    bench.start()
    bench.wait("good.count", 3)
    bench.wait("told.count", 2)
    eventually(lambda: bench.state("mute").errors)
    assert "E: (its text cannot be had: ZeroDivisionError)" in bench.state("mute").why
    assert "E: (its text cannot be had: ZeroDivisionError)" in bench.state("dumb").why
    assert "jobs(self) must return Job(name, collect, interval, timeout) objects, not 3" in bench.state("none").why
    assert "objects, not Job(name=3" in bench.state("number").why
    assert "the job 'minus' has interval=-1: whole seconds, at least 1" in bench.state("minus").why
    assert "the job 'late' has timeout='x': seconds, more than 0" in bench.state("late").why
    assert caplog.text.count("collector spoils: a fault of our own") == 1
    assert bench.reload() == Changes()


def test_failures_of_what_has_gone_are_forgotten(bench: Bench) -> None:
    bench.write("a.py", COUNTS.replace("self.count += self.step", "raise ValueError(3)"))
    agent = bench.start()
    eventually(lambda: any(b" a: ValueError: 3" in line for line in agent._failing.lines()))
    (bench.folder / "a.py").unlink()
    bench.reload()
    assert agent._failing.lines() == [b"#failing 0\n"]


def test_hundreds_of_versions_leave_no_greenlet_behind(bench: Bench) -> None:
    def greenlets() -> int:
        gc.collect()
        return sum(isinstance(one, gevent.Greenlet) and not one.dead for one in gc.get_objects())

    bench.write("s", "#!/bin/sh\necho s.value 1\n", 0o755)
    bench.start()
    bench.wait("s.value")
    before = greenlets()
    for n in range(200):
        bench.write("a.py", COUNTS + f"# {n}\n")
        if n % 20 == 0:
            bench.write("s", f"#!/bin/sh\necho s.value {n}\n", 0o755)
        bench.reload()
    (bench.folder / "a.py").unlink()
    bench.reload()
    eventually(lambda: greenlets() <= before + 1)
