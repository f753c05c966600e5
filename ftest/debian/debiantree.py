"""Throw-away Debian trees: one to run commands in, or one with a real systemd as process 1.

Each is an overlay in memory over a base tree that is never written to, mounted in a mount namespace of its own, so that
nothing stays mounted whatever happens, and ends with the process that made it, also when that is killed. Needs root,
mmdebstrap, overlayfs, and for a boot systemd-nspawn (Debian: systemd-container). Knows Debian and systemd; nothing of
istatd.

A container can not raise a hard limit that this machine has, and has no memory limits in force where this machine has
cgroup controllers of version 1.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

SYSTEMD = ("systemd", "systemd-sysv", "dbus", "ca-certificates", "procps", "iproute2")
MAKE_SECONDS, BOOT_SECONDS, COMMAND_SECONDS = 600, 60, 300
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# What this machine needs to reach the network is passed on where a tree shares its network.
PASSED_ON = ("CERT", "CA_BUNDLE", "CA_CERTS", "CAINFO", "CA_CERTIFICATES", "PROXY")
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
    "TERM": "dumb", "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0",
}
OVERLAY = """
set -e
mount -t tmpfs -o mode=755 tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
"""
CHROOT = OVERLAY + """
mount --rbind /dev "$2/root/dev"; mount -t proc proc "$2/root/proc"; mount -t tmpfs tmpfs "$2/root/dev/shm"
mkdir -p "$2/root/srv/shared"; mount --bind "$3" "$2/root/srv/shared"
cp /etc/resolv.conf "$2/root/etc/resolv.conf"
exec chroot "$2/root" sh -euc "$4"
"""
BOOT = OVERLAY + """
place=$2 name=$3; shift 3
mount -t tmpfs -o mode=755 tmpfs /run
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn --quiet --boot --directory="$place/root" --machine="$name" --register=no --keep-unit \
    --link-journal=no --timezone=off --console=pipe --private-network --resolv-conf=off \
    --capability=CAP_BPF,CAP_PERFMON --system-call-filter=bpf "$@"
"""


def missing() -> str:
    """Why there can be no tree here; empty when there can. Continuous integration has to have the tools."""
    if os.geteuid() != 0:
        return "making a Debian tree needs root"
    if os.environ.get("CI") == "true":
        return ""
    for tool, package in (("mmdebstrap", "mmdebstrap"), ("systemd-nspawn", "systemd-container"),
                          ("apt-ftparchive", "apt-utils")):
        if shutil.which(tool) is None:
            return f"{tool} is not installed (apt install {package})"
    return ""


def mirror() -> list[str]:
    """Where this machine's apt has its own release of Debian from; nothing, for the usual place, where it has none."""
    try:
        release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
        listed = subprocess.run(
            ["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)", f"Release: {release}",
             "Component: main", "Identifier: Packages"], check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.CalledProcessError):
        return []
    return listed.stdout.split()[:1]


def make(tree: Path, release: str, packages: Sequence[str] = SYSTEMD) -> None:
    """A minimal Debian of this release ("bookworm") with these packages at `tree`, unless it is there."""
    if tree.exists():
        return
    tree.parent.mkdir(parents=True, exist_ok=True)
    # Unpacked in memory, as dpkg syncs much, and as the disk may not let device files be used.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as quick:
        made = Path(quick, "tree")
        subprocess.run(
            ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(packages)}",
             "--aptopt=Acquire::Languages \"none\"", "--dpkgopt=force-unsafe-io", release, str(made), *mirror()],
            check=True, timeout=MAKE_SECONDS, env={**os.environ, "TMPDIR": quick})
        set_up(made)
        partial = tree.with_name(f"{tree.name}.partial")
        subprocess.run(["rm", "-rf", partial], check=True)
        subprocess.run(["cp", "-a", made, partial], check=True)
        partial.rename(tree)


def set_up(made: Path) -> None:
    """What a tree has otherwise than an installed machine."""
    (made / "etc/machine-id").write_text("")        # process 1 makes one at each boot
    units = made / "etc/systemd/system"
    for unit in ("console-getty.service", "apt-daily.timer", "apt-daily-upgrade.timer"):
        if units.exists():
            (units / unit).symlink_to("/dev/null")
    (made / "etc/resolv.conf").unlink(missing_ok=True)
    inside = made / CERTIFICATES.relative_to("/")
    if CERTIFICATES.exists() and inside.parent.exists():
        shutil.copy(CERTIFICATES, inside)


def run_in(tree: Path, place: Path, shared: Path, script: str, seconds: float = COMMAND_SECONDS,
           **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in an overlay of the tree with this machine's network; the folder `shared` is /srv/shared
    inside. `place` is an empty folder of its own. What is written elsewhere is gone afterwards."""
    place.mkdir(parents=True, exist_ok=True)
    passed = {k: v for k, v in os.environ.items() if any(word in k.upper() for word in PASSED_ON)}
    return subprocess.run(
        ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation=private", "--pid", "--fork",
         "--kill-child", "sh", "-c", CHROOT, "sh", str(tree), str(place), str(shared), script],
        env={**ENVIRONMENT, **passed, **environ}, timeout=seconds, text=True, capture_output=True)


class Failed(AssertionError):
    """A command inside the tree failed."""


class Machine:
    """A booted tree, without network but loopback; a context manager.

    `binds`: host folder -> folder inside, read-only. OSError and Failed when it does not come up.
    """

    def __init__(self, tree: Path, place: Path, name: str, binds: dict[Path, str]) -> None:
        self._tree, self._place, self.name = tree, place, name
        self._binds = binds
        self._cgroups: list[Path] = []
        self._nspawn: subprocess.Popen[bytes] | None = None
        self.leader = 0

    def __enter__(self) -> Machine:
        self._place.mkdir(parents=True, exist_ok=True)
        binds = [f"--bind-ro={outside}:{inside}" for outside, inside in self._binds.items()]
        self._cgroups = [root / f"istatd-{self.name}" for root in cgroup_roots()]
        enter = "".join(f'mkdir -p "{group}" && echo $$ >"{group}/cgroup.procs"\n' for group in self._cgroups)
        namespace = 'exec unshare --mount --propagation=private sh -c "$0" "$@"'
        environ = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        with open(self._place.with_name(f"{self.name}.console"), "wb") as console:
            self._nspawn = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "sh", "-ec", enter + namespace, BOOT, "sh", str(self._tree),
                 str(self._place), self.name, *binds],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environ, start_new_session=True)
        try:
            self._wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait_until_up(self) -> None:
        assert self._nspawn is not None
        end = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < end and self._nspawn.poll() is None:
            self.leader = self.leader or child_called(self._nspawn.pid, "systemd")
            if self.leader:
                state = self.run("systemctl is-system-running", check=False).strip()
                if state in ("running", "degraded"):
                    return
            time.sleep(0.05)
        console = self._place.with_name(f"{self.name}.console").read_text(errors="replace")
        raise Failed(f"the tree did not come up: {console[-2000:]}")

    def run(self, script: str, check: bool = True, seconds: float = COMMAND_SECONDS, stdin: str = "") -> str:
        """What a shell script prints inside, as root. Failed when it fails, unless `check` is off."""
        command = ["nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
                   "--root", "--wd", "sh", "-ec", script]
        done = subprocess.run(command, env=ENVIRONMENT, timeout=seconds, text=True, capture_output=True, input=stdin)
        if check and done.returncode != 0:
            raise Failed(f"{script!r} gave {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done.stdout

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit by name."""
        lines = self.run(f"systemctl show -p {','.join(properties)} {unit}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def root(self) -> Path:
        """The tree's files as this machine sees them."""
        return Path(f"/proc/{self.leader}/root")

    def __exit__(self, *_: object) -> None:
        if self._nspawn is not None and self._nspawn.poll() is None:
            if self.leader:
                os.kill(self.leader, signal.SIGRTMIN + 4)       # systemd(1): power off
            else:
                self._nspawn.terminate()
            try:
                self._nspawn.wait(15)
            except subprocess.TimeoutExpired:
                if self.leader:
                    os.kill(self.leader, signal.SIGKILL)
                self._nspawn.kill()
                self._nspawn.wait(5)
        for group in self._cgroups:
            for folder, _, _ in os.walk(group, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    continue    # a process is still ending in it: an empty group stays behind, which harms nobody


def cgroup_roots() -> list[Path]:
    """Where this machine has its second cgroup hierarchy, and systemd's of the first."""
    roots = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words, _, more = line.partition(" - ")
        kind, _, options = more.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options):
            roots.append(Path(words.split()[4]))
    return roots


def child_called(pid: int, name: str) -> int:
    """Process id of the child with this name; 0 when there is none."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        named = [int(child) for child in children if Path(f"/proc/{child}/comm").read_text().strip() == name]
    except FileNotFoundError:
        return 0    # ended meanwhile
    return named[0] if named else 0
