"""Traffic of network interfaces, as psutil reports it.

Source: `psutil.net_io_counters`, on Linux /proc/net/dev
(https://docs.kernel.org/networking/statistics.html).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

import psutil

from istat import names
from istat.plugin import Config, Emit, Labels, Metric, Rates, Setting, collector

from ..naming import NAMING, Naming, renamed

# psutil's field -> our name.
FIELDS = {
    "bytes_recv": ("rx_bytes", "bytes/s", "received"),
    "bytes_sent": ("tx_bytes", "bytes/s", "sent"),
    "packets_recv": ("rx_packets", "1/s", "packets received"),
    "packets_sent": ("tx_packets", "1/s", "packets sent"),
    "errin": ("rx_errors", "1/s", "packets that arrived damaged"),
    "errout": ("tx_errors", "1/s", "packets that could not be sent"),
    "dropin": ("rx_drops", "1/s", "packets received and thrown away"),
    "dropout": ("tx_drops", "1/s", "packets thrown away before they were sent"),
}
THEIRS = {"rx_bytes": "rx", "tx_bytes": "tx", "rx_packets": "ipackets", "tx_packets": "opackets",
          "rx_errors": "ierrors", "tx_errors": "oerrors", "collisions": "collisions"}
SKIPPED = r"^veth"  # the host's ends of containers' cables: as many as containers, with random names


def _pairs(*ends: str) -> list[tuple[str, str]]:
    return [(f"network.<interface>.{ours}", f"localstat.net.<interface>.{theirs}") for ours, theirs in THEIRS.items()
            if ours.endswith(ends)]


@collector(
    help="Traffic, errors and drops of each network interface, the loopback included.",
    settings=[
        Setting("skip", str, SKIPPED, "regular expression: interfaces not to report; '^(veth|lo$)' drops lo too"),
        NAMING,
    ],
    metrics=[
        *(Metric(f"network.<interface>.{name}", unit, text) for name, unit, text in FIELDS.values()),
        *renamed(_pairs("bytes"), "bytes", ", since the last reading"),
        *renamed(_pairs("packets", "errors"), "packets", ", since the last reading"),
        Metric("localstat.net.<interface>.collisions", "", 'since the last reading; with `naming = "istatd"`'),
    ],
)
class Network:
    """Keeps the last totals; an interface has no rates at its first reading."""

    def __init__(self, source: Any = psutil, sys_net: str = "/sys/class/net") -> None:
        self._source = source
        self._sys_net = sys_net
        self._name = Naming(THEIRS)
        self._skip = re.compile(SKIPPED)
        self._rates = Rates()
        self._labels = Labels(label, ".")

    def setup(self, config: Config) -> None:
        """Take the settings; re.error when the expression is none."""
        self._skip = re.compile(config["skip"])
        self._name.setup(config)

    def collect(self, emit: Emit) -> None:
        """One reading."""
        # nowrap=False: as for disks, Rates sees wraps by itself.
        interfaces = self._source.net_io_counters(pernic=True, nowrap=False) or {}
        totals = {
            (interface, name): getattr(counters, field)
            for interface, counters in interfaces.items()
            if not self._skip.search(interface)
            for field, (name, _, _) in FIELDS.items()
        }
        if self._name.istatd:
            totals.update(self._collisions({interface for interface, _ in totals}))
        labels = self._labels.of({interface for interface, _ in totals})
        for (interface, name), rate in self._rates.update(totals, emit.monotonic).items():
            theirs = self._name.theirs(name)
            if theirs is None:
                emit.gauge(f"network.{labels[interface]}.{name}", rate)
            else:
                emit.gauge(f"localstat.net.{labels[interface]}.{theirs}", round(rate * self._rates.seconds))

    def _collisions(self, interfaces: Iterable[str]) -> dict[tuple[str, str], int]:
        """The totals that psutil leaves out, where the system tells them."""
        found = {}
        for interface in interfaces:
            try:
                with open(os.path.join(self._sys_net, interface, "statistics", "collisions"), encoding="ascii") as file:
                    found[interface, "collisions"] = int(file.read())
            except (OSError, ValueError):       # gone meanwhile, or another system's
                continue
        return found


def label(interface: str) -> str:
    """An interface as one component of a counter's name: the VLAN `eth0.5` is `eth0_5`."""
    stored = names.munge(interface.encode("utf-8", "surrogateescape")).decode("ascii")
    return re.sub(r"[.^~]", "_", stored)
