"""A Debian tree booted under a kernel of its own: User Mode Linux, an ordinary process without any privilege.

For what a container cannot show on a machine that withholds privileges: limits above its own, memory and task limits
in force. Ten times slower than the machine in every system call, so packages are installed before the boot, by chroot.
Needs root to make the disk image, mke2fs, and linux.uml (Debian: user-mode-linux).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ftest.debiantree import ENVIRONMENT, OVERLAY, Failed

PREPARE_SECONDS, RUN_SECONDS = 300, 400
DISK_MIB, MEMORY = 1500, "1024M"
# $3: folder of the job, $4: what prepares the tree, $5: the image, $6: its size.
IMAGE = OVERLAY + """
root=$2/root
mkdir -p "$root/job"
mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"; mount --bind "$3" "$root/job"
unshare --net --pid --fork --kill-child chroot "$root" sh -ec "$4"
umount "$root/job"; umount -l "$root/dev"; umount "$root/proc"
cp "$3/job.service" "$3/job.timer" "$root/etc/systemd/system/"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf ../job.timer "$root/etc/systemd/system/multi-user.target.wants/job.timer"
mke2fs -qF -t ext4 -O ^has_journal -d "$root" "$5" "$6"
"""
SERVICE = """
[Unit]
After=multi-user.target
[Service]
Type=exec
ExecStartPre=/bin/mount -t hostfs -o {folder} none /job
ExecStart=/bin/sh -c "sh -e /job/job.sh >/job/output 2>&1; echo $? >/job/status"
ExecStopPost=/bin/systemctl --no-block poweroff
Environment=HOME=/root LANG=C.UTF-8 SYSTEMD_PAGER= SYSTEMD_COLORS=0
"""
# By a timer, so that reaching multi-user.target does not wait for the job.
TIMER = "[Timer]\nOnActiveSec=1\nAccuracySec=100ms\n"


def missing() -> str:
    """Why there can be no such boot here; empty when there can."""
    for tool, package in (("linux.uml", "user-mode-linux"), ("mke2fs", "e2fsprogs")):
        if shutil.which(tool) is None:
            return f"{tool} is not installed (apt install {package})"
    return ""


def run(tree: Path, folder: Path, prepare: str, job: str) -> str:
    """What the shell script `job` prints, run as root after a boot of the tree in which `prepare` was run before.

    The folder is /job inside both. Failed when either fails.
    """
    (folder / "job.sh").write_text(job)
    (folder / "job.service").write_text(SERVICE.format(folder=folder))
    (folder / "job.timer").write_text(TIMER)
    # The image must be on a disk that can forget blocks; memory file systems cannot.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        image = Path(place, "disk")
        overlay = Path(place, "overlay")
        overlay.mkdir()
        made = subprocess.run(
            ["unshare", "--mount", "--propagation=private", "sh", "-ec", IMAGE, "sh", tree, overlay, folder, prepare,
             image, f"{DISK_MIB}M"],
            env=ENVIRONMENT, capture_output=True, text=True, timeout=PREPARE_SECONDS)
        if made.returncode != 0:
            raise Failed(f"the tree could not be prepared: {made.stdout[-2000:]}{made.stderr[-2000:]}")
        booted = subprocess.run(
            ["setsid", "linux.uml", f"mem={MEMORY}", f"ubd0={image}", "root=/dev/ubda", "rw",
             "init=/lib/systemd/systemd", "quiet", "systemd.show_status=0", "con=null", "con0=null,fd:1",
             f"umid=job{os.getpid()}", f"uml_dir={place}/"],
            env={**os.environ, "TMPDIR": place}, stdin=subprocess.DEVNULL, capture_output=True, timeout=RUN_SECONDS)
    status, output = folder / "status", folder / "output"
    said = output.read_text() if output.exists() else ""
    if not status.exists() or status.read_text().strip() != "0":
        raise Failed(f"the job failed or did not end: {said[-3000:]}\n{booted.stdout[-1000:].decode(errors='replace')}")
    return said
