"""Where a picture goes: a file of the kind that its name ends with, or text on standard output. Knows files' names, no
picture."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Protocol

from istat.access.replacing import replacing
from istat.errors import UsageError

TEXT = "-"          # the name that stands for standard output
KINDS = (".png", ".svg")


class Picture(Protocol):
    """What can be drawn in all three ways."""

    def png(self) -> bytes:
        """A PNG file."""

    def svg(self) -> str:
        """An SVG file."""

    def text(self, unicode: bool = True) -> str:
        """Lines of a terminal."""


def check(name: str) -> str:
    """The name, when it tells a kind of picture; else UsageError. To be asked before the work is done."""
    if name != TEXT and Path(name).suffix.lower() not in KINDS:
        raise UsageError(f"{name!r}: a picture's name ends with .png or .svg; - draws on the terminal")
    return name


def save(picture: Picture, name: str) -> None:
    """Write it to the file of that name, or print it (`-`). UsageError as of `check`; OSError when it cannot be."""
    if check(name) == TEXT:
        sys.stdout.write(picture.text(unicode=_has_blocks()))
        return
    made = picture.png() if Path(name).suffix.lower() == ".png" else picture.svg().encode()
    if os.path.exists(name) and not os.path.isfile(name):      # such as a pipe: it cannot be replaced
        Path(name).write_bytes(made)
        return
    with replacing(name, "picture") as file:
        file.write(made)


def _has_blocks() -> bool:
    """Whether standard output can hold the characters of pictures."""
    try:
        "·░▒▓█▚⠿".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
