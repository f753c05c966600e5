"""Opens of files, as Python audits them: which of those below a folder went past `istat.pagecache.ownfiles`, and so had
no advice to the page cache. Opens of folders do not count."""
from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from istat.pagecache import ownfiles

FOLDERS = os.O_DIRECTORY | os.O_PATH


class Opens:
    """What was opened below a folder: how often by the one way, and by which others."""

    def __init__(self, folder: Path) -> None:
        self._folder = os.fspath(folder.resolve()) + os.sep
        self.advised = 0
        self.without: list[str] = []

    def note(self, path: object, flags: int) -> None:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str) or flags & FOLDERS or not os.path.abspath(path).startswith(self._folder):
            return
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename != ownfiles.__file__:
            frame = frame.f_back
        if frame is None:
            self.without.append(path)
        else:
            self.advised += 1


_watching: list[Opens] = []
_hooked = False


def _hook(event: str, args: tuple[object, ...]) -> None:
    if event == "open" and _watching:
        for opens in _watching:
            opens.note(args[0], int(str(args[2] or 0)))


@contextmanager
def watched(folder: Path) -> Iterator[Opens]:
    """Note the opens below a folder, of all threads, until the end of the block."""
    global _hooked
    if not _hooked:         # an audit hook stays for good
        sys.addaudithook(_hook)
        _hooked = True
    opens = Opens(folder)
    _watching.append(opens)
    try:
        yield opens
    finally:
        _watching.remove(opens)
