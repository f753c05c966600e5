"""exec, on real scripts in a temporary folder."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import pytest

from istat.access import trust
from istat.errors import PluginError
from istat.plugin import Config, Emit, Job, Metric
from istat.running import process
from istat.running.limits import Limits
from istat.running.process import GIVE_UP, MAX_ERRORS, MAX_OUTPUT, run

from .collector import Exec, environment
from .collector import Script as Declared
from .lines import report

SOON = 20.0  # seconds that a test would wait for a script at most


@pytest.fixture(autouse=True)
def private(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)


def script(folder: Path, name: str, text: str, mode: int = 0o755) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


def made(*folders: Path, commands: tuple[str, ...] = ()) -> tuple[list[Job], list[str]]:
    """Jobs, and what was told of those that there are not."""
    instance = Exec()
    settings = {"folders": [str(f) for f in folders], "commands": list(commands)}
    config = Config(settings, host="web1", interval=10, plugin_dirs=())
    instance.setup(config)
    return list(instance.jobs()), config.problems


def jobs(*folders: Path, commands: tuple[str, ...] = ()) -> list[Job]:
    found, problems = made(*folders, commands=commands)
    assert problems == []
    return found


def soon(condition: Callable[[], object]) -> bool:
    """Whether it holds before long."""
    end = time.monotonic() + SOON
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


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
    jobs(tmp_path)[0].collect(emit)
    assert emit.gauges()["a"] == 1
    assert emit.events() == {"exec.odd.bad_lines": 5}
    (told,) = emit.problems
    assert told == (
        f"{tmp_path}/odd: no `name value` line: 'b'; its value is no number; a unit belongs into the name: 'c x'; "
        "its value is not finite; leave out what is not known: 'e nan' (and 2 more)")


@pytest.mark.parametrize(("line", "why"), [
    ("\ufeffa 1", "it begins with a byte-order mark (save what prints it as UTF-8 without one)"),
    ("a 1_000", "its value has a `_`, which only programs' sources have between digits"),
    ("a 1,5", "its value has a comma; a number has a decimal point, and nothing between thousands"),
    ("a 5%", "its value is no number; a unit belongs into the name"),
    ("a \uff11", "its value is no number; a unit belongs into the name"),
    ("a 1e999", "its value is not finite; leave out what is not known"),
    ("a 1764400000123 3", "its time is in milliseconds; in seconds it is 1764400000"),
    ("a 1764400000123456 3", "its time is in microseconds; in seconds it is 1764400000"),
    ("a 1764400000123456789 3", "its time is in nanoseconds; in seconds it is 1764400000"),
    ("a 3.5 1764400000", "value and time have changed places; write a 1764400000 3.5"),
    ("a x 3", "its second of three words is no time in Unix seconds"),
    ("a 1 2 3", "no `name value` line"),
    ("a\u00a0b", "no `name value` line"),
    ("@a 1", "no name begins with @"),
    ("**a 1", "no name begins with *"),
    ("* 1", "it has no name"),
])
def test_what_is_wrong_with_a_line(line: str, why: str) -> None:
    emit = Emit()
    ((_, told),) = report(f"{line}\r\ngood 1\r\n".encode(), emit)
    assert told == why
    assert emit.gauges() == {"good": 1}


def test_a_script_declares_what_its_values_are() -> None:
    emit = Emit()
    bad = report(b"""#metric files.open {"unit":"files","help":"open files"}
# metric files.open {"unit":"no"}
files.open 7
#metric <all> {}
\t#metric\tx.y\t{}
#metrics
""", emit)
    assert emit.metrics == [Metric("files.open", "files", "open files")] and emit.gauges() == {"files.open": 7}
    assert [line for line, _ in bad] == ["#metric <all> {}", "\t#metric\tx.y\t{}"]
    assert "#metric NAME JSON" in bad[0].why


def test_lines_end_at_line_feeds_only_and_fractions_of_seconds_are_cut() -> None:
    emit = Emit()
    assert report("a\u2028b 1\nc\t990.9\t+.5e1".encode(), emit) == []
    assert [(r.name, r.time, r.value) for r in emit.readings] == [("a\u2028b", None, 1), ("c", 990, 5)]


def test_numbers_are_written_with_a_point_and_the_language_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Declared("a", ("/a",), 10, 10.0)
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    found = environment(script, "web1", 1000)
    assert (found["LANG"], found["LC_NUMERIC"]) == ("de_DE.UTF-8", "C")
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    monkeypatch.setenv("LC_NUMERIC", "fr_FR.UTF-8")
    found = environment(script, "web1", 1000)
    assert (found["LANG"], found["LC_NUMERIC"]) == ("fr_FR.UTF-8", "C")
    assert "LC_ALL" not in found


UNSTARTABLE = {
    b"": "it is empty",
    b"echo a 1\n": "its first line does not say what runs it: let that be #!/bin/sh, or the program of its language",
    b"#!/bin/sh\r\necho a 1\r\n":
        "its lines end in CR LF, as on Windows, and no program is called so (sed -i 's/\\r$//' {})",
    b"\xef\xbb\xbf#!/bin/sh\necho a 1\n":
        "it begins with a byte-order mark, which hides its `#!` (sed -i '1s/^\\xEF\\xBB\\xBF//' {})",
    b"#!\necho a 1\n": "nothing stands behind its `#!`: let that be #!/bin/sh, or the program of its language",
    b"#!/opt/none/python9\n": "there is no /opt/none/python9, which its first line names; install it, or write another",
    b"#!sh\n": "its first line names 'sh' without where that is; write #!/bin/sh",
    b"#!/etc/passwd\n": "/etc/passwd, which its first line names, may not be executed by us",
    b"#!/usr/bin/env -S python9 -u\n":
        "its first line asks for python9, which is not in /bin; install it, or write where it is",
}


@pytest.mark.parametrize("text", UNSTARTABLE)
def test_what_cannot_be_started_is_told_before_and_when_it_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    path = tmp_path / "odd"
    path.write_bytes(text)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", "/bin")
    (job,), problems = made(tmp_path)
    why = UNSTARTABLE[text].format(path)
    assert problems == [f"{path} cannot be started: {why}"]
    emit = Emit()
    if b"/usr/bin/env" not in text:  # which begins, and says so itself
        with pytest.raises(PluginError) as caught:
            job.collect(emit)
        assert str(caught.value) == f"{path}: cannot be started: {why}"
        assert emit.events() == {"exec.odd.failures": 1}
        assert emit.gauges() == {}


def test_a_program_of_another_machine_is_told_as_that(tmp_path: Path) -> None:
    path = tmp_path / "odd"
    path.write_bytes(b"\x7fELF" + bytes(60))
    path.chmod(0o755)
    with pytest.raises(PluginError, match="odd: cannot be started: it is a program for another kind of machine"):
        jobs(tmp_path)[0].collect(Emit())


def test_ways_to_name_an_interpreter_that_are_fine(tmp_path: Path) -> None:
    for n, first in enumerate(("/bin/sh", " /bin/sh -e", "/usr/bin/env sh", "/usr/bin/env -S A=1 sh -e",
                               "/usr/bin/env -i sh")):
        (tmp_path / f"s{n}").write_text(f"#!{first}\necho a 1\n")
        (tmp_path / f"s{n}").chmod(0o755)
    assert len(jobs(tmp_path)) == 5


def test_copies_never_run_in_place_of_the_script(tmp_path: Path) -> None:
    for name in ("check.dpkg-old", "check.sh", "check.sh~", "#check.sh#", ".check.sh.swp", "check.bak"):
        script(tmp_path, name, f"echo '{name}' 1")
    (job,) = jobs(tmp_path)
    emit = Emit()
    job.collect(emit)
    assert "check.sh" in emit.gauges()


def test_wrong_folders_and_commands_stop_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "good", "echo a 1")
    script(tmp_path, "file", "echo b 1")
    commands = ("printf 'a", "no-such-program --all", "printf 'c 1'")
    monkeypatch.setenv("PATH", "/bin")
    found, problems = made(tmp_path, tmp_path / "none", tmp_path / "file", commands=commands)
    assert {job.name for job in found} == {"exec:good", "exec:file", "exec:printf", "exec:no-such-program"}
    assert problems == [
        "not run: printf 'a: it cannot be split into words: No closing quotation",
        f"folders: there is no {tmp_path}/none",
        f"{tmp_path}/file cannot be read: Not a directory",
        "no-such-program cannot be started: there is no such program in /bin",
    ]


def test_binary_output_is_no_catastrophe() -> None:
    assert len(report(b"\xff\xfe\x00 1\n\x80\x81\n", Emit())) == 1


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):     # gone, or while it was read
        return False


ENVIRONMENT = {"PATH": os.defpath}
# What a child may do to outlive its parent: a session of its own, an orphan's life, no pipes, a deaf ear.
BACKGROUND = "sleep 300 & echo $! >> {0}"
SESSION = "setsid sh -c 'echo $$ >> {0}; exec sleep 300' &"
DAEMON = "(setsid sh -c 'trap \"\" TERM HUP INT; (echo $$ >> {0}; sleep 300 & echo $! >> {0}; wait) >/dev/null 2>&1' &)"
WAYS = (BACKGROUND, SESSION, DAEMON)


@pytest.mark.parametrize(("way", "count"), [(BACKGROUND, 1), (SESSION, 1), (DAEMON, 2)])
def test_what_a_script_leaves_ends_with_it_wherever_it_went(tmp_path: Path, way: str, count: int) -> None:
    file = tmp_path / "children"
    wait = f"until [ $(wc -l < {file}) = {count} ]; do sleep 0.01; done"
    path = script(tmp_path, "leaves", f": > {file}; {way.format(file)}\n{wait} 2>/dev/null; printf 'a 1\nlast 2'")
    outcome = run([str(path)], SOON, ENVIRONMENT)
    left = [int(word) for word in file.read_text().split()]
    assert len(left) == count
    assert [pid for pid in left if alive(pid)] == []
    assert outcome.failure is None
    assert outcome.output == b"a 1\nlast 2"     # the last line without its end, too
    assert outcome.seconds < SOON / 2           # not waited for whoever holds the pipes


@pytest.mark.parametrize("way", WAYS)
def test_deadline_ends_all_of_a_run(tmp_path: Path, way: str) -> None:
    file = tmp_path / "children"
    path = script(tmp_path, "slow", f"echo a 1; printf half; {way.format(file)}\nsetsid -w sleep 300")
    outcome = run([str(path)], 1.0, ENVIRONMENT)
    assert outcome.failure == "not finished after 1 s"
    assert outcome.output == b"a 1\n"
    left = [int(word) for word in file.read_text().split()]
    assert left and [pid for pid in left if alive(pid)] == []


def test_what_a_script_did_not_start_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "300"]) as ours, subprocess.Popen(["sleep", "300"], process_group=0) as other:
        assert run(["sh", "-c", "sleep 300 &"], SOON, ENVIRONMENT, "/bin/sh").failure is None
        assert alive(ours.pid) and alive(other.pid)
        ours.kill()
        other.kill()


def test_the_signals_and_descriptors_of_a_script_are_as_usual(tmp_path: Path) -> None:
    path = script(tmp_path, "look", "grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd")
    assert run(["true"], SOON, ENVIRONMENT, "/bin/true").failure is None
    ignorant = keeper()
    os.kill(ignorant, signal.SIGKILL)
    assert soon(lambda: not alive(ignorant))
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)     # as a shell does for what runs in the background
    try:
        words = run([str(path)], SOON, ENVIRONMENT).output.decode().split()
    finally:
        signal.signal(signal.SIGQUIT, before)
    usual = (1 << 31) - 1   # above are those that the C library keeps for its threads
    assert [int(words[1], 16), int(words[3], 16) & usual] == [0, 0]
    assert words[4:] == ["0", "1", "2", "3"]    # 3: ls reads the folder


def keeper() -> int:
    assert process._keeper._process is not None
    return process._keeper._process.pid


def test_a_keeper_that_was_killed_is_started_anew() -> None:
    assert run(["true"], SOON, ENVIRONMENT, "/bin/true").failure is None
    before = keeper()
    os.kill(before, signal.SIGKILL)
    assert soon(lambda: not alive(before))
    assert run(["true"], SOON, ENVIRONMENT, "/bin/true").failure is None
    assert keeper() != before


def test_a_run_ends_when_the_keeper_is_killed(tmp_path: Path) -> None:
    """For then nobody would end what it leaves, should its warden be killed, too."""
    file = tmp_path / "children"
    text = f"echo $$ >> {file}; {DAEMON.format(file)}\nuntil [ $(wc -l < {file}) = 3 ]; do sleep 0.01; done; sleep 300"
    path = script(tmp_path, "lonely", text)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(run, [str(path)], SOON, ENVIRONMENT)
        assert soon(lambda: file.exists() and len(file.read_text().split()) == 3)
        os.kill(keeper(), signal.SIGKILL)
        assert running.result().failure == "what watched over it was killed"
    assert not any(alive(int(pid)) for pid in file.read_text().split())


def test_a_warden_that_is_killed_leaves_nothing_either(tmp_path: Path) -> None:
    file = tmp_path / "children"
    wait = f"until [ $(wc -l < {file}) = 3 ]; do sleep 0.01; done"
    text = f"echo $$ >> {file}; {DAEMON.format(file)}\n{wait}; kill -9 $PPID; sleep 300"
    outcome = run([str(script(tmp_path, "regicide", text))], SOON, ENVIRONMENT)
    assert outcome.failure == "what watched over it was killed"
    left = [int(word) for word in file.read_text().split()]
    assert len(left) == 3
    assert soon(lambda: not any(alive(pid) for pid in left))


def test_children_are_found_without_the_kernels_list_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "300"]) as child:
        assert child.pid in process.keeper.children()

        def without(path: str, mode: str) -> IO[Any]:
            if path.endswith("/children"):
                raise FileNotFoundError(path)
            return open(path, mode)

        monkeypatch.setattr(process.keeper, "open", without, raising=False)
        found = process.keeper.children()
        assert child.pid in found and os.getpid() not in found and 1 not in found
        child.kill()


def test_processes_that_cannot_be_ended_are_named() -> None:
    """Those of another user, where the agent is not root; nothing that root could show."""
    told = process._outcome(process._Run(told=["ended", "0", "123", "124"]), 5.0, 1.0)
    assert told.failure == "left processes that cannot be ended (123, 124)"
    told = process._outcome(process._Run(told=["late", "None", "123"]), 5.0, 1.0)
    assert told.failure == "not finished after 5 s, and left processes that cannot be ended (123)"


def test_too_much_output_ends_it(tmp_path: Path) -> None:
    outcome = run(["yes", "name 1"], SOON, ENVIRONMENT, "/usr/bin/yes")
    assert outcome.failure == f"printed more than {MAX_OUTPUT} bytes"
    assert len(outcome.output) <= MAX_OUTPUT
    assert outcome.output.endswith(b"name 1\n")


def test_a_program_that_is_for_running_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As sudo is where its mode is 4111."""
    def read(path: str, most: int) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    path = script(tmp_path, "as-root", "echo a 1", 0o4755)
    monkeypatch.setattr(trust, "read", read)
    assert [job.name for job in jobs(commands=(f"{path} -n",))] == ["exec:as-root"]
    path.chmod(0o755)
    assert "may not read it" in made(commands=(f"{path} -n",))[1][0]


def test_the_end_of_what_a_script_says_is_kept(tmp_path: Path) -> None:
    path = script(tmp_path, "wordy", "seq 20000 >&2\necho the reason >&2\nexit 1")
    outcome = run([str(path)], SOON, ENVIRONMENT)
    assert outcome.errors.endswith(b"20000\nthe reason\n")
    assert len(outcome.errors) == MAX_ERRORS


def test_out_of_open_files_a_run_fails_and_leaves_none_open(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(["true"], SOON, ENVIRONMENT, "/bin/true").failure is None
    before, pipe = len(os.listdir("/proc/self/fd")), os.pipe
    pipes = iter(range(1))

    def few() -> tuple[int, int]:
        for _ in pipes:
            return pipe()
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pipe", few)
    assert run(["true"], SOON, ENVIRONMENT, "/bin/true").failure == "cannot be started: Too many open files"
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_keeper_out_of_open_files_goes_on() -> None:
    """Else all other runs would end with it."""
    assert run(["true"], SOON, ENVIRONMENT, "/bin/true").failure is None
    before = keeper()
    usual = resource.prlimit(before, resource.RLIMIT_NOFILE)
    resource.prlimit(before, resource.RLIMIT_NOFILE, (5, usual[1]))
    assert run(["true"], SOON, ENVIRONMENT, "/bin/true").failure == "what watched over it was killed"
    resource.prlimit(before, resource.RLIMIT_NOFILE, usual)
    assert run(["true"], SOON, ENVIRONMENT, "/bin/true").failure is None
    assert keeper() == before


def test_command_that_cannot_be_started() -> None:
    outcome = run(["/no/such/program"], 1.0, {})
    assert outcome.failure == "cannot be started: No such file or directory"


def test_a_script_says_how_often(tmp_path: Path) -> None:
    script(tmp_path, "a", "# istat: interval=60 timeout=20\necho a 1")
    script(tmp_path, "b", "echo b 1")
    script(tmp_path, "c.py", "python collectors are not ours")
    (tmp_path / "notes.txt").write_text("no script")
    found = [(job.name, job.interval, job.timeout) for job in jobs(tmp_path)]
    assert found == [("exec:a", 60, 20.5 + GIVE_UP), ("exec:b", 10, 10.5 + GIVE_UP)]


def test_wrong_scripts_are_told_and_stop_no_others(tmp_path: Path) -> None:
    script(tmp_path, "open", "echo a 1", 0o777)
    script(tmp_path, "header", "# istat: every=60")
    script(tmp_path, "forgotten", "echo a 1", 0o644)
    script(tmp_path, "twice", "echo a 1")
    script(tmp_path, "twice.sh", "echo a 1")
    found, problems = made(tmp_path, commands=("/no/such --flag", "echo x 1"))
    assert [job.name for job in found] == ["exec:echo", "exec:twice"]
    told = "\n".join(problems)
    assert "everybody may write" in told
    assert f"forgotten: it is not executable (chmod +x {tmp_path}/forgotten)" in told
    assert "`istat: every=60`: it can have interval=SECONDS and timeout=SECONDS" in told
    assert "another script has the name twice" in told
    assert "/no/such: there is no such file" in told


def test_a_file_that_goes_while_it_is_looked_at_stops_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path, "here", "echo a 1")
    gone, access, looks = script(tmp_path, "gone", "echo a 1", 0o644), os.access, list[str]()

    def late(path: str, mode: int) -> bool:
        found = access(path, mode)
        if not found:
            looks.append(path)
            if looks.count(str(gone)) == 2:     # the first is for those that are executable
                gone.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(os, "access", late)
    script(tmp_path, "left", "echo a 1", 0o644)
    found, problems = made(tmp_path)
    assert [job.name for job in found] == ["exec:here"]
    assert "left: it is not executable" in problems[-1]     # all are looked at


def test_command_line_with_arguments() -> None:
    (job,) = jobs(commands=("printf '%s %d\\n' depth 7",))
    emit = Emit()
    job.collect(emit)
    assert emit.gauges()["depth"] == 7


def test_a_script_is_looked_at_before_each_run(tmp_path: Path) -> None:
    path = script(tmp_path, "queue", "echo a 1")
    (job,) = jobs(tmp_path)
    emit = Emit()
    job.collect(emit)
    assert emit.gauges()["a"] == 1
    for place in (path, tmp_path):
        mode = place.stat().st_mode
        place.chmod(0o777)
        emit = Emit()
        with pytest.raises(PluginError, match=rf"queue: everybody may write {place} \(chmod o-w {place}\)"):
            job.collect(emit)
        assert emit.gauges() == {}
        assert emit.events() == {"exec.queue.refused": 1}
        place.chmod(mode)
    job.collect(Emit())
    path.unlink()
    emit = Emit()
    with pytest.raises(PluginError, match="queue: cannot be started: No such file or directory"):
        job.collect(emit)
    assert emit.events() == {"exec.queue.failures": 1}


def test_a_program_of_a_command_line_is_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "depth", "echo a 1", 0o777)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    found, problems = made(commands=("depth --all", "printf 'b 2'"))
    assert [job.name for job in found] == ["exec:printf"]
    assert problems == [f"not run: depth: everybody may write {tmp_path}/depth (chmod o-w {tmp_path}/depth)"]
    emit = Emit()
    found[0].collect(emit)
    assert emit.gauges()["b"] == 2


def gauges_of(folder: Path, text: str, name: str = "it") -> dict[str, float]:
    script(folder, name, text)
    emit = Emit()
    jobs(folder)[0].collect(emit)
    return emit.gauges()


def test_limits_hold_for_a_script_and_what_it_starts(tmp_path: Path) -> None:
    found = gauges_of(tmp_path, "# istat: timeout=3 memory=64M\n"
                      "sh -c 'for w in d n f c t; do echo $w $(ulimit -H -$w); done'\n"
                      "echo oom $(cat /proc/self/oom_score_adj)")
    assert (found["d"], found["f"], found["c"], found["t"]) == (64 * 1024, 1024 * 1024 * 2, 0, 4)  # kB, blocks, s
    assert found["n"] <= 1024
    assert found["oom"] >= int(Path("/proc/self/oom_score_adj").read_text())


def failure_of(folder: Path, text: str) -> str:
    with pytest.raises(PluginError) as error:
        gauges_of(folder, text)
    return str(error.value)


def test_a_script_that_takes_too_much_memory_fails(tmp_path: Path) -> None:
    told = failure_of(tmp_path, f"# istat: memory=32M\nexec {sys.executable} -c 'kept = bytearray(64 << 20)'")
    assert "exit status 1" in told and "MemoryError" in told


def test_a_script_that_writes_too_large_a_file_is_told_so(tmp_path: Path) -> None:
    told = failure_of(tmp_path, f"exec truncate -s 1025M {tmp_path}/large")
    assert "wrote a larger file than it may (ended by SIGXFSZ)" in told or "File too large" in told


def test_a_script_that_takes_too_much_cpu_time_is_told_so() -> None:
    spins = [sys.executable, "-c", "import threading\nwhile True: pass"]
    outcome = run(spins, SOON, dict(os.environ), limits=Limits(cpu=1))
    assert outcome.failure == "took more CPU time than it may (ended by SIGXCPU)"


def test_one_that_starts_without_an_end_is_ended_with_all_of_them(tmp_path: Path) -> None:
    numbers = tmp_path / "numbers"
    bomb = ["/bin/sh", "-c", f"bomb() {{ echo $$ >> {numbers}; sh -c 'sleep 300' & sleep 0.01; bomb; }}; bomb"]
    outcome = run(bomb, 3.0, dict(os.environ), limits=Limits(processes=20))
    # Whoever is not root is held by the system: sh(1) ends then, as it cannot start more.
    assert outcome.failure == "exit status 2" if os.geteuid() else "started more than 20 processes"
    assert int(numbers.read_text().split()[0]) > 0


def test_memory_that_cannot_be_is_told(tmp_path: Path) -> None:
    script(tmp_path, "it", "# istat: memory=1k\necho a 1")
    found, (told,) = made(tmp_path)
    assert found == [] and "`istat: memory=1k`: its memory wants a number of bytes such as 4096" in told


def test_processes_that_other_threads_have_started_are_counted() -> None:
    below = process.keeper._below
    body = ("import subprocess, threading\n"
            "def start(): own.extend(subprocess.Popen(['sleep', '60']) for _ in range(3))\n"
            "own = []\nthread = threading.Thread(target=lambda: (start(), print('up', flush=True), gate.wait()))\n"
            "gate = threading.Event()\nthread.start()\ninput()\n[one.kill() for one in own]\ngate.set()\n")
    with subprocess.Popen([sys.executable, "-c", body], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin is not None and program.stdout is not None
        assert program.stdout.readline() == b"up\n"
        assert len(below(program.pid)) == 3
        program.stdin.write(b"\n")
