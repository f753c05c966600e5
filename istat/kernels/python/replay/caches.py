"""What all policies have in common: references are replayed in caches of one size, each begun empty. The specification.

A page is a number from 0 on. `Cache.replay` takes all references, one after the other, and the positions where a new
cache begins: one for all files, or one for each. It gives a byte for each reference, 1 where it missed.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Sizes that come out of a log end here: memory is 40 bytes a page and 9 a reference at most.
MOST_PAGES = 1 << 27
MOST_REFERENCES = 1 << 28
MOST_FRAMES = 1 << 40


def check(references: Sequence[int], bounds: Sequence[int], pages: int) -> None:
    """ValueError when a page is none of `pages`, or the bounds do not ascend from 0 to the number of references."""
    if not 0 <= pages <= MOST_PAGES or len(references) > MOST_REFERENCES:
        raise ValueError(f"at most {MOST_PAGES} pages and {MOST_REFERENCES} references can be replayed")
    if not bounds or bounds[0] != 0 or bounds[-1] != len(references) or any(a > b for a, b in zip(bounds, bounds[1:])):
        raise ValueError("the bounds do not ascend from 0 to the number of references")
    if references and not 0 <= min(references) <= max(references) < pages:
        raise ValueError(f"a page is none of the {pages}")


class Cache:
    """Frames for pages. A policy says in `refer` what becomes of them, and in `begin` how an empty cache looks."""

    def __init__(self, pages: int, frames: int) -> None:
        """pages: how many there are. frames: how many fit, 1 or more. ValueError when it is none, or too many."""
        if not 0 <= pages <= MOST_PAGES or not 1 <= frames <= MOST_FRAMES:
            raise ValueError(f"a cache has 1 to {MOST_FRAMES} frames and at most {MOST_PAGES} pages")
        self.pages, self.frames = pages, frames

    def replay(self, references: Sequence[int], bounds: Sequence[int]) -> bytearray:
        """A byte for each reference: 1 where it missed. A new cache begins at each of the bounds but the last, which is
        the number of references."""
        check(references, bounds, self.pages)
        missed = bytearray()
        for start, end in zip(bounds, bounds[1:]):
            self.begin(references[start:end])
            missed += bytes(self.refer(page) for page in references[start:end])
        return missed

    def begin(self, references: Sequence[int]) -> None:
        """Empty it. `references`: all that will come."""
        raise NotImplementedError

    def refer(self, page: int) -> bool:
        """Take one reference, and say whether it missed. The page is in the cache then."""
        raise NotImplementedError
