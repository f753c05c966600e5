"""Heat maps of files, as grids of cells."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import IstatError
from istat.pagecache import ranges
from istat.pagecache.fleets.heatmap import HeatMap
from istat.pagecache.residency import Residency, special
from istat.pagecache.syscalls import PAGE
from istat.pictures.grids import FULL, MARKED, UNKNOWN, VOID, shade


def cached(pages, resident, dirty=()):
    return Residency(pages * PAGE, pages, len(resident), 0, 0, 0, 0, ranges.of_pages(resident), "ok", "cachestat",
                     ranges.of_pages(dirty))


def drawn(*files, **options):
    shown = HeatMap()
    for number, file in enumerate(files):
        shown.add(f"f{number}", file)
    return shown.grid(**options)


def test_a_row_a_file_and_a_column_a_page():
    unknown = Residency(2 * PAGE, 2, None, None, None, None, None, None, "unknown(permission)", None)
    made = drawn(cached(4, {0, 2}, {2}), cached(2, {1}), unknown, special())
    assert [list(row) for row in made.rows] == [
        [FULL, 0, MARKED + FULL, 0], [0, FULL, VOID, VOID], [UNKNOWN, UNKNOWN, VOID, VOID]]
    assert list(made.labels) == ["f0", "f1", "f2"]
    assert [words for _, words in made.legend] == ["not in memory", "in memory", "dirty", "unknown"]
    assert (made.columns, made.across) == (4, "page")


def test_files_share_rows_and_pages_share_columns():
    made = drawn(*[cached(10, {0, 1, 2})] * 4, cached(4, set()), rows=2, columns=3)
    assert (made.columns, made.per_column, len(made.rows)) == (3, 4, 2)
    assert list(made.labels) == ["f0 +1", "f2 +2"]
    assert list(made.rows[0]) == [shade(3 / 4), 0, 0]
    assert list(made.rows[1]) == [shade(6 / 12), 0, 0]
    assert [words for _, words in made.legend] == ["not in memory", "part of it"]


@given(st.lists(st.tuples(st.integers(1, 40), st.sets(st.integers(0, 39))), min_size=1, max_size=6),
       st.integers(1, 5), st.integers(1, 12))
def test_each_cell_is_the_share_of_its_pages(files, rows, columns):
    files = [(pages, {page for page in resident if page < pages}) for pages, resident in files]
    made = drawn(*(cached(*one) for one in files), rows=rows, columns=columns)
    assert len(made.rows) <= rows and made.columns <= columns
    many = len(made.rows)
    for row, cells in enumerate(made.rows):
        group = files[row * len(files) // many:(row + 1) * len(files) // many]
        for column, cell in enumerate(cells):
            places = range(column * int(made.per_column), (column + 1) * int(made.per_column))
            there = [(page in resident) for pages, resident in group for page in places if page < pages]
            assert cell == (shade(sum(there) / len(there)) if there else VOID)


def test_what_has_no_page_cannot_be_drawn():
    for files in ((), (special(),), (cached(0, set()),)):
        with pytest.raises(IstatError, match="no page to draw"):
            drawn(*files)
