"""What the tests in a real browser share: where Chromium is, how to look at the page's charts, and how to wait."""
from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.skips import need

CHROMIUM = Path("/usr/bin/chromium")
VENDOR = Path(__file__).parents[2] / "istat_server" / "ui" / "vendor" / "uPlot.esm.js"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
READY = 'body[data-ready="1"]'
# Coloured pixels of each chart: lines only, for axes, grid and text are grey.
PIXELS = """() => [...document.querySelectorAll(".u-wrap canvas")].map((canvas) => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0;
  for (let k = 0; k < data.length; k += 4) {
    const rgb = [data[k], data[k + 1], data[k + 2]];
    if (data[k + 3] && Math.max(...rgb) - Math.min(...rgb) > 60) count++;
  }
  return count;
})"""


def until(page: Any, condition: str, seconds: float = 15) -> None:
    """Wait for a condition in JavaScript. Playwright's own wait_for_function needs eval, which the page forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"not within {seconds:g} s: {condition}"
        page.wait_for_timeout(50)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for all tests of a module."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    need(CHROMIUM.exists(), "Chromium")
    with playwright.sync_playwright() as start:
        chromium = start.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()
