"""The two README commands, on a fresh clone in a bare Debian 12 with only python3, git and certificates.

Needs root, mmdebstrap and the network. The tree is entered in a mount and process namespace of its own, so
nothing stays mounted and no process survives. ISTAT_BARE_TREE names a folder in which to keep the bare
tree between runs. What this machine needs to reach the network (certificates, proxies) goes into
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
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parents[2]
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PASSED_ON = ("CERT", "CA_BUNDLE", "CA_CERTS", "CAINFO", "CA_CERTIFICATES", "PROXY")
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
    passed = {k: v for k, v in os.environ.items() if any(word in k.upper() for word in PASSED_ON)}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**passed, "PATH": path, "HOME": "/root", "LC_ALL": "C.UTF-8", "ISTAT_INSIDE_BARE_TREE": "1"}


def make_tree(where: Path) -> None:
    """A minimal Debian 12 with python3 and git."""
    packages = "--include=python3,git,ca-certificates"
    command = [
        "mmdebstrap",
        "--variant=minbase",
        packages,
        "bookworm",
        str(where),
        "http://deb.debian.org/debian",
    ]
    subprocess.run(command, check=True, timeout=INSTALL_SECONDS)
    shutil.copy("/etc/resolv.conf", where / "etc/resolv.conf")
    inside = where / CERTIFICATES.relative_to("/")
    inside.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(CERTIFICATES, inside)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bare tree with a fresh clone of this repository's last commit at /srv/istatd."""
    bare = Path(os.environ.get("ISTAT_BARE_TREE") or tmp_path_factory.mktemp("bare") / "base")
    if not (bare / "usr/bin/git").exists():
        make_tree(bare)
    used = tmp_path_factory.mktemp("tree") / "root"
    subprocess.run(["cp", "-a", "--reflink=auto", bare, used], check=True)
    subprocess.run(["git", "-C", ROOT, "bundle", "create", "-q", used / "srv/bundle", "HEAD"], check=True)
    with enter(used, "git clone -q /srv/bundle /srv/istatd") as clone:
        assert clone.wait(60) == 0
    yield used
    shutil.rmtree(used)


def enter(tree: Path, command: str, **environ: str) -> subprocess.Popen[bytes]:
    """Start a shell command inside the tree; it and all its children end when its first process does."""
    namespaces = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"]
    return subprocess.Popen(
        [*namespaces, "sh", "-c", ENTER, "sh", str(tree), command], env={**tree_environment(), **environ}
    )


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


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
    stat_port, http_port = free_port(), free_port()
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
        with enter(tree, command, ISTAT_STAT_PORT=free_port(), ISTAT_HTTP_PORT=port) as process:
            assert process.wait(INSTALL_SECONDS) == 1
    last = (tree / "srv/output").read_text().splitlines()[-1]
    assert last.startswith(f"Port {port} cannot be used") and "ISTAT_HTTP_PORT" in last


def test_runtests_is_green(tree: Path) -> None:
    with enter(tree, "cd /srv/istatd && CI=true sh runtests.sh") as process:
        assert process.wait(TEST_SECONDS) == 0
