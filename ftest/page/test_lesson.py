"""The lesson of docs/adding-a-collector.md, typed as it stands: from nothing to lines in charts, and no restart.

What the page says is what is done: its blocks are the files and the commands, in its order. Only the ports are others.
"""
from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftest.harness.browser import PIXELS, READY, until
from ftest.harness.quickstart import ROOT, Quickstart, quickstart
from tests.skips import need

LESSON = "From nothing to a chart"
SAVE = re.compile(r"Save this as `([^`]+)`:$")
# The page says within 10 s; the rest is the machine's.
FOUND_SECONDS = 60
# The newest value of each line that is drawn.
NEWEST = """() => [...__istat.cards.values()].filter((card) => card.plot).map(
  (card) => card.plot.data[1].findLast((value) => typeof value === "number"))"""
# How many points the first chart's line has.
POINTS = """[...__istat.cards.values()][0]?.plot?.data[1].filter((value) => typeof value === "number").length"""

pytestmark = [pytest.mark.browser, pytest.mark.seconds(75)]


class Terminal:
    """Another terminal, in the clone's folder: what was set stays set."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._before = folder, ""

    def type(self, command: str) -> tuple[int, str]:
        """Run it; its status, and all that it printed."""
        done = subprocess.run(["sh", "-c", self._before + command], cwd=self._folder, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60)
        if command.startswith(". "):
            self._before += command + "\n"
        return done.returncode, done.stdout

    def until(self, command: str, words: str) -> str:
        """Type it until it prints that."""
        end = time.monotonic() + FOUND_SECONDS
        while words not in (said := self.type(command)[1]):
            assert time.monotonic() < end, f"{command!r} said no {words!r}, but:\n{said}"
            time.sleep(0.3)
        return said


def steps() -> list[tuple[str, str]]:
    """(file to save, or "" for a command; text of the block), as the lesson has them."""
    page = (ROOT / "docs/adding-a-collector.md").read_text()
    lesson = page.partition(f"\n## {LESSON}\n")[2].partition("\n## ")[0]
    found = []
    for before, block in re.findall(r"(.*?)\n```\w+\n(.*?)```\n", lesson, re.DOTALL):
        save = SAVE.search(before.rstrip())
        found.append((save[1] if save else "", block))
    return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quickstart]:
    with quickstart(tmp_path_factory.mktemp("lesson")) as found:
        yield found


def show(page: Any, search: str, name: str) -> None:
    """Type it into the search box until it finds the counter, and click on that: its chart gets a line."""
    end = time.monotonic() + FOUND_SECONDS
    result = page.locator(".result", has=page.locator(".result-name", has_text=re.compile(f"^{re.escape(name)}$")))
    while not result.count():
        assert time.monotonic() < end, f"{search!r} does not find {name}"
        page.fill("#search", "")
        page.fill("#search", search)
        page.wait_for_timeout(500)
    result.click()
    until(page, f"__istat.charts.length === 1 && __istat.charts[0][0] === {name!r}")
    until(page, f"{POINTS} >= 2", FOUND_SECONDS)
    assert min(page.evaluate(PIXELS)) > 0


def test_the_lesson_as_it_stands(running: Quickstart, browser: Any) -> None:
    need((ROOT / "istat_server/ui/vendor/uPlot.esm.js").exists(), "the page's chart library")
    start, environment, (queue, python), ask, (openfiles, script), executable, plugins = steps()
    assert (start, running.data.name) == (("", "sh quickstart.sh\n"), "istat-data")
    folder, terminal = running.data.parent, Terminal(running.data.parent)
    assert environment == ("", ". istat-data/env\n") and terminal.type(environment[1].strip()) == (0, "")
    host = terminal.type("hostname -s")[1].strip()
    agents = running.log.read_text().count("INFO istat_agent: sending to")

    (folder / queue).write_text(python)
    terminal.until(ask[1].strip(), "  3  ")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{running.address}#c=")
    page.wait_for_selector(READY)
    show(page, "queue", f"queue.depth.host.{host}")
    assert page.evaluate(NEWEST) == [3]
    (folder / queue).write_text(python.replace("3", "7"))
    until(page, f"({NEWEST})()[0] === 7", FOUND_SECONDS)

    page.goto("about:blank")
    page.goto(f"{running.address}#c=")
    page.wait_for_selector(READY)
    (folder / openfiles).write_text(script)
    assert terminal.type(executable[1].strip()) == (0, "")
    show(page, "files.open", f"files.open.host.{host}")
    assert page.evaluate(NEWEST)[0] > 0
    page.context.close()

    said = terminal.until(plugins[1].strip(), "openfiles")
    assert {"queue", "openfiles", "sockets", "cpu"} <= set(re.findall(r"[\w-]+", said)), said
    (folder / queue).unlink()
    end = time.monotonic() + FOUND_SECONDS
    while re.search(r"^queue\b", said := terminal.type(plugins[1].strip())[1], re.MULTILINE):
        assert time.monotonic() < end, f"a file that was removed is still run:\n{said}"
        time.sleep(0.5)
    assert running.log.read_text().count("INFO istat_agent: sending to") == agents == 1, "it was never started again"
