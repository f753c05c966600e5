"""Self-metrics: declared once, documented, told as sample lines and to Prometheus."""
from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event

from istat.metrics import Metric
from istat_server import selfmetrics
from istat_server.selfmetrics import METRICS, SelfMetrics, document

DOCS = Path(__file__).parents[2] / "docs"
FEW = (Metric("jobs", "jobs", "jobs done", event=True),
       Metric("refused.<kind>", "lines", "refused", event=True),
       Metric("app.rss", "bytes", "memory"))


def test_the_page_of_the_docs_is_what_the_table_says() -> None:
    assert (DOCS / "self-metrics.md").read_text() == document()


def test_every_metric_is_declared_once_with_unit_and_help() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert all(metric.unit and metric.help for metric in METRICS)


def test_lines_carry_gauges_and_increases() -> None:
    metrics = SelfMetrics(FEW)
    metrics.add("jobs", 3)
    metrics.add("refused.bad_number")
    metrics.source("toy", lambda: {"app.rss": 4096.0})
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
    with pytest.raises(KeyError):
        metrics.set("refused.two words", 1)
    with pytest.raises(KeyError):
        metrics.set("nodots", 1)


@pytest.mark.parametrize("value", ["3", None, True, math.nan, math.inf, 10 ** 400])
def test_what_is_no_finite_number_is_refused(value: Any) -> None:
    metrics = SelfMetrics(FEW)
    with pytest.raises(ValueError, match="must be (a number|finite)"):
        metrics.set("app.rss", value)
    with pytest.raises(ValueError, match="must be (a number|finite)"):
        metrics.add("jobs", value)
    assert metrics.lines(1000) == SelfMetrics(FEW).lines(1000)


# --- sources of others --------------------------------------------------------------------------------------

TOY = (*FEW, Metric("metrics.failed.<kind>", "values", "failed", event=True),
       Metric("plugins.toy.lines", "lines", "lines taken", event=True), Metric("plugins.toy.depth", "", "how deep"),
       Metric("plugins.toy.bad.<kind>", "lines", "refused", event=True), Metric("plugins.other.depth", "", "how deep"))


def failing(error: BaseException) -> Callable[[], dict[str, float]]:
    def read() -> dict[str, float]:
        raise error
    return read


@pytest.mark.parametrize(("read", "words", "count"), [
    (failing(RuntimeError("it broke")), "RuntimeError: it broke (line ", 1),
    (failing(SystemExit(1)), "SystemExit: 1", 1),
    (failing(gevent.Timeout(3)), "Timeout: 3 seconds", 1),
    (lambda: None, "TypeError: 'NoneType' object is not iterable", 1),
    (lambda: {"plugins.toy.depth": "deep"}, "plugins.toy.depth: must be a number, not str", 1),
    (lambda: {"plugins.toy.depth": math.nan, "plugins.toy.lines": True}, "must be finite", 2),
    (lambda: {"plugins.toy.dept": 1}, "'plugins.toy.dept' is not declared; istat_metrics() gives", 1),
    (lambda: {"plugins.toy.bad.a\nb 1": 1, b"x": 2}, "is not declared", 2),
    (lambda: {"plugins.other.depth": 1}, "'plugins.other.depth' is not declared", 1),
    (lambda: {f"plugins.toy.bad.{i}": 1 for i in range(1010)}, "more than 1000 values", 10),
    (lambda: Event().wait(), "they were not there after 0.01 s", 1),
])
def test_a_source_that_fails_is_counted_and_named_and_harms_no_other(
        read: Any, words: str, count: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfmetrics, "LONGEST_READING", 0.01)
    metrics = SelfMetrics(TOY)
    metrics.source("toy", read)
    metrics.source("other", lambda: {"plugins.other.depth": 7})
    for times in (1, 2):
        values = metrics.values()
        assert values["metrics.failed.toy"] == times * count
        assert values["plugins.other.depth"] == 7
        assert "metrics.failed.other" not in values
    assert len(caplog.records) == 1, "it is told once"
    assert "metrics of toy: " in caplog.text and words in caplog.text
    assert "counted in istatd.metrics.failed.toy" in caplog.text
    assert b"*istatd.metrics.failed.toy 1000 " in metrics.lines(1000)
    assert 'istatd_metrics_failed_total{kind="toy"}' in metrics.prometheus()


def test_different_faults_of_a_source_are_each_told_once(caplog: pytest.LogCaptureFixture) -> None:
    metrics = SelfMetrics(TOY)
    metrics.source("toy", lambda: {"plugins.toy.depth": "x", "plugins.toy.dept": 1, "plugins.toy.lines": 3})
    for _ in range(3):
        assert metrics.values()["plugins.toy.lines"] == 3, "what is right is told"
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


def test_what_a_source_fails_to_give_is_absent_and_not_zero() -> None:
    answers: list[dict[str, float]] = [{"plugins.toy.lines": 5, "plugins.toy.depth": 2.5}, {}, {"plugins.toy.lines": 8}]
    metrics = SelfMetrics(TOY)
    metrics.source("toy", lambda: answers.pop(0))
    assert b"*istatd.plugins.toy.lines 10 5\nistatd.plugins.toy.depth 10 2.5\n" in metrics.lines(10)
    assert b"plugins.toy" not in metrics.lines(20)
    assert b"*istatd.plugins.toy.lines 30 3\n" in metrics.lines(30)


def test_a_source_gives_some_names_and_not_ever_more() -> None:
    turns = iter(range(10))
    metrics = SelfMetrics(TOY)
    metrics.source("toy", lambda: {f"plugins.toy.bad.{n}_{i}": 1 for n in [next(turns)] for i in range(600)})
    assert len(metrics.values().keys() - SelfMetrics(TOY).values().keys()) == 600
    assert metrics.values()["metrics.failed.toy"] == 200
    assert metrics.values()["metrics.failed.toy"] == 800


def test_a_source_belongs_to_somebody() -> None:
    with pytest.raises(ValueError, match="metrics belong to somebody with a name of letters"):
        SelfMetrics(TOY).source("two words", dict)
