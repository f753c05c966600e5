"""The two README commands, on a fresh clone in a bare Debian with only python3, git and certificates; each release.

Needs root, mmdebstrap and the network. The tree is entered in a mount and process namespace of its own, so
nothing stays mounted and no process survives. ISTAT_TREES names a folder in which to keep the bare
trees between runs. What this machine needs to reach the network (certificates, proxies) goes into
the tree here; the product's scripts know nothing of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests

from ftest.debian import debiantree, packages

ROOT = Path(__file__).parents[2]
BARE = ("python3", "git", "ca-certificates")
INSTALL_SECONDS = 900  # apt, pip and npm over a slow network
TEST_SECONDS = 2400  # as long as continuous integration may take

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="making a Debian tree needs root"),
    pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="mmdebstrap is not installed"),
    pytest.mark.skipif("ISTAT_INSIDE_BARE_TREE" in os.environ, reason="runs inside such a tree already"),
]

ENTER = """
mount --rbind /dev "$1/dev" && mount --rbind /sys "$1/sys" && mount -t proc proc "$1/proc" &&
mount -t tmpfs tmpfs "$1/dev/shm" && exec chroot "$1" sh -c "$2"
"""


def tree_environment() -> dict[str, str]:
    """A clean environment, with what this machine needs to reach the network."""
    passed = {k: v for k, v in os.environ.items() if any(word in k.upper() for word in debiantree.PASSED_ON)}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**passed, "PATH": path, "HOME": "/root", "LC_ALL": "C.UTF-8", "ISTAT_INSIDE_BARE_TREE": "1"}


@pytest.fixture(scope="module", params=packages.RELEASES)
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bare tree of a release with a fresh clone of this repository's last commit at /srv/istatd."""
    bare = (packages.trees() or tmp_path_factory.mktemp("bare")) / f"bare-{request.param}"
    debiantree.make(bare, request.param, BARE)
    used = tmp_path_factory.mktemp("tree") / "root"
    subprocess.run(["cp", "-a", "--reflink=auto", bare, used], check=True)
    shutil.copy("/etc/resolv.conf", used / "etc/resolv.conf")
    subprocess.run(["git", "-C", ROOT, "bundle", "create", "-q", used / "srv/bundle", "HEAD"], check=True)
    with enter(used, "git clone -q /srv/bundle /srv/istatd") as clone:
        assert clone.wait(60) == 0
    yield used
    shutil.rmtree(used)


@contextmanager
def enter(tree: Path, command: str, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """A shell command that runs inside the tree; it and all its children end at the latest with the context."""
    namespaces = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"]
    process = subprocess.Popen(
        [*namespaces, "sh", "-c", ENTER, "sh", str(tree), command], env={**tree_environment(), **environ}
    )
    try:
        yield process
    finally:
        process.kill()      # nothing happens when it has ended, as it should have
        process.wait(60)


def free_ports(count: int) -> list[str]:
    """Ports that nobody is given for port 0 in the minutes that installing takes."""
    found: list[str] = []
    for port in range(20_000 + os.getpid() % 10_000, 32_768):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(str(port))
        if len(found) == count:
            return found
    raise AssertionError("no ports are free")


def first_child(process: subprocess.Popen[bytes]) -> int:
    """Process id, as we see it, of the namespace's first process: what a terminal would signal."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0])


def wait_for_counter(page: str, process: subprocess.Popen[bytes], name: str) -> None:
    """Until the server has a counter that matches; the first start installs everything before that."""
    end = time.monotonic() + INSTALL_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            if requests.get(f"{page}/api/v1/names", params={"match": name}, timeout=5).json()["names"]:
                return
        except requests.ConnectionError:
            pass  # not up yet
        time.sleep(1)
    pytest.fail(f"no counter {name} on {page}; exit status {process.poll()}")


def test_quickstart_serves_this_machines_cpu_and_ends_cleanly(tree: Path) -> None:
    stat_port, http_port = free_ports(2)
    ports = {"ISTAT_STAT_PORT": stat_port, "ISTAT_HTTP_PORT": http_port}
    page = f"http://127.0.0.1:{http_port}"
    for attempt in ("first", "second"):
        began = time.monotonic()
        with enter(tree, "cd /srv/istatd && exec sh quickstart.sh", **ports) as process:
            wait_for_counter(page, process, "cpu.*")
            print(f"{attempt} quickstart: {time.monotonic() - began:.0f} s until the first counter")
            assert "<html" in requests.get(page, timeout=5).text
            os.kill(first_child(process), signal.SIGTERM)
            assert process.wait(60) == 0
        with pytest.raises(requests.ConnectionError):
            requests.get(page, timeout=5)


def test_a_busy_port_is_told_in_one_sentence(tree: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        command = "cd /srv/istatd && sh quickstart.sh >/srv/output 2>&1"
        with enter(tree, command, ISTAT_STAT_PORT=free_ports(1)[0], ISTAT_HTTP_PORT=port) as process:
            assert process.wait(INSTALL_SECONDS) == 1
    last = (tree / "srv/output").read_text().splitlines()[-1]
    assert last.startswith(f"Port {port} cannot be used") and "ISTAT_HTTP_PORT" in last


def test_runtests_is_green(tree: Path) -> None:
    with enter(tree, "cd /srv/istatd && CI=true sh runtests.sh") as process:
        assert process.wait(TEST_SECONDS) == 0
