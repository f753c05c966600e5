"""What tests do with a booted Debian tree in which our packages are installed: ask, count, send, wait.

Knows the services and their ports; not how packages are made, nor how a tree is booted.
"""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

from ftest.debian import debiantree
from ftest.debian.debiantree import Machine


def use_repository(machine: Machine, which: str) -> None:
    """As the documentation says, from another place."""
    machine.run(f". /etc/os-release; cp /srv/{which}/istatd-archive-keyring.gpg /usr/share/keyrings/; "
                f"sed 's,^URIs:.*,URIs: file:///srv/{which},' /srv/{which}/istatd-$VERSION_CODENAME.sources "
                "> /etc/apt/sources.list.d/istatd.sources; apt-get -qq update")


def install(machine: Machine) -> None:
    """As the documentation says."""
    machine.run("apt-get -qq install -y --no-install-recommends istatd")


def ask(machine: Machine, path: str) -> Any:
    """JSON from the server's HTTP port."""
    script = f"""
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:8000{path}", timeout=20).read().decode())
"""
    return json.loads(machine.run("python3 -", stdin=script))


def wait_for(what: Any, seconds: float = 20.0) -> Any:
    """The first true answer of `what`, which may fail until then."""
    end = time.monotonic() + seconds
    found = None
    while time.monotonic() < end:
        with contextlib.suppress(debiantree.Failed, KeyError, ValueError):
            found = what()
            if found:
                return found
        time.sleep(0.1)
    return found


def running(machine: Machine, unit: str = "istat-server") -> bool:
    """Whether a service is up and serves."""
    return machine.show(unit, "SubState")["SubState"] == "running"


def pid(machine: Machine, unit: str = "istat-server") -> int:
    return int(machine.show(unit, "MainPID")["MainPID"])


def counted(machine: Machine, name: str) -> float:
    """How many samples of a counter the store holds."""
    # Up to a minute from now: an answer up to now is without the bucket that began in this very second.
    answer = ask(machine, f"/api/v1/series?name={name}&columns=count&points=2000&to={int(time.time()) + 60}")
    return sum(value for value in answer["series"][0]["count"] if value is not None)


def count_one(machine: Machine, name: str) -> None:
    """A sample that the store has taken."""
    machine.run(f"istat send {name} 1")
    assert wait_for(lambda: counted(machine, name) == 1)


def send(machine: Machine, name: str, rate: int, seconds: float, during: str = "true") -> int:
    """Send `rate` datagrams a second, for some seconds and until a shell command has run; how many were sent.

    A datagram that nobody would ever read is refused at once by the kernel: that fails here.
    """
    script = f"""
import socket, subprocess, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(("127.0.0.1", 8111))
job = subprocess.Popen(["sh", "-ec", {during!r}], stdout=subprocess.DEVNULL)
begun, sent = time.monotonic(), 0
while sent < {rate} * {seconds} or job.poll() is None:
    time.sleep(max(0.0, begun + sent / {rate} - time.monotonic()))
    sock.send(b"{name} 1\\n")
    sent += 1
print(sent)
assert job.returncode == 0
"""
    return int(machine.run("python3 -", stdin=script, seconds=120))
