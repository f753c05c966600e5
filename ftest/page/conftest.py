"""The browser that the tests of the page use."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ftest.harness.browser import ARGUMENTS, CHROMIUM
from tests.skips import need


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for all tests of a module."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    need(CHROMIUM.exists(), "Chromium")
    with playwright.sync_playwright() as start:
        chromium = start.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()
