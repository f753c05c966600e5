"""quickstart.sh itself, and what somebody sees who then opens the page: this machine, live.

ISTAT_SCREENSHOT=FILE.png keeps a picture of the page; docs/screenshot.png is made in this way.
"""
from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from ftest.harness.browser import PIXELS, READY
from ftest.harness.quickstart import ROOT, Quickstart, quickstart
from tests.skips import need

SEEN_SECONDS = 30  # from quickstart.sh's word that it is ready until all charts have data
SUBJECTS = ("cpu", "memory", "disk", "network")
# {counter: its newest [time, value]} of all that is drawn and has data.
DRAWN = """() => { const found = {};
  for (const card of __istat.cards.values()) {
    if (!card.plot || !card.grid) continue;
    const { start, interval, series } = card.grid;
    for (const { name, avg } of series) {
      const at = avg.findLastIndex((value) => value !== null);
      if (at >= 0 && card.plot.data.slice(1).some((column) => column.some((v) => typeof v === "number")))
        found[name] = [start + at * interval, avg[at]];
    }
  }
  return found; }"""

pytestmark = [pytest.mark.browser, pytest.mark.seconds(25)]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quickstart]:
    """quickstart.sh, running."""
    with quickstart(tmp_path_factory.mktemp("quickstart")) as running:
        yield running


def test_page_shows_this_machine_live_within_30_seconds(ready: Quickstart, browser: Any) -> None:
    address, since = ready.address, ready.since
    need((ROOT / "istat_server/ui/vendor/uPlot.esm.js").exists(), "the page's chart library")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(address)
    page.wait_for_selector(READY)
    drawn: dict[str, tuple[int, float]] = {}
    while not all(any(name.startswith(subject + ".") for name in drawn) for subject in SUBJECTS):
        assert time.monotonic() - since < SEEN_SECONDS, f"drawn so far: {sorted(drawn)}"
        page.wait_for_timeout(100)
        drawn = page.evaluate(DRAWN)
    print(f"all charts have data {time.monotonic() - since:.1f} s after quickstart.sh was ready")
    assert all(abs(at - time.time()) <= SEEN_SECONDS + 10 for at, _ in drawn.values()), "all of it is of now"
    total = next(value for name, (_, value) in drawn.items() if name.startswith("memory.total_bytes."))
    assert total == pytest.approx(psutil.virtual_memory().total), "this machine's memory"
    assert min(page.evaluate(PIXELS)) > 0, "each chart has a line"
    titles = " ".join(page.locator(".card h2").all_inner_texts())
    assert all(word in titles for word in ("CPU", "Memory", "Disk", "Network"))

    newest = max(at for at, _ in drawn.values())
    end = time.monotonic() + SEEN_SECONDS
    while max(at for at, _ in page.evaluate(DRAWN).values()) <= newest:
        assert time.monotonic() < end, "charts grow by themselves"
        page.wait_for_timeout(100)
    if picture := os.environ.get("ISTAT_SCREENSHOT"):
        page.screenshot(path=picture)
    page.context.close()
    assert errors == []
