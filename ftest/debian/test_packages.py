"""The packages under a real systemd: built, installed by apt, and everything a service must stand.

On this machine's release of Debian; on the others, and what takes a second build, by --slow. All tests of a release
share one booted tree, and each leaves both services running there with the settings they had.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench.attacks import table
from ftest.debian import before, debiantree, packages
from ftest.debian.debiantree import Machine
from ftest.debian.installed import ask, count_one, counted, install, pid, running, send, use_repository, wait_for
from istat import __version__

pytestmark = [
    pytest.mark.seconds(380),
    pytest.mark.skipif(bool(debiantree.missing()), reason=debiantree.missing()),
    pytest.mark.skipif("ISTAT_INSIDE_BARE_TREE" in os.environ, reason="no systemd can be booted inside such a tree"),
]

EXPOSURE = {"istat-server": 1.2, "istat-agent": 1.6}
USERS = {"istat-server": "istatd", "istat-agent": "_istat-agent"}
FILES = {"istat-server": 1_048_576, "istat-agent": 65_536}
RESTART_SECONDS, UPGRADE_SECONDS = 5, 900
UPGRADE_ISTATD = "sleep 1; apt-get -qq upgrade -y -o Dpkg::Options::=--force-confold; sleep 1"
JOURNAL_SECONDS = 0.1      # within which what was read survives the end of the process
# A library that ends the process as if all was done.
EXITS = """import ctypes
from istat.plugin import collector

@collector(interval=1)
def collect(emit):
    ctypes.CDLL(None)._exit(0)
"""
# On a signal the main thread sleeps, and the event loop with it.
HANG = """
import signal, time
def hang(*_):
    time.sleep(600)
signal.signal(signal.SIGUSR1, hang)
"""
# Where the attacks are inside; those that once stopped the event loop for seconds, each by itself.
ATTACKS = "/srv/attacks"
STOPPERS = ("pipelining", "deep-listing", "children", "abandoned")
# As many as a test can wait for without a loop that stands still going unnoticed.
ATTACK_SECONDS, WATCHDOG_SECONDS = 4, 3


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> packages.Builds:
    """Packages of each release, built where they are asked for."""
    return packages.Builds(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module", params=packages.releases())
def release(request: pytest.FixtureRequest) -> str:
    """The codename of a release of Debian."""
    return str(request.param)


@pytest.fixture(scope="module")
def machine(builds: packages.Builds, release: str) -> Iterator[Machine]:
    """A booted tree that has installed the packages, with two repositories, of this and of the next version."""
    binds = {**builds.repositories(release), packages.ROOT / "bench": f"{ATTACKS}/bench"}
    with Machine(builds.base(release), builds.folder(release) / "machine", f"istatd{os.getpid()}{release}",
                 binds) as machine:
        machine.run("rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*")
        use_repository(machine, "now")
        machine.files_before = set(machine.run(packages.FIND).splitlines())  # type: ignore[attr-defined]
        install(machine)
        yield machine


@pytest.fixture(scope="module")
def upgraded(builds: packages.Builds, release: str) -> Iterator[Machine]:
    """A booted tree on which istatd 1.08-1 was at work, upgraded to our packages."""
    binds, folder = builds.repositories(release), builds.folder(release)
    old = folder / "before"
    before.make_all(old)
    with Machine(builds.base(release), folder / "upgraded", f"before{os.getpid()}{release}",
                 {**binds, old: "/srv/before"}) as machine:
        machine.run(before.AT_WORK)
        machine.kept = machine.run(before.KEPT)  # type: ignore[attr-defined]
        use_repository(machine, "now")
        machine.run("apt-get -qq install -y --no-install-recommends istatd")
        yield machine


def test_lintian_has_nothing_to_say(builds: packages.Builds, release: str) -> None:
    said = builds.said(release).partition("== lintian\n")[2]
    assert said.startswith("Built:")


@pytest.mark.slow
def test_two_builds_are_alike(builds: packages.Builds, release: str) -> None:
    builds.said(release)
    packages.build_again(builds.base(release), builds.folder(release))
    first, second = (builds.folder(release) / name for name in ("first", "second"))
    made = [path.name for path in first.glob("*.deb")]
    version = __version__ + packages.built_on(release)
    assert sorted("_".join(name.split("_")[:2]) for name in made) == [
        f"{name}_{version}" for name in ("istatd-agent", "istatd-server", "istatd", "python3-istat-dbgsym",
                                         "python3-istat")]
    for name in [*made, f"istatd_{version}.tar.xz"]:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize(("old", "new"), list(pairwise(packages.RELEASES)))
def test_an_upgrade_of_debian_brings_the_packages_of_its_release(builds: packages.Builds, tmp_path: Path, old: str,
                                                                 new: str) -> None:
    for release in (old, new):
        builds.said(release)
    packages.make_repository(tmp_path / "repository", *(builds.folder(release) / "first" for release in (old, new)))
    done = debiantree.run_in(builds.base(old), tmp_path / "place", tmp_path,
                             packages.UPGRADE.replace("OLD", old).replace("NEW", new), UPGRADE_SECONDS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    lines = done.stdout.splitlines()
    print(done.stdout)
    assert f"version {__version__}{packages.built_on(new)} installed" in lines
    assert "kernels native" in lines
    assert "advice 1" in lines      # loaded before a program
    units = next(line for line in lines if line.startswith("units "))
    assert "istat-server.service" in units and "istat-server.socket" in units
    assert "max-connections = 77" in lines
    assert "fine" in lines[-1]


def test_apt_install_brings_both_services_up(machine: Machine) -> None:
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
    assert "/preload/advice." in machine.run("istat fadvise run --random -- cat /proc/self/maps")


def test_files_belong_to_who_needs_them(machine: Machine) -> None:
    owners = machine.run("stat -c '%U:%G %a %n' /etc/istatd/*.toml /etc/istatd/plugins.d /var/lib/istatd "
                         "/var/lib/istatd/*").splitlines()
    assert owners == ["root:_istat-agent 640 /etc/istatd/agent.toml", "root:istatd 640 /etc/istatd/server.toml",
                      "root:root 755 /etc/istatd/plugins.d", "root:root 755 /var/lib/istatd",
                      "_istat-agent:_istat-agent 700 /var/lib/istatd/agent",
                      "istatd:istatd 750 /var/lib/istatd/server"]


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


def test_a_plugin_that_ends_the_agent_runs_in_a_child_after_one_restart(machine: Machine) -> None:
    def states() -> dict[str, dict[str, Any]]:
        told = json.loads(machine.run("istat-agent plugins --json", check=False) or "{}")
        return {row["name"]: row for row in told.get("plugins", [])}

    before = int(machine.show("istat-agent", "NRestarts")["NRestarts"])
    machine.run("cat > /etc/istatd/plugins.d/exits.py", stdin=EXITS)
    assert wait_for(lambda: states().get("exits", {}).get("isolated"), 60)
    assert running(machine, "istat-agent")
    assert int(machine.show("istat-agent", "NRestarts")["NRestarts"]) == before + 1
    assert states()["cpu"]["state"] == "runs"
    machine.run("systemctl stop istat-agent; systemctl start istat-agent")
    assert wait_for(lambda: states().get("exits", {}).get("isolated"), 20), "what is known of it outlives a stop"
    machine.run("rm /etc/istatd/plugins.d/exits.py")
    assert wait_for(lambda: "exits" not in states(), 30)


def test_kill_9_is_made_good_in_seconds_and_costs_no_datagram_that_was_not_read(machine: Machine) -> None:
    machine.run("systemctl restart istat-server")
    rate, seconds = 100, 4
    sent = send(machine, "killed.count", rate, seconds, f"sleep 1; kill -9 {pid(machine)}")
    begun = time.monotonic()
    assert wait_for(lambda: running(machine), RESTART_SECONDS)
    assert time.monotonic() - begun < RESTART_SECONDS
    # What waits in the socket is not lost; what was read in the last 100 ms may not be in the journal.
    most_lost = rate * JOURNAL_SECONDS
    assert wait_for(lambda: counted(machine, "killed.count") >= sent - most_lost)
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
    said = machine.run(f"journalctl --sync; journalctl -u {unit} --no-pager -n 300")
    assert "Watchdog timeout" in said
    assert "sitecustomize.py" in said and "in hang" in said, "it says where it hung"
    machine.run(f"rm -r {folder}; systemctl daemon-reload; systemctl restart {unit}")


@pytest.mark.parametrize("names", [STOPPERS, pytest.param(tuple(table.ATTACKS), marks=pytest.mark.slow)],
                         ids=["stoppers", "all"])
def test_the_watchdog_does_not_fire_during_attacks(machine: Machine, names: tuple[str, ...]) -> None:
    folder, store = "/run/systemd/system/istat-server.service.d", "/var/lib/istatd/server/attacked"
    machine.run(f"mkdir -p {folder}; printf '[Service]\\nWatchdogSec={WATCHDOG_SECONDS}s\\n"
                f"Environment=ISTAT_SERVER_STORE={store}\\n' > {folder}/test.conf; "
                "systemctl daemon-reload; systemctl restart istat-server")
    before = pid(machine)
    attack = f"cd {ATTACKS}; python3 -m bench.attacks --seconds {ATTACK_SECONDS}"
    for name in names:
        machine.run(f"{attack} --prepare {name}; {attack} {name}")
        assert (pid(machine), machine.show("istat-server", "NRestarts")["NRestarts"]) == (before, "0"), name
    assert ask(machine, "/health") == {"status": "ok"}
    machine.run(f"rm {folder}/test.conf; systemctl daemon-reload; systemctl restart istat-server; rm -r {store}")


def test_log_lines_have_their_priority(machine: Machine) -> None:
    entries = machine.run("journalctl --sync; journalctl -u istat-server -o json --no-pager").splitlines()
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
    said = machine.run("journalctl --sync; journalctl -u istat-server --no-pager -n 20")
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
    journal = machine.run("journalctl --sync; journalctl -u istat-server --no-pager -n 30")
    assert "port 8111 of 127.0.0.1 is in use" in journal
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
    sent = send(machine, "woken.count", 100, 0.1)
    assert wait_for(lambda: counted(machine, "woken.count") == sent)
    assert "rb67108864" in machine.run("ss -lnum 'sport = :8111'")
    machine.run("systemctl stop istat-server.socket istat-server; systemctl start istat-server")


def test_a_store_of_a_newer_version_is_refused_in_a_sentence(machine: Machine) -> None:
    machine.run("systemctl stop istat-server; cd /var/lib/istatd/server; cp -p FORMAT /root/; "
                "sed -i 's/[0-9][0-9]*/99/' FORMAT")
    machine.run("systemctl start istat-server", check=False)
    said = machine.run("journalctl --sync; journalctl -u istat-server --no-pager -n 10")
    assert "newer" in said and "Traceback" not in said
    machine.run("systemctl stop istat-server; cp -p /root/FORMAT /var/lib/istatd/server/; systemctl start istat-server")


def test_an_upgrade_loses_no_datagram_and_keeps_settings_and_data(machine: Machine) -> None:
    count_one(machine, "upgraded.before")
    machine.run("cp -p /etc/istatd/server.toml /root/; systemctl disable -q istat-agent; "
                "sed -i 's/^#max-connections = .*/max-connections = 77/' /etc/istatd/server.toml")
    use_repository(machine, "next")
    before = pid(machine)
    sent = send(machine, "upgraded.count", 100, 1, UPGRADE_ISTATD)
    assert wait_for(lambda: ask(machine, "/api/v1/status")["version"] == packages.NEXT)
    assert pid(machine) != before
    assert wait_for(lambda: counted(machine, "upgraded.count") == sent), (counted(machine, "upgraded.count"), sent)
    assert counted(machine, "upgraded.before") == 1
    count_one(machine, "upgraded.tcp")      # the sockets for TCP came through it too
    assert "max-connections = 77" in machine.run("cat /etc/istatd/server.toml")
    assert machine.run("stat -c %U:%G:%a /etc/istatd/server.toml").strip() == "root:istatd:640"
    assert machine.show("istat-agent", "UnitFileState", "ActiveState") == {"UnitFileState": "disabled",
                                                                          "ActiveState": "active"}
    machine.run("systemctl enable -q istat-agent; cp -p /root/server.toml /etc/istatd/; systemctl restart istat-server")


def test_remove_keeps_data_and_settings(machine: Machine) -> None:
    count_one(machine, "removed.before")
    machine.run("cp -p /etc/istatd/server.toml /root/; "
                "sed -i 's/^#max-connections = .*/max-connections = 77/' /etc/istatd/server.toml")
    machine.run("apt-get -qq remove -y istatd istatd-server istatd-agent")
    assert machine.run("systemctl is-active istat-server istat-agent", check=False).split() == ["inactive"] * 2
    assert "max-connections = 77" in machine.run("cat /etc/istatd/server.toml")
    install(machine)
    assert counted(machine, "removed.before") == 1
    machine.run("cp -p /root/server.toml /etc/istatd/; systemctl restart istat-server")


def test_purge_leaves_nothing(machine: Machine) -> None:
    machine.run("rm -f /etc/istatd/plugins.d/dropped; apt-get -qq purge -y istatd istatd-server "
                "istatd-agent python3-istat; systemctl daemon-reload")
    after = set(machine.run(packages.FIND).splitlines())
    before: set[str] = machine.files_before  # type: ignore[attr-defined]
    left = [path for path in after - before if not path.startswith(packages.NOT_OURS)]
    assert [path for path in left if "istat" in path] == []
    assert "istat" not in machine.run("systemctl list-unit-files --no-pager")
    install(machine)


def test_istatds_packages_are_upgraded_and_their_settings_hold(upgraded: Machine) -> None:
    shown = upgraded.run("dpkg-query -W -f '${Version} ' istatd-server istatd-agent").split()
    assert set(shown) == {__version__ + packages.built_on(release_of(upgraded))}
    assert wait_for(lambda: running(upgraded))
    status = upgraded.show("istat-server", "StatusText", "User")
    assert "samples on port 18001, HTTP on port 8011" in status["StatusText"] and status["User"] == "istatd"
    assert "istatd-server" not in upgraded.run("ps -eo comm"), "the old one has ended"
    said = upgraded.run("journalctl --sync; journalctl -u istat-server --no-pager")
    assert "--thread-count: one process with one event loop serves all" in said
    upgraded.run("istat send --to 127.0.0.1:18001 --server http://127.0.0.1:8011 taken.over 3")


def test_what_was_off_stays_off(upgraded: Machine) -> None:
    assert upgraded.show("istat-agent", "ActiveState", "Result") == {"ActiveState": "inactive",
                                                                      "Result": "exec-condition"}
    upgraded.run("sed -i s/ENABLE_ISTATD=0/ENABLE_ISTATD=1/ /etc/default/istatd-agent; systemctl start istatd-agent")
    assert running(upgraded, "istat-agent")
    assert "forwarding to istatd:127.0.0.1:18001" in upgraded.show("istat-agent", "StatusText")["StatusText"]
    said = upgraded.run("journalctl --sync; journalctl -u istat-agent --no-pager")
    assert "--stat-port: from programs of this machine only" in said
    upgraded.run("istat send --unasked --to 127.0.0.1:8001 by.the.agent 3")       # which forwards it to the server
    assert wait_for(lambda: "by.the.agent" in upgraded.run("istat ls --server http://127.0.0.1:8011 'by.the.*'"))


def test_istatds_data_are_left_alone_until_they_are_imported(upgraded: Machine) -> None:
    assert upgraded.run(before.KEPT) == upgraded.kept  # type: ignore[attr-defined]
    said = upgraded.run("journalctl --sync; journalctl -u istat-server --no-pager")
    command = "istat import --store /var/lib/istatd/server /var/db/istatd/store"
    told = said.count(f"import it: {command}")
    assert told, "at each start, of which other tests may have made some"
    upgraded.run(f"systemctl stop istat-server; {command}; systemctl start istat-server")
    assert before.COUNTER in upgraded.run("istat ls --server http://127.0.0.1:8011").splitlines()
    assert upgraded.run(before.KEPT) == upgraded.kept  # type: ignore[attr-defined]
    said = upgraded.run("journalctl --sync; journalctl -u istat-server --no-pager")
    assert said.count(f"import it: {command}") == told, "not told any more"


def test_the_names_of_before_lead_to_the_services_of_now(upgraded: Machine) -> None:
    process = pid(upgraded)
    upgraded.run("/etc/init.d/istatd-server restart; systemctl is-active istatd-server")
    assert pid(upgraded) not in (0, process)
    upgraded.run("service istatd-server status")
    assert upgraded.run("istatd-server --version") == f"istat-server {__version__}\n"
    units = upgraded.run("systemctl list-units --all --plain --no-legend 'istat*'")
    assert sorted(line.split()[0] for line in units.splitlines()) == ["istat-agent.service", "istat-server.service"]


def release_of(machine: Machine) -> str:
    """The codename of the release that a tree is of."""
    return machine.run(". /etc/os-release; echo $VERSION_CODENAME").strip()
