"""Frames of cubes as files, read with the limits of a frame from anywhere; and how they are told to people."""

from __future__ import annotations

import errno
import sys
from datetime import UTC, datetime
from pathlib import Path

from istat.cli.figures import seconds_text
from istat.cli.report import printable
from istat.cube import Instance, Limits
from istat.errors import FormatError

STDIN = Path("-")
LIMITS = Limits()
SECOND = 10**9              # [ns]
NAME_ROOM = 63              # characters of an instance's name, which has at most 255 bytes


class BadFrame(FormatError):
    """Files that are no frames of cubes, or damaged ones; the text says which."""

    def __init__(self, text: str, offset: int = 0, reason: str = "") -> None:
        super().__init__(offset, reason)
        self.args = (text,)


def read(path: Path) -> Instance:
    """The instance of a file; `-` is the standard input. BadFrame, OSError."""
    return decoded(path, data_of(path))


def data_of(path: Path) -> bytes:
    """The bytes of a file: one more than a frame may have, if it has more."""
    most = LIMITS.max_bytes + 1
    if path == STDIN:
        return sys.stdin.buffer.read(most)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder: name its files, or see `istat cube top`", str(path))
    with open(path, "rb") as file:
        return file.read(most)


def decoded(path: Path, data: bytes) -> Instance:
    """The instance of a file's bytes; BadFrame when they are none."""
    try:
        return Instance.deserialize(data, LIMITS)
    except FormatError as error:
        raise BadFrame(f"{path}: {error}", error.offset, error.reason) from error


def named(text: str, otherwise: str) -> str:
    """The name of an instance that is made of files called so: they may be called as no instance can be."""
    return printable(text)[:NAME_ROOM] or otherwise


def heading(instance: Instance) -> str:
    """Whose data they are, and of when."""
    kind = "counted in that time" if instance.delta else "all since its start"
    tags = "".join(f", {name}={value}" for name, value in instance.tags.items())
    if instance.t0 == instance.t1 == 0:     # as frames have it
        return f"{instance.name}{tags}: of a time that is not known"
    begun, ended = (datetime.fromtimestamp(time / SECOND, UTC) for time in (instance.t0, instance.t1))
    return (f"{instance.name}{tags}: {begun:%Y-%m-%d %H:%M:%S} to {ended:%Y-%m-%d %H:%M:%S} UTC "
            f"({seconds_text((instance.t1 - instance.t0) / SECOND)}), {kind}")


def about(instance: Instance) -> dict[str, object]:
    """The same for scripts; times in seconds since 1970."""
    return {"name": instance.name, "tags": instance.tags, "id": instance.id.hex(), "sequence": instance.sequence,
            "from": instance.t0 / SECOND, "to": instance.t1 / SECOND, "delta": instance.delta}


def counted(count: int, word: str) -> str:
    """`1 cube`, `2,000 cells`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
