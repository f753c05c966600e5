"""istatd's addresses of files: which there are, and how long they may be kept."""

from __future__ import annotations

import os
from email.utils import formatdate
from pathlib import Path

import pytest
from falcon.testing import TestClient

from istat.clock import FakeClock
from istat_server.http.families import files
from istat_server.http.families.files import read_files
from istat_server.testing.memory import MemoryStore
from tests.http.application import app_of

NOW = 1325394000
HOUR = 3600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    (made / "sub").mkdir(parents=True)
    for name, age in (("index.html", 0), ("form.html", 48 * HOUR), ("agents.min.js", 5 * HOUR), ("data", 0),
                      ("new.png", 60), ("a.b.css", 0), (".secret", 0), ("sub/x.js", 0)):
        (made / name).write_text(f"this is {name}\n")
        os.utime(made / name, (NOW - age, NOW - age))
    (tmp_path / "outside.js").write_text("no")
    return made


@pytest.fixture
def client(folder: Path) -> TestClient:
    return client_of(folder)


def client_of(folder: Path | None) -> TestClient:
    clock = FakeClock(NOW)
    store = MemoryStore(clock=clock)
    for name in ("files", "files_x", "favicon.ico"):
        store.add(name, NOW, 1)
    return TestClient(app_of(store, clock, files=folder))


@pytest.mark.parametrize(("name", "content_type"), [
    ("index.html", "text/html; charset=utf-8"), ("form.html", "text/html; charset=utf-8"),
    ("agents.min.js", "text/javascript; charset=utf-8"), ("data", "application/octet-stream"),
    ("new.png", "image/png"), ("a.b.css", "text/css; charset=utf-8"),
])
def test_files_and_their_types(client: TestClient, name: str, content_type: str) -> None:
    for path in (f"/files/{name}", f"/?f={name}"):
        answer = client.simulate_get(path)
        assert (answer.status_code, answer.text) == (200, f"this is {name}\n")
        assert answer.headers["content-type"] == content_type
        assert answer.headers["content-security-policy"] == "default-src 'self'"
        assert client.simulate_head(path).headers["content-length"] == answer.headers["content-length"]


def test_a_slash_in_a_name_is_a_dot(client: TestClient) -> None:
    for path in ("/files/a/b.css", "/?f=a/b.css", "/files/a.b.css?version=2"):
        assert client.simulate_get(path).text == "this is a.b.css\n"


@pytest.mark.parametrize("name", ["", "no.html", ".secret", "sub", "sub/x.js", "../outside.js", "%2e%2e/outside.js",
                                  "/etc/passwd", "data/", "data%00", "..", ".", "INDEX.HTML", "%FF%FE"])
def test_nothing_else_can_be_had(client: TestClient, name: str) -> None:
    for path in (f"/files/{name}", f"/?f={name}"):
        answer = client.simulate_get(path)
        assert answer.status_code in (400, 404), path
        assert list(answer.json) == ["error"]


def test_files_are_changed_by_nobody(client: TestClient) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.simulate_request(method, "/files/data", body="x").status_code == 405
    assert client.simulate_get("/files/data").text == "this is data\n"
    assert client.simulate_options("/files/data").status_code == 204


def test_counters_of_such_names(client: TestClient) -> None:
    for path in ("/files", "/files_x"):
        assert client.simulate_get(path).json["buckets"]
    assert client.simulate_post("/files", body="{}").status_code == 404


def test_who_has_a_file_gets_it_no_second_time(client: TestClient) -> None:
    first = client.simulate_get("/files/form.html")
    changed = first.headers["last-modified"]
    assert changed == formatdate(NOW - 48 * HOUR, usegmt=True)
    for headers in ({"If-None-Match": first.headers["etag"]}, {"If-Modified-Since": changed},
                    {"If-None-Match": first.headers["etag"], "If-Modified-Since": "never"}):
        again = client.simulate_get("/files/form.html", headers=headers)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    for headers in ({"If-None-Match": '"other"', "If-Modified-Since": changed}, {"If-Modified-Since": "yesterday"}):
        assert client.simulate_get("/files/form.html", headers=headers).status_code == 200


@pytest.mark.parametrize(("name", "cached", "expires"), [
    ("form.html", "public, max-age=3600", HOUR), ("agents.min.js", "public, max-age=60", 60),
    ("new.png", "public, max-age=0", 0), ("index.html", "no-cache", None),
])
def test_how_long_a_file_may_be_kept(client: TestClient, name: str, cached: str, expires: int | None) -> None:
    headers = client.simulate_get(f"/files/{name}").headers
    assert headers["cache-control"] == cached
    assert headers.get("expires") == (None if expires is None else formatdate(NOW + expires, usegmt=True))


def test_our_own_page_is_at_one_place_and_its_files_are_there() -> None:
    client = client_of(None)
    answer = client.simulate_get("/files/index.html")
    assert (answer.status_code, answer.headers["location"]) == (302, "../")
    assert client.simulate_get("/?f=index.html").content == client.simulate_get("/").content
    assert client.simulate_get("/files/app.js").content == client.simulate_get("/ui/app.js").content


def test_too_much_is_not_served_and_said(folder: Path, monkeypatch: pytest.MonkeyPatch,
                                         caplog: pytest.LogCaptureFixture) -> None:
    (folder / "big.html").write_bytes(b"x" * 2000)
    monkeypatch.setattr(files, "MOST_BYTES", 1999)
    assert "big.html" not in read_files(folder, flat=True)
    assert "big.html is not served: a file has at most 1999 bytes" in caplog.text
    monkeypatch.setattr(files, "MOST_IN_ALL", 30)
    assert len(read_files(folder, flat=True)) < 3
    monkeypatch.setattr(files, "MOST_IN_ALL", 1 << 20)
    monkeypatch.setattr(files, "MOST_FILES", 2)
    assert len(read_files(folder, flat=True)) == 2
    assert "2 files are the most" in caplog.text


def test_a_file_that_cannot_be_read_keeps_no_other_from_it(folder: Path, caplog: pytest.LogCaptureFixture,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path, most: int) -> tuple[bytes, float]:
        if path.name == "data":
            raise PermissionError(13, "Permission denied")
        return b"x", 0.0

    monkeypatch.setattr(files, "_read", read)
    assert set(read_files(folder, flat=True)) == {"index.html", "form.html", "agents.min.js", "new.png", "a.b.css"}
    assert "data is not served: Permission denied" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of other users")
def test_links_of_others_lead_to_no_file(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever may write to the folder decides what is served of it, and of nothing else that the server may read."""
    (tmp_path / "private").write_text("private")
    for name in ("ours.txt", "theirs.txt"):
        (folder / name).symlink_to(tmp_path / "private")
    os.chown(folder / "theirs.txt", 1234, 1234, follow_symlinks=False)
    found = read_files(folder, flat=True)
    assert found["ours.txt"].body == b"private" and "theirs.txt" not in found
    assert "theirs.txt is not served: a link of the user 1234 is on the way there" in caplog.text


def test_a_file_that_does_not_say_how_long_it_is_is_served_up_to_the_bound(
        folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "limits.txt").symlink_to("/proc/self/limits")        # of 0 bytes, for stat
    assert b"Max open files" in read_files(folder, flat=True)["limits.txt"].body
    monkeypatch.setattr(files, "MOST_BYTES", 100)
    assert "limits.txt" not in read_files(folder, flat=True)
    assert "limits.txt is not served: a file has at most 100 bytes" in caplog.text
