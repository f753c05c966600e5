"""The requests of istatd's own page, made by a page of ours in a real browser, from the folder that files-dir names."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ftest.harness.browser import CHROMIUM, until
from ftest.harness.serverprocess import ServerProcess
from tests.skips import need

PAGE = Path(__file__).parent / "istatdpage"
READY = "document.body.dataset.ready"
SCRIPT = "<script>document.title='run'</script>"

pytestmark = [pytest.mark.browser, pytest.mark.seconds(10)]
Open = Callable[[str], Any]


def samples(now: int) -> bytes:
    """An hour of a gauge and of an event counter."""
    lines = [f"page.gauge {t} {t % 50}\n*page.events {t} 20\npage.below.deep {t} 1\n"
             for t in range(now - 3600, now, 10)]
    return "".join(lines).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    need(CHROMIUM.exists(), "Chromium")
    folder = tmp_path_factory.mktemp("istatd")
    with ServerProcess(folder, files_dir=PAGE, environment={"ISTAT_SERVER_SETTINGS_OPEN": "true"}) as running:
        running.send_tcp(samples(int(time.time()) // 10 * 10))
        running.wait_for_samples(1080)
        with running.connect() as agent:
            agent.sendall(f"#hostname db1\r\n#version 1.08\r\n#istatd_categories db\r\n#note {SCRIPT}\r\n".encode())
            running.wait_until(lambda: "db1" in str(running.get("/?a=*")), "the agent has introduced itself")
            yield running


@pytest.fixture
def opened(browser: Any, server: ServerProcess) -> Iterator[Open]:
    """Open an address, and wait until all is asked; whatever its console says is a failure, but for refusals."""
    contexts, errors = [], []

    def open_it(path: str) -> Any:
        context = browser.new_context()
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" and "404" not in said.text
                else None)
        page.goto(server.url + path)
        until(page, READY)
        assert page.evaluate(READY) == "1"
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert errors == []


def shown(page: Any, name: str) -> str:
    text: str = page.locator(f"[id='{name}']").inner_text()
    return text


@pytest.mark.parametrize("path", ["/#reading", "/?f=index.html#reading", "/files/index.html#reading"])
def test_tree_and_graphs(opened: Open, path: str) -> None:
    page = opened(path)
    assert json.loads(shown(page, "tree")) == ["page.below.deep gauge", "page.events counter", "page.gauge gauge"]
    assert sorted(json.loads(shown(page, "branches"))) == ["page", "page.below"]
    assert (shown(page, "page.gauge"), shown(page, "page.events"), shown(page, "page.below.deep")) == ("40", "2", "1")
    assert (shown(page, "gone"), shown(page, "interval"), shown(page, "compact")) == ("Not found.", "10", "true")
    assert shown(page, "zoomed") == "buckets end interval start"


@pytest.mark.parametrize("path", ["/files/agents.html", "/?f=agents.html"])
def test_table_of_agents(opened: Open, path: str) -> None:
    page = opened(path)
    row = page.locator("tr[data-host=db1]").inner_text().split("\t")
    assert [cell.split("=")[0] for cell in row] == [
        "_peer", "hostname", "version", "istatd_categories", "note", "_online", "_connected", "_idle"]
    assert row[4] == f"note={SCRIPT}"
    assert page.title().endswith(" agents"), "no script of a sender's has run"


def test_who_signs_in_keeps_dashboards(opened: Open, server: ServerProcess) -> None:
    page = opened("/")
    assert shown(page, "nobody") == "404"
    assert {shown(page, name) for name in ("signed", "saved", "deleted")} == {'{"success":true}'}
    assert json.loads(shown(page, "user")) == {"user.cit": '{"password":"%s"}' % ("0" * 64)}
    assert json.loads(shown(page, "listed")) == ["dashboard.mine", "dashboard.other"]
    assert shown(page, "loaded") == "true"
    assert json.loads(shown(page, "left")) == ["dashboard.mine"]
    assert shown(page, "global") == "404"
    assert server.get("/?s=cit&sk=dashboard.mine")["dashboard.mine"].startswith('{"size":')

