"""`istat-agent try`: what a plugin would send, in a child, wherever it is, and what is wrong with it."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from istat.plugin import Job
from istat_agent.control import commands, rehearsal, trial

HEAD = "from istat.plugin import collector, Setting\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    return tmp_path


class Tried:
    """What came of it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> None:
        settings = ("--plugin-dir", str(folder / "d"), "--host", "web1", "--tags", "class.web", "--control-path",
                    str(folder / "none"))
        self.status = commands.main(["try", *words, *settings])
        self.out, self.err = capsys.readouterr()

    @property
    def answer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


def python(path: Path, text: str) -> Path:
    path.write_text(HEAD + text)
    return path


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_file_in_no_drop_in_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = python(folder / "queue.py", """
count = 0

@collector(interval=30)
def collect(emit):
    global count
    count += 1
    print("debugging")
    emit.gauge("queue.depth", count)
    emit.event("jobs.done^queue.mail", 5, time=1700000000)
""")
    tried = Tried(folder, capsys, str(path))
    assert (tried.status, tried.err) == (0, "")
    for words in (f"queue, from {path}: every 30 s; a run is given up after 30 s.", "2 samples of 2 names",
                  " 2\n  *jobs.done^queue.mail^host.web1^class.web 1700000000 5\n", "  queue.depth.host.web1\n",
                  "  *jobs.done.queue.mail\n", "  *jobs.done.class.web\n", "It printed, which an agent does not send:",
                  "  debugging\n", "nothing was sent"):
        assert words in tried.out
    answer = Tried(folder, capsys, str(path), "--json").answer
    (job,) = answer["jobs"]
    assert job["lines"][0].startswith("queue.depth^host.web1^class.web ") and job["lines"][0].endswith(" 2")
    assert job["names"] == ["queue.depth.host.web1", "queue.depth.class.web", "*jobs.done.queue.mail",
                            "*jobs.done.host.web1", "*jobs.done.class.web"]
    assert [one["samples"] for one in job["runs"]] == [2, 2]
    assert all(one["seconds"] >= 0 and one["cpu_ms"] >= 0 for one in job["runs"])
    assert answer["fine"] and answer["said"] == "debugging\ndebugging"


def test_a_script_wherever_it_is(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
                                 ) -> None:
    text = "#!/bin/sh\n# istat: interval=60 timeout=5\necho queue.depth 3\necho '*jobs.done 2'\n"
    script(folder / "queue", text)
    monkeypatch.chdir(folder)
    tried = Tried(folder, capsys, "./queue", "--json")
    (job,) = tried.answer["jobs"]
    assert tried.status == 0
    assert [line.split()[0] for line in job["lines"]] == [
        "exec.queue.seconds^host.web1^class.web", "queue.depth^host.web1^class.web", "*jobs.done^host.web1^class.web"]
    assert (job["job"], job["interval"]) == ("exec:queue", 60)
    script(folder / "d" / "files", text)
    for name in ("files", "exec:files"):
        assert [job["job"] for job in Tried(folder, capsys, name, "--json").answer["jobs"]] == ["exec:files"]
    script(folder / "d" / "files", text + "echo no number\nexit 3\n")
    tried = Tried(folder, capsys, "files")
    assert tried.status == 86
    assert "its value is no number; a unit belongs into the name: 'no number'" in tried.out
    assert "exit status 3" in tried.out and "queue.depth^host.web1^class.web" in tried.out
    assert "something is wrong with files: see above" in tried.err


def test_names_of_collectors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    python(folder / "d" / "machines.py", """
@collector(name="rack1")
def one(emit):
    emit.gauge("rack1.up", 1)

@collector(name="rack2", settings=[Setting("limit", int, 5, "most")])
def two(emit, config):
    emit.gauge("rack2.limit", config["limit"])
""")
    python(folder / "d" / "hostile.py", "raise SystemExit('hostile')\n")
    (folder / "a.toml").write_text("[plugins.rack2]\nlimit = 7\n")
    config = ("--json", "--config", str(folder / "a.toml"))
    assert [job["job"] for job in Tried(folder, capsys, "load", "--json").answer["jobs"]] == ["load"]
    assert [job["job"] for job in Tried(folder, capsys, "disk", "--json").answer["jobs"]] == ["disk"]
    assert [job["job"] for job in Tried(folder, capsys, "machines", "--json").answer["jobs"]] == ["rack1", "rack2"]
    (job,) = Tried(folder, capsys, "rack2", *config).answer["jobs"]
    assert job["lines"][0].split()[2] == "7"
    tried = Tried(folder, capsys, "hostile")
    assert tried.status == 86 and "it called sys.exit('hostile')" in tried.out


def test_the_agents_own_figures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tried = Tried(folder, capsys, "agent")
    assert tried.status == 0 and "agent.rss_bytes^host.web1^class.web " in tried.out


def test_memory_is_that_of_its_settings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    python(folder / "d" / "hungry.py", """
@collector()
def collect(emit):
    emit.gauge("hungry", len(bytearray(400 << 20)))
""")
    tried = Tried(folder, capsys, "hungry")
    assert tried.status == 86 and "MemoryError" in tried.out
    (folder / "a.toml").write_text('[plugins.hungry]\nmemory = "800M"\n')
    assert Tried(folder, capsys, "hungry", "--config", str(folder / "a.toml")).status == 0
    (folder / "a.toml").write_text('[plugins.hungry]\nmemory = "lots"\n')
    assert "plugins.hungry.memory wants" in Tried(folder, capsys, "hungry", "--config", str(folder / "a.toml")).out


def test_an_entry_point(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    package = folder / "site"
    info = package / "istat_toys-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: istat-toys\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[istat_agent.plugins]\ntoys = istat_toys\n")
    python(package / "istat_toys.py", '@collector(name="toybox")\ndef collect(emit):\n    emit.gauge("toys", 3)\n')
    monkeypatch.setenv("PYTHONPATH", str(package))
    for name in ("toys", "toybox"):
        (job,) = Tried(folder, capsys, name, "--json").answer["jobs"]
        assert (job["collector"], job["origin"]) == ("toybox", "entry point toys (istat_toys)")


def test_what_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tried = Tried(folder, capsys, "quue")
    assert tried.status == 2
    assert "there is no plugin 'quue': name a collector that istat-agent --list-collectors lists" in tried.err
    tried = Tried(folder, capsys, "./quue.py")
    assert tried.status == 86 and "there is no such file" in tried.out
    (folder / "notes").write_text("a text")
    tried = Tried(folder, capsys, str(folder / "notes"))
    assert tried.status == 86 and f"it is not executable: chmod a+rx {folder}/notes" in tried.out
    assert "it is no plain file" in Tried(folder, capsys, str(folder / "d")).out


def test_what_the_agent_does_not_see_is_tried_by_the_command(
        folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = python(folder / "mine.py", "@collector()\ndef collect(emit):\n    emit.gauge('mine', 1)\n")
    unseen = {"what": str(path), "user": "_istat-agent", "unseen": True, "unknown": False, "fine": False, "jobs": [],
              "problems": [f"{path}: there is no such file"], "said": "", "by": "the agent", "seconds": 0.1}
    monkeypatch.setattr(commands, "ask", lambda *asked: unseen)
    tried = Tried(folder, capsys, str(path))
    assert tried.status == 0 and "mine^host.web1" in tried.out
    assert "Run by this command, since the agent's user, _istat-agent, does not see the file, as the user " in tried.out
    path.unlink()
    tried = Tried(folder, capsys, str(path))
    assert tried.status == 86 and "there is no such file" in tried.out


@pytest.mark.parametrize(("text", "words"), [
    ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
    ("def collect(emit):\n    pass\n", "holds no collector: put @collector()"),
    ("@collector()\ndef collect(emit, clock):\n    pass\n", "asks for 'clock'; it can have (emit, config)"),
    ("@collector()\ndef collect(emit):\n    1 / 0\n", "failed: ZeroDivisionError"),
    ("@collector()\ndef collect(emit):\n    emit.gauge('a', '3')\n", "must be a number, not str"),
    ("@collector()\ndef collect(emit):\n    emit.problem('half of it is missing')\n", "half of it is missing"),
    ("@collector()\ndef collect(emit):\n    emit.gauge('x' * 1000, 1)\n", "and a server takes 1,000"),
    ("@collector()\ndef collect(emit):\n    emit.gauge('x' + '^y' * 70, 1)\n", "more than 64 carets"),
    ("import os\n@collector()\ndef collect(emit):\n    emit.gauge('a', 1)\n    os._exit(0)\n", "before it was done"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "before it was done: ended by SIGSEGV"),
    ("import time\n@collector(timeout=0.2)\ndef collect(emit):\n    emit.gauge('a', 1)\n    time.sleep(60)\n",
     "failed: it is not finished after 0.2 s"),
    ("ISTAT_API = '7.0'\n@collector()\ndef collect(emit):\n    pass\n", "7.0"),
    ("@collector()\nclass C:\n    def setup(self, config):\n        raise ValueError('no access')\n"
     "    def collect(self, emit):\n        pass\n", "collector wrong does not begin: no access"),
])
def test_what_is_wrong_is_told(folder: Path, capsys: pytest.CaptureFixture[str], text: str, words: str) -> None:
    tried = Tried(folder, capsys, str(python(folder / "wrong.py", text)))
    assert words in tried.out
    assert tried.status == 86


def test_what_was_reported_before_it_hung_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = python(folder / "hangs.py", "import time\n@collector(timeout=0.2)\ndef collect(emit):\n"
                                       "    emit.gauge('a', 1)\n    time.sleep(60)\n")
    (job,) = Tried(folder, capsys, str(path), "--json").answer["jobs"]
    assert [line.split()[0] for line in job["lines"]] == ["a^host.web1^class.web"]
    assert len(job["runs"]) == 1


def test_who_has_much_time_is_not_waited_for_that_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "MOST_SECONDS", 0.1)
    told: list[dict[str, Any]] = []
    teller = rehearsal.Teller(-1)
    monkeypatch.setattr(teller, "tell", lambda **what: told.append(what))
    ends = threading.Event()
    run = rehearsal.Run(Job("slow", lambda emit: ends.wait(60) and None), 60, 60.0, 10, 10)
    assert rehearsal.read_all([run], 1, teller) == []
    ends.set()
    assert told[0]["error"] == "it is not finished after 0.1 s; an agent gives it 60 s"


def test_what_never_comes_to_an_end_is_ended(
        folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "WHOLE_SECONDS", 5.0)     # a busy machine takes two to begin it
    mark = folder / "child"
    path = python(folder / "hangs.py", f"import os, pathlib, time\npathlib.Path({str(mark)!r}).write_text("
                                       "str(os.getpid()))\nwhile True:\n    time.sleep(1)\n")
    tried = Tried(folder, capsys, str(path))
    assert tried.status == 86 and "ended while it was being loaded: not finished after 5 s" in tried.out
    assert not os.path.exists(f"/proc/{mark.read_text()}")


def test_a_flood_is_cut_and_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = python(folder / "flood.py", "@collector()\ndef collect(emit):\n    for i in range(30_000):\n"
                                       "        emit.gauge(f'flood.{i}', 1)\n")
    tried = Tried(folder, capsys, str(path), "--json")
    (job,) = tried.answer["jobs"]
    assert len(tried.out) < 200_000
    assert job["left_out"] + len(job["lines"]) == 20_000
    problems = job["runs"][-1]["problems"]
    assert any("max-samples" in text for text in problems) and any("max-names" in text for text in problems)
    tried = Tried(folder, capsys, str(path))
    assert tried.status == 86 and " more\n" in tried.out


def test_secrets_of_settings_are_in_no_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = python(folder / "d" / "redis.py", """
import pathlib

@collector(settings=[Setting("password", str, "", "what opens it", secret=True)])
def collect(emit, config):
    if config["password"] in pathlib.Path("/proc/self/cmdline").read_text():
        emit.problem("everybody can see it")
    emit.gauge("length", len(config["password"]))
""")
    (folder / "a.toml").write_text('[plugins.redis]\npassword = "open sesame"\nsince = 2026-01-01\n')
    tried = Tried(folder, capsys, "redis", "--config", str(folder / "a.toml"))
    assert "since: no such setting" in tried.out
    (folder / "a.toml").write_text('[plugins.redis]\npassword = "open sesame"\n')
    tried = Tried(folder, capsys, path.stem, "--config", str(folder / "a.toml"), "--json")
    assert tried.status == 0 and "open sesame" not in tried.out
    assert tried.answer["jobs"][0]["lines"][0].split()[2] == "11"


def test_a_child_that_tells_nonsense_is_no_traceback() -> None:
    from istat.errors import IstatError
    from istat.running.process import Outcome

    with pytest.raises(IstatError, match="cannot be read"):
        trial._parsed(Outcome(b"garbage\n", b"", 0.0, None))
    assert trial._parsed(Outcome(b"[1]\n", b"", 0.0, None)) == []


def test_what_the_service_manager_gave_the_agent_is_kept_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    monkeypatch.setenv("ISTAT_AGENT_TOKEN", "secret")
    monkeypatch.setenv("MINE", "1")
    found = trial._environment()
    assert "NOTIFY_SOCKET" not in found and "ISTAT_AGENT_TOKEN" not in found and found["MINE"] == "1"
    assert rehearsal.VARIABLE not in found
    assert sys.executable
