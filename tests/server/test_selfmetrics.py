"""Self-metrics: declared once, documented, told as sample lines and to Prometheus."""
from __future__ import annotations

from pathlib import Path

import pytest

from istat_server.selfmetrics import METRICS, Kind, Metric, SelfMetrics, document

DOCS = Path(__file__).parents[2] / "docs"
FEW = (Metric("jobs", Kind.EVENT, "jobs", "jobs done"),
       Metric("refused.<kind>", Kind.EVENT, "lines", "refused"),
       Metric("app.rss", Kind.GAUGE, "bytes", "memory"))


def test_the_page_of_the_docs_is_what_the_table_says() -> None:
    assert (DOCS / "self-metrics.md").read_text() == document()


def test_every_metric_is_declared_once_with_unit_and_help() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert all(metric.unit and metric.help for metric in METRICS)


def test_lines_carry_gauges_and_increases() -> None:
    metrics = SelfMetrics(FEW)
    metrics.add("jobs", 3)
    metrics.add("refused.bad_number")
    metrics.source(lambda: {"app.rss": 4096.0})
    assert metrics.lines(1000) == (b"*istatd.jobs 1000 3\nistatd.app.rss 1000 4096.0\n"
                                   b"*istatd.refused.bad_number 1000 1\n")
    metrics.add("jobs")
    assert metrics.lines(1010) == b"*istatd.jobs 1010 1\nistatd.app.rss 1010 4096.0\n"


def test_what_was_never_told_is_zero_the_first_time() -> None:
    assert SelfMetrics(FEW).lines(1000) == b"*istatd.jobs 1000 0\nistatd.app.rss 1000 0\n"


def test_prometheus_text() -> None:
    metrics = SelfMetrics(FEW)
    metrics.add("jobs", 3)
    metrics.add("refused.bad_number", 2)
    metrics.add("refused.long_line", 5)
    assert metrics.prometheus() == """\
# HELP istatd_jobs_total jobs done [jobs]
# TYPE istatd_jobs_total counter
istatd_jobs_total 3
# HELP istatd_app_rss memory [bytes]
# TYPE istatd_app_rss gauge
istatd_app_rss 0
# HELP istatd_refused_total refused [lines]
# TYPE istatd_refused_total counter
istatd_refused_total{kind="bad_number"} 2
istatd_refused_total{kind="long_line"} 5
"""


def test_an_undeclared_metric_is_an_error() -> None:
    metrics = SelfMetrics(FEW)
    with pytest.raises(KeyError):
        metrics.add("job.typo")
    metrics.source(lambda: {"app.rrs": 1})
    with pytest.raises(KeyError):
        metrics.values()
