"""exec, on real scripts in a temporary folder."""

import logging
import os
import time
from pathlib import Path

import pytest

from istat.errors import PluginError
from istat.plugin import Config, Emit, Job

from .collector import Exec, report
from .process import MAX_OUTPUT, run

SOON = 20.0  # seconds that a test would wait for a script at most


@pytest.fixture(autouse=True)
def private(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)


def script(folder: Path, name: str, text: str, mode: int = 0o755) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


def jobs(*folders: Path, commands: tuple[str, ...] = (), interval: int = 10) -> list[Job]:
    instance = Exec()
    settings = {"folders": [str(f) for f in folders], "commands": list(commands)}
    instance.setup(Config(settings, host="web1", interval=interval, plugin_dirs=()))
    return list(instance.jobs())


def test_lines_of_all_three_forms(tmp_path: Path) -> None:
    script(
        tmp_path, "queue.sh", "echo '# a comment'; echo queue.depth 3; echo '*jobs.done 5'; echo old 990 1.5"
    )
    (job,) = jobs(tmp_path)
    emit = Emit(1000)
    job.collect(emit)
    assert emit.gauges()["queue.depth"] == 3
    assert emit.events() == {"jobs.done": 5}
    assert [r.time for r in emit.readings if r.name == "old"] == [990]
    assert 0 < emit.gauges()["exec.queue.seconds"] < SOON


def test_folder_relative_to_where_the_agent_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "queue.sh", "echo queue.depth 3")
    monkeypatch.chdir(tmp_path)
    (job,) = jobs(Path("."))
    emit = Emit(1000)
    job.collect(emit)
    assert emit.gauges()["queue.depth"] == 3


def test_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/secret")
    script(
        tmp_path,
        "env",
        'echo "host.$ISTAT_HOST $ISTAT_TIME"; echo interval $ISTAT_INTERVAL;'
        'echo "s$NOTIFY_SOCKET" 1; echo "d$PWD" 1',
    )
    emit = Emit(1000)
    jobs(tmp_path)[0].collect(emit)
    gauges = emit.gauges()
    assert gauges["host.web1"] == 1000
    assert gauges["interval"] == 10
    assert gauges["s"] == 1
    assert gauges["d/"] == 1


def test_failure_is_counted_and_what_was_printed_before_counts(tmp_path: Path) -> None:
    script(tmp_path, "bad", "echo a 1; echo no such queue >&2; exit 3")
    emit = Emit()
    with pytest.raises(PluginError, match=r"bad: exit status 3; it said: no such queue"):
        jobs(tmp_path)[0].collect(emit)
    assert emit.gauges()["a"] == 1
    assert emit.events() == {"exec.bad.failures": 1}


def test_lines_that_are_none_are_counted(tmp_path: Path) -> None:
    script(tmp_path, "odd", "echo a 1; echo b; echo c x; echo d 1 2 3; echo e nan; echo '#f'; echo '@g 1'")
    emit = Emit()
    with pytest.raises(PluginError, match=r"'b' \(and 4 more\)"):
        jobs(tmp_path)[0].collect(emit)
    assert emit.events() == {"exec.odd.bad_lines": 5}


def test_binary_output_is_no_catastrophe() -> None:
    assert len(report(b"\xff\xfe\x00 1\n\x80\x81\n", Emit())) == 1


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    path = script(tmp_path, "slow", f"echo a 1; sleep 300 & echo $! > {tmp_path}/child; wait")
    began = time.monotonic()
    outcome = run([str(path)], 0.3, {"PATH": os.defpath})
    assert time.monotonic() - began < SOON
    assert outcome.failure == "not finished after 0.3 s"
    assert outcome.output == b"a 1\n"
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not alive(child):
            break
        time.sleep(0.02)
    assert not alive(child)


def test_too_much_output_ends_it(tmp_path: Path) -> None:
    outcome = run(["yes", "name 1"], SOON, {"PATH": os.defpath})
    assert outcome.failure == f"printed more than {MAX_OUTPUT} bytes"
    assert len(outcome.output) <= MAX_OUTPUT
    assert outcome.output.endswith(b"name 1\n")


def test_command_that_cannot_be_started() -> None:
    outcome = run(["/no/such/program"], 1.0, {})
    assert outcome.failure == "cannot be started: No such file or directory"


def test_a_script_says_how_often(tmp_path: Path) -> None:
    script(tmp_path, "a", "# istat: interval=60 timeout=20\necho a 1")
    script(tmp_path, "b", "echo b 1")
    script(tmp_path, "c.py", "python collectors are not ours")
    (tmp_path / "notes.txt").write_text("no script")
    found = [(job.name, job.interval, job.timeout) for job in jobs(tmp_path)]
    assert found == [("exec:a", 60, 21.0), ("exec:b", 10, 11.0)]


def test_wrong_scripts_are_told_and_stop_no_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    script(tmp_path, "open", "echo a 1", 0o777)
    script(tmp_path, "header", "# istat: every=60")
    script(tmp_path, "forgotten", "echo a 1", 0o644)
    script(tmp_path, "twice", "echo a 1")
    script(tmp_path, "twice.sh", "echo a 1")
    with caplog.at_level(logging.WARNING):
        found = jobs(tmp_path, commands=("/no/such --flag", "echo x 1"))
    assert [job.name for job in found] == ["exec:echo", "exec:twice"]
    told = caplog.text
    assert "everybody may write" in told
    assert f"forgotten: it is not executable (chmod +x {tmp_path}/forgotten)" in told
    assert "`istat: every=60`: it can have interval=SECONDS and timeout=SECONDS" in told
    assert "another script has the name twice" in told
    assert "/no/such: there is no such file" in told


def test_command_line_with_arguments() -> None:
    (job,) = jobs(commands=("printf '%s %d\\n' depth 7",))
    emit = Emit()
    job.collect(emit)
    assert emit.gauges()["depth"] == 7
