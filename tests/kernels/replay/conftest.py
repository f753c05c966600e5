"""What the tests of replay share: all policies by name, and a log of the paper's file."""

from __future__ import annotations

from array import array

import pytest

POLICIES = ["Arc", "Clock", "Fifo", "Generations", "Lirs", "Lru", "Opt", "S3Fifo", "TwoLists", "TwoQueues"]
#: RRA by RRA: updates a row; rows of 16 bytes follow a header of 2912 (docs/formats of rrdtool; the file of MRTG).
EVERY = (1, 6, 24, 288) * 2


@pytest.fixture(scope="session")
def paper_pages() -> array[int]:
    """Pages of 8,640 updates of one file whose pointers start at 0: what buffer caches see of 30 days of MRTG."""
    found = array("i")
    for update in range(1, 8641):
        rows = ((2912 + 16 * (800 * number + update // every % 800)) // 4096
                for number, every in enumerate(EVERY) if update % every == 0)
        found.extend(sorted({0, *rows}))
    return found


@pytest.fixture(scope="session")
def paper_pages_with_meta(paper_pages: array[int]) -> array[int]:
    """The same with the inode (page 0 here) and the indirect block (1) before each update's; pages move by 2."""
    found = array("i")
    for page in paper_pages:
        found.extend([0, 1, 2] if page == 0 else [page + 2])
    return found
