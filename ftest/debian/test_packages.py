"""The packages under a real systemd: built twice alike, installed by apt, and everything a service must stand.

One tree is used from the installation to the purge; the tests run in the order in which they stand.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftest.debian import debiantree, packages
from ftest.debian.debiantree import Machine
from istat import __version__

pytestmark = [
    pytest.mark.seconds(380),
    pytest.mark.skipif(bool(debiantree.missing()), reason=debiantree.missing()),
    pytest.mark.skipif("ISTAT_INSIDE_BARE_TREE" in os.environ, reason="no systemd can be booted inside such a tree"),
]

EXPOSURE = {"istat-server": 1.2, "istat-agent": 1.6}
USERS = {"istat-server": "_istatd", "istat-agent": "_istat-agent"}
FILES = {"istat-server": 1_048_576, "istat-agent": 65_536}
RESTART_SECONDS = 5
JOURNAL_SECONDS = 0.1      # within which what was read survives the end of the process
# On a signal the main thread sleeps, and the event loop with it.
HANG = """
import signal, time
def hang(*_):
    time.sleep(600)
signal.signal(signal.SIGUSR1, hang)
"""
FIND = ("find / -xdev -not -path '/proc/*' -not -path '/sys/*' -not -path '/run/*' -not -path '/tmp/*' "
        "-not -path '/srv/*' | sort")
# What Debian's own tools leave behind.
NOT_OURS = ("/var/lib/dpkg", "/var/cache", "/var/log", "/var/lib/apt", "/var/lib/systemd", "/etc/passwd", "/etc/group",
            "/etc/shadow", "/etc/gshadow", "/var/tmp")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where packages and repositories are made."""
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="module")
def base(folder: Path) -> Path:
    return packages.base_tree(packages.trees() or folder)


@pytest.fixture(scope="module")
def built(base: Path, folder: Path) -> str:
    """What two builds said; their packages are in first/ and second/."""
    return packages.build(base, folder)


@pytest.fixture(scope="module")
def machine(base: Path, folder: Path, built: str) -> Iterator[Machine]:
    """A booted tree with two repositories, of this and of the next version."""
    packages.fetch_needed(base, folder)
    packages.make_repository(folder / "now", folder / "first", folder / "needed")
    packages.next_version(folder / "first", folder / "changed")
    packages.make_repository(folder / "next", folder / "changed", folder / "needed")
    with Machine(base, folder / "machine", f"istatd{os.getpid()}",
                 {folder / "now": "/srv/now", folder / "next": "/srv/next"}) as machine:
        machine.run("rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*")
        use_repository(machine, "now")
        machine.files_before = set(machine.run(FIND).splitlines())  # type: ignore[attr-defined]
        yield machine


def use_repository(machine: Machine, which: str) -> None:
    """As the documentation says, from another place."""
    machine.run(f"cp /srv/{which}/istatd-archive-keyring.gpg /usr/share/keyrings/; "
                f"sed 's,^URIs:.*,URIs: file:///srv/{which},' /srv/{which}/istatd.sources "
                "> /etc/apt/sources.list.d/istatd.sources; apt-get -qq update")


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
    answer = ask(machine, f"/api/v1/series?name={name}&columns=count&points=2000")
    return sum(value for value in answer["series"][0]["count"] if value is not None)


def send(machine: Machine, name: str, count: int, seconds: float, during: str = "true") -> str:
    """Send `count` datagrams evenly over some seconds while a shell command runs; what that command prints.

    A datagram that nobody would ever read is refused at once by the kernel: that fails here.
    """
    script = f"""
import socket, subprocess, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(("127.0.0.1", 8111))
job = subprocess.Popen(["sh", "-ec", {during!r}], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
begun = time.monotonic()
for number in range({count}):
    time.sleep(max(0.0, begun + number * {seconds} / {count} - time.monotonic()))
    sock.send(b"{name} 1\\n")
print(job.communicate()[0])
assert job.returncode == 0
"""
    return machine.run("python3 -", stdin=script, seconds=120)


def test_two_builds_are_alike_and_lintian_has_nothing_to_say(built: str, folder: Path) -> None:
    first = [path.name for path in (folder / "first").glob("*.deb")]
    assert sorted(name.partition("_")[0] for name in first) == ["istatd", "istatd-agent", "istatd-server",
                                                                "python3-istat", "python3-istat-dbgsym"]
    for name in [*first, f"istatd_{__version__}.tar.xz"]:
        assert (folder / "first" / name).read_bytes() == (folder / "second" / name).read_bytes(), name
    said = built.partition("== lintian\n")[2].partition("Built:")[0]
    assert said == ""


def test_apt_install_brings_both_services_up(machine: Machine) -> None:
    machine.run("apt-get -qq install -y --no-install-recommends istatd")
    machine.run("systemctl start istat-agent")
    for unit, user in USERS.items():
        shown = machine.show(unit, "ActiveState", "Type", "User", "LimitNOFILE", "StatusText", "UnitFileState")
        assert (shown["ActiveState"], shown["Type"], shown["UnitFileState"]) == ("active", "notify", "enabled")
        assert shown["LimitNOFILE"] == str(FILES[unit])
        process = pid(machine, unit)
        status = machine.run(f"cat /proc/{process}/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        uid = machine.run(f"id -u {user}").strip()
        assert fields["Uid"].split() == [uid] * 4
        assert {fields[name] for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {"0" * 16}
        limits = machine.run(f"cat /proc/{process}/limits /proc/1/limits")
        mine, most = [int(line.split()[3]) for line in limits.splitlines() if line.startswith("Max open files")]
        assert mine == min(FILES[unit], most)
    assert "samples on port 8111" in machine.show("istat-server", "StatusText")["StatusText"]


def test_the_page_answers_and_the_agent_delivers(machine: Machine) -> None:
    script = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000/', timeout=9).read().decode())"
    assert "<title>istatd" in machine.run("python3 -", stdin=script)
    assert wait_for(lambda: ask(machine, "/api/v1/names?match=cpu.*")["names"], 40)
    shown = machine.run("istat status")
    assert "/var/lib/istatd/server" in shown
    assert "istat query" in shown
    assert "cpu." in machine.run("istat ls 'cpu.*'")


def test_files_belong_to_who_needs_them(machine: Machine) -> None:
    owners = machine.run("stat -c '%U:%G %a %n' /etc/istatd/*.toml /etc/istatd/plugins.d /var/lib/istatd "
                         "/var/lib/istatd/*").splitlines()
    assert owners == ["root:_istat-agent 640 /etc/istatd/agent.toml", "root:_istatd 640 /etc/istatd/server.toml",
                      "root:root 755 /etc/istatd/plugins.d", "root:root 755 /var/lib/istatd",
                      "_istat-agent:_istat-agent 700 /var/lib/istatd/agent",
                      "_istatd:_istatd 750 /var/lib/istatd/server"]


def test_the_sandboxes_are_tight(machine: Machine) -> None:
    for unit, most in EXPOSURE.items():
        last = machine.run(f"systemd-analyze security --no-pager {unit}").strip().splitlines()[-1]
        assert float(last.split(":")[1].split()[0]) <= most
    assert machine.run("systemd-analyze verify --man=no istat-server.service istat-agent.service istat-server.socket "
                       "2>&1 | grep istat || true") == ""


def test_a_collector_that_is_dropped_in_runs(machine: Machine) -> None:
    machine.run("printf '#!/bin/sh\\necho dropped.in 7\\n' > /etc/istatd/plugins.d/dropped; "
                "chmod 755 /etc/istatd/plugins.d/dropped; systemctl reload istat-agent")
    assert wait_for(lambda: ask(machine, "/api/v1/names?match=dropped.*")["names"], 40)


def test_kill_9_is_made_good_in_seconds_and_costs_no_datagram_that_was_not_read(machine: Machine) -> None:
    rate, seconds = 100, 4
    send(machine, "killed.count", rate * seconds, seconds, f"sleep 1; kill -9 {pid(machine)}")
    begun = time.monotonic()
    assert wait_for(lambda: running(machine), RESTART_SECONDS)
    assert time.monotonic() - begun < RESTART_SECONDS
    # What waits in the socket is not lost; what was read in the last 100 ms may not be in the journal.
    most_lost = rate * JOURNAL_SECONDS
    assert wait_for(lambda: counted(machine, "killed.count") >= rate * seconds - most_lost)
    assert machine.show("istat-server", "NRestarts")["NRestarts"] == "1"


@pytest.mark.parametrize("unit", USERS)
def test_a_hub_that_hangs_is_restarted(machine: Machine, unit: str) -> None:
    folder = f"/run/systemd/system/{unit}.service.d"
    machine.run(f"mkdir -p {folder} /run/hang; cat > /run/hang/sitecustomize.py", stdin=HANG)
    machine.run(f"printf '[Service]\\nWatchdogSec=2s\\nEnvironment=PYTHONPATH=/run/hang\\n' > {folder}/test.conf; "
                f"systemctl daemon-reload; systemctl restart {unit}")
    before = pid(machine, unit)
    machine.run(f"kill -USR1 {before}")
    assert wait_for(lambda: pid(machine, unit) not in (0, before) and running(machine, unit), 20)
    said = machine.run(f"journalctl -u {unit} --no-pager -n 300")
    assert "Watchdog timeout" in said
    assert "sitecustomize.py" in said and "in hang" in said, "it says where it hung"
    machine.run(f"rm -r {folder}; systemctl daemon-reload; systemctl restart {unit}")


def test_log_lines_have_their_priority(machine: Machine) -> None:
    entries = machine.run("journalctl -u istat-server -o json --no-pager").splitlines()
    ready = [json.loads(entry) for entry in entries if "ready: samples on port" in entry]
    assert ready and {(entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]) for entry in ready} == {("6", "istat-server")}
    assert not str(ready[0]["MESSAGE"]).startswith("20")


def test_stop_loses_nothing(machine: Machine) -> None:
    lines = "".join(f"stopped.{k} {k}\\n" for k in range(500))
    script = f"""
import socket, subprocess
with socket.create_connection(("127.0.0.1", 8111)) as link:
    link.sendall("{lines}".encode())
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for k in range(100):
    sock.sendto(b"stopped.udp 1\\n", ("127.0.0.1", 8111))
subprocess.run(["systemctl", "stop", "istat-server"], check=True)
"""
    machine.run("python3 -", stdin=script)
    machine.run("systemctl start istat-server")
    assert counted(machine, "stopped.udp") == 100
    assert [counted(machine, f"stopped.{k}") for k in (0, 250, 499)] == [1, 1, 1]


def test_wrong_settings_are_told_and_not_tried_again(machine: Machine) -> None:
    machine.run("cp -p /etc/istatd/server.toml /root/; echo 'stat-prt = 1' >> /etc/istatd/server.toml")
    machine.run("systemctl restart istat-server", check=False)
    assert wait_for(lambda: machine.show("istat-server", "ActiveState")["ActiveState"] == "failed")
    said = machine.run("journalctl -u istat-server --no-pager -n 20")
    assert "did you mean 'stat-port'?" in said and "Traceback" not in said
    assert machine.show("istat-server", "ExecMainStatus")["ExecMainStatus"] == "78"
    machine.run("cp -p /root/server.toml /etc/istatd/server.toml; systemctl start istat-server")


def test_a_start_that_fails_again_and_again_waits_longer(machine: Machine) -> None:
    machine.run("systemctl stop istat-server")
    machine.run("systemd-run --unit=squatter --property=Type=exec python3 -c "
                "'import socket,time; s=socket.create_server((\"127.0.0.1\",8111)); time.sleep(600)'")
    assert "failed" in machine.run("systemctl start istat-server 2>&1 || true")
    said = "waiting 2 s, as the last 3 starts failed"
    assert wait_for(lambda: said in machine.show("istat-server", "StatusText")["StatusText"], 30)
    assert "port 8111 of 127.0.0.1 is in use" in machine.run("journalctl -u istat-server --no-pager -n 30")
    said = "waiting 60 s"
    assert wait_for(lambda: said in (machine.run("printf 20 > /run/istat-server/failed-starts") + machine.show(
        "istat-server", "StatusText")["StatusText"]), 60)
    machine.run("systemctl stop squatter; systemctl restart istat-server")
    assert running(machine)
    assert machine.run("cat /run/istat-server/failed-starts || true").strip() in ("1", ""), "no waiting"


def test_another_listen_address_holds_after_a_restart(machine: Machine) -> None:
    machine.run("cp -p /etc/istatd/server.toml /root/")
    for value, bound in (('"*"', {"0.0.0.0:8111", "[::]:8111"}), ('""', {"127.0.0.1:8111", "[::1]:8111"})):
        machine.run(f"sed -i 's/^#*listen-address = .*/listen-address = {value}/' /etc/istatd/server.toml; "
                    "systemctl restart istat-server")
        assert {line.split()[4] for line in machine.run("ss -Hlntu 'sport = :8111'").splitlines()} == bound
    machine.run("cp -p /root/server.toml /etc/istatd/server.toml; systemctl restart istat-server")


def test_what_root_imports_is_the_servers(machine: Machine) -> None:
    machine.run('printf "name,time,value\\nroots.own,$(($(date +%s) - 60)),5\\n" >/root/some.csv')
    machine.run("systemctl stop istat-server; istat import --store /var/lib/istatd/server /root/some.csv; "
                "istat export --store /var/lib/istatd/server --output /root/all.csv; systemctl start istat-server")
    assert machine.run("istat ls 'roots.*'") == "roots.own\n"


def test_the_socket_unit_gives_a_larger_buffer(machine: Machine) -> None:
    machine.run("systemctl stop istat-server; systemctl start istat-server.socket")
    assert not running(machine)
    send(machine, "woken.count", 10, 0.1)
    assert wait_for(lambda: counted(machine, "woken.count") == 10)
    assert "rb67108864" in machine.run("ss -lnum 'sport = :8111'")
    machine.run("systemctl stop istat-server.socket istat-server; systemctl start istat-server")


def test_a_store_of_a_newer_version_is_refused_in_a_sentence(machine: Machine) -> None:
    machine.run("systemctl stop istat-server; cd /var/lib/istatd/server; cp -p FORMAT /root/; "
                "sed -i 's/[0-9][0-9]*/99/' FORMAT")
    machine.run("systemctl start istat-server", check=False)
    said = machine.run("journalctl -u istat-server --no-pager -n 10")
    assert "newer" in said and "Traceback" not in said
    machine.run("systemctl stop istat-server; cp -p /root/FORMAT /var/lib/istatd/server/; systemctl start istat-server")


def test_an_upgrade_loses_no_datagram_and_keeps_settings_and_data(machine: Machine) -> None:
    machine.run("sed -i 's/^#max-connections.*/max-connections = 77/' /etc/istatd/server.toml; "
                "systemctl disable -q istat-agent")
    use_repository(machine, "next")
    before = pid(machine)
    send(machine, "upgraded.count", 2000, 20.0, "sleep 1; apt-get -qq upgrade -y -o Dpkg::Options::=--force-confold")
    assert wait_for(lambda: ask(machine, "/api/v1/status")["version"] == packages.NEXT)
    assert pid(machine) != before
    assert wait_for(lambda: counted(machine, "upgraded.count") == 2000), counted(machine, "upgraded.count")
    assert counted(machine, "stopped.udp") == 100
    machine.run("istat send upgraded.tcp 1")
    assert wait_for(lambda: counted(machine, "upgraded.tcp") == 1), "the sockets for TCP came through it too"
    assert "max-connections = 77" in machine.run("cat /etc/istatd/server.toml")
    assert machine.run("stat -c %U:%G:%a /etc/istatd/server.toml").strip() == "root:_istatd:640"
    assert machine.show("istat-agent", "UnitFileState", "ActiveState") == {"UnitFileState": "disabled",
                                                                          "ActiveState": "active"}


def test_remove_keeps_data_and_settings(machine: Machine) -> None:
    machine.run("apt-get -qq remove -y istatd istatd-server istatd-agent")
    assert machine.run("systemctl is-active istat-server istat-agent", check=False).split() == ["inactive"] * 2
    assert "max-connections = 77" in machine.run("cat /etc/istatd/server.toml")
    machine.run("apt-get -qq install -y --no-install-recommends istatd")
    assert counted(machine, "stopped.udp") == 100


def test_purge_leaves_nothing(machine: Machine) -> None:
    machine.run("rm /etc/istatd/plugins.d/dropped; apt-get -qq autoremove -y --purge istatd istatd-server istatd-agent "
                "python3-istat; systemctl daemon-reload")
    after = set(machine.run(FIND).splitlines())
    before: set[str] = machine.files_before  # type: ignore[attr-defined]
    left = [path for path in after - before if not path.startswith(NOT_OURS)]
    assert [path for path in left if "istat" in path] == []
    assert "istat" not in machine.run("systemctl list-unit-files --no-pager")
