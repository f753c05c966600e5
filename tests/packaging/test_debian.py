"""What must agree between packages, units and code, seen without building anything."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from istat import __version__
from istat.settings.declaration import Declaration
from istat_agent.options import DECLARATION as AGENT
from istat_server.options import DECLARATION as SERVER
from istat_server.tools import ALIASES

ROOT = Path(__file__).parents[2]
DEBIAN = ROOT / "packaging/debian"
# systemd-analyze's exposure times ten.
EXPOSURE = {"istat-server": 12, "istat-agent": 16}


def unit(name: str) -> configparser.ConfigParser:
    """A unit file; of settings that are repeated the last one."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((ROOT / "systemd" / name).read_text())
    return parser


def test_the_changelogs_version_is_the_codes() -> None:
    newest = (DEBIAN / "changelog").read_text().splitlines()[0]
    # The build puts its own release there.
    assert re.fullmatch(rf"istatd \({re.escape(__version__)}\) unstable; urgency=\w+", newest)


@pytest.mark.parametrize("name", EXPOSURE)
def test_the_sandbox_is_tight(name: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    path = ROOT / f"systemd/{name}.service"
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                           f"--threshold={EXPOSURE[name]}", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


@pytest.mark.parametrize(("name", "declaration"), [("server", SERVER), ("agent", AGENT)])
def test_units_name_the_files_that_the_settings_name(name: str, declaration: Declaration) -> None:
    service = unit(f"istat-{name}.service")["Service"]
    assert service["ExecStart"] == f"/usr/lib/istatd/start-daemon {name}"
    assert service["SyslogIdentifier"] == f"istat-{name}"       # else that of the script
    assert declaration.file == f"/etc/istatd/{name}.toml"
    state = f"/var/lib/{service['StateDirectory']}"
    sysusers = (DEBIAN / f"istatd-{name}.sysusers").read_text().split()
    assert sysusers[1] == service["User"] == service["Group"]
    assert sysusers[-1] == state
    assert state in (DEBIAN / f"istatd-{name}.postrm").read_text()
    assert f"root:{service['User']}" in (DEBIAN / f"istatd-{name}.postinst").read_text()


def test_the_store_is_in_the_state_folder() -> None:
    state = f"/var/lib/{unit('istat-server.service')['Service']['StateDirectory']}"
    assert str(SERVER.settings["store"].default) == state


def test_an_agents_spool_is_in_its_state_folder_and_it_may_have_a_socket_in_its_own() -> None:
    service = unit("istat-agent.service")["Service"]
    assert str(AGENT.settings["spool"].default) == f"/var/lib/{service['StateDirectory']}/spool"
    assert "AF_UNIX" in service["RestrictAddressFamilies"], "for stat-path"
    place = f"/run/{service['RuntimeDirectory']}/"
    assert f'stat-path = "{place}' in (ROOT / "docs/operating.md").read_text()


def test_the_socket_unit_has_the_default_ports() -> None:
    socket = unit("istat-server.socket")["Socket"]
    where = f"127.0.0.1:{SERVER.settings['stat-port'].default}"
    assert socket["ListenStream"] == socket["ListenDatagram"] == where


def test_the_servers_package_brings_every_program_of_istatds_names() -> None:
    """In the package that had them, so that an upgrade takes no file from another package."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts.keys() == {"istat", "istat-server", "istat-agent", *ALIASES}
    completion = (DEBIAN / "istatd-server.bash-completion").read_text().splitlines()
    for name in ALIASES:
        for kind, prefix in (("install", "usr/bin/"), ("manpages", "build/pages/man/")):
            patterns = (DEBIAN / f"istatd-server.{kind}").read_text().split()
            path = f"{prefix}{name}" + ".1" * (kind == "manpages")
            assert any(fnmatch(path, pattern) for pattern in patterns), path
            others = (DEBIAN / f"python3-istat.{kind}").read_text().split()
            assert not any(fnmatch(path, pattern) for pattern in others), path
        assert f"build/pages/completion/{name} {name}" in completion


def test_debian_has_what_the_package_depends_on() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[><=]", text)[0] for text in project["dependencies"]}
    control = (DEBIAN / "control").read_text()
    assert {name for name in needed if f"python3-{name}," not in control} == set()


def test_a_build_needs_no_library_of_istatds() -> None:
    build = (DEBIAN / "control").read_text().split("Build-Depends:")[1].split("\n\n")[0]
    assert "cython3" in build and re.search("boost|statgrab|curl|qpdf", build) is None


@pytest.mark.parametrize("name", ["server", "agent"])
def test_the_single_package_of_long_ago_makes_way(name: str) -> None:
    """istatd had one package before it had two; ours of that name has no files."""
    package = (DEBIAN / "control").read_text().split(f"\nPackage: istatd-{name}\n")[1].split("\nPackage: ")[0]
    assert {"Breaks: istatd (<< 2.0.0~)", "Replaces: istatd (<< 2.0.0~)"} <= set(package.splitlines())


@pytest.mark.parametrize("name", ["server", "agent"])
def test_the_names_of_before_are_other_names_of_ours(name: str) -> None:
    assert f"usr/bin/istat-{name} usr/bin/istatd-{name}\n" in (DEBIAN / f"istatd-{name}.links").read_text()
    script = (DEBIAN / f"istatd-{name}.istatd-{name}.init").read_text()
    assert f"# Provides:          istatd-{name}\n" in script and f"/usr/lib/istatd/start-daemon {name} " in script
    assert (DEBIAN / f"istatd-{name}.sysusers").read_text().split()[1] in script


@pytest.mark.parametrize("name", ["server", "agent"])
@pytest.mark.parametrize(("said", "starts"), [("", True), ("ENABLE_ISTATD=1", True), ('ENABLE_ISTATD="1"', True),
                                              ("ENABLE_ISTATD=0", False), ("ENABLE_ISTATD=no", False),
                                              ("ENABLE_ISTATD=", False)])
def test_whatever_is_not_1_keeps_a_daemon_off(name: str, said: str, starts: bool, tmp_path: Path) -> None:
    """As in istatd. systemd reads the same file, and looks for the same."""
    service = (ROOT / f"systemd/istat-{name}.service").read_text()
    assert "Environment=ENABLE_ISTATD=1\n" in service
    assert "ExecCondition=/usr/bin/test ${ENABLE_ISTATD} = 1\n" in service
    (tmp_path / "default").write_text(f"{said}\n")
    script = (DEBIAN / f"istatd-{name}.istatd-{name}.init").read_text()
    played = ("log_daemon_msg() { :; }; log_warning_msg() { :; }; log_end_msg() { :; }; running() { false; }\n")
    for a, b in (('[ -x "$DAEMON" ] || exit 0\n', ""), (". /lib/lsb/init-functions\n", ""),
                 ("/etc/default/$NAME", str(tmp_path / "default")), ("/usr/lib/istatd/start-daemon", "echo started"),
                 ('running() { start-stop-daemon --status --pidfile "$PIDFILE"; }\n', played)):
        assert a in script
        script = script.replace(a, b)
    done = subprocess.run(["sh", "-c", script, name, "start"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.startswith("started")) == (0, starts), done


@pytest.mark.parametrize("name", ["server", "agent"])
def test_an_init_script_ends_its_daemon_by_sigterm_and_waits(name: str, tmp_path: Path) -> None:
    """The script, with what it calls played: which words that gets, and that its status is the script's."""
    script = (DEBIAN / f"istatd-{name}.istatd-{name}.init").read_text()
    played = ("log_daemon_msg() { :; }; log_warning_msg() { :; }; log_end_msg() { :; }; "
              'status_of_proc() { echo "status $@"; return 4; }\n')
    (tmp_path / "start-stop-daemon").write_text('#!/bin/sh\necho "$@"\nexit 3\n')
    (tmp_path / "start-stop-daemon").chmod(0o755)
    script = script.replace('[ -x "$DAEMON" ] || exit 0\n', "").replace(". /lib/lsb/init-functions\n", played)
    pid_file = f"/run/istatd-{name}.pid"
    for word, status, said in (("stop", 3, f"--stop --oknodo --pidfile {pid_file} --retry TERM/90"),
                               ("restart", 3, f"--stop --oknodo --pidfile {pid_file} --retry TERM/90"),
                               ("reload", 3, f"--stop --signal HUP --pidfile {pid_file}"),
                               ("status", 4, f"status -p {pid_file} /usr/bin/istat-{name} istatd-{name}"),
                               ("x", 3, "")):
        done = subprocess.run(["sh", "-c", script, name, word], capture_output=True, text=True,
                              env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
        assert (done.returncode, done.stdout.strip()) == (status, said), word


@pytest.mark.parametrize(("before", "name", "more", "flags"), [
    (False, "server", {}, "--config /etc/istatd/server.toml --no-daemonize"),
    (False, "agent", {"EXTRA_ARGS": "--interval 5"}, "--config /etc/istatd/agent.toml --interval 5 --no-daemonize"),
    (True, "agent", {}, "--config /etc/istatd-agent.cfg --no-daemonize --user  --pid-file  --log-file "),
    (True, "server", {"EXTRA_ARGS": "--flush 60"}, "--config /etc/istatd-server.cfg --flush 60 --no-daemonize --store "
     "/var/lib/istatd/server --settings  --user  --pid-file  --log-file "),
])
def test_what_a_service_is_started_with(tmp_path: Path, before: bool, name: str, more: dict[str, str],
                                        flags: str) -> None:
    script = (ROOT / "systemd/start-daemon").read_text()
    script = script.replace("exec ", "echo ").replace('[ -e "$before" ]', "true" if before else "false")
    done = subprocess.run(["sh", "-c", script, "start-daemon", name], capture_output=True, text=True, env=more)
    assert done.stdout == f"/usr/bin/istat-{name} {flags}\n"


def test_every_example_is_shipped() -> None:
    listed = "".join(path.read_text() for path in DEBIAN.glob("*.examples")).split()
    assert sorted(listed) == sorted(str(path.relative_to(ROOT)) for path in (ROOT / "systemd/examples").iterdir())
