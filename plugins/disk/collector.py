"""Disk traffic per device (`disk`) and space per file system (`space`): two collectors.

They are two, because space changes slowly, and asking for it may take long (asking.py). Source:
`psutil.disk_io_counters` (/proc/diskstats and /sys/block, https://docs.kernel.org/admin-guide/iostats.html),
`psutil.disk_partitions` (mounts.py) and statvfs(3).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from typing import Any

import psutil

from istat.plugin import Config, Emit, Labels, Metric, Rates, Setting, collector

from ..naming import NAMING, Naming, renamed
from .asking import PATIENCE, Asking
from .mounts import by_device, is_mounted

# psutil's field -> our name. psutil turns the kernel's 512-byte sectors into bytes.
IO = {
    "read_bytes": ("read_bytes", "bytes/s", "read"),
    "write_bytes": ("write_bytes", "bytes/s", "written"),
    "read_count": ("reads", "1/s", "reads completed"),
    "write_count": ("writes", "1/s", "writes completed"),
    "read_time": ("read_ms", "ms/s", "time spent reading, summed over requests"),
    "write_time": ("write_ms", "ms/s", "time spent writing, summed over requests"),
    "busy_time": ("busy_ms", "ms/s", "time with at least one request under way: 1000 is fully busy"),
}
THEIRS = {"read_bytes": "read", "write_bytes": "write"}
SKIPPED_DEVICES = r"^(loop|ram|zram|fd|sr|nbd)\d+$"
# Full from the start, and for ever: what they hold was written by whoever made the image.
IMAGES = ["cramfs", "erofs", "iso9660", "romfs", "squashfs"]
SKIPPED_MOUNTS = r"^/(snap|boot/efi|run|dev|proc|sys)(/|$)"


def device_label(device: str) -> str:
    """A device as one component of a counter's name: `cciss_c0d0` for `cciss/c0d0`."""
    return re.sub(r"[^a-z0-9_-]", "_", device.lower())


def label(path: str) -> str:
    """A mount point as one component of a counter's name: `root` for `/`, `var_lib` for `/var/lib`."""
    return re.sub(r"[^a-z0-9_-]", "_", path.strip("/").lower()) or "root"


@collector(
    name="disk",
    help="Traffic of whole block devices; partitions are part of their disk and left out.",
    settings=[Setting("skip", str, SKIPPED_DEVICES, "regular expression: devices not to report"), NAMING],
    metrics=[
        *(Metric(f"disk.<device>.{name}", unit, text) for name, unit, text in IO.values()),
        *renamed(((f"disk.<device>.{ours}", f"localstat.disk.<device>.{theirs}") for ours, theirs in THEIRS.items()),
                 "bytes", ", since the last reading"),
    ],
)
class Disk:
    """Keeps the last totals; a device has no rates at its first reading."""

    def __init__(self, source: Any = psutil, sys_block: str = "/sys/block") -> None:
        self._source = source
        self._sys_block = sys_block
        self._skip = re.compile(SKIPPED_DEVICES)
        self._name = Naming(THEIRS)
        self._rates = Rates()
        self._labels = Labels(device_label, "/")

    def setup(self, config: Config) -> None:
        """Take the settings; re.error when the expression is none."""
        self._skip = re.compile(config["skip"])
        self._name.setup(config)

    def collect(self, emit: Emit) -> None:
        """One reading."""
        # nowrap=False: psutil would otherwise keep, and for ever grow, totals of its own; Rates sees wraps.
        devices = self._source.disk_io_counters(perdisk=True, nowrap=False) or {}
        totals = {}
        for device, counters in devices.items():
            if self._skip.search(device) or not self._is_whole(device):
                continue
            for field, (name, _, _) in IO.items():
                if hasattr(counters, field):
                    totals[device, name] = getattr(counters, field)
        labels = self._labels.of({device for device, _ in totals})
        for (device, name), rate in self._rates.update(totals, emit.monotonic).items():
            theirs = self._name.theirs(name)
            if theirs is None:
                emit.gauge(f"disk.{labels[device]}.{name}", rate)
            else:
                emit.gauge(f"localstat.disk.{labels[device]}.{theirs}", round(rate * self._rates.seconds))

    def _is_whole(self, device: str) -> bool:
        """/sys/block lists whole devices only ('/' in a name is '!' there); without /sys all are taken."""
        return not os.path.isdir(self._sys_block) or os.path.exists(
            os.path.join(self._sys_block, device.replace("/", "!"))
        )


@collector(
    name="space",
    interval=60,
    help="Space and inodes of local file systems, each device once. Every minute: it changes slowly.",
    settings=[
        Setting("skip", str, SKIPPED_MOUNTS, "regular expression: mount points not to report"),
        Setting("skip-types", list[str], IMAGES, "types of file systems not to report"),
        Setting("extra", list[str], [], "mount points to report besides, such as network file systems"),
    ],
    metrics=[
        Metric("disk.space.<mount>.used_bytes", "bytes", "in use; `root` is /, `var_lib` is /var/lib"),
        Metric("disk.space.<mount>.free_bytes", "bytes", "free for ordinary users"),
        Metric("disk.space.<mount>.used_percent", "%", "used of what ordinary users can use, as df shows it"),
        Metric(
            "disk.space.<mount>.inodes_used", "inodes", "in use; absent where the file system has no limit"
        ),
        Metric("disk.space.<mount>.inodes_free", "inodes", "free; absent where the file system has no limit"),
        Metric("disk.space.<mount>.silent", "", "asked, and did not answer: its server or disk is away", event=True),
    ],
)
class Space:
    """Keeps who has not answered, and which names were given."""

    def __init__(
        self, source: Any = psutil, statvfs: Callable[[str], os.statvfs_result] = os.statvfs, patience: float = PATIENCE
    ) -> None:
        self._source = source
        self._statvfs = statvfs
        self._asking = Asking(self._space, patience)
        self._skip, self._images = re.compile(SKIPPED_MOUNTS), IMAGES
        self._extra: list[str] = []
        self._labels = Labels(label, "/")

    def setup(self, config: Config) -> None:
        """Take the settings; re.error when the expression is none."""
        self._skip, self._images = re.compile(config["skip"]), config["skip-types"]
        self._extra = [os.path.abspath(mount) for mount in config["extra"]]

    def collect(self, emit: Emit) -> None:
        """One reading. A mount that is gone or may not be looked at is absent; one that does not answer is told."""
        mounts = self._mounts()
        labels = self._labels.of(mount[1:] for places in mounts.values() for mount in places)
        for answer in self._asking.answers(mounts):
            if answer.space is not None:
                self._report(emit, f"disk.space.{labels[answer.mount[1:]]}", answer.space)
            elif answer.mount in self._extra:
                emit.problem(f"{answer.mount} of the setting extra cannot be looked at: is something mounted there?")
        for silent in self._asking.silent(mounts):
            mount = mounts[silent][0]
            emit.event(f"disk.space.{labels[mount[1:]]}.silent")
            emit.problem(f"{mount} does not answer: is its server away, or its disk broken? (umount -f -l {mount})")

    def _mounts(self) -> dict[str, list[str]]:
        """File system -> its mount points, the one to be reported first."""
        mounts = by_device(self._source.disk_partitions(all=False), self._skip, self._images)
        reported = {places[0] for places in mounts.values()}
        return {**mounts, **{extra: [extra] for extra in self._extra if extra not in reported}}

    def _space(self, mount: str) -> os.statvfs_result:
        """OSError also where nothing is mounted of what we were told to report: it has the space of another."""
        space = self._statvfs(mount)
        if mount in self._extra and not is_mounted(mount, self._source.disk_partitions(all=True)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), mount)
        return space

    @staticmethod
    def _report(emit: Emit, prefix: str, space: os.statvfs_result) -> None:
        if space.f_blocks == 0:  # a pseudo file system
            return
        used = (space.f_blocks - space.f_bfree) * space.f_frsize
        free = space.f_bavail * space.f_frsize
        emit.gauge(f"{prefix}.used_bytes", used)
        emit.gauge(f"{prefix}.free_bytes", free)
        if used + free > 0:
            emit.gauge(f"{prefix}.used_percent", 100.0 * used / (used + free))
        if space.f_files:
            emit.gauge(f"{prefix}.inodes_used", space.f_files - space.f_ffree)
            emit.gauge(f"{prefix}.inodes_free", space.f_ffree)
