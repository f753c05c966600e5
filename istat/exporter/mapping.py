"""Which series a wire name means to Prometheus: metric names and labels out of caret names.

A piece `T.rest` of a caret name is the label T="rest" of the base where T is one of the known tag names; all such
pieces of a name make one set of labels, and every other piece is a metric of its own, without labels. Knows no values.
Source: the behaviour specification of istatd, part 12.1 and 12.2.
"""
from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping as Settings
from pathlib import Path
from typing import Any, NamedTuple

from istat.errors import SettingsError
from istat.names import CARETS_ROOM, WIRE_NAME_ROOM, munge

# Known without being told.
TAGS = ("host", "role", "class", "pool", "cluster")
# What the series of events have as a label, with the value 1.
COUNTER = "counter"
# Of the file of tag names.
MOST_BYTES, MOST_TAGS = 1 << 20, 10_000
_NOT_IN_NAMES = re.compile(rb"[^A-Za-z0-9_]")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Key(NamedTuple):
    """A series: its metric's name, and its labels in order of their names."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()


class Mapping:
    """The rules, with the tag names and the spelling that the settings ask for."""

    def __init__(self, tags: Iterable[str] = (), translate: bool = True) -> None:
        """tags: known ones besides TAGS, exact. translate: names as Prometheus has always had them."""
        self._tags = frozenset(tag.encode() for tag in (*TAGS, *tags))
        self._translate = translate

    def keys(self, wire: bytes) -> list[Key]:
        """The series that a wire name feeds, each once; none for a name that is none, or far too long."""
        text = wire[1:] if wire[:1] == b"*" else wire
        if not text or len(wire) > WIRE_NAME_ROOM or text.count(b"^") > CARETS_ROOM:
            return []
        if b"^" not in text:
            return [Key(self.spelt(text))]
        base, *pieces = text.split(b"^")
        plain: list[bytes] = []
        sets: list[dict[str, str]] = []
        for piece in filter(None, pieces):
            tag = self._tag(piece) if base else b""
            if not tag:
                plain.append(base + b"." + piece if base else piece)
                continue
            label = self.spelt(tag)
            if not sets or label in sets[-1]:
                sets.append({})
            sets[-1][label] = piece[len(tag) + 1:].decode("utf-8", "replace")
        if base and text.endswith(b"^"):
            plain.append(base)
        found = [Key(self.spelt(base), tuple(sorted(labels.items()))) for labels in sets]
        return list(dict.fromkeys((*found, *(Key(self.spelt(name)) for name in plain))))

    def _tag(self, piece: bytes) -> bytes:
        """The tag name that a piece begins with, the shortest one; b"" for a piece that is a name."""
        at = piece.find(b".")
        while 0 <= at < len(piece) - 1:
            if piece[:at] in self._tags:
                return piece[:at]
            at = piece.find(b".", at + 1)
        return b""

    def spelt(self, name: bytes) -> str:
        """A name of a metric or a label."""
        if not self._translate:
            return munge(name).decode("ascii")
        text = _NOT_IN_NAMES.sub(b"_", name).decode("ascii").lower()
        return f"_{text}" if text[:1].isdigit() else text


def head(key: Key, event: bool) -> str:
    """What stands before the value: `name{label="value"}`. A name that is more than letters, digits and underscores is
    in quotes between the braces, as Prometheus has had it since its version 3."""
    words = [f'{name if _PLAIN.fullmatch(name) else quoted(name)}={quoted(value)}' for name, value in key.labels]
    if event:
        words.append(f'{COUNTER}="1"')
    if not _PLAIN.fullmatch(key.name):
        return f'{{{",".join((quoted(key.name), *words))}}}'
    return f'{key.name}{{{",".join(words)}}}' if words else key.name


def type_line(name: str, kind: str) -> str:
    """The line that says what a metric is."""
    return f"# TYPE {name if _PLAIN.fullmatch(name) else quoted(name)} {kind}\n"


def quoted(text: str) -> str:
    """A text as label values are."""
    return f'"{text.translate(_ESCAPES)}"'


def tag_names(settings: Settings[str, Any]) -> list[str]:
    """The names of the setting tagnames-path, one a line. SettingsError when its file cannot be read, or is too
    much."""
    path: Path | None = settings["tagnames-path"]
    if path is None:
        return []
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        found = list(dict.fromkeys(filter(None, map(str.strip, data.decode().split("\n")))))
    except OSError as error:
        raise SettingsError([f"tagnames-path: {path} cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise SettingsError([f"tagnames-path: {path} is no text in UTF-8"]) from error
    if len(data) > MOST_BYTES or len(found) > MOST_TAGS:
        raise SettingsError([f"tagnames-path: {path} has more than {MOST_TAGS} names, or {MOST_BYTES} bytes"])
    if Mapping().spelt(COUNTER.encode()) in map(Mapping().spelt, (tag.encode() for tag in found)):
        raise SettingsError([f"tagnames-path: {path} names {COUNTER!r}, which is the label of event counters: take it "
                             "out"])
    return found
