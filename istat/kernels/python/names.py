"""Names to dense ids and back, and search over them. Knows nothing of counters, routes or samples.

This module is the specification; `native/names.pyx` is the fast build of it and the same tests run on both.
"""
from __future__ import annotations

import re
from collections.abc import Callable

_ALL = 0xFFFFFFFF
NAME_ROOM = 0xFFFF      # [bytes] longest name


# Wildcards that the backtracking of `re` may have to try against each other: time is length ** FEW_RUNS.
FEW_RUNS = 2
_RUNS = re.compile(rb"[*?]+")


def _one_sign_a_run(pattern: bytes) -> bytes:
    """The pattern with `*` or `?` in place of several in a row, which means the same."""
    return _RUNS.sub(lambda run: b"*" if b"*" in run[0] else b"?", pattern)


def _many_runs(pattern: bytes) -> Callable[[bytes], bool]:
    """A matcher whose time is the name's length, whatever the pattern: bit k is the place before sign k."""
    stays = {b"*"[0]: 0, b"?"[0]: 0}
    literals: dict[int, int] = {}
    pattern = _one_sign_a_run(pattern)
    for place, sign in enumerate(pattern):
        signs = stays if sign in stays else literals
        signs[sign] = signs.get(sign, 0) | 1 << place
    stars, runs = stays[b"*"[0]], stays[b"*"[0]] | stays[b"?"[0]]

    def fits(name: bytes) -> bool:
        places = 1 | (1 & runs) << 1
        for sign in name:
            places = places & (stars if sign == b"."[0] else runs) | (places & literals.get(sign, 0)) << 1
            places |= (places & runs) << 1
        return bool(places >> len(pattern))

    return fits


class NameTable:
    """Names in the order of their ids: 0, 1, 2, ... An id is never reused, even when its name is taken away.

    `share` is a table that may hold the same text already; it only saves memory. `moved` lists the ids that have
    another name than their first one.
    """

    def __init__(self, key: int = 0, share: NameTable | None = None) -> None:
        self._names: list[bytes] = []
        self._ids: dict[bytes, int] = {}
        self._away: set[int] = set()
        self._gone: set[int] = set()
        self._forgotten: set[int] = set()
        self.skipped: set[int] = set()      # gone, and the last segment over them was made without them
        self.moved: list[int] = []

    def __len__(self) -> int:
        return len(self._names)

    def find(self, name: bytes) -> int:
        """The id of a name, or -1."""
        return self._ids.get(name, -1)

    def add(self, name: bytes) -> int:
        """The id of a name, made now if it is new: the next dense integer. ValueError beyond 65,535 bytes."""
        if len(name) > NAME_ROOM:
            raise ValueError(f"a name has at most {NAME_ROOM} bytes")
        index = self._ids.setdefault(name, len(self._names))
        if index == len(self._names):
            self._names.append(name)
        return index

    def add_nameless(self, text: bytes = b"") -> int:
        """The next id, without a name in the table; `text` is what it tells."""
        self._names.append(text)
        self._away.add(len(self._names) - 1)
        return len(self._names) - 1

    def name(self, index: int) -> bytes:
        """The name of an id; of one that was taken away, the name that it had."""
        if not 0 <= index < len(self._names):
            raise IndexError(f"no name has the id {index}")
        return self._names[index]

    def remove(self, index: int) -> None:
        """Take a name away: it is found no more, and may be given to another id; the id still tells it. ValueError
        when the id has none here."""
        if not self.has(index):
            raise ValueError(f"the id {index} has no name here")
        del self._ids[self._names[index]]
        self._away.add(index)

    def put_back(self, index: int, name: bytes) -> None:
        """Give an id without a name this one. ValueError when it has one, or when another has it."""
        if index not in self._away or index in self._gone or name in self._ids or len(name) > NAME_ROOM:
            raise ValueError(f"the id {index} cannot be called {name!r}")
        self._away.remove(index)
        if name != self._names[index] and index not in self.moved:
            self.moved.append(index)
        self._names[index] = name
        self._ids[name] = index

    def set_gone(self, index: int) -> None:
        """An id whose name was taken away is gone for good: segments made from now on are without it.

        ValueError when it has its name.
        """
        if index not in self._away:
            raise ValueError(f"the id {index} has its name")
        self._gone.add(index)

    def gone_among(self, first: int, stop: int) -> set[int]:
        """Those ids from `first` to before `stop` that are gone for good."""
        return self._gone.intersection(range(first, stop))

    def forget_skipped(self, first: int, count: int) -> int:
        """Let go of the texts of those of these ids that are gone, and that the last segment was made without.

        How many; they tell an empty name from now on.
        """
        found = self.skipped.intersection(range(first, first + count)) - self._forgotten
        for index in found:
            self._names[index] = b""
        self._forgotten |= found
        return len(found)

    def has(self, index: int) -> bool:
        """Whether an id has its name here: it was not taken away."""
        return 0 <= index < len(self._names) and index not in self._away

    def count(self) -> int:
        """How many names there are; `len` is how many ids were given."""
        return len(self._ids)

    def memory(self) -> int:
        """Bytes held, roughly: what CPython needs for a name in a list and a dict."""
        return sum(map(len, self._names)) + 150 * len(self._names)

    def match(self, pattern: bytes, first: int = 0, names: int = _ALL, limit: int = -1) -> list[int]:
        """Ids from `first`, over at most `names` names, whose whole name fits the pattern; at most `limit`.

        `*` is any run of characters, `?` any run of characters but dots.
        """
        if not pattern:
            return []
        if len(_RUNS.findall(pattern)) > FEW_RUNS:
            fits = _many_runs(pattern)
            return self._where(lambda name: fits(name), first, names, limit)
        parts = {b"*": b".*", b"?": b"[^.]*"}
        regex = re.compile(
            b"".join(parts.get(bytes([c]), re.escape(bytes([c]))) for c in _one_sign_a_run(pattern)), re.DOTALL)
        return self._where(lambda name: regex.fullmatch(name) is not None, first, names, limit)

    def search(self, words: list[bytes], first: int = 0, names: int = _ALL, limit: int = -1) -> list[int]:
        """Ids from `first`, over at most `names` names, that contain every word; at most `limit`."""
        return self._where(lambda name: all(word in name for word in words), first, names, limit)

    def _where(self, wanted: Callable[[bytes], bool], first: int, names: int, limit: int) -> list[int]:
        found: list[int] = []
        for index in range(first, min(first + names, len(self._names))):
            if index not in self._away and wanted(self._names[index]):
                found.append(index)
                if len(found) == limit:
                    break
        return found

    def children(self, prefix: bytes, limit: int = -1, first: int = 0,
                 names: int = _ALL) -> list[tuple[bytes, int, bool]]:
        """[(label, id of the name that ends there or -1, whether longer names follow)] below a dotted prefix.

        Of the names from id `first`, at most `names` of them.
        The empty prefix gives the first labels of all names. In order of first appearance.
        """
        stem = prefix + b"." if prefix else b""
        labels: dict[bytes, tuple[int, bool]] = {}
        for index in range(first, min(first + names, len(self._names))):
            name = self._names[index]
            if index in self._away or not name.startswith(stem):
                continue
            label, dot, _ = name[len(stem):].partition(b".")
            if label not in labels and len(labels) == limit:
                continue
            found, deeper = labels.get(label, (-1, False))
            labels[label] = (found, True) if dot else (index, deeper)
        return [(label, index, deeper) for label, (index, deeper) in labels.items()]
