"""Names to dense ids and back, and search over them. Knows nothing of counters, routes or samples.

This module is the specification; `native/names.pyx` is the fast build of it and the same tests run on both.
"""
from __future__ import annotations

import re

_ALL = 0xFFFFFFFF


class NameTable:
    """Names in the order of their ids: 0, 1, 2, ... An id is never reused."""

    def __init__(self, key: int = 0) -> None:
        self._names: list[bytes] = []
        self._ids: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._names)

    def find(self, name: bytes) -> int:
        """The id of a name, or -1."""
        return self._ids.get(name, -1)

    def add(self, name: bytes) -> int:
        """The id of a name, made now if it is new: the next dense integer."""
        index = self._ids.setdefault(name, len(self._names))
        if index == len(self._names):
            self._names.append(name)
        return index

    def name(self, index: int) -> bytes:
        """The name of an id."""
        if not 0 <= index < len(self._names):
            raise IndexError(f"no name has the id {index}")
        return self._names[index]

    def memory(self) -> int:
        """Bytes held, roughly: what CPython needs for a name in a list and a dict."""
        return sum(map(len, self._names)) + 150 * len(self._names)

    def match(self, pattern: bytes, first: int = 0, names: int = _ALL, limit: int = -1) -> list[int]:
        """Ids from `first`, over at most `names` names, whose whole name fits the pattern; at most `limit`.

        `*` is any run of characters, `?` any run of characters but dots.
        """
        if not pattern:
            return []
        parts = {b"*": b".*", b"?": b"[^.]*"}
        regex = re.compile(
            b"".join(parts.get(bytes([c]), re.escape(bytes([c]))) for c in pattern), re.DOTALL)
        return self._where(lambda name: regex.fullmatch(name) is not None, first, names, limit)

    def search(self, words: list[bytes], first: int = 0, names: int = _ALL, limit: int = -1) -> list[int]:
        """Ids from `first`, over at most `names` names, that contain every word; at most `limit`."""
        return self._where(lambda name: all(word in name for word in words), first, names, limit)

    def _where(self, wanted: object, first: int, names: int, limit: int) -> list[int]:
        found: list[int] = []
        for index in range(first, min(first + names, len(self._names))):
            if wanted(self._names[index]):  # type: ignore[operator]
                found.append(index)
                if len(found) == limit:
                    break
        return found

    def children(self, prefix: bytes, limit: int = -1) -> list[tuple[bytes, int, bool]]:
        """[(label, id of the name that ends there or -1, whether longer names follow)] below a dotted prefix.

        The empty prefix gives the first labels of all names. In order of first appearance.
        """
        stem = prefix + b"." if prefix else b""
        labels: dict[bytes, tuple[int, bool]] = {}
        for index, name in enumerate(self._names):
            if not name.startswith(stem):
                continue
            label, dot, _ = name[len(stem):].partition(b".")
            if label not in labels and len(labels) == limit:
                continue
            found, deeper = labels.get(label, (-1, False))
            labels[label] = (found, True) if dot else (index, deeper)
        return [(label, index, deeper) for label, (index, deeper) in labels.items()]
