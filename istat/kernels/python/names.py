"""Names to dense ids and back. Knows nothing of counters, routes, samples or search.

This module is the specification; `native/names.pyx` is the fast build of it and the same tests run on both. How
much memory a name takes, and when it is given back, is each build's own business.
"""
from __future__ import annotations

NAME_ROOM = 0xFFFF      # [bytes] longest name


class NameTable:
    """Names in the order of their ids: 0, 1, 2, ... An id is never reused, even when it is
    unlisted: when its name does not lead to it any more.

    `share` is a table that may hold the same text already; it only saves memory. `moved` lists the ids that have
    another name than their first one.
    """

    def __init__(self, key: int = 0, share: NameTable | None = None) -> None:
        self._names: list[bytes] = []
        self._ids: dict[bytes, int] = {}
        self._unlisted: set[int] = set()
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

    def add_unlisted(self, text: bytes = b"") -> int:
        """The next id, unlisted; `text` is the name that it tells."""
        self._names.append(text)
        self._unlisted.add(len(self._names) - 1)
        return len(self._names) - 1

    def name(self, index: int) -> bytes:
        """The name of an id; of an unlisted one, the name that it had."""
        if not 0 <= index < len(self._names):
            raise IndexError(f"no name has the id {index}")
        return self._names[index]

    def unlist(self, index: int) -> None:
        """Take an id off the list: its name is found no more, and may be given to another id; the id still tells it.
        ValueError when it is not listed."""
        if not self.has(index):
            raise ValueError(f"the id {index} has no name here")
        del self._ids[self._names[index]]
        self._unlisted.add(index)

    def relist(self, index: int, name: bytes) -> None:
        """List an unlisted id under this name. ValueError when it is listed or gone, or another id has the name."""
        if index not in self._unlisted or index in self._gone or name in self._ids or len(name) > NAME_ROOM:
            raise ValueError(f"the id {index} cannot be called {name!r}")
        self._unlisted.remove(index)
        if name != self._names[index] and index not in self.moved:
            self.moved.append(index)
        self._names[index] = name
        self._ids[name] = index

    def set_gone(self, index: int) -> None:
        """An unlisted id is gone: segments made from now on are without it.

        ValueError when it is listed.
        """
        if index not in self._unlisted:
            raise ValueError(f"the id {index} is listed")
        self._gone.add(index)

    def gone_among(self, first: int, stop: int) -> set[int]:
        """Those ids from `first` to before `stop` that are gone."""
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
        """Whether an id is listed: its name leads to it."""
        return 0 <= index < len(self._names) and index not in self._unlisted

    def count(self) -> int:
        """How many names there are; `len` is how many ids were given."""
        return len(self._ids)

    def memory(self) -> int:
        """Bytes held, roughly: what CPython needs for a name in a list and a dict."""
        return sum(map(len, self._names)) + 150 * len(self._names)
