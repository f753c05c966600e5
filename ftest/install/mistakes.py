"""The likeliest mistakes, made for real with real processes: MISTAKES has one for each section of
docs/troubleshooting.md, a function of a folder that gives what the programs said. Knows nothing of that page's words.
"""
from __future__ import annotations

import http.server
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ftest.harness.serverprocess import ROOT, START_SECONDS, ServerProcess
from istat.kernels import native_missing
from tests.ports import own_port

SERVER, AGENT, ISTAT = "istat_server.main", "istat_agent.main", "istat_server.tools"
NOBODY = 65534
SMALL_DISK = "3m"


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "ISTAT_ADMIN_TOKEN": ""}


def run(module: str, *words: object, status: int | None, before: tuple[str, ...] = (), input: str = "") -> str:
    """What a program says that ends by itself with this status."""
    done = subprocess.run([*before, sys.executable, "-m", module, *map(str, words)], env=environment(), text=True,
                          capture_output=True, timeout=START_SECONDS, input=input, check=False)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert done.returncode == status, f"{done.returncode}: {said}"
    return said


def server(*words: object, status: int, before: tuple[str, ...] = ()) -> str:
    """What a server says that cannot start."""
    return run(SERVER, "--http-port", 0, *words, status=status, before=before)


@contextmanager
def running(module: str, log: Path, *words: object, before: tuple[str, ...] = ()) -> Iterator[Callable[[str], str]]:
    """A daemon; its log, once these words are in it."""
    with log.open("wb") as file:
        process = subprocess.Popen([*before, sys.executable, "-m", module, *map(str, words)], env=environment(),
                                   stdout=file, stderr=file, stdin=subprocess.DEVNULL)

        def wait(text: str) -> str:
            end = time.monotonic() + START_SECONDS
            while text not in log.read_text():
                assert time.monotonic() < end and process.poll() is None, log.read_text()
                time.sleep(0.05)
            return log.read_text()

        try:
            yield wait
        finally:
            process.terminate()
            assert process.wait(START_SECONDS) == 0, log.read_text()


def as_nobody() -> tuple[str, ...]:
    """What is put before a command so that it runs without root; skips where that cannot be."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    before = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    tried = subprocess.run([*before, sys.executable, "-c", "import istat_server.main"], env=environment(), timeout=60,
                           capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("another user cannot run this Python or read this tree")
    return before


@contextmanager
def small_disk(where: Path) -> Iterator[Path]:
    """A disk of a few MB; needs root."""
    where.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(where)],
                          capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no disk of our own can be mounted here: {made.stderr.strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def fill(path: Path) -> None:
    """Use up a disk."""
    with path.open("wb", buffering=0) as ballast:
        for size in (1 << 16, 1):
            try:
                while True:
                    ballast.write(b"\0" * size)
            except OSError:
                continue


def status_of(one: ServerProcess) -> str:
    return run(ISTAT, "status", "--server", one.url, status=0)


# -- the mistakes: each gives what was said

def port_in_use(place: Path) -> str:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        return (server("--stat-port", port, "--store", place / "s", status=87)
                + run(SERVER, "--stat-port", 0, "--http-port", port, "--store", place / "s", status=87))


def store_of_another_user(place: Path) -> str:
    folder = place / "store"
    folder.mkdir(mode=0o700 if os.geteuid() == 0 else 0)
    said = server("--stat-port", 0, "--store", folder, status=91, before=as_nobody())
    return said + run(ISTAT, "check", folder, status=1, before=as_nobody())


def privileged_port(place: Path) -> str:
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 99:
        pytest.skip("here everyone may use low ports")
    return server("--stat-port", 99, "--store", place / "s", status=88, before=as_nobody())


def unreadable_settings(place: Path) -> str:
    file = place / "server.toml"
    file.write_text('admin-token = "secret"\n')
    file.chmod(0o600 if os.geteuid() == 0 else 0)
    said = server("--config", file, status=78, before=as_nobody())
    assert "secret" not in said
    return said + run(AGENT, "--config", file, "--check-config", status=78, before=as_nobody())


def open_settings(place: Path) -> str:
    file = place / "server.toml"
    file.write_text('admin-token = "secret"\n')
    file.chmod(0o666)
    said = server("--config", file, "--store", place / "s", status=78)
    file.chmod(0o644)
    said += run(SERVER, "--config", file, "--check-config", status=0)
    assert "secret" not in said
    return said


def store_that_is_not_roots(place: Path) -> str:
    if os.geteuid() != 0:
        pytest.skip("only root can be in the store of another")
    (place / "store").mkdir()
    os.chown(place / "store", NOBODY, NOBODY)
    return server("--stat-port", 0, "--store", place / "store", status=91)


def link_of_another(place: Path) -> str:
    if os.geteuid() != 0:
        pytest.skip("only root makes links of other users")
    (place / "victim").write_text("important")
    (place / "pid").symlink_to("victim")
    os.chown(place / "pid", NOBODY, NOBODY, follow_symlinks=False)
    said = server("--stat-port", 0, "--store", place / "s", "--pid-file", place / "pid", status=1)
    said += server("--stat-port", 0, "--store", place / "s", "--log-file", place / "pid", status=89)
    said += run(AGENT, "--pid-file", place / "pid", status=1)
    assert (place / "victim").read_text() == "important"
    return said


def unreadable_code(place: Path) -> str:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    (place / "venv").mkdir(mode=0o700)
    (place / "venv" / "sitecustomize.py").touch()      # any module that Python imports
    before = ("env", f"PYTHONPATH={place / 'venv'}:{ROOT}")
    said = server("--stat-port", 0, "--store", place / "s", "--user", NOBODY, status=1, before=before)
    return said + run(AGENT, "--user", NOBODY, "--once", status=1, before=before)


def missing_segment(place: Path) -> str:
    one = ServerProcess(place / "a", journal_sync="100ms")
    with one:
        one.send_tcp(b"some.name 1\n")
        one.wait_for_samples(1)
        one.wait_until((one.store / "journal" / "safe-end").exists, "it is synced, and that is written down")
        one.kill9()
    (segment,) = (one.store / "journal").glob("*.journal")
    kept = segment.read_bytes()
    segment.unlink()
    said = server("--stat-port", 0, "--store", one.store, status=90)
    assert f"journal/{segment.name}" in run(ISTAT, "check", one.store, status=90)
    segment.write_bytes(kept[:-1])
    assert f"journal/{segment.name}" in run(ISTAT, "check", one.store, status=90)
    with one:
        assert one.get("/api/v1/status")["store"]["journal_lost_bytes"] > 0
        said += one.log()
    segment.unlink(missing_ok=True)
    run(ISTAT, "check", "--repair", one.store, status=0)
    return said


def wrong_settings(place: Path) -> str:
    file = place / "server.toml"
    file.write_text('stat-prot = 8111\nflush = "soon"\n')
    said = server("--config", file, status=78)
    assert len(said.splitlines()) == 2
    return said + run(SERVER, "--config", file, "--check-config", status=78)


def full_disk(place: Path) -> str:
    with small_disk(place / "disk") as disk:
        fill(disk / "ballast")
        said = server("--stat-port", 0, "--store", disk / "store", status=93)
        (disk / "ballast").unlink()
        with ServerProcess(place / "running", store=disk / "store") as one:
            one.send_tcp(b"some.name 1\n")
            fill(disk / "ballast")

            def refuses() -> bool:
                one.send_tcp(b"".join(b"some.name.%d 1\n" % number for number in range(1000)))
                return bool(one.get("/api/v1/status")["store"]["refusing"])

            one.wait_until(refuses, "samples are refused", START_SECONDS)
            said += status_of(one)
            (disk / "ballast").unlink()
            one.wait_until(lambda: not one.get("/api/v1/status")["store"]["refusing"], "they are taken again")
        return said


def wrong_time(place: Path) -> str:
    ahead = int(time.time()) + 7200
    with ServerProcess(place / "a", fake_time=int(time.time()) - 7200) as one:
        where = ("--to", f"127.0.0.1:{one.stat_port}", "--server", one.url)
        said = run(ISTAT, "send", "early.bird", 1, "--time", ahead, *where, status=81)
        assert one.refused()["from_future"] == 1
        return said + status_of(one)


def refused_name(place: Path) -> str:
    said = run(ISTAT, "send", "two words", 1, status=80)
    with ServerProcess(place / "a", max_counters=1) as one:
        one.send_tcp(b"first 1\nsecond 1\n")
        one.wait_until(lambda: one.refused().get("name_refused"), "the name is refused")
        assert "name_refused from tcp 127.0.0.1:" in one.log()
        return said + status_of(one)


def unreachable_server(place: Path) -> str:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))     # bound, but it does not listen: the connection is refused
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        said = run(ISTAT, "ls", "--server", url, status=85) + run(ISTAT, "status", "--server", url, status=85)
    port = own_port()
    said += run(ISTAT, "send", "a", 1, "--to", f"127.0.0.1:{port}", status=85)
    with running(AGENT, place / "agent.log", "--server", f"127.0.0.1:{port}", "--interval", 1) as wait:
        wait("cannot reach the server")
        with ServerProcess(place / "back", stat_port=port) as back:
            said += wait("can be reached again")
            back.wait_until(lambda: back.get("/api/v1/names", match="agent.*")["names"], "its samples come")
    other = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    with other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        said += run(ISTAT, "status", "--server", f"http://127.0.0.1:{other.server_port}", status=85)
        other.shutdown()
    return said


def another_name(place: Path) -> str:
    """A proxy, which the server is here itself, lets the public name pass."""
    with ServerProcess(place / "a") as one:
        before = ("env", f"http_proxy={one.url}", "no_proxy=")
        return run(ISTAT, "status", "--server", "http://stats.example.net", status=83, before=before)


def newer_store(place: Path) -> str:
    folder = place / "store"
    with ServerProcess(place, store=folder) as one:
        one.send_tcp(b"some.name 1\n")
    (folder / "FORMAT").write_text("istatd store 9\n")
    said = server("--stat-port", 0, "--store", folder, status=91)
    assert "written by a newer istatd" in run(ISTAT, "check", "--repair", folder, status=91)
    (folder / "FORMAT").write_text("istatd store 1\n")
    with ServerProcess(place / "again", store=folder) as one:
        assert one.get("/api/v1/names")["names"], "nothing was harmed"
    return said


def missing_module(place: Path) -> str:
    (place / "plugins").mkdir()
    (place / "plugins/db.py").write_text("import no_such_database\n")
    said = run(AGENT, "--once", "--plugin-dir", place / "plugins", status=78)
    assert re.search(r"^cpu\.\S+ \d+ ", said, re.MULTILINE), "the others run"
    return said


def unsafe_drop_in(place: Path) -> str:
    folder, script = place / "plugins", place / "safe/queue"
    for path in (folder, script.parent, place / "linked"):
        path.mkdir(mode=0o755)
    for path in (folder / "db.py", folder / "jobs", folder / "forgotten", script):
        path.write_text("#!/bin/sh\necho queue.depth 3\n")
        path.chmod(0o644 if path.name == "forgotten" else 0o755)
    (place / "linked/jobs").symlink_to(folder / "jobs")
    (place / "linked/windows").write_bytes(b"#!/bin/sh\r\necho a 1\r\n")
    (place / "linked/windows").chmod(0o755)
    folder.chmod(0o777)
    words = ("--plugin-dir", f"{folder},{place / 'linked'},{script.parent}", "--enable", "exec")
    said = run(AGENT, *words, "--check-config", status=78)
    assert f"{place}/linked/jobs: everybody may write {folder}" in said
    assert said.splitlines()[0].removeprefix("istat-agent: ") in run(AGENT, *words, "--list-collectors", status=78)
    with running(AGENT, place / "log", *words, "--interval", 1, "--server", f"127.0.0.1:{own_port()}") as wait:
        wait("sending to")
        script.chmod(0o777)
        return said + wait("collector exec:queue: ")


def failing_plugins(place: Path) -> str:
    (place / "plugins").mkdir(mode=0o755)
    head = "import time\nfrom istat.plugin import collector\n@collector(interval={}, timeout=0.2)\ndef collect(emit):\n"
    # Their next turn is in a minute: after two of them the one that hangs would be in a child, the other left alone.
    for name, every, text in (("db", 60, "    1 / 0\n"), ("mail", 60, "    time.sleep(600)\n"), ("web", 1, "    (\n")):
        (place / f"plugins/{name}.py").write_text(head.format(every) + text)
    control = place / "control"
    words = ("--control-path", control, "--plugin-dir", place / "plugins", "--server", f"127.0.0.1:{own_port()}")
    with running(AGENT, place / "log", *words) as wait:
        wait("collector db: ZeroDivisionError")
        wait("collector mail: not finished")
        said = run(AGENT, "plugins", "--control-path", control, status=0)
        return said + run(AGENT, "try", "db", "--control-path", control, status=86)


def isolated_plugins(place: Path) -> str:
    if native_missing():
        pytest.skip("without native kernels an agent that stands still ends, and says another thing")
    (place / "plugins").mkdir(mode=0o755)
    head = ("import ctypes, subprocess, time\nfrom istat.plugin import collector\n"
            "@collector(timeout=5)\ndef collect(emit):\n")
    crash, runtime = place / "plugins" / "crash.py", ("env", f"RUNTIME_DIRECTORY={place}")
    crash.write_text(f"{head}    ctypes.string_at(1)\n")
    words = ("--plugin-dir", place / "plugins", "--server", f"127.0.0.1:{own_port()}", "--interval", 1, "--watchdog", 1)
    run(AGENT, *words, status=-signal.SIGSEGV, before=runtime)
    with running(AGENT, place / "log", *words, before=runtime) as wait:
        said = wait("ended by a crash")
    for name, text in (("starts", "subprocess.run(['true'])"), ("slow", "time.sleep(4)"),
                       ("holds", "time.sleep(1); ctypes.PyDLL(None).sleep(60)")):
        (place / "plugins" / f"{name}.py").write_text(f"{head}    {text}\n")
    with running(AGENT, place / "other", *words, before=runtime) as wait:
        wait("it starts processes")
        return said + wait("the agent stood still")


def no_agent(place: Path) -> str:
    control = place / "control"
    said = run(AGENT, "plugins", "--control-path", control, status=120)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.fspath(control))
    said += run(AGENT, "reload", "--control-path", control, status=120)
    words = ("--enable", "load", "--server", f"127.0.0.1:{own_port()}")
    runtime = ("env", f"RUNTIME_DIRECTORY={place}")
    with running(AGENT, place / "log", *words, before=runtime) as wait:
        wait("sending to")
        assert "load" in run(AGENT, "plugins", "--control-path", control, status=0)
        with running(AGENT, place / "other", *words, before=runtime) as wait_for_other:
            said += wait_for_other("sending to")
        before = as_nobody()
        if before:
            said += run(AGENT, "plugins", "--control-path", control, status=120, before=before)
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(os.fspath(place / "silent"))
            silent.listen()
            said += run("ftest.install.impatient", place / "silent", status=120)
    assert not control.exists(), "it is gone with its agent"
    return said


def few_files(place: Path) -> str:
    before = ("sh", "-c", 'ulimit -n "$0"; exec "$@"')
    words = ("--stat-port", 0, "--http-port", 0, "--store")
    with running(SERVER, place / "log", *words, place / "a", before=(*before, "256")) as wait:
        said = wait("ready: samples on port")
    return said + server("--stat-port", 0, "--store", place / "b", status=91, before=(*before, "12"))


MISTAKES: dict[str, Callable[[Path], str]] = {
    "A port is in use": port_in_use,
    "No permission for the store": store_of_another_user,
    "The store belongs to another user": store_that_is_not_roots,
    "A link of another user": link_of_another,
    "The user cannot read istatd": unreadable_code,
    "No permission for a port": privileged_port,
    "The settings file cannot be read": unreadable_settings,
    "The settings file is open to everybody": open_settings,
    "A setting is wrong": wrong_settings,
    "The disk is full": full_disk,
    "A segment of the journal is missing": missing_segment,
    "A clock is wrong": wrong_time,
    "A name is refused": refused_name,
    "The server cannot be reached": unreachable_server,
    "It does not answer to the name": another_name,
    "The store is of a newer version": newer_store,
    "A plugin misses a module": missing_module,
    "A drop-in is not run": unsafe_drop_in,
    "A plugin does not do what it should": failing_plugins,
    "A plugin is isolated": isolated_plugins,
    "No agent answers": no_agent,
    "Too few open files": few_files,
}
