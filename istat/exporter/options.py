"""The exporter's settings, declared once for both daemons."""
from __future__ import annotations

from istat.settings.setting import Setting
from istat.settings.types import Duration, Flag, Integer, Path, Port, Text

# Some 1 KB of memory each at worst.
MAX_SERIES = 100_000
# As long as Prometheus itself takes the last value of a series for its present one [s].
FRESH_SECONDS = 300.0

SETTINGS = (
    Setting("prometheus-port", Port(), "off",
            "Port at which Prometheus finds the latest value of each series that came in, at /metrics. 0 takes a free "
            "one and tells it on standard output."),
    Setting("prometheus-listen-address", Text(), "127.0.0.1",
            'Address of prometheus-port; "*" is every IPv4 address. Whoever reaches it can read what came in.'),
    Setting("tagnames-path", Path(), "",
            "File of names, one a line, that become labels where a caret name has them, besides host, role, class, "
            "pool and cluster. Read at the start."),
    Setting("metrics-cleanup-period", Duration(1.0, 86_400.0), FRESH_SECONDS,
            "How old the sample of a gauge may be for prometheus-port to tell it."),
    Setting("max-metrics-count", Integer(1, 10_000_000), MAX_SERIES,
            "How many series prometheus-port has at most; samples of others are dropped, and counted as "
            "istatd_agent_dropped_metrics."),
    Setting("translate-metric-names", Flag(), True,
            "prometheus-port tells names as Prometheus wants them: test.gauge becomes test_gauge. With "
            "--no-translate-metric-names they stay as counters have them, which Prometheus itself does not read."),
)
