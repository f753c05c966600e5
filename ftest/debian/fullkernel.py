"""A Debian tree booted under a kernel of its own, emulated by QEMU: what a container cannot show.

Limits above those of a machine that withholds privileges, memory and task limits in force. No /dev/kvm is needed, so
it is ten times slower than the machine; packages are therefore installed before the boot, by chroot. Needs root to
make the disk image, mke2fs, and qemu-system-x86_64 (Debian: qemu-system-x86). (User Mode Linux 6.1 would be lighter,
but ends at once on CPUs whose registers are larger than it knows, those with AMX.)
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from ftest.debian.debiantree import ENVIRONMENT, OVERLAY, SYSTEMD, Failed

# What a base tree needs besides systemd: a kernel, and what makes the file system in memory that it begins with.
KERNEL = (*SYSTEMD, "linux-image-cloud-amd64", "initramfs-tools")
PREPARE_SECONDS, RUN_SECONDS = 300, 500
DISK_MIB, MEMORY = 2000, "1024"
END = "== the job ended with "
# $3: folder of the job, $4: what prepares the tree, $5: the image, $6: its size.
IMAGE = OVERLAY + """
root=$2/root
mkdir -p "$root/job"
mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"; mount --bind "$3" "$root/job"
unshare --net --pid --fork --kill-child chroot "$root" sh -ec "$4"
umount "$root/job"; umount -l "$root/dev"; umount "$root/proc"
cp "$3/job.sh" "$3/job.service" "$3/job.timer" "$root/etc/systemd/system/"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf /dev/null "$root/etc/systemd/system/serial-getty@ttyS0.service"
ln -sf ../job.timer "$root/etc/systemd/system/multi-user.target.wants/job.timer"
mke2fs -qF -t ext4 -O ^has_journal -d "$root" "$5" "$6"
"""
SERVICE = f"""
[Unit]
After=multi-user.target
[Service]
Type=exec
ExecStart=/bin/sh -c "echo; sh -e /etc/systemd/system/job.sh; echo {END}$?"
ExecStopPost=/bin/systemctl --no-block poweroff
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/ttyS0
Environment=HOME=/root LANG=C.UTF-8 SYSTEMD_PAGER= SYSTEMD_COLORS=0
"""
# By a timer, so that reaching multi-user.target does not wait for the job.
TIMER = "[Timer]\nOnActiveSec=1\nAccuracySec=100ms\n"


def missing() -> str:
    """Why there can be no such boot here; empty when there can."""
    for tool, package in (("qemu-system-x86_64", "qemu-system-x86"), ("mke2fs", "e2fsprogs")):
        if shutil.which(tool) is None:
            return f"{tool} is not installed (apt install {package})"
    return ""


def run(tree: Path, folder: Path, prepare: str, job: str) -> list[str]:
    """The lines that the shell script `job` prints, run as root after a boot of the tree (made of KERNEL).

    Before, `prepare` is run in the tree by chroot, without network; the folder is /job then. Failed when either fails.
    """
    (folder / "job.sh").write_text(job)
    (folder / "job.service").write_text(SERVICE)
    (folder / "job.timer").write_text(TIMER)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        image, overlay, console = (Path(place, name) for name in ("disk", "overlay", "console"))
        overlay.mkdir()
        made = subprocess.run(
            ["unshare", "--mount", "--propagation=private", "sh", "-ec", IMAGE, "sh", tree, overlay, folder, prepare,
             image, f"{DISK_MIB}M"],
            env=ENVIRONMENT, capture_output=True, text=True, timeout=PREPARE_SECONDS)
        if made.returncode != 0:
            raise Failed(f"the tree could not be prepared: {made.stdout[-2000:]}{made.stderr[-2000:]}")
        kernel, initial = (next((tree / "boot").glob(name)) for name in ("vmlinuz-*", "initrd.img-*"))
        subprocess.run(
            ["qemu-system-x86_64", "-accel", "tcg", "-m", MEMORY, "-nographic", "-monitor", "none", "-nic", "none",
             "-no-reboot", "-kernel", kernel, "-initrd", initial,
             "-append", "root=/dev/vda rw console=ttyS0 quiet loglevel=1 systemd.show_status=0",
             "-serial", f"file:{console}",
             "-drive", f"file={image},format=raw,if=virtio,cache=unsafe"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=RUN_SECONDS)
        lines = console.read_text(errors="replace").replace("\r", "").splitlines()
    if f"{END}0" not in lines:
        raise Failed("the job failed or did not end:\n" + "\n".join(lines[-40:]))
    return lines[: lines.index(f"{END}0")]
