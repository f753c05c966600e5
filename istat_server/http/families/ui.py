"""The page's files: read once at start, served from memory with ETag and gzip. Knows files, no counters.

Only what was found at start can be asked for, so no path can lead out of the folder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import falcon

from istat_server.http.errors import refuse
from istat_server.http.reply import compress, takes_gzip

# Types by suffix; the system's own table is not asked, since a wrong one makes browsers refuse modules.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
LICENCES = ("LICENSE", "LICENSE.txt")
# The page is a dozen small files; bounds against a folder named by mistake.
MOST_FILES = 500
MOST_BYTES = 4 << 20  # of one file
GZIP_LEAST = 1024  # [bytes]
POLICY = "default-src 'self'"
INDEX = "index.html"
CHARTS = "vendor/uPlot.esm.js"
NO_CHARTS = (
    "the chart library is missing: run `python3 setup.py build_ui` where the server was built (it needs npm)"
)
NO_PAGE = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>istatd</title>
<h1>istatd</h1>
<p>The server runs, but the files of its page are not installed (or <code>files-dir</code> names a folder
without <code>index.html</code>). All else works: <a href="api/v1/status">status</a>,
<a href="api/v1/names">names</a>, <a href="metrics">metrics</a>.</p>
</html>
"""


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is sent. `packed` is the gzip form, or None where that saves nothing."""

    content_type: str
    etag: str
    body: bytes
    packed: bytes | None


class Page:
    """All files of the page. `folder` replaces the one that came with the server."""

    def __init__(self, folder: Path | None = None) -> None:
        self._files = read_files(folder or Path(str(resources.files("istat_server") / "ui")))
        self._index = self._files.get(INDEX) or _file(NO_PAGE, TYPES[".html"])

    def names(self) -> list[str]:
        """What can be asked for, relative to /ui/."""
        return sorted(self._files)

    def get_index(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /: the page."""
        _send(req, resp, self._index)

    def get_icon(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /favicon.ico: browsers ask for it whatever the page says."""
        icon = self._files.get("favicon.ico") or self._files.get("favicon.svg") or self._files.get("icon.svg")
        if icon is None:
            resp.status = falcon.HTTP_204
        else:
            _send(req, resp, icon)

    def get_file(self, req: falcon.Request, resp: falcon.Response, **_: Any) -> None:
        """GET /ui/...: one file of the page."""
        name = req.path.removeprefix("/ui").removeprefix("/")
        found = self._files.get(name)
        if found is not None and name != INDEX:
            _send(req, resp, found)
        elif name in ("", INDEX):
            # The page's own addresses are relative to /, so it is served at one place only.
            resp.status = falcon.HTTP_302
            resp.set_header("Location", "../" if req.path.startswith("/ui/") else "./")
        else:
            refuse(resp, 404, NO_CHARTS if name == CHARTS else "there is no such file of the page")


def read_files(folder: Path) -> dict[str, PageFile]:
    """The files below a folder that a page can hold, by path relative to it. Empty when there is none."""
    found: dict[str, PageFile] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        content_type = TYPES.get(".txt" if path.name in LICENCES else path.suffix)
        hidden = any(part.startswith(".") for part in relative.parts)
        if content_type is None or hidden or not path.is_file() or path.stat().st_size > MOST_BYTES:
            continue
        found[relative.as_posix()] = _file(path.read_bytes(), content_type)
        if len(found) == MOST_FILES:
            break
    return found


def _file(body: bytes, content_type: str) -> PageFile:
    packed = compress(body) if len(body) > GZIP_LEAST else body
    etag = '"' + hashlib.sha256(body).hexdigest()[:32] + '"'
    return PageFile(content_type, etag, body, packed if len(packed) < len(body) else None)


def _send(req: falcon.Request, resp: falcon.Response, file: PageFile) -> None:
    # Modules import each other by names without a version, so a browser must ask each time.
    resp.set_header("Cache-Control", "no-cache")
    resp.set_header("Content-Security-Policy", POLICY)
    resp.set_header("ETag", file.etag)
    if file.packed is not None:
        resp.append_header("Vary", "Accept-Encoding")
    asked = req.env.get("HTTP_IF_NONE_MATCH", "")
    known = [tag.strip().removeprefix("W/") for tag in asked.split(",")]
    if file.etag in known or known == ["*"]:
        resp.status = falcon.HTTP_304
        return
    resp.content_type = file.content_type
    if file.packed is not None and takes_gzip(req.env.get("HTTP_ACCEPT_ENCODING", "")):
        resp.set_header("Content-Encoding", "gzip")
        resp.data = file.packed
    else:
        resp.data = file.body
