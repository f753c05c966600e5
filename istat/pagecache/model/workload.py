"""What the formulas want to know of a file: which rings it has, how long their rows are, how often they are written.

The paper's symbols: x_1 < ... < x_n are the distinct steps of rings (`levels`), c_i how many rings have x_i (`rings`),
B bytes a row, S bytes a page, u = S/B rows a page, T seconds from one update to the next, p pages of memory for a file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from istat.errors import LayoutError
from istat.pagecache.layouts import PAGE, Layout


@dataclass(frozen=True)
class Workload:
    """Updates of one file. `every`: of each ring, in the file's order, one row each so many updates.

    `pages`: of the whole file, 0 when that is not known; `header`: pages that each update touches besides the rings'.
    """

    every: tuple[int, ...]
    row_bytes: int = 16
    page_size: int = PAGE
    interval: float = 300.0     # seconds
    pages: int = 0
    header: int = 1

    def __post_init__(self) -> None:
        if not self.every or min(self.every) < 1 or not 1 <= self.row_bytes <= self.page_size or self.interval <= 0 \
                or self.header < 1:
            raise LayoutError("a workload has rings that are written each 1 or more updates, rows of 1 byte to a page, "
                              "and an interval above 0")

    @property
    def levels(self) -> tuple[int, ...]:
        """x: the distinct steps, ascending; 1 is among them even if no ring is written each time, for the header is."""
        return tuple(sorted({1, *self.every}))

    @property
    def rings(self) -> tuple[int, ...]:
        """c: how many rings each level has."""
        return tuple(self.every.count(step) for step in self.levels)

    @property
    def rows_a_page(self) -> float:
        """u."""
        return self.page_size / self.row_bytes

    @property
    def touched(self) -> float:
        """Pages that an update touches, in the mean."""
        return self.header + sum(1 / step for step in self.every)

    @property
    def boundary(self) -> float:
        """Faults an update that no memory but the whole file's saves: a ring comes to a page that it has not written
        for a whole round. Sum of c_i / (u x_i)."""
        return sum(1 / (self.rows_a_page * step) for step in self.every)

    def crossing(self, due: int) -> float:
        """Faults of that kind at an update at which so many rings are due."""
        return due / self.rows_a_page

    def coalesced(self, updates: int) -> Workload:
        """The same file, when so many updates are kept and written at once: what is an update then is a batch. A ring
        that is due in some batches only (of step 24, in two of three batches of 16) counts as in all."""
        return replace(self, every=tuple(max(1, step // updates) for step in self.every),
                       interval=self.interval * updates)


def of_layout(layout: Layout, page_size: int = PAGE) -> Workload:
    """What there is to know of a file of this layout. LayoutError when it has no rings."""
    return Workload(tuple(ring.every for ring in layout.rings),
                    max((ring.row_bytes for ring in layout.rings), default=1), page_size, float(layout.interval),
                    layout.pages(page_size), max(1, -(-layout.touched_header // page_size)))
