"""What is held in memory of namespaces, up to so many bytes: the least lately used goes first. Knows no files.

Of a namespace that has no file nothing is held, so that whoever asks for names that are none leaves no trace.
"""
from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from istat_server.keyvalue.contents import Past, Present


@dataclass
class _Entry:
    present: Present | None = None
    past: Past | None = None

    @property
    def size(self) -> int:
        return sum(one.stamp.size for one in (self.present, self.past) if one and one.stamp)


class Held:
    """Values and versions by namespace."""

    def __init__(self, most: int) -> None:
        """most: bytes of the files that these were read from."""
        self._most = most
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def names(self) -> list[str]:
        """Of which something is held."""
        return [*self._entries]

    def present(self, name: str) -> Present | None:
        """The values that were kept last."""
        return self._used(name).present

    def past(self, name: str) -> Past | None:
        """The versions that were kept last."""
        return self._used(name).past

    def _used(self, name: str) -> _Entry:
        if name not in self._entries:
            return _Entry()
        self._entries.move_to_end(name)
        return self._entries[name]

    def keep_present(self, name: str, present: Present) -> None:
        """Hold values."""
        self._keep(name, _Entry(present if present.stamp else None, self._used(name).past))

    def keep_past(self, name: str, past: Past) -> None:
        """Hold versions."""
        self._keep(name, _Entry(self._used(name).present, past if past.stamp else None))

    def _keep(self, name: str, entry: _Entry) -> None:
        if entry == _Entry():
            self.forget(name)
            return
        self._entries[name] = entry
        self._entries.move_to_end(name)
        size = sum(one.size for one in self._entries.values())
        while size > self._most and len(self._entries) > 1:
            size -= self._entries.popitem(last=False)[1].size

    def forget(self, name: str) -> None:
        """Hold nothing of a namespace."""
        self._entries.pop(name, None)

    def forget_past(self, name: str) -> None:
        """Hold its values only."""
        self._keep(name, _Entry(self._used(name).present))
