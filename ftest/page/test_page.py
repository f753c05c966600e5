"""The page in a real browser, over a real server with an hour of samples."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ftest.harness.browser import CHROMIUM, PIXELS, READY, VENDOR, until
from ftest.harness.serverprocess import ServerProcess
from tests.skips import need

HOST = "web1"
BASES = (
    "cpu.user", "cpu.system", "cpu.iowait", "load.min1", "load.min5", "load.min15", "memory.used_bytes",
    "memory.available_bytes", "memory.total_bytes", "network.eth0.rx_bytes", "network.eth0.tx_bytes",
    "disk.sda.read_bytes", "disk.sda.write_bytes", "disk.sda.busy_ms", "disk.space.root.used_percent",
    "processes.running", "processes.total",
)  # fmt: skip
# Coloured pixels of a chart with a line.
PAINTED = 500
SPANS = "[...__istat.cards.values()].map(({ plot: { scales: { x } } }) => x.max - x.min)"

pytestmark = [pytest.mark.browser, pytest.mark.seconds(40)]
Open = Callable[..., Any]


def samples(now: int, span: int = 3600) -> bytes:
    """An hour of waves of every base for HOST, with a pause of five minutes, and one slow counter."""
    lines = []
    for t in range(now - span, now, 10):
        if now - 1500 < t < now - 1200:
            continue
        for index, base in enumerate(BASES):
            size = 1e6 if "bytes" in base else 20.0
            lines.append(f"{base}^host.{HOST} {t} {size * (1.2 + math.sin(t / 300 + index)):.4f}\n")
        if t % 60 == 0:
            lines.append(f"slow.counter {t} {t % 7}\n")
    lines.append(f"*web.requests {now - 30} 50\n")
    for t in range(now - 600, now, 10):
        lines.append(f"odd.deep {t} {-1e20 if t % 60 == 0 else t % 7}\nodd.high {t} 1e308\nodd.low {t} -1e20\n")
        lines.append(f"odd.tiny {t} 3e-300\nodd.wide {t} {(-1) ** (t // 10)}.7e308\n")
    for t in range(now - 3000, now - 2400, 10):
        lines.append(f"cpu.user^host.dead {t} 1\n*web.errors {t} 5\n")
    lines.append(f"checks.ok^host.plugtest {now - 30} 1\nlong.gone {now - 9 * 3600} 1\n")
    return "".join(lines).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that holds `samples`."""
    need(CHROMIUM.exists(), "Chromium")
    need(VENDOR.exists(), "the page's chart library (python setup.py build_ui)")
    with ServerProcess(tmp_path_factory.mktemp("page")) as running:
        data = samples(int(time.time()) // 10 * 10)
        running.send_tcp(data)
        wanted = data.count(b"\n")
        running.wait_until(lambda: running.ingest()["samples"] >= wanted, "all samples are in", 30)
        yield running


@pytest.fixture
def open_page(browser: Any, server: ServerProcess) -> Iterator[Open]:
    """Open the page at a fragment in a context of its own. Any error in its console fails the test at the end,
    unless it holds a text that was put into `open_page.expected`."""
    contexts, errors = [], []

    def open_it(fragment: str = "", width: int = 1100, dark: bool = False, base: str = "", away: bool = False) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        if away:
            page.route("**/api/v1/**", lambda route: route.abort())
        page.goto((base or server.url + "/") + fragment)
        page.wait_for_selector(READY, timeout=60_000)     # of a loaded machine
        return page

    open_it.expected = []  # type: ignore[attr-defined]
    yield open_it
    for context in contexts:
        context.close()
    unexpected = [e for e in errors if not any(text in e for text in open_it.expected)]  # type: ignore[attr-defined]
    assert not unexpected


def charts(page: Any) -> list[list[str]]:
    """The counters of each chart on the page."""
    return page.evaluate("__istat.charts")  # type: ignore[no-any-return]


def fragment(page: Any) -> str:
    return str(page.evaluate("location.hash"))


def test_empty_address_shows_the_machine(open_page: Open) -> None:
    page = open_page()
    titles = page.locator(".card h2").all_inner_texts()
    assert titles[:4] == [f"{title}{HOST}" for title in ("CPU", "Load", "Memory", "Network eth0")]
    assert page.title() == f"{HOST} · istatd"
    painted = page.evaluate(PIXELS)
    assert len(painted) == len(titles) >= 8 and min(painted) > PAINTED
    until(page, "document.querySelector('#status-counters').textContent != ''")
    counted = page.inner_text("#status-counters").split()[0].replace(",", "")
    assert int(counted) >= len(BASES) + 2


def test_legend_has_values_at_the_cursor_of_every_chart(open_page: Open) -> None:
    page = open_page("#c=cpu.user.host.web1&c=network.eth0.rx_bytes.host.web1")
    box = page.locator(".u-over").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 50)
    until(page, "document.querySelector('.legend thead th').textContent != ''")
    cells = page.locator(".card").nth(1).locator("tbody td").all_inner_texts()
    assert all(cell.endswith("iB/s") for cell in cells), "the other chart's cursor follows, in its own unit"
    shown = page.evaluate("""() => { const card = [...__istat.cards.values()][0];
        return card.grid.series[0].avg[card.plot.cursor.idx]; }""")
    cell = page.locator(".card").first.locator("tbody td").first.inner_text()
    assert float(cell.split("\u00a0")[0]) == pytest.approx(shown, rel=0.01)


def test_values_and_gap_are_the_servers(open_page: Open, server: ServerProcess) -> None:
    page = open_page("#c=cpu.user.host.web1")
    start, interval, avg = page.evaluate(
        "(() => { const g = __istat.loader.grid; return [g.start, g.interval, g.series[0].avg]; })()"
    )
    assert interval == 10
    assert avg == server.values("cpu.user.host.web1", start, start + interval * len(avg), "avg")
    assert avg.count(None) >= 29, "the pause is a gap"
    assert page.evaluate("[...__istat.cards.values()][0].plot.data[1].includes(null)")


def test_slow_counter_is_a_line(open_page: Open) -> None:
    page = open_page("#c=slow.counter")
    data = page.evaluate("[...__istat.cards.values()][0].plot.data[1].map((v) => v === undefined ? 'u' : v)")
    assert data.count("u") > 100 and data.count(None) < 60


def test_search_finds_and_click_adds_a_chart(open_page: Open) -> None:
    page = open_page("#c=")
    page.wait_for_selector("#no-charts:not([hidden])")
    page.keyboard.press("/")
    page.keyboard.type("RX net")
    shown = "[...document.querySelectorAll('.result-name')].map((node) => node.textContent).join()"
    until(page, f"{shown} === 'network.eth0.rx_bytes.host.web1'")  # not what half of the words found
    page.click(".result")
    page.wait_for_selector(".u-wrap canvas")
    assert fragment(page) == "#c=network.eth0.rx_bytes.host.web1"
    until(page, "document.querySelector('.result').getAttribute('aria-pressed') === 'true'")
    page.go_back()
    page.wait_for_selector("#no-charts:not([hidden])")
    page.go_forward()
    page.wait_for_selector(".u-wrap canvas")


def test_tree_by_keyboard(open_page: Open) -> None:
    page = open_page("#c=")
    page.wait_for_selector('[role="treeitem"][data-name="cpu"]')
    page.focus('[role="treeitem"][data-name="cpu"]')
    page.keyboard.press("ArrowRight")
    page.wait_for_selector('[data-name="cpu.system"]')
    page.focus('[data-name="cpu.system"]')
    page.keyboard.press("ArrowRight")
    page.wait_for_selector('[data-name="cpu.system.host.web1"][data-kind="gauge"] .kind-gauge', timeout=5000)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.name") == "cpu.system.host.web1"
    page.keyboard.press("Enter")
    page.wait_for_selector(".u-wrap canvas")
    assert charts(page) == [["cpu.system.host.web1"]]
    assert page.locator('li[data-name="cpu.system.host.web1"]').get_attribute("aria-selected") == "true"
    page.keyboard.press("Enter")
    page.wait_for_selector("#no-charts:not([hidden])")


def test_overlay_split_and_close(open_page: Open) -> None:
    page = open_page("#c=cpu.user.host.web1&overlay=1")
    page.fill("#search", "cpu.system")
    page.click(".result")
    until(page, "__istat.charts[0].length === 2")
    assert page.locator(".legend-label").all_inner_texts() == ["user", "system"]
    page.click('[aria-label^="Split"]')
    until(page, "__istat.charts.length === 2")
    page.click('.card:nth-child(2) [aria-label^="Lay"]')
    until(page, "__istat.charts.length === 1")
    page.click('[aria-label^="Remove"][aria-label*="cpu.system"]')
    until(page, "__istat.charts[0].length === 1")
    assert page.locator('.legend [aria-label^="Remove"]').count() == 0, "never the last one"
    page.click('.card [aria-label^="Close"]')
    page.wait_for_selector("#no-charts:not([hidden])")


def test_view_is_restored_from_the_address(open_page: Open) -> None:
    page = open_page("#c=cpu.user.host.web1,cpu.system.host.web1&c=slow.counter&r=15m&live=0&theme=dark")
    assert charts(page) == [["cpu.user.host.web1", "cpu.system.host.web1"], ["slow.counter"]]
    before = fragment(page)
    page.reload()
    page.wait_for_selector(READY)
    assert fragment(page) == before
    assert page.locator('[data-preset="15m"]').get_attribute("aria-pressed") == "true"
    assert page.locator("#live").get_attribute("aria-pressed") == "false"
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_drag_zooms_all_and_double_click_goes_back(open_page: Open) -> None:
    page = open_page("#c=cpu.user.host.web1&c=load.min1.host.web1")
    over = page.locator(".u-over").first
    box = over.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 80, steps=4)
    page.mouse.up()
    until(page, f"{SPANS}.every((span) => span < 1000)")
    assert page.evaluate(SPANS) == pytest.approx([900, 900], abs=20)
    assert "r=" in fragment(page)
    over.dblclick(position={"x": 80, "y": 60})
    until(page, f"{SPANS}.every((span) => span === 3600)")
    assert "r=" not in fragment(page)


def test_live_update_asks_for_the_newest_only(open_page: Open, server: ServerProcess) -> None:
    now = int(time.time())
    server.send_tcp(f"live.counter {now - 20} 1\nlive.counter {now - 10} 2\n".encode())
    server.wait_until(lambda: server.get("/api/v1/names", match="live.counter")["names"], "live.counter is there")
    page = open_page("#c=live.counter&r=15m")
    end = "__istat.loader.grid.start + __istat.loader.grid.points * 10"
    before = page.evaluate(end)
    page.evaluate("window.canvasBefore = document.querySelector('canvas')")
    server.send_tcp(f"live.counter {int(time.time())} 42\n".encode())
    until(page, "__istat.loader.grid.series[0].avg.includes(42)", 40)
    assert page.evaluate(end) > before
    fetched = page.evaluate("__istat.loader.fetched")
    assert fetched["whole"] == 1 and fetched["tail"] >= 1
    assert page.evaluate("window.canvasBefore === document.querySelector('canvas')"), "the chart was kept"
    page.click("#live")
    assert page.inner_text("#live") == "Paused"
    assert "live=0" in fragment(page)


def test_dark_and_light(open_page: Open) -> None:
    page = open_page("#c=cpu.user.host.web1", dark=True)
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(14, 17, 22)"
    page.click("#theme")
    assert page.evaluate(background) == "rgb(245, 246, 248)"
    assert "theme=light" in fragment(page)
    assert min(page.evaluate(PIXELS)) > PAINTED, "charts are drawn anew"
    page.click("#theme")
    assert "theme" not in fragment(page), "what the system prefers needs no saying"


@pytest.mark.parametrize("width", [360, 400, 1100])
def test_nothing_sticks_out(open_page: Open, width: int) -> None:
    page = open_page(width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width <= 400:
        assert not page.is_visible("#search")
        page.click("#drawer-button")
        assert page.is_visible("#search")
        page.keyboard.press("Escape")
        assert not page.is_visible("#search")


def test_asks_for_at_most_two_points_a_pixel(open_page: Open) -> None:
    page = open_page("#c=cpu.user.host.web1")
    asked = page.evaluate("[__istat.points, [...__istat.cards.values()][0].area.clientWidth]")
    assert asked[0] <= 2 * asked[1]


def test_custom_range_and_steps(open_page: Open) -> None:
    page = open_page("#c=cpu.user.host.web1")
    page.click("#earlier")
    until(page, "location.hash.includes('r=')")
    assert page.inner_text("#live") == "Paused"
    page.click("#later")
    until(page, "!location.hash.includes('r=')")
    page.click("#custom-button")
    page.fill("#custom-from", "2026-01-01T10:00:00")
    page.fill("#custom-to", "2026-01-01T09:00:00")
    page.click("#custom-form .primary")
    assert "after" in page.inner_text("#custom-error")
    page.fill("#custom-to", "2026-01-01T12:00:00")
    page.click("#custom-form .primary")
    until(page, "location.hash.includes('r=')")
    page.wait_for_selector('[data-state="empty"]')
    assert page.inner_text(".plot-note").startswith("No samples in this time range.")


def test_unknown_counter_is_said(open_page: Open) -> None:
    page = open_page("#c=no.such.counter&c=cpu.user.host.web1")
    assert page.locator(".plot-note").first.inner_text() == "The server has no counter of this name."
    assert page.locator(".card").nth(1).get_attribute("data-state") == "data"


def test_a_host_link_shows_what_this_host_sends(open_page: Open) -> None:
    page = open_page("#host=plugtest")
    assert charts(page) == [["checks.ok.host.plugtest"]]
    assert page.title() == "plugtest · istatd"
    assert page.evaluate("[...document.querySelector('#hosts').options].map((o) => o.value)") == [
        "dead", "plugtest", HOST]
    assert page.evaluate("document.querySelector('#hosts').value") == "plugtest"


def test_a_host_link_that_fits_nothing_says_so(open_page: Open) -> None:
    page = open_page("#host=nosuch")
    assert charts(page) == []
    assert ".host.nosuch" in page.inner_text("#no-host")
    assert page.inner_text("#title") == "nosuch"
    page.select_option("#hosts", HOST)
    page.wait_for_selector(".u-wrap canvas")
    assert not page.is_visible("#no-host")


def test_the_overview_is_of_a_living_host(open_page: Open) -> None:
    assert open_page().title() == f"{HOST} · istatd"        # "dead" comes before it


@pytest.mark.parametrize("name", ["odd.deep", "odd.high", "odd.low", "odd.tiny", "odd.wide"])
def test_values_of_any_size_are_drawn(open_page: Open, name: str) -> None:
    page = open_page(f"#c={name}&c=cpu.user.host.web1&r=15m")
    states = page.evaluate("[...document.querySelectorAll('.card')].map((card) => card.dataset.state)")
    assert states == ["data", "data"]
    painted = page.evaluate(PIXELS)
    assert len(painted) == 2 and painted[0] > 50 and painted[1] > PAINTED


def test_an_error_of_a_card_stays_in_it(open_page: Open) -> None:
    page = open_page("#c=slow.counter&c=cpu.user.host.web1")
    page.evaluate("""() => { const [first] = __istat.cards.values();
        first.names.push({});                               // what no programmer thought of
        __istat.loader.on.grid(__istat.loader.grid, __istat.window); }""")
    cards = page.locator(".card")
    assert cards.nth(0).get_attribute("data-state") == "failed"
    assert cards.nth(0).locator(".plot-note").inner_text().startswith("This chart cannot be drawn: ")
    assert cards.nth(1).get_attribute("data-state") == "data"
    assert page.evaluate(PIXELS)[-1] > PAINTED


def test_each_unit_has_an_axis_of_its_own(open_page: Open) -> None:
    page = open_page("#c=cpu.user.host.web1,memory.used_bytes.host.web1&c=cpu.user.host.web1,load.min1.host.web1,"
                     "memory.used_bytes.host.web1")
    axes = page.evaluate("""() => [...__istat.cards.values()].map(({ plot }) => plot.axes.slice(1).filter((axis) =>
        axis._values.length).map((axis) => [axis.scale, axis.side, axis._values.at(-1)]))""")
    (left, right), none = axes
    assert left[:2] == ["y", 3] and left[2].endswith("%")
    assert right[:2] == ["y1", 1] and right[2].endswith("B")
    assert none == [], "three units: only the legend says which value is of what"
    values = page.locator(".card").nth(1).locator("tbody tr td:nth-of-type(1)").all_inner_texts()
    assert values[0].endswith("%") and values[2].endswith("iB")
    assert min(page.evaluate(PIXELS)) > PAINTED


def test_what_is_dead_does_not_look_alive(open_page: Open, server: ServerProcess) -> None:
    server.send_tcp(f"still.there {int(time.time()) - 10} 1\n".encode())
    server.wait_until(lambda: server.get("/api/v1/names", match="still.there")["names"], "still.there is there")
    page = open_page("#c=cpu.user.host.dead&c=still.there&c=web.errors&c=long.gone")
    cards = page.locator(".card")
    assert cards.nth(0).locator(".age").inner_text().startswith("last sample 4")     # 40 min ago, or a little more
    assert cards.nth(1).locator(".age").is_hidden()
    start, interval, avg = page.evaluate("""() => { const { start, interval, series } = __istat.loader.grid;
        return [start, interval, series.find(({ name }) => name === "web.errors").avg]; }""")
    told = [start + at * interval for at, value in enumerate(avg) if value is not None]
    assert told == list(range(told[0], told[0] + 600 + 300, 10)), "from its first event until a while after its last"
    assert cards.nth(2).locator(".age").is_visible()
    until(page, "[...document.querySelectorAll('.plot-note')].at(-1).textContent.includes('The last one is of')")
    assert "last sample" in page.inner_text("#span")


def test_an_empty_page_says_how_to_send_to_this_server(open_page: Open, tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        page = open_page(base=server.url + "/")
        page.wait_for_selector("#no-data:not([hidden])")
        until(page, f"document.querySelector('#hint-send').textContent.includes(':{server.stat_port} ')")
        command = page.inner_text("#hint-send").split()
        assert command[0] == "istat"
        sent = subprocess.run([sys.executable, "-m", "istat.cli.command", *command[1:], "--json"], check=True,
                              timeout=30, capture_output=True)
        assert json.loads(sent.stdout)["taken"] is True
        page.wait_for_selector(".u-wrap canvas", timeout=15_000)
        assert charts(page) == [["my.first.counter"]]
        page.context.close()        # else it may ask a server that is gone


def test_agents_panel(open_page: Open, server: ServerProcess) -> None:
    server.send_udp(b"#hostname web1\n#version 9.8.7\n#proto istat 1\n#agent web1\n")
    server.wait_until(
        lambda: any(a["name"] == "web1" for a in server.get("/api/v1/agents")["agents"]), "the agent is listed"
    )
    page = open_page("#c=")
    page.click("#agents-button")
    row = page.locator("#agents-rows tr", has_text="9.8.7")
    row.wait_for()
    assert "UDP" in row.inner_text() and "127.0.0.1" in row.inner_text()
    row.get_by_role("button").click()
    page.wait_for_selector(".u-wrap canvas")
    assert page.title() == "web1 · istatd"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_status_panel(open_page: Open, server: ServerProcess, scheme: str) -> None:
    # Before the server's own counters have come, their number changes yet.
    server.wait_until(lambda: server.get("/api/v1/names?match=istatd.app.uptime")["names"], "its own counters", 30)
    page = open_page()
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    until(page, "/[0-9.]+ samples.s/.test(document.querySelector('#status-rate').textContent)", 30)
    page.click("#status-button")
    panel = page.locator("#server-status")
    panel.locator("h3", has_text="On disk").wait_for()
    assert [title.lower() for title in panel.locator("h3").all_inner_texts()] == [
        "counters", "in memory", "on disk", "work", "refused"]
    row = panel.locator("dl > div", has_text="There now")
    assert row.locator("dd").inner_text() == f"{server.get('/api/v1/status')['counters']:,}"
    assert panel.locator("#status-problems").is_hidden()
    colours = panel.evaluate("e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]")
    assert colours[0] != colours[1]
    assert panel.evaluate("e => e.scrollWidth <= e.clientWidth")
    page.keyboard.press("Escape")
    panel.wait_for(state="hidden")


def test_every_control_has_a_name(open_page: Open) -> None:
    page = open_page()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button:not([hidden]), input, select, a")]
        .filter((node) => !(node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length))
        .map((node) => node.outerHTML)"""
    )
    assert nameless == []


def test_server_goes_and_comes_back(open_page: Open, tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        open_page.expected += ["Failed to load resource", "ERR_"]  # type: ignore[attr-defined]
        page = open_page(base=server.url + "/")
        page.wait_for_selector("#no-data:not([hidden])")
        now = int(time.time())
        server.send_tcp(f"first.counter {now - 20} 1\nfirst.counter {now - 10} 2\n".encode())
        page.wait_for_selector(".u-wrap canvas", timeout=15_000)
        assert charts(page) == [["first.counter"]], "an empty page fills itself"
        server.options.update({"http-port": server.http_port, "stat-port": server.stat_port})
        assert server.terminate() == 0
        page.wait_for_selector("#banner:not([hidden])", timeout=30_000)
        assert "does not answer (no connection)" in page.inner_text("#banner")
        assert page.inner_text("#live") == "No server"
        server.start()
        page.evaluate("document.querySelector('#banner-button').click()")   # the page may have been quicker
        page.wait_for_selector("#banner", state="hidden", timeout=15_000)
        until(page, "__istat.loader.failures === 0")
        assert page.inner_text("#live") == "Live"


def test_page_without_a_server_fills_itself_later(open_page: Open) -> None:
    open_page.expected += ["Failed to load resource", "ERR_"]  # type: ignore[attr-defined]
    page = open_page(away=True)
    assert "does not answer" in page.inner_text("#banner")
    page.unroute("**/api/v1/**")
    page.wait_for_selector(".u-wrap canvas", timeout=20_000)
    page.wait_for_selector("#banner", state="hidden")
    page.wait_for_selector('[role="treeitem"]')
    assert charts(page)[0][0] == f"cpu.user.host.{HOST}"


def test_ready_soon_with_many_points(open_page: Open) -> None:
    """A guard against accidents, not a benchmark: a busy machine has 15 times what it takes."""
    begun = time.monotonic()
    open_page("#" + "&".join(f"c={base}.host.{HOST}" for base in BASES))
    assert time.monotonic() - begun < 20
