"""Agents of Debian's packages, unpacked into a folder and never installed: no service of theirs runs on this machine.

Each reads this machine every interval, as its package has it where nothing is said here.
"""
from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.agents.subject import Sink, Subject, scraped
from bench.servers.process import BenchError, free_port

PACKAGES = ("collectd-core", "netdata-core", "libnetfilter-acct1", "prometheus-node-exporter")
FETCH_SECONDS = 600
# What comes to about 300 values on a small machine.
PLUGINS = ("cpu", "memory", "load", "disk", "interface", "df", "processes", "uptime", "swap", "vmem", "irq",
           "protocols", "contextswitch")
COLLECTD = """BaseDir "{folder}"
PIDFile "{folder}/pid"
PluginDir "{root}/usr/lib/collectd"
TypesDB "{root}/usr/share/collectd/types.db"
Interval {interval}
Hostname "web1"
{plugins}
<Plugin vmem>
  Verbose true
</Plugin>
LoadPlugin network
<Plugin network>
  Server "127.0.0.1" "{port}"
</Plugin>
"""
NETDATA = """[global]
  hostname = web1
  run as user = {user}
[db]
  update every = {interval}
[directories]
  config = {folder}/etc
  stock config = {root}/usr/lib/netdata/conf.d
  plugins = {root}/usr/lib/netdata/plugins.d
  cache = {folder}/cache
  lib = {folder}/lib
  log = {folder}/log.d
  lock = {folder}/lock
  home = {folder}
  web = {root}/usr/share/netdata/web
[registry]
  registry db directory = {folder}/registry
[web]
  bind to = 127.0.0.1:{port}
"""


def fetch(root: Path) -> None:
    """Have the packages unpacked below `root`, from the machine's own sources. BenchError, also for a folder of
    another user, whose programs would be run."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    there = root.lstat()
    if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.geteuid() or there.st_mode & 0o022:
        raise BenchError(f"{root} is not a folder of yours alone, and what is in it would be run: name another by "
                         "--peers FOLDER")
    if (root / "unpacked").exists():
        return
    try:
        subprocess.run(["apt-get", "-qq", "download", *PACKAGES], cwd=root, check=True, timeout=FETCH_SECONDS)
        for package in sorted(root.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, root], check=True, timeout=FETCH_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise BenchError(f"Debian's packages {', '.join(PACKAGES)} cannot be had: {error} (apt-get update? or "
                         "--peers none)") from error
    (root / "unpacked").touch()


class Collectd(Subject):
    """Sends over UDP, its own protocol."""

    label = "collectd"

    def __init__(self, folder: Path, interval: int, root: Path, sink: Sink) -> None:
        super().__init__(folder, interval)
        self._root, self._sink = root, sink
        plugins = "\n".join(f"LoadPlugin {name}" for name in PLUGINS)
        (folder / "conf").write_text(COLLECTD.format(folder=folder, root=root, interval=interval, plugins=plugins,
                                                     port=sink.port))

    def command(self) -> Sequence[str]:
        """See Subject.command."""
        return [str(self._root / "usr/sbin/collectd"), "-f", "-C", str(self.folder / "conf")]

    def seen(self) -> bool:
        """See Subject.seen."""
        return bool(self._sink.found)

    def counters(self) -> int:
        """See Subject.counters."""
        return len(self._sink.found)


class NodeExporter(Subject):
    """Is asked: reads the machine at each question."""

    label = "prometheus-node-exporter"

    def __init__(self, folder: Path, interval: int, root: Path) -> None:
        super().__init__(folder, interval)
        self._root, self._port, self._last = root, free_port(), 0

    def command(self) -> Sequence[str]:
        """See Subject.command."""
        return [str(self._root / "usr/bin/prometheus-node-exporter"), f"--web.listen-address=127.0.0.1:{self._port}"]

    def seen(self) -> bool:
        """See Subject.seen."""
        self.turn()
        return self._last > 0

    def counters(self) -> int:
        """See Subject.counters."""
        return self._last

    def turn(self) -> None:
        """See Subject.turn."""
        self._last = scraped(f"http://127.0.0.1:{self._port}/metrics")


class Netdata(Subject):
    """Keeps what it collects, too, and judges it for alarms: it is agent and server in one."""

    label = "netdata"

    def __init__(self, folder: Path, interval: int, root: Path, user: str) -> None:
        super().__init__(folder, interval)
        self._root, self._port = root, free_port()
        for name in ("etc", "cache", "lib", "log.d", "lock", "registry"):
            (folder / name).mkdir()
        (folder / "conf").write_text(NETDATA.format(folder=folder, root=root, interval=interval, port=self._port,
                                                    user=user))

    def command(self) -> Sequence[str]:
        """See Subject.command."""
        return [str(self._root / "usr/sbin/netdata"), "-D", "-c", str(self.folder / "conf")]

    def seen(self) -> bool:
        """See Subject.seen. It has one about itself before it has read the machine."""
        return self.counters() > 1

    def counters(self) -> int:
        """See Subject.counters."""
        return scraped(f"http://127.0.0.1:{self._port}/api/v1/allmetrics?format=prometheus")
