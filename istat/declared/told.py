"""Declarations of metrics that are to be told on, by name: the last line of each. Bounded: what is new and finds no
room is not taken, so that nobody pushes out what others have declared.

Knows no targets. What the line means is looked at by the server that it goes to, but for its name and its length.
"""

from __future__ import annotations

from collections.abc import Iterable

from istat.declared.lines import BEGINS, MOST_NAME, MOST_TEXT

# As many as a server keeps: 10,000 lines of 200 bytes are 3 MB, hostile ones 7 MB.
MOST_NAMES = 10_000


class Told:
    """The last line of each metric."""

    def __init__(self) -> None:
        self._lines: dict[bytes, bytes] = {}
        self.refused = 0        # lines that were no declaration, or found no room

    def names(self) -> list[bytes]:
        """The names that are declared, as the lines have them."""
        return list(self._lines)

    def text(self, names: Iterable[bytes]) -> bytes:
        """The lines of these names."""
        return b"".join(self._lines.get(name, b"") for name in names)

    def drop(self, name: bytes) -> None:
        """Nobody declares it any more."""
        self._lines.pop(name, None)

    def take(self, lines: Iterable[bytes], most: int = MOST_NAMES) -> list[bytes]:
        """Remember lines `#metric NAME JSON`; the names of those that are new or say something else. `most`: names in
        all beyond which those are refused that are new."""
        news = []
        for line in lines:
            text = line[len(BEGINS):].strip()
            name, blank, _ = text.partition(b" ")
            if not blank or len(text) > MOST_TEXT or len(name) > MOST_NAME or (
                    name not in self._lines and len(self._lines) >= most):
                self.refused += 1
                continue
            whole = BEGINS + text + b"\n"
            if self._lines.get(name) != whole:
                self._lines[name] = whole
                news.append(name)
        return news


def parted(text: bytes) -> tuple[list[bytes], bytes]:
    """(the declarations among lines `#key value`, the other lines)."""
    if BEGINS not in text:
        return [], text
    lines = [line + b"\n" for line in text.removesuffix(b"\n").split(b"\n")]     # a line may have a CR in it
    return ([line for line in lines if line.startswith(BEGINS)],
            b"".join(line for line in lines if not line.startswith(BEGINS)))
