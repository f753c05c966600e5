"""Which pages come in when an update reads the pages that it touches: rules of readahead, each begun by a freshly
opened file of which nothing is in memory. Knows no files.

Touched pages come ascending, page 0 first as a rule; what came in already is not read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

READ_AHEAD_KB = 128             # Linux' default; devices differ, and tell it in sysfs
#: Linux 2.6.9: the first read of a fresh file brings so many pages; each that is not the next one halves it [pages].
FIRST_WINDOW_2_6_9 = 16

Rule = Callable[[Sequence[int], int, int], set[int]]


def random(touched: Sequence[int], pages: int, ahead: int) -> set[int]:
    """With advice RANDOM: what is touched."""
    return set(touched)


def linux_2_6_9(touched: Sequence[int], pages: int, ahead: int) -> set[int]:
    """Linux 2.6.9, as the paper saw it: 16 pages from the first read on, 8 from the second, 4 from the third."""
    there: set[int] = set()
    window = FIRST_WINDOW_2_6_9
    for page in touched:
        if page not in there:
            there.update(range(page, min(pages, page + window)))
            window = max(1, window // 2)
    return there


def mmap_now(touched: Sequence[int], pages: int, ahead: int) -> set[int]:
    """A mapped file today (measured on 6.18): a fault brings `ahead` pages around its own."""
    there: set[int] = set()
    for page in touched:
        if page not in there:
            first = max(0, page - ahead // 2)
            there.update(range(first, max(page + 1, min(pages, first + ahead))))
    return there


def read_now(touched: Sequence[int], pages: int, ahead: int) -> set[int]:
    """A file that is read today (measured on 6.18): page 0 brings a first window with a marker behind its first page; a
    read at the marker brings the next window, twice as long, whose first page is the next marker. A lone read elsewhere
    brings its page."""
    there: set[int] = set()
    window, end, marker = 0, 0, -1
    for page in touched:
        if page == marker:
            window = min(ahead, 4 * window if window < ahead // 16 else 2 * window)
            there.update(range(end, min(pages, end + window)))
            marker, end = end, end + window
        elif page not in there and page == 0:
            window = end = _first_window(ahead)
            there.update(range(min(pages, window)))
            marker = 1
        there.add(page)
    return there


def _first_window(ahead: int) -> int:
    """Of a read of one page (get_init_ra_size of the kernel) [pages]."""
    if ahead >= 32:
        return 4
    return 2 if ahead >= 4 else max(1, ahead)


RULES: dict[str, Rule] = {"random": random, "linux-2.6.9": linux_2_6_9, "mmap-now": mmap_now, "read-now": read_now}
