"""Service duties: notifications, passed sockets, limits, pid files, giving up root."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from istat.daemon import background, service
from istat.errors import IstatError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def test_notifications(manager: socket.socket) -> None:
    assert service.ready("listening")
    assert service.status("two\nlines")
    assert service.watchdog()
    assert service.stopping()
    assert service.reloading()
    assert service.extend_timeout(1.5)
    received = [manager.recv(200).decode() for _ in range(6)]
    assert received[:4] == ["READY=1\nSTATUS=listening", "STATUS=two lines", "WATCHDOG=1", "STOPPING=1"]
    assert received[4].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert received[5] == "EXTEND_TIMEOUT_USEC=1500000"


def test_the_plain_socket_does_the_same(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_systemd", None)
    assert service.ready()
    assert manager.recv(200) == b"READY=1"
    read_end, write_end = os.pipe()
    assert service.store_fd("stat", read_end)
    data, descriptors, _, _ = socket.recv_fds(manager, 200, 1)
    assert (data, len(descriptors)) == (b"FDSTORE=1\nFDNAME=stat", 1)
    for descriptor in (read_end, write_end, *descriptors):
        os.close(descriptor)


def test_without_a_manager_it_is_quietly_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(service, "_systemd", None)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not service.ready()
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not service.ready()


def test_the_watchdog_is_fed_at_half_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    assert service.watchdog_interval() is None
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert service.watchdog_interval() == 15.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert service.watchdog_interval() is None


def test_passed_sockets_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    monkeypatch.setattr(service, "FIRST_LISTEN_FD", read_end)
    os.set_inheritable(read_end, True)
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "stat", "HOME": "/"}
    assert service.listen_fds(environ) == [("stat", read_end)]
    assert not os.get_inheritable(read_end)
    assert environ == {"HOME": "/"}
    assert service.listen_fds(environ) == []
    assert service.listen_fds({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == []
    os.close(read_end)
    os.close(write_end)


def test_the_file_limit_rises_to_what_is_allowed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        assert service.raise_file_limit(128) == 128
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 128
        assert service.raise_file_limit(100) == 128, "it never lowers"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_pid_file_lives_as_long_as_its_process(tmp_path: Path) -> None:
    path = tmp_path / "daemon.pid"
    with service.PidFile(path):
        assert path.read_text() == f"{os.getpid()}\n"
        with pytest.raises(IstatError, match=f"already running as process {os.getpid()}"):
            service.PidFile(path).__enter__()
    assert not path.exists()


def test_a_stale_pid_file_is_taken_over_even_when_its_number_lives(tmp_path: Path) -> None:
    path = tmp_path / "daemon.pid"
    path.write_text("1\nand more than that\n")
    with service.PidFile(path):
        assert path.read_text() == f"{os.getpid()}\n"


@needs_root
def test_a_pid_file_is_no_way_to_write_over_others_files(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("important\n")
    (tmp_path / "theirs").symlink_to(victim)
    os.chown(tmp_path / "theirs", 1234, 1234, follow_symlinks=False)
    with pytest.raises(OSError, match="a link of the user 1234 is on the way there"):
        service.PidFile(tmp_path / "theirs").__enter__()
    (tmp_path / "ours").symlink_to(victim)
    for place in (tmp_path / "ours", victim):
        with pytest.raises(IstatError, match=f"{place} is there and is no pid-file: it does not begin with a number"):
            service.PidFile(place).__enter__()
    assert victim.read_text() == "important\n"


def test_nobody_is_waited_for_where_a_pid_file_is_to_be(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("pipe", "endless"):
        with pytest.raises(IstatError, match="cannot write the pid-file .*: it is no plain file"), \
                background.hold(tmp_path / name):
            pass


def test_a_pid_file_that_was_replaced_meanwhile_is_left_alone(tmp_path: Path) -> None:
    with service.PidFile(tmp_path / "daemon.pid"):
        (tmp_path / "daemon.pid").unlink()


DROP = """
import os, sys
sys.path.insert(0, sys.argv[1])
from istat.daemon import service
service.legible.check = lambda user, name: None    # the Python of these tests may be root's alone; test_legible.py
service.drop_privileges(sys.argv[2])
caps = [l.split()[1] for l in open("/proc/self/status") if l.startswith("Cap")]
print(os.getresuid(), os.getresgid(), set(caps), len(caps))
service.drop_privileges(sys.argv[2])
try:
    service.drop_privileges("root")
except Exception as error:
    print(error)
"""


def drop(user: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[3])
    return subprocess.run(
        [sys.executable, "-c", DROP, root, user], capture_output=True, text=True, timeout=60
    )


@needs_root
@pytest.mark.parametrize(("user", "ids"), [("nobody", (65534,) * 3), ("12345", (12345,) * 3)])
def test_root_is_given_up_for_good(user: str, ids: tuple[int, ...]) -> None:
    result = drop(user)
    assert result.stdout.splitlines() == [
        f"{ids} {ids} {{'0000000000000000'}} 5",
        "only root can become the user 'root'; start it as root, or without --user",
    ], result.stderr


@needs_root
def test_an_unknown_user_is_told() -> None:
    assert "there is no user called 'no-such-user'" in drop("no-such-user").stderr


def test_freed_memory_goes_back() -> None:
    script = ("from istat.daemon import service; import os\n"
              "assert service.give_memory_back()\n"
              "def resident(): return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE')\n"
              "before = resident()\n"
              "for size in (1 << 20, 8 << 20, 24 << 20):\n"
              "    held = [bytes([1]) * size for _ in range(4)]\n"
              "    del held\n"
              "assert resident() - before < 4 << 20, resident() - before\n")
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
