"""Ready sinks for frames of `Easy` and `Collector`. A sink of one's own is any function of an `Instance`."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from istat.cube.export.lines import LinesExporter
from istat.cube.instance import Instance

log = logging.getLogger(__name__)

SUFFIX = ".cube"        # of files that hold a frame: `istat cube top FOLDER` looks for it
KEEP = 360              # files of a sender that stay in a folder: an hour at 10 s
NAME_ROOM = 100         # characters of a sender's name in that of its files, which may have 255
_NO_FILE_NAME = re.compile(r"[^\w.-]+", re.ASCII)


class FolderSink:
    """Writes each frame to a file of its own, which is there as a whole or not at all.

    Of a sender whose frames have all since a start there is one file, which is replaced. Else the files of the last
    `keep` frames stay (None: all; then somebody else has to take them away).
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int | None = KEEP, compress: bool = True) -> None:
        """The folder is made if it is missing. ValueError when no file is to be kept."""
        if keep is not None and keep < 1:
            raise ValueError("the newest file, at least, must be kept")
        self._folder, self._keep, self._compress = Path(folder), keep, compress

    def __call__(self, frame: Instance) -> None:
        """OSError when it cannot be written."""
        self._folder.mkdir(parents=True, exist_ok=True)
        name = _NO_FILE_NAME.sub("_", frame.name)[:NAME_ROOM].lstrip("._")  # a file with a dot in front would be hidden
        sender = f"{name}-{frame.id.hex()[:12]}"
        number = f"-{frame.sequence:010}" if frame.delta else ""
        write_whole(self._folder / f"{sender}{number}{SUFFIX}", frame.serialize(self._compress))
        if frame.delta and self._keep is not None:
            for path in sorted(self._folder.glob(f"{sender}-*{SUFFIX}"))[:-self._keep]:
                path.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Put a file into its place at once: who reads it meanwhile has the old one, or none. OSError."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(made, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


class Client(Protocol):
    """What sends lines: `istat.client.StatClient`."""

    dropped: int

    def send(self, line: bytes) -> None:
        """Take a line, to be sent."""

    def flush(self) -> None:
        """Send what was taken."""


class LinesSink:
    """Sends each frame as lines to an istat-server: the figures become counters there, see `LinesExporter`.

        LinesSink(lambda: StatClient("127.0.0.1", 8111))

    Lines that the client had to drop are counted in its `dropped`, and told in the log; they are not sent again, as the
    server may have some of them.
    """

    def __init__(self, make_client: Callable[[], Client], **options: Any) -> None:
        """make_client: called for the first frame, and once more in a process that was forked, which must not share a
        connection. options: those of LinesExporter. TypeError for a client itself."""
        if not callable(make_client):
            raise TypeError(f"make_client is called for a client, which {make_client!r} cannot be: "
                            "LinesSink(lambda: StatClient('127.0.0.1', 8111))")
        self._make_client, self._options = make_client, options
        self._client: Client | None = None
        self._process = 0

    def __call__(self, frame: Instance) -> None:
        """ValueError for a frame of all since a start: the server adds up what it gets."""
        if not frame.delta:
            raise ValueError('a server adds up what it gets: lines are for output="delta"')
        if self._client is None or self._process != os.getpid():
            self._client, self._process = self._make_client(), os.getpid()
        dropped = self._client.dropped
        for line in LinesExporter(frame, **self._options).lines():
            self._client.send(line)
        self._client.flush()
        if self._client.dropped > dropped:
            log.warning("%d lines of cubes could not be sent and are lost", self._client.dropped - dropped)
