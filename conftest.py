"""Options of the whole test run."""

from __future__ import annotations

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """--slow runs what takes minutes or needs root."""
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the slow ones, with a reason, unless asked for."""
    if config.getoption("--slow") or os.environ.get("ISTAT_SLOW_TESTS") == "1":
        return
    skip = pytest.mark.skip(reason="slow: run with --slow or ISTAT_SLOW_TESTS=1")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)
