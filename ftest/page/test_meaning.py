"""What the page tells of a counter's meaning, in a real browser: text is text, and a link is one to follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ftest.harness.browser import CHROMIUM, READY, VENDOR, until
from ftest.harness.serverprocess import ServerProcess
from tests.skips import need

pytestmark = [pytest.mark.browser, pytest.mark.seconds(20)]

SHOWN = "!document.querySelector('#meaning').hidden"
LINES = b"""#metric disk.<device>.read_ms {"unit":"ms","help":"mean time of a read, queue included","link":"https://example.net/disks#read"}
#metric cpu.user {"unit":"%","help":"time of programs"}
#metric hits {"kind":"event","unit":"requests","help":"<img src=x onerror=alert(1)> & <b>bold</b>"}
"""     # noqa: E501
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    need(CHROMIUM.exists(), "Chromium")
    need(VENDOR.exists(), "the page's chart library (python setup.py build_ui)")
    with ServerProcess(tmp_path_factory.mktemp("meaning")) as running:
        now = int(time.time()) // 10 * 10
        samples = [f"{name} {t} {5 + t % 7}\n" for t in range(now - 600, now, 10)
                   for name in ("disk.sda.read_ms.host.web1", "cpu.user.host.web1", "*hits", "plain.counter")]
        running.send_tcp(LINES + "".join(samples).encode())
        running.wait_until(lambda: running.ingest()["samples"] >= len(samples), "all samples are in", 30)
        yield running


@pytest.fixture
def open_page(browser: Any, server: ServerProcess) -> Iterator[Open]:
    contexts, errors = [], []

    def open_it(fragment: str = "", dark: bool = False) -> Any:
        context = browser.new_context(viewport={"width": 1100, "height": 800}, color_scheme="dark" if dark else "light")
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(f"{server.url}/{fragment}")
        page.wait_for_selector(READY, timeout=60_000)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert not errors


def test_a_counters_meaning_is_shown_beside_its_name_in_a_chart(open_page: Open) -> None:
    page = open_page("#c=disk.sda.read_ms.host.web1")
    page.hover(".legend-toggle")
    until(page, SHOWN)
    assert page.inner_text("#meaning").split("\n\n") == [
        "disk.sda.read_ms.host.web1", "mean time of a read, queue included", "gauge, ms", "More at example.net"]
    link = page.locator("#meaning a")
    assert (link.get_attribute("href"), link.get_attribute("rel")) == (
        "https://example.net/disks#read", "noopener noreferrer")
    assert page.get_attribute(".legend tbody tr", "aria-describedby") == "meaning"
    link.hover()                    # the pointer may go there
    page.wait_for_timeout(600)
    assert page.evaluate(SHOWN)
    page.mouse.move(600, 700)
    until(page, "document.querySelector('#meaning').hidden")


def test_markup_in_a_help_is_text(open_page: Open) -> None:
    page = open_page("#c=hits")
    page.hover(".legend-toggle")
    until(page, SHOWN)
    assert page.inner_text("#meaning").split("\n\n") == [
        "hits", "<img src=x onerror=alert(1)> & <b>bold</b>", "events: requests, per second"]
    assert page.locator("#meaning img, #meaning b, #meaning a").count() == 0


def test_in_the_tree_it_comes_with_the_focus_too_and_escape_ends_it(open_page: Open) -> None:
    page = open_page("#c=")
    page.locator('[role="treeitem"][data-name="cpu"] .twist').click()
    item = page.locator('[role="treeitem"][data-name="cpu.user.host.web1"]')
    item.wait_for()
    item.focus()
    until(page, SHOWN)
    assert "time of programs" in page.inner_text("#meaning")
    page.keyboard.press("Escape")
    assert not page.evaluate(SHOWN)


def test_where_nothing_is_declared_nothing_is_shown(open_page: Open) -> None:
    page = open_page("#c=plain.counter")
    with page.expect_response("**/api/v1/describe**"):
        page.hover(".legend-toggle")
    page.wait_for_timeout(200)
    assert not page.evaluate(SHOWN)
    assert page.get_attribute(".legend-toggle", "title") == "plain.counter"
