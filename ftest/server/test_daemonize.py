"""`--daemonize` and pid files of both daemons, as scripts that start and stop them see it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from ftest.harness.serverprocess import ROOT
from tests.foreign.istatd_writer import Counter

pytestmark = pytest.mark.seconds(60)

SECONDS = 30.0
FREE = ("--stat-port", "0", "--http-port", "0")


def run(*arguments: object, module: str = "istat_server.main", cwd: Path | None = None) -> tuple[int, str, str]:
    """A daemon's command to its end: exit code, standard output, standard error. That it ends shows that nothing which
    it left running holds them."""
    done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)], text=True, capture_output=True,
                          timeout=SECONDS, cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return done.returncode, done.stdout, done.stderr


def end(pid_file: Path) -> None:
    """End the process that a pid file names, and wait until it has let go of the file."""
    if not pid_file.exists() or not (text := pid_file.read_text().strip()):
        return
    os.kill(int(text), signal.SIGTERM)
    limit = time.monotonic() + SECONDS
    while pid_file.exists() and time.monotonic() < limit:
        time.sleep(0.02)
    assert not pid_file.exists()


@pytest.fixture
def pid_file(tmp_path: Path) -> Iterator[Path]:
    """Where a daemon writes its process id; it is ended with the test."""
    path = tmp_path / "istatd.pid"
    yield path
    end(path)


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_it_comes_back_when_all_ports_listen(tmp_path: Path, pid_file: Path) -> None:
    code, said, wrong = run("--daemonize", *FREE, "--store", tmp_path / "s", "--pid-file", pid_file,
                            "--log-file", tmp_path / "log")
    assert (code, wrong) == (0, "")
    found = re.search(r"stat-port=(\d+) http-port=(\d+)", said)
    assert found
    socket.create_connection(("127.0.0.1", int(found[1]))).close()
    assert requests.get(f"http://127.0.0.1:{found[2]}/health", timeout=10).json() == {"status": "ok"}
    assert "ready: samples on port" in (tmp_path / "log").read_text()
    assert pid_file.read_text().endswith("\n") and pid_file.stat().st_mode & 0o777 == 0o644


def test_it_has_a_session_of_its_own_and_no_terminal(tmp_path: Path, pid_file: Path) -> None:
    assert run("--daemonize", *FREE, "--store", tmp_path / "s", "--pid-file", pid_file)[0] == 0
    pid = int(pid_file.read_text())
    assert os.getsid(pid) == os.getpgid(pid) == pid
    assert [os.readlink(f"/proc/{pid}/fd/{stream}") for stream in range(3)] == ["/dev/null"] * 3
    assert status(pid)["Umask"] == "0022"


def test_paths_are_relative_to_where_it_was_started(tmp_path: Path, pid_file: Path) -> None:
    (tmp_path / "istatd.cfg").write_text("--store db/store\n--pid-file istatd.pid\n--daemonize\n")
    assert run("--config", "istatd.cfg", *("--listen-address", "127.0.0.1"), "--stat-port", free_port(), "--http-port",
               free_port(), cwd=tmp_path)[0] == 0
    assert pid_file.exists() and (tmp_path / "db/store/FORMAT").exists()
    assert "ready" in (tmp_path / "istat.log").read_text()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def test_a_live_owner_of_the_pid_file_is_left_alone(tmp_path: Path, pid_file: Path) -> None:
    assert run("--daemonize", *FREE, "--store", tmp_path / "s", "--pid-file", pid_file)[0] == 0
    pid = pid_file.read_text()
    code, _said, wrong = run("--daemonize", *FREE, "--store", tmp_path / "t", "--pid-file", pid_file)
    assert (code, wrong) == (1, f"istat-server: already running as process {pid.strip()}, says {pid_file}\n")
    assert pid_file.read_text() == pid


def test_who_runs_already_is_told_before_the_ports_that_it_has(tmp_path: Path, pid_file: Path) -> None:
    code, said, _wrong = run("--daemonize", *FREE, "--store", tmp_path / "s", "--pid-file", pid_file)
    ports = dict(re.findall(r"(stat-port|http-port)=(\d+)", said))
    assert code == 0 and len(ports) == 2
    code, _said, wrong = run("--store", tmp_path / "s", "--pid-file", pid_file, "--stat-port", ports["stat-port"],
                             "--http-port", ports["http-port"])
    assert (code, wrong) == (1, f"istat-server: already running as process {pid_file.read_text().strip()}, says "
                                f"{pid_file}\n")


def test_a_stale_pid_file_is_taken_over(tmp_path: Path, pid_file: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    pid_file.write_text(f"{ended.pid}\n")
    assert run("--daemonize", *FREE, "--store", tmp_path / "s", "--pid-file", pid_file)[0] == 0
    assert int(pid_file.read_text()) != ended.pid


def test_a_pid_that_another_program_has_by_now_is_stale(tmp_path: Path, pid_file: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as another:
        pid_file.write_text(f"{another.pid}\n")
        assert run("--daemonize", *FREE, "--store", tmp_path / "s", "--pid-file", pid_file)[0] == 0
        assert int(pid_file.read_text()) != another.pid and another.poll() is None
        another.communicate(b"\n", SECONDS)


def test_an_istatd_of_before_is_left_alone(tmp_path: Path) -> None:
    program = tmp_path / "istatd-server"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as before:
        path = tmp_path / "stale.pid"
        path.write_text(f"{before.pid}\n")
        code, _said, wrong = run("--daemonize", *FREE, "--store", tmp_path / "s", "--pid-file", path)
        before.kill()
    assert code == 1 and f"istatd-server is running as process {before.pid}, says {path}: end it first" in wrong


def test_what_is_no_pid_file_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("precious\n")
    code, _said, wrong = run("--daemonize", *FREE, "--store", tmp_path / "s", "--pid-file", path)
    assert code == 1 and "is no pid-file" in wrong and path.read_text() == "precious\n"


@pytest.mark.parametrize(("flags", "code", "told"), [
    (("--listen-address", "192.0.2.1"), 88, "192.0.2.1 is not an address of this machine"),
    (("--http-listen-address", "192.0.2.1"), 88, "192.0.2.1 is not an address of this machine"),
    (("--stat-prt", "1"), 78, "--stat-prt is no setting"),
    (("--log-file", "/no/such/folder/log"), 89, "cannot write the log file"),
    (("--pid-file", "/no/such/folder/pid"), 1, "cannot write the pid-file"),
    (("--store", "/dev/null"), 91, "is no folder"),
    (("--user", "nobody-of-this-name"), 1, "there is no user"),
])
def test_what_is_wrong_is_told_by_who_starts_it(tmp_path: Path, flags: tuple[str, str], code: int, told: str) -> None:
    if flags[0] == "--user" and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    ended, said, wrong = run("--daemonize", *FREE, "--store", tmp_path / "s", *flags)
    assert (ended, said) == (code, "") and told in wrong and "Traceback" not in wrong


def test_a_port_in_use_is_told_by_who_starts_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _said, wrong = run("--daemonize", "--stat-port", 0, "--http-port", port, "--store", tmp_path / "s")
    assert code == 87 and f"port {port} of 127.0.0.1 is in use by another process" in wrong


def test_a_child_that_is_killed_is_told_and_not_waited_for(tmp_path: Path) -> None:
    body = "\n".join(("import os, signal", "from istat.daemon import background", "background.go('istat-server')",
                      "os.kill(os.getpid(), signal.SIGKILL)"))
    done = subprocess.run([sys.executable, "-c", body], text=True, capture_output=True, timeout=SECONDS, cwd=ROOT)
    assert done.returncode == 128 + signal.SIGKILL
    assert done.stderr == "istat-server: it was ended by the signal SIGKILL before it was ready\n"


def test_who_gives_up_waiting_ends_the_child_too() -> None:
    body = "\n".join(("import time", "from istat.daemon import background", "background.go('x')",
                      "print('up', flush=True)", "time.sleep(60)"))
    with subprocess.Popen([sys.executable, "-c", body], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          cwd=ROOT) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(SECONDS) == 128 + signal.SIGTERM


def test_who_is_told_to_end_before_the_child_runs_ends_it_as_well() -> None:
    """The signal is there from before the fork, as soon as it could come."""
    body = "\n".join(("import os, signal, time", "from istat.daemon import background", "fork = os.fork",
                      "def late():", "    child = fork()", "    if child: os.kill(os.getpid(), signal.SIGTERM)",
                      "    return child", "os.fork = late", "background.go('x')", "time.sleep(60)"))
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, timeout=SECONDS, cwd=ROOT)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr


def test_an_agent_goes_to_the_background_too(tmp_path: Path, pid_file: Path) -> None:
    flags = ("--daemonize", "--server", "127.0.0.1:9", "--pid-file", pid_file, "--log-file", tmp_path / "log")
    code, _said, wrong = run(*flags, module="istat_agent.main")
    assert (code, wrong) == (0, "")
    assert os.getsid(int(pid_file.read_text())) == int(pid_file.read_text())
    assert "sending to 127.0.0.1:9" in (tmp_path / "log").read_text()
    code, _said, wrong = run(*flags, module="istat_agent.main")
    assert code == 1 and "already running" in wrong


def test_a_tree_of_ring_files_is_refused_with_what_imports_it(tmp_path: Path, pid_file: Path) -> None:
    old = tmp_path / "old store"
    now = int(time.time())
    counter = Counter(now - 600)
    for k in range(20):
        counter.add(now - 600 + 10 * k, 5.0)
    counter.write(old / "cpu/user")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in old.rglob("*") if path.is_file()}
    kept = ("--retention", "10s:1d,5m:30d")
    for flags in ((), ("--daemonize",), ("--check-config",)):
        code, _said, wrong = run(*FREE, "--store", old, *kept, *flags)
        assert code == 91 and "holds ring files of istatd" in wrong
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in old.rglob("*") if path.is_file()} == before
    command = wrong[wrong.index("istat import"):].partition("\n")[0]
    assert command == f"istat import --store '{old}-2' '{old}' --retention 10s:1d,5m:30d"
    here = command.replace("istat import", f"{sys.executable} -m istat_server.tools import")
    done = subprocess.run(["sh", "-c", here], capture_output=True, text=True, cwd=ROOT, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert f"Then start with --store '{old}-2'" in wrong
    assert run(*FREE, "--store", f"{old}-2", *kept, "--daemonize", "--pid-file", pid_file)[0] == 0


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("module", ["istat_server.main", "istat_agent.main"])
def test_it_may_be_started_with_standard_streams_closed(module: str, closed: tuple[int, ...], tmp_path: Path,
                                                        pid_file: Path) -> None:
    """As by scripts that say `<&- >&- 2>&-`: none of its own files gets the number of a stream."""
    options = [*FREE, "--store", tmp_path / "s"] if module == "istat_server.main" else ["--server", "127.0.0.1:1"]
    command = [sys.executable, "-m", module, "--daemonize", *options, "--pid-file", pid_file, "--log-file",
               tmp_path / "log"]
    shell = 'exec "$@" ' + " ".join(f"{number}>&-" for number in closed)
    done = subprocess.run(["sh", "-c", shell, "sh", *map(str, command)], timeout=SECONDS, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0
    pid = int(pid_file.read_text())
    assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)} == {"/dev/null"}
