"""The page's files: types, caching, compression, and that nothing else can be had."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import TestClient

from istat.clock import FakeClock
from istat_server.http.families import ui
from istat_server.http.families.ui import Page
from istat_server.testing.memory import MemoryStore
from tests.http.application import app_of

SCRIPT = "export const x = 1;\n" * 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    page = tmp_path / "page"
    (page / "vendor").mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html><title>t</title>")
    (page / "app.js").write_text(SCRIPT)
    (page / "style.css").write_text("body{}")
    (page / "vendor/LICENSE").write_text("MIT")
    (page / ".secret.js").write_text("no")
    (page / "notes.md").write_text("no")
    (tmp_path / "outside.js").write_text("no")
    return page


def client_for(folder: Path | None) -> TestClient:
    store = MemoryStore(clock=FakeClock(10**9))
    return TestClient(app_of(store, FakeClock(10**9), files=folder))


@pytest.fixture
def page(folder: Path) -> TestClient:
    return client_for(folder)


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/ui/app.js", "text/javascript; charset=utf-8"),
        ("/ui/style.css", "text/css; charset=utf-8"),
        ("/ui/vendor/LICENSE", "text/plain; charset=utf-8"),
    ],
)
def test_files_and_their_headers(page: TestClient, path: str, content_type: str) -> None:
    answer = page.simulate_get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type
    assert answer.headers["content-security-policy"] == "default-src 'self'"
    assert answer.headers["cache-control"] == "no-cache"
    again = page.simulate_get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert page.simulate_get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_page_whatever_its_query_says(page: TestClient) -> None:
    assert "<!doctype html>" in page.simulate_get("/", query_string="from=-1h&name=a").text


def test_compression(page: TestClient) -> None:
    packed = page.simulate_get("/ui/app.js", headers={"Accept-Encoding": "gzip, deflate"})
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.content).decode() == SCRIPT
    assert page.simulate_get("/ui/app.js").text == SCRIPT


@pytest.mark.parametrize(
    "path",
    ["/ui/../outside.js", "/ui/%2e%2e/outside.js", "/ui/.secret.js", "/ui/notes.md", "/ui//etc/passwd", "/ui/vendor",
     "/ui/app.js/"],
)  # fmt: skip
def test_nothing_else_can_be_had(page: TestClient, path: str) -> None:
    assert page.simulate_get(path).status_code == 404


def test_the_page_has_one_place(page: TestClient) -> None:
    for path, target in (("/ui", "./"), ("/ui/", "../"), ("/ui/index.html", "../")):
        answer = page.simulate_get(path)
        assert (answer.status_code, answer.headers["location"]) == (302, target)


def test_a_missing_chart_library_says_what_to_do(page: TestClient) -> None:
    assert "build_ui" in page.simulate_get("/ui/vendor/uPlot.esm.js").json["error"]


def test_a_missing_page_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "page_folder", lambda _folder: tmp_path)
    answer = client_for(tmp_path).simulate_get("/")
    assert answer.status_code == 200
    assert "not installed" in answer.text


def test_a_folder_without_a_page_leaves_the_installed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed/index.html").write_text("the page")
    monkeypatch.setattr(ui, "page_folder", lambda folder: folder or tmp_path / "installed")
    (tmp_path / "files").mkdir()
    (tmp_path / "files/wall.html").write_text("a wall")
    client = client_for(tmp_path / "files")
    assert client.simulate_get("/").text == "the page"
    assert client.simulate_get("/files/wall.html").text == "a wall"


def test_the_icon(page: TestClient, folder: Path) -> None:
    assert page.simulate_get("/favicon.ico").status_code == 204
    (folder / "favicon.svg").write_text("<svg/>")
    assert client_for(folder).simulate_get("/favicon.ico").headers["content-type"] == "image/svg+xml"


def test_other_methods(page: TestClient) -> None:
    assert page.simulate_post("/ui/app.js").status_code == 405


def test_the_installed_page_is_found() -> None:
    names: Any = Page().names()
    assert isinstance(names, list)
