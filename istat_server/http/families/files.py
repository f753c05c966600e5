"""Files of a folder, read once at start and served from memory; and istatd's two addresses of them. Knows no counters.

Only what was found at start can be asked for, so no path can lead out of the folder, and no request waits for a disk.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from types import MappingProxyType

import falcon

from istat.access import guarded
from istat.clock import Clock
from istat_server.http.errors import refuse
from istat_server.http.exchange import coding
from istat_server.http.reply import parameter
from istat_server.store import ondisk

log = logging.getLogger(__name__)

# Types by suffix; the system's own table is not asked, since a wrong one makes browsers refuse modules.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".htm": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".xml": "text/xml",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".gif": "image/gif",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
ANY_TYPE = "application/octet-stream"
LICENCES = ("LICENSE", "LICENSE.txt")
# The page is a dozen small files; bounds against a folder named by mistake.
MOST_FILES = 500
MOST_BYTES = 4 << 20  # of one file
MOST_IN_ALL = 64 << 20
POLICY = "default-src 'self'"
HOUR, DAY = 3600, 86400
LATEST = 253402300799   # the last second of the year 9999: later times have no text
# Names that stay what they are, so that caches may keep them whatever their age.
LASTING = (".png", ".min.js")
NO_FILE = "there is no such file"


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is sent. `packed` are its compressed forms, none where they save nothing; `changed`: when, in Unix
    seconds."""

    content_type: str
    etag: str
    body: bytes
    packed: Mapping[str, bytes]
    changed: int = 0


class Files:
    """`/?f=NAME` and `/files/NAME`: the files that lie in the folder itself; a `/` in a name is a `.`, so there are no
    folders."""

    def __init__(self, folder: Path, clock: Clock, moved: str = "") -> None:
        """`moved`: a file that is served at `/` only."""
        self._files = read_files(folder, flat=True)
        self._clock = clock
        self._moved = moved

    def get_named(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /?f=NAME."""
        self._answer(req, resp, parameter(req, "f"))

    def get_below(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /files/NAME."""
        self._answer(req, resp, req.path.removeprefix("/files/"))

    def _answer(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        file = self._files.get(name.replace("/", "."))
        if file is None:
            refuse(resp, 404, NO_FILE)
        elif name == self._moved and req.path != "/":
            resp.status = falcon.HTTP_302
            resp.set_header("Location", "../")
        else:
            send_file(req, resp, file, self._headers(name, file))

    def _headers(self, name: str, file: PageFile) -> dict[str, str]:
        """How long it may be kept: the longer ago it was changed the longer, for an hour at most."""
        now = self._clock.now()
        age = now - file.changed
        headers = {"Last-Modified": formatdate(file.changed, usegmt=True), "Cache-Control": "no-cache"}
        if age > DAY or name.endswith(LASTING):
            keep = 0 if age < HOUR else 60 if age < DAY else HOUR
            headers["Cache-Control"] = f"public, max-age={keep}"
            headers["Expires"] = formatdate(now + keep, usegmt=True)
        return headers


def read_files(folder: Path, flat: bool = False) -> dict[str, PageFile]:
    """The files below a folder that a page can hold, by path relative to it; `flat`: all that lie in it, of whatever
    type. Empty when there is none. What is too much is left out, and logged."""
    found: dict[str, PageFile] = {}
    room = MOST_IN_ALL
    for path, content_type in _candidates(folder, flat):
        if len(found) == MOST_FILES:
            log.warning("%s and what follows is not served: %d files are the most", path, MOST_FILES)
            break
        try:
            body, time = _read(path, min(MOST_BYTES, room))
            if len(body) > min(MOST_BYTES, room):
                log.warning("%s is not served: a file has at most %d bytes, all of them %d", path, MOST_BYTES,
                            MOST_IN_ALL)
                continue
        except OSError as error:
            log.warning("%s is not served: %s", path, error.strerror)
            continue
        room -= len(body)
        changed = min(max(0, int(time)), LATEST)
        found[path.relative_to(folder).as_posix()] = packed_file(body, content_type, changed)
    return found


def _read(path: Path, most: int) -> tuple[bytes, float]:
    """The bytes of a file, one more than `most` where it has more, and when it was changed. OSError too for what is no
    plain file, and for links of others: those who may write to the folder choose what is served of it, and of nothing
    else that we may read."""
    guarded.check(path)
    with open(path, "rb", opener=ondisk.at_once) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        return file.read(most + 1), about.st_mtime


def _candidates(folder: Path, flat: bool) -> Iterator[tuple[Path, str]]:
    """Files with their types; not those that are hidden."""
    for path in sorted(folder.glob("*") if flat else folder.rglob("*")):
        content_type = TYPES.get(".txt" if path.name in LICENCES else path.suffix.lower(), ANY_TYPE if flat else "")
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if content_type and not hidden and path.is_file():
            yield path, content_type


def packed_file(body: bytes, content_type: str, changed: int = 0) -> PageFile:
    """A file with its compressed forms."""
    packed = {one: coding.compress(body, one) for one in coding.WBITS} if len(body) > coding.LEAST else {}
    smaller = {one: form for one, form in packed.items() if len(form) < len(body)}
    etag = '"' + hashlib.sha256(body).hexdigest()[:32] + '"'
    return PageFile(content_type, etag, body, MappingProxyType(smaller), changed)


def send_file(req: falcon.Request, resp: falcon.Response, file: PageFile, headers: Mapping[str, str]) -> None:
    """Answer with a file, or with 304 where the client has it already."""
    for name, value in headers.items():
        resp.set_header(name, value)
    resp.set_header("Content-Security-Policy", POLICY)
    resp.set_header("ETag", file.etag)
    if file.packed:
        resp.append_header("Vary", "Accept-Encoding")
    if _is_known(req, file, headers.get("Last-Modified", "")):
        resp.status = falcon.HTTP_304
        return
    resp.content_type = file.content_type
    form = file.packed.get(coding.wanted(req))
    if form is not None:
        resp.set_header("Content-Encoding", coding.wanted(req))
    resp.data = form or file.body


def _is_known(req: falcon.Request, file: PageFile, changed: str) -> bool:
    """Whether the client has this very file. Dates are compared as the text that was sent."""
    asked = req.env.get("HTTP_IF_NONE_MATCH")
    if asked is None:
        return bool(changed) and req.env.get("HTTP_IF_MODIFIED_SINCE") == changed
    known = [tag.strip().removeprefix("W/") for tag in asked.split(",")]
    return file.etag in known or known == ["*"]
