"""The page: its addresses, over files that were read once at start. Knows files, no counters."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import falcon

from istat_server.http.errors import refuse
from istat_server.http.families.files import TYPES, PageFile, packed_file, read_files, send_file

# Modules import each other by names without a version, so a browser must ask each time.
HEADERS = {"Cache-Control": "no-cache"}
INDEX = "index.html"
CHARTS = "vendor/uPlot.esm.js"
NO_CHARTS = (
    "the chart library is missing: run `python3 setup.py build_ui` where the server was built (it needs npm)"
)
NO_PAGE = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>istatd</title>
<h1>istatd</h1>
<p>The server runs, but the files of its page are not installed. All else works:
<a href="api/v1/status">status</a>, <a href="api/v1/names">names</a>, <a href="metrics">metrics</a>.</p>
</html>
"""


class Page:
    """All files of the page. `folder` replaces the one that came with the server, if there is a page in it."""

    def __init__(self, folder: Path | None = None) -> None:
        self._files = read_files(page_folder(folder if folder and (folder / INDEX).is_file() else None))
        self._index = self._files.get(INDEX) or packed_file(NO_PAGE, TYPES[".html"])

    def names(self) -> list[str]:
        """What can be asked for, relative to /ui/."""
        return sorted(self._files)

    def get_index(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /: the page."""
        send_page(req, resp, self._index)

    def get_icon(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /favicon.ico: browsers ask for it whatever the page says."""
        icon = self._files.get("favicon.ico") or self._files.get("favicon.svg") or self._files.get("icon.svg")
        if icon is None:
            resp.status = falcon.HTTP_204
        else:
            send_page(req, resp, icon)

    def get_file(self, req: falcon.Request, resp: falcon.Response, **_: Any) -> None:
        """GET /ui/...: one file of the page."""
        name = req.path.removeprefix("/ui").removeprefix("/")
        found = self._files.get(name)
        if found is not None and name != INDEX:
            send_page(req, resp, found)
        elif name in ("", INDEX):
            # The page's own addresses are relative to /, so it is served at one place only.
            resp.status = falcon.HTTP_302
            resp.set_header("Location", "../" if req.path.startswith("/ui/") else "./")
        else:
            refuse(resp, 404, NO_CHARTS if name == CHARTS else "there is no such file of the page")


def page_folder(folder: Path | None) -> Path:
    """Where the page's files are: in a folder of the operator's, or in the one that came with the server."""
    return folder or Path(str(resources.files("istat_server") / "ui"))


def send_page(req: falcon.Request, resp: falcon.Response, file: PageFile) -> None:
    """Answer with a file of the page."""
    send_file(req, resp, file, HEADERS)
