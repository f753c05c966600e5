"""A store of a plugin's under a whole server: the in-memory model, with no engine behind it. Samples in by TCP and UDP,
every route of ours, self-metrics, `istat`, and the page in a real browser."""
from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from ftest.harness.browser import ARGUMENTS, CHROMIUM, PIXELS, READY, VENDOR, until
from ftest.harness.serverprocess import ROOT, ServerProcess, now_bucket
from tests.skips import need

pytestmark = pytest.mark.seconds(10)
TOKEN = "s3cret"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
HOSTS = 30
MANY = 1250             # children of one prefix: more than the page asks for at once


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("memory")
    info = folder / "installed" / "istat_memory-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: istat-memory\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[istat_server]\nmemory = tests.memoryplugin\n")
    path = os.pathsep.join((str(ROOT), str(folder / "installed")))
    with ServerProcess(folder, environment={"PYTHONPATH": path}, admin_token=TOKEN) as running:
        yield running
        # At the end, since they come every 10 s only.
        running.wait_until(lambda: running.get("/api/v1/names", match="istatd.counters")["names"], "self-metrics", 20)
    assert sorted(one.name for one in (folder / "store").iterdir()) == [], "nothing of our own store is there"


@pytest.fixture(scope="module")
def start(server: ServerProcess) -> int:
    """Where the samples begin, which are in: by TCP a minute of hosts, by UDP some events."""
    start = now_bucket() - 600
    lines = [f"cpu.idle^host.w{host:02} {start + 10 * k} {host + k}\n" for host in range(HOSTS) for k in range(60)]
    server.send_tcp("".join(lines).encode())
    events = f"#hostname web1\n*hits^host.w00^ {start + 10} 30\n* 1\nbad\nlate {start - 20 * 86400} 5\n"
    server.send_udp(events.encode())
    server.wait_for_samples(HOSTS * 60 + 3)
    return start


def change(server: ServerProcess, path: str, body: object) -> Any:
    answer = requests.post(server.url + path, json=body, headers=BEARER, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_samples_are_answered(server: ServerProcess, start: int) -> None:
    answer = server.get("/api/v1/series", name=["cpu.idle.host.w03", "hits"], to=start + 30, columns="avg,count",
                        **{"from": start})
    assert (answer["start"], answer["interval"], answer["points"]) == (start, 10, 3)
    idle, hits = answer["series"]
    assert (idle["avg"], idle["count"], hits["avg"]) == ([3, 4, 5], [1, 1, 1], [None, 3, 0])
    late = server.get("/api/v1/series", name="late", to=start, **{"from": start - 21 * 86400})
    assert [value for value in late["series"][0]["avg"] if value is not None] == [5]
    old = server.get("/cpu.idle.host.w03", start=start, end=start + 30)
    assert [bucket["data"]["avg"] for bucket in old["buckets"]] == [3, 4, 5]


def test_lists_come_in_pages(server: ServerProcess, start: int) -> None:
    for path, question, key in (("names", {"match": "cpu.*"}, "names"), ("search", {"q": "cpu host"}, "names"),
                                ("children", {"prefix": "cpu.idle.host"}, "children")):
        found: list[str] = []
        token = ""
        while token or not found:
            answer = server.get(f"/api/v1/{path}", limit=12, token=token, **question)
            found += [row["name"] for row in answer[key]]
            token = answer["token"]
            assert answer["truncated"] is bool(token)
        assert sorted(found) == [f"cpu.idle.host.w{host:02}" for host in range(HOSTS)]
    listing = server.get("/", q="hits*")
    assert {row["name"] for row in listing["matching_names"]} == {"hits", "hits.host", "hits.host.w00"}


def test_figures_and_refusals(server: ServerProcess, start: int) -> None:
    status = server.get("/api/v1/status")
    assert status["store"]["kind"] == "memory"
    assert (status["refused"]["no_name"], status["refused"]["bad_fields"]) == (1, 1)
    assert "disk_bytes" not in status["system"]
    assert status["refused_help"]["no_name"]["cure"]
    metrics = requests.get(server.url + "/metrics", timeout=10)
    assert metrics.status_code == 200
    assert 'istatd_refused_total{kind="no_name"} 1\n' in metrics.text
    assert server.get("/api/v1/agents")["agents"]


def test_deletes_undo_and_renames(server: ServerProcess, start: int) -> None:
    server.send_tcp(f"old.a {start} 1\nold.b {start} 2\n".encode())
    server.wait_until(lambda: len(server.get("/api/v1/names", match="old.*")["names"]) == 2, "they are there")
    assert change(server, "/api/v1/rename", {"from": "old.*", "to": "new.*", "confirm": True})["renamed"] == 2
    assert change(server, "/api/v1/delete", {"names": ["new.a"], "confirm": True})["deleted"] == 1
    listed = requests.get(server.url + "/api/v1/deleted", headers=BEARER, timeout=10).json()["deleted"]
    assert [(row["name"], row["undo"]) for row in listed] == [("new.a", True)]
    assert change(server, "/api/v1/undelete", {"names": ["new.a"]})["undeleted"] == 1
    assert change(server, "/api/v1/clock/confirm", None)["doubt"] == ""
    assert server.values("new.a", start, start + 10) == [1]


def test_the_command_line(server: ServerProcess, start: int) -> None:
    def istat(*words: str) -> str:
        done = subprocess.run([sys.executable, "-m", "istat.cli.command", *words, "--server", server.url],
                              env=server.environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = istat("status")
    assert "in a store of a plugin's: memory" in said
    assert "1 no_name: samples whose name means no counter" in said
    assert len(istat("ls", "cpu.*").splitlines()) == HOSTS
    assert "cpu.idle.host.w03" in istat("query", "cpu.idle.host.w03", "--last", "1h")


@pytest.mark.browser
def test_the_page(server: ServerProcess, start: int) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    need(CHROMIUM.exists(), "Chromium")
    need(VENDOR.exists(), "the page's chart library (python setup.py build_ui)")
    errors: list[str] = []
    server.send_tcp("".join(f"many.n{at:04} {start} 1\n" for at in range(MANY)).encode())
    server.wait_until(lambda: server.get("/api/v1/names", match=f"many.n{MANY - 1}")["names"], "many are there")
    with playwright.sync_playwright() as begin:
        chromium = begin.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        page = chromium.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(server.url + "/#c=cpu.idle.host.w03&r=1h")
        page.wait_for_selector(READY, timeout=20_000)
        page.wait_for_selector('[role="treeitem"][data-name="cpu"]')
        until(page, f"({PIXELS})().some((count) => count > 100)")
        page.click('[role="treeitem"][data-name="many"] .twist')
        for shown in range(200, MANY, 200):
            until(page, f"document.querySelectorAll('[data-name^=\"many.n\"]').length === {shown}")
            page.click(".tree-more button")
        until(page, f"document.querySelectorAll('[data-name^=\"many.n\"]').length === {MANY}")
        assert page.locator(".tree-more").count() == 0
        page.click("#status-button")
        page.wait_for_selector("#status-sections dt")
        chromium.close()
    assert errors == []
    assert time.time() > start
