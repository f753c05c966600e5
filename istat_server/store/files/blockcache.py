"""Blocks that were read and unpacked lately, of all files of a store together. Knows no files and no counters."""
from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from istat.kernels.python.blocks import BlockReader

Key = tuple[str, int]       # path of the file, offset of the block in it


class BlockCache:
    """At most `room` bytes of unpacked blocks, those least lately used leave first. Safe for many threads."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._held = 0
        self._lock = threading.Lock()
        self._blocks: OrderedDict[Key, tuple[BlockReader, int]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def get(self, key: Key) -> BlockReader | None:
        """The block, if it is here."""
        with self._lock:
            found = self._blocks.get(key)
            if found is None:
                self.misses += 1
                return None
            self.hits += 1
            self._blocks.move_to_end(key)
            return found[0]

    def __contains__(self, key: Key) -> bool:
        with self._lock:
            return key in self._blocks

    def put(self, key: Key, block: BlockReader, size: int) -> None:
        """Keep a block of `size` bytes."""
        with self._lock:
            before = self._blocks.pop(key, None)
            self._held += size - (before[1] if before else 0)
            self._blocks[key] = (block, size)
            while self._held > self._room and self._blocks:
                _key, (_block, gone) = self._blocks.popitem(last=False)
                self._held -= gone
