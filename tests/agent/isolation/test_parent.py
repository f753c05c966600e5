"""Isolated collectors in real children: what they report, and what becomes of those that do what they should not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from istat.errors import PluginError
from istat.metrics import Metric
from istat.plugin import Config, Emit
from istat_agent.collecting.finding import Found
from istat_agent.isolation.parent import Isolated, isolated_jobs, look

HEAD = "import ctypes, os, signal, sys, threading, time\nfrom istat.plugin import *\n"
SOON = 20.0  # seconds that a busy machine may need for what a child does at once

Make = Callable[..., Isolated]


@pytest.fixture
def found(tmp_path: Path) -> Callable[[str], Found]:
    """A drop-in file with one collector `it`."""
    tmp_path.chmod(0o755)

    def make(text: str) -> Found:
        path = tmp_path / "it.py"
        path.write_text(HEAD + text)
        return Found(None, str(path), path=str(path), called="it")

    return make


@pytest.fixture
def make(found: Callable[[str], Found]) -> Iterator[Make]:
    """Begins the child of a collector whose body is given."""
    made: list[Isolated] = []

    def begin(body: str, table: dict[str, Any] | None = None, config: Config | None = None,
              decorator: str = "@collector()") -> Isolated:
        lines = "\n    ".join(["", *body.split("\n")])
        made.append(isolated_jobs(found(f"{decorator}\ndef collect(emit):{lines}\n"), table or {}, config or Config()))
        return made[-1]

    yield begin
    for one in made:
        one.close()


def read(one: Isolated, job: int = 0) -> Emit:
    emit = Emit(1000, time.monotonic())
    one.jobs[job].collect(emit)
    return emit


def failure(one: Isolated) -> str:
    with pytest.raises(PluginError) as error:
        read(one)
    return str(error.value)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def soon(condition: Callable[[], object]) -> bool:
    end = time.monotonic() + SOON
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_values_of_all_kinds_and_state_between_readings(found: Callable[[str], Found]) -> None:
    one = isolated_jobs(found("""
@collector(interval=7, timeout=3, help="It.", settings=[Setting("depth", int, 3, "how deep")],
           metrics=[Metric("it.<name>.depth", "m", "depth"), Metric("it.done", "", "done", event=True)])
class It:
    def setup(self, config):
        self.config, self.times = config, 0
        config.problems.append("no second disk")
    def collect(self, emit):
        self.times += 1
        emit.gauge("it.times", self.times)
        emit.gauge("it.depth", self.config["depth"], time=990)
        emit.event("it.done", 2)
        emit.gauge("it." + self.config.host, self.config.interval)
        emit.problem("one part is away")
"""), {"depth": 5}, config := Config(host="web1", interval=10))
    try:
        assert one.about.metrics == (Metric("it.<name>.depth", "m", "depth"), Metric("it.done", "", "done", event=True))
        assert (one.about.name, one.about.help, one.about.interval, one.about.timeout) == ("it", "It.", 7, 3)
        assert one.about.settings == (("depth", "how deep"),)
        assert [(job.name, job.interval) for job in one.jobs] == [("it", 7)]
        assert config.problems == ["no second disk"]
        read(one)
        emit = read(one)
        assert emit.gauges() == {"it.times": 2, "it.depth": 5, "it.web1": 7} and emit.events() == {"it.done": 2}
        assert [one.time for one in emit.readings] == [None, 990, None, None]
        assert emit.problems == ["one part is away"]
    finally:
        one.close()


def test_several_jobs_with_intervals_of_their_own(found: Callable[[str], Found]) -> None:
    one = isolated_jobs(found("""
@collector()
class It:
    def jobs(self):
        return [Job("it:a", lambda emit: emit.gauge("a", 1)), Job("it:b", lambda emit: emit.gauge("b", 2), 60, 5)]
"""), {}, Config(interval=10))
    try:
        assert [(job.name, job.interval) for job in one.jobs] == [("it:a", 10), ("it:b", 60)]
        assert read(one, 1).gauges() == {"b": 2} and read(one).gauges() == {"a": 1}
    finally:
        one.close()


def test_settings_that_are_wrong_are_told_by_name(make: Make) -> None:
    with pytest.raises(PluginError, match="plugins.it.deep: no such setting"):
        make("pass", {"deep": 1})


@pytest.mark.parametrize(("text", "why"), [
    ("import nosuchmodule", "nosuchmodule"),
    ("1/0", "ZeroDivisionError"),
    ("sys.exit(3)", "SystemExit"),
    ("os._exit(3)", "exit status 3"),
    ("x = 1", "holds no collector"),
    ("@collector(name='other')\ndef collect(emit): pass", "has no collector 'it' any more; it has other"),
    ("os.kill(os.getpid(), 11)", "ended by SIGSEGV"),
])
def test_what_cannot_be_loaded_says_why(found: Callable[[str], Found], text: str, why: str) -> None:
    with pytest.raises(PluginError, match=why):
        isolated_jobs(found(text), {}, Config())


def test_a_set_up_that_fails_says_where(found: Callable[[str], Found]) -> None:
    with pytest.raises(PluginError, match=r"KeyError: 'nosuch' \(it.py:\d+\)"):
        isolated_jobs(found("@collector()\nclass It:\n    def setup(self, config): {}['nosuch']\n"
                            "    def collect(self, emit): pass\n"), {}, Config())


def test_its_collectors_can_be_seen_without_importing_it(found: Callable[[str], Found]) -> None:
    seen = look(found("@collector(name='a')\ndef one(emit): pass\n@collector(name='b', default_on=False)\n"
                      "def two(emit): 'Two.'\n"))
    assert [(one.name, one.help, one.default_on) for one in seen] == [("a", "", True), ("b", "Two.", False)]


def test_an_error_is_told_with_its_place_and_what_was_reported_before_counts(make: Make) -> None:
    one = make("emit.gauge('a', 1)\n1/0")
    emit = Emit(1000, 0.0)
    with pytest.raises(PluginError, match=r"ZeroDivisionError: division by zero \(it.py:6\)"):
        one.jobs[0].collect(emit)
    assert emit.gauges() == {"a": 1}


def test_one_that_is_interrupted_at_its_deadline_lives_on_and_what_it_reported_counts(make: Make) -> None:
    one = make("emit.gauge('pid', os.getpid())\nkept.append(1)\nif len(kept) == 2: time.sleep(60)\n"
               "emit.gauge('times', len(kept))", decorator="kept = []\n@collector(timeout=0.5)")
    pid = read(one).gauges()["pid"]
    emit = Emit(1000, 0.0)
    with pytest.raises(PluginError, match="^not finished after 0.5 s$"):
        one.jobs[0].collect(emit)
    assert emit.gauges() == {"pid": pid}
    assert read(one).gauges() == {"pid": pid, "times": 3}


@pytest.mark.parametrize(("body", "why"), [
    ("while True:\n    try: time.sleep(60)\n    except BaseException: pass", "not finished after 0.5 s"),
    ("lib = ctypes.PyDLL(None)\nwhile True: lib.sleep(60)", "not finished after 0.5 s"),
    ("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\nctypes.PyDLL(None).sleep(60)",
     "not finished after 0.5 s"),
    ("sys.exit(3)", "called sys.exit(3)"),
    ("os._exit(3)", "exit status 3"),
    ("print('so that is it', file=sys.stderr, flush=True)\nos.kill(os.getpid(), 9)",
     "ended by SIGKILL; it said: so that is it"),
    ("ctypes.string_at(1)", "Fatal Python error: Segmentation fault"),
    ("emit.gauge('n' * 5_000_000, 1)", "reported more than 4194304 bytes"),
    ("os.write(64, b'garbage, much of it')", "its answer is garbage"),
    ("os.write(64, bytes([0, 0, 0, 2]) + b'[]')", "its child's answer is garbage"),
    ("os.write(64, bytes([0, 0, 0, 2]) + b'{}')", "its child's answer is garbage"),
])
def test_what_it_should_not_do_is_its_own_failure_and_the_next_reading_has_a_new_child(
        make: Make, tmp_path: Path, body: str, why: str) -> None:
    worked = tmp_path / "worked"
    one = make(f"if os.path.exists({str(worked)!r}):\n    emit.gauge('a', 1)\n    return\n{body}",
               decorator=f"@collector(timeout={0.5 if 'not finished' in why else SOON})")
    assert why in failure(one)
    worked.touch()
    for _ in range(2):
        emit = read(one)
        assert emit.gauges() == {"a": 1} and emit.problems == []


def test_memory_has_a_limit_of_its_own(make: Make) -> None:
    one = make("kept = []\nwhile True: kept.append(bytearray(1 << 20))", {"memory": "64M"})
    assert "MemoryError" in failure(one)


def test_cpu_time_is_limited_by_reading_not_by_life(found: Callable[[str], Found]) -> None:
    one = isolated_jobs(found(
        "@collector(timeout=1)\ndef collect(emit):\n    end = time.process_time() + 0.4\n"
        "    while time.process_time() < end: pass\n    emit.gauge('cpu', time.process_time())\n"), {}, Config())
    try:
        spent = []
        while not spent or spent[-1] < 2.2:  # more than two readings may take
            emit = Emit(1000, 0.0)
            try:
                one.jobs[0].collect(emit)
            except PluginError as error:  # on a busy machine it may be late; never of its limit
                assert "not finished" in str(error)
                return
            assert 0.3 < emit.cpu < 1
            spent.append(emit.gauges()["cpu"])
    finally:
        one.close()


def test_what_it_prints_is_no_answer_and_does_not_hold_it_up(make: Make) -> None:
    one = make("for stream in (1, 2):\n    os.write(stream, bytes([0, 0, 0, 2]) + b'{}' + b'x' * 300_000)\n"
               "emit.gauge('a', 1)")
    assert read(one).gauges() == {"a": 1} and read(one).gauges() == {"a": 1}


def test_too_many_values_are_counted(make: Make) -> None:
    emit = read(make("for n in range(20_010): emit.gauge('n', n)"))
    assert (len(emit.readings), emit.refused) == (20_000, 10)


def test_one_that_ended_between_two_readings_is_told_and_costs_no_value(make: Make) -> None:
    one = make("emit.gauge('pid', os.getpid())")
    pid = int(read(one).gauges()["pid"])
    os.kill(pid, signal.SIGKILL)
    assert soon(lambda: not alive(pid))
    time.sleep(0.1)
    emit = read(one)
    assert emit.gauges()["pid"] != pid
    assert emit.problems == ["its child has ended since the last reading, and is begun anew: ended by SIGKILL"]


def test_a_fork_that_comes_back_does_not_answer_twice(make: Make) -> None:
    one = make("emit.gauge('a', os.fork() and 1)")
    for _ in range(3):
        assert read(one).gauges() == {"a": 1}


def test_all_that_it_started_ends_with_it(make: Make) -> None:
    one = make("import subprocess\nchild = subprocess.Popen(['setsid', 'sleep', '300'])\n"
               "emit.gauge('it', os.getpid())\nemit.gauge('child', child.pid)")
    pids = [int(pid) for pid in read(one).gauges().values()]
    assert all(map(alive, pids)) and len(pids) == 2
    one.close()
    assert not any(map(alive, pids))
    assert failure(one) == "it has been ended"


def test_too_many_processes_end_it(make: Make) -> None:
    one = make("while True:\n    try: os.fork()\n    except OSError: time.sleep(0.01)",
               decorator="@collector(timeout=5)")
    assert failure(one).startswith(("started more than", "not finished"))  # the second where root is not who runs it


def test_secrets_are_neither_in_arguments_nor_given_from_the_environment(
        found: Callable[[str], Found], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ISTAT_AGENT_TOKEN", "NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"):
        monkeypatch.setenv(name, "agents-own")
    monkeypatch.setenv("PGHOST", "db1")
    one = isolated_jobs(found(
        "@collector(settings=[Setting('password', str, '', 'secret', secret=True)])\ndef collect(emit, config):\n"
        "    words = open('/proc/self/cmdline').read() + open('/proc/self/environ').read()\n"
        "    emit.gauge('password', int(config['password'] in words))\n"
        "    emit.gauge('own', int('agents-own' in words))\n"
        "    emit.gauge(os.environ['PGHOST'], 1)\n    emit.gauge('long', len(config['password']))\n"),
        {"password": "geheim123"}, Config())
    try:
        assert read(one).gauges() == {"password": 0, "own": 0, "db1": 1, "long": 9}
    finally:
        one.close()


def test_limits_are_set_and_inherited(make: Make) -> None:
    one = make("import resource, subprocess\n"
               "for name in ('DATA', 'NOFILE', 'FSIZE', 'CORE'):\n"
               "    emit.gauge(name, resource.getrlimit(getattr(resource, 'RLIMIT_' + name))[1])\n"
               "emit.gauge('shell', int(subprocess.check_output('ulimit -c', shell=True)))\n"
               "emit.gauge('oom', int(open('/proc/self/oom_score_adj').read()))", {"memory": "128M"})
    gauges = read(one).gauges()
    assert gauges["DATA"] == 128 << 20 and gauges["FSIZE"] == 1 << 30 and gauges["CORE"] == gauges["shell"] == 0
    assert gauges["NOFILE"] <= 1024
    assert gauges["oom"] >= int(Path("/proc/self/oom_score_adj").read_text())


def test_no_descriptor_stays_behind(make: Make) -> None:
    make("emit.gauge('a', 1)").close()  # the keeper's own come with the first
    before = os.listdir("/proc/self/fd")
    for body in ("emit.gauge('a', 1)", "os._exit(1)", "time.sleep(60)"):
        one = make(body, decorator="@collector(timeout=0.2)")
        with suppress(PluginError):
            read(one)
        one.close()
    assert len(os.listdir("/proc/self/fd")) == len(before)
