"""Packages of the names and the shape that istatd 1.08-1 had, made here, for tests of what an upgrade takes over.

They hold no program of istatd's: what stands for the daemons listens on the ports of its settings, and no more.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from tests.foreign.istatd_writer import Ring

VERSION = "1.08-1"
PORTS = {"server": (18001, 8011, 8031), "agent": (8001,)}
DAEMON = """#!/usr/bin/perl
use strict; use IO::Socket::INET;
$0 = "istatd-NAME";
my ($pidfile) = join(" ", @ARGV) =~ /--pid-file (\\S+)/;
my @held = map { IO::Socket::INET->new(LocalAddr => "0.0.0.0", LocalPort => $_, Listen => 5, ReuseAddr => 1)
                 or die "port $_: $!" } (PORTS);
if (my $child = fork) { open(my $f, ">", $pidfile) or die; print $f "$child\\n"; exit 0 }
close STDIN; close STDOUT; close STDERR;
sleep 3600;
"""
INIT = """#!/bin/sh
ENABLE_ISTATD=0
EXTRA_ARGS=""
. /etc/default/istatd-NAME
pidfile=/var/run/istatd-NAME.pid
case "$1" in
start) [ "$ENABLE_ISTATD" = 1 ] || exit 0
    cd /var/tmp && /usr/bin/istatd-NAME --pid-file $pidfile --config /etc/istatd-NAME.cfg \\
        --log-file /var/log/istatd-NAME.log $EXTRA_ARGS --daemonize ;;
stop) [ -f $pidfile ] && kill "$(cat $pidfile)"; rm -f $pidfile; sleep 1 ;;
restart) $0 stop; $0 start ;;
status) kill -0 "$(cat $pidfile)" ;;
esac
"""
SETTINGS = {
    "server": """# istatd server
--store /var/db/istatd/store
--settings /var/db/istatd/settings
--files-dir /usr/share/istatd/files
--stat-port 18001
--http-port 8011
--admin-port 8031
--retention 10s:10d,5m:1y9d,1h:6y12d
--flush 300
--thread-count 8
--num-files 945000
--user istatd
--log-level 2
""",
    "agent": """# istatd agent
--agent 127.0.0.1:18001
--stat-port 8001
--http-port 0
--thread-count 1
--num-files 1024
--user istatd
--log-level 1
--daemonize
""",
}
PREINST = """#!/bin/sh
set -e
getent group istatd >/dev/null || groupadd --system istatd
getent passwd istatd >/dev/null ||
    useradd --system --gid istatd --home-dir /var/db/istatd --shell /bin/false --no-create-home istatd
mkdir -p /var/db/istatd
touch /var/log/istatd-NAME.log; chown istatd:istatd /var/db/istatd /var/log/istatd-NAME.log
chmod 775 /var/db/istatd
"""
POSTINST = "#!/bin/sh\nset -e\nupdate-rc.d istatd-NAME defaults >/dev/null\n/etc/init.d/istatd-NAME start\n"
PRERM = '#!/bin/sh\nset -e\nif [ "$1" = remove ]; then /etc/init.d/istatd-NAME stop; fi\n'
COUNTER = "kept.before"
# The server is in use, with what it counted and what people saved; the agent was never switched on.
AT_WORK = """
dpkg -i /srv/before/*.deb >/dev/null
sed -i s/ENABLE_ISTATD=0/ENABLE_ISTATD=1/ /etc/default/istatd-server
cp -R /srv/before/store /var/db/istatd/store
echo dashboard.mine=y >> /var/db/istatd/settings/cit.set
chown -R istatd:istatd /var/db/istatd/store /var/db/istatd/settings
systemctl daemon-reload
systemctl start istatd-server
pgrep -x istatd-server >/dev/null
"""
KEPT = "cd /var/db/istatd; find . -type f | sort | xargs sha256sum; stat -c '%n %U %a %Y' $(find . -type f | sort)"
MORE = {        # what only the server's package has
    "usr/bin/istatd_filedump": "#!/bin/sh\n", "usr/bin/splitd": "#!/bin/sh\n",
    "usr/share/istatd/files/index.html": "the page of before",
    "var/db/istatd/settings/cit.set": "# istatd settings 1\ndashboard.shipped=x\n",
    "var/db/istatd/settings/users.set": "# istatd settings 1\nuser.cit=x\n",
}


def make_all(folder: Path) -> None:
    """Both packages, and a store as istatd has it with the counter COUNTER."""
    folder.mkdir()
    for name in PORTS:
        make(folder, name)
    now = int(time.time()) // 10 * 10
    ring = Ring(10, 8640, now - 600)
    for k in range(30):
        ring.put(now - 600 + 10 * k, 5.0, 25.0, 5.0, 5.0, 1)
    place = folder / "store" / COUNTER.replace(".", "/")
    place.mkdir(parents=True)
    (place / "10s").write_bytes(ring.encode())


def make(folder: Path, name: str) -> Path:
    """The package istatd-`name` 1.08-1 in a folder."""
    files = folder / f"{name}.files"
    ports = ", ".join(map(str, PORTS[name]))

    def put(path: str, text: str, mode: int = 0o644) -> None:
        target = files / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.replace("NAME", name).replace("PORTS", ports))
        target.chmod(mode)

    put("DEBIAN/control", f"Package: istatd-NAME\nVersion: {VERSION}\nArchitecture: all\nConflicts: istatd\n"
        "Maintainer: nobody <nobody@example.org>\nDescription: stands for istatd's own package\n")
    put("DEBIAN/conffiles", "".join(f"/etc/{path}\n" for path in ("istatd-NAME.cfg", "default/istatd-NAME",
                                                                  "init.d/istatd-NAME")))
    for script, text in (("preinst", PREINST), ("postinst", POSTINST), ("prerm", PRERM)):
        put(f"DEBIAN/{script}", text, 0o755)
    put("etc/istatd-NAME.cfg".replace("NAME", name), SETTINGS[name])
    put(f"etc/default/istatd-{name}", 'ENABLE_ISTATD=0\nEXTRA_ARGS=""\n')
    put(f"etc/init.d/istatd-{name}", INIT, 0o755)
    put(f"usr/bin/istatd-{name}", DAEMON, 0o755)
    for path, text in MORE.items() if name == "server" else ():
        put(path, text, 0o755 if path.startswith("usr/bin") else 0o644)
    made = folder / f"istatd-{name}_{VERSION}_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", files, made], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(files)
    return made
