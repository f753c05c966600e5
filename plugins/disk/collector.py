"""Disk traffic per device (`disk`) and space per file system (`space`): two collectors.

They are two, because asking a dead file system for its space may block for ever, and must not stop the
rest. Source: `psutil.disk_io_counters` (/proc/diskstats and /sys/block,
https://docs.kernel.org/admin-guide/iostats.html), `psutil.disk_partitions` and statvfs(3).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any

import psutil

from istat.plugin import Config, Emit, Metric, Rates, Setting, collector

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
SKIPPED_DEVICES = r"^(loop|ram|zram|fd|sr|nbd)\d+$"
SKIPPED_MOUNTS = r"^/(snap|boot/efi|run|dev|proc|sys)(/|$)"


def label(path: str) -> str:
    """A mount point as one component of a counter's name: `root` for `/`, `var_lib` for `/var/lib`."""
    return re.sub(r"[^a-z0-9_-]", "_", path.strip("/").lower()) or "root"


@collector(
    name="disk",
    help="Traffic of whole block devices; partitions are part of their disk and left out.",
    settings=[Setting("skip", str, SKIPPED_DEVICES, "regular expression: devices not to report")],
    metrics=[Metric(f"disk.<device>.{name}", unit, text) for name, unit, text in IO.values()],
)
class Disk:
    """Keeps the last totals; a device has no rates at its first reading."""

    def __init__(self, source: Any = psutil, sys_block: str = "/sys/block") -> None:
        self._source = source
        self._sys_block = sys_block
        self._skip = re.compile(SKIPPED_DEVICES)
        self._rates = Rates()

    def setup(self, config: Config) -> None:
        """Take the settings; re.error when the expression is none."""
        self._skip = re.compile(config["skip"])

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
                    totals[f"disk.{device}.{name}"] = getattr(counters, field)
        for name, rate in self._rates.update(totals, emit.monotonic).items():
            emit.gauge(name, rate)

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
    ],
)
class Space:
    """Stateless."""

    def __init__(
        self, source: Any = psutil, statvfs: Callable[[str], os.statvfs_result] = os.statvfs
    ) -> None:
        self._source = source
        self._statvfs = statvfs
        self._skip = re.compile(SKIPPED_MOUNTS)
        self._extra: list[str] = []

    def setup(self, config: Config) -> None:
        """Take the settings; re.error when the expression is none."""
        self._skip = re.compile(config["skip"])
        self._extra = config["extra"]

    def collect(self, emit: Emit) -> None:
        """One reading. A mount that is gone or may not be looked at is absent."""
        for mount in [*self._mounts(), *self._extra]:
            try:
                space = self._statvfs(mount)
            except OSError:  # unmounted meanwhile, or a folder above it is closed to us
                continue
            self._report(emit, f"disk.space.{label(mount)}", space)

    def _mounts(self) -> Iterable[str]:
        """Mount points, one per device: its shortest, so that bind mounts of a sandbox are left out.

        `/` always: in a container it lies on no device, and psutil leaves it out.
        """
        partitions = sorted(
            self._source.disk_partitions(all=False), key=lambda p: (len(p.mountpoint), p.mountpoint)
        )
        by_device: dict[str, str] = {}
        for partition in partitions:
            if not self._skip.search(partition.mountpoint):
                by_device.setdefault(partition.device, partition.mountpoint)
        return dict.fromkeys(["/", *by_device.values()])

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
