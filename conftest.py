"""Options of the whole test run: what is left out, in which order, and which skips are failures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.certificates import Authority
from tests.skips import PEERS, SLOW, expected, strict

# Times never gate a test: an example may take as long as a loaded machine makes it.
settings.register_profile("istatd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("istatd")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What runs tests that are left out otherwise."""
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow: chaos, fuzz, long runs")
    parser.addoption("--peers", action="store_true", help="also run the tests that need other systems' programs")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules that take long begin first, so that none is left over when all others have ended. All else stays as it
    was shuffled."""
    items.sort(key=lambda item: -_seconds(item))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what was not asked for, before it is looked whether it could run."""
    slow = item.config.getoption("--slow") or os.environ.get("ISTAT_SLOW_TESTS") == "1"
    if item.get_closest_marker("slow") and not slow:
        pytest.skip(SLOW)
    if item.get_closest_marker("peers") and not item.config.getoption("--peers"):
        pytest.skip(PEERS)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One that has signed two certificates in its folder: server and other."""
    made = Authority(tmp_path_factory.mktemp("tls"))
    made.pair()
    made.pair("other")
    return made


def _seconds(item: pytest.Item) -> float:
    marker = item.get_closest_marker("seconds")
    return float(marker.args[0]) if marker else 0.0


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """In continuous integration a skip that is not listed is a failure."""
    outcome: Any = yield
    _look_at_skip(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """The same of a module that skips itself."""
    outcome: Any = yield
    _look_at_skip(outcome.get_result())


def _look_at_skip(report: Any) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and strict():
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        if not expected(reason):
            report.outcome = "failed"
            report.longrepr = f"skipped, which tests/skips.py does not list: {reason}"
