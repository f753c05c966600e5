"""What many files are like together."""
from __future__ import annotations

import pytest

from istat.pagecache.fleets.distribution import ByPage, Histogram, Totals
from istat.pagecache.residency import Residency, refused, special
from istat.pagecache.syscalls import PAGE

UNKNOWN = Residency(26 * PAGE, 26, None, None, None, None, None, None, "unknown(permission)", None)


def cached(*ranges, pages=26, state="ok"):
    resident = sum(last - first + 1 for first, last in ranges)
    return Residency(pages * PAGE, pages, resident, 1, 0, 0, 0, ranges, state, "cachestat")


def test_totals_keep_what_is_unknown_apart():
    totals = Totals()
    for one in (cached((0, 2)), cached((0, 0)), UNKNOWN, special(), refused(OSError(13, "Permission denied")),
                cached(pages=0, state="empty"), cached((5, 5), state="changed")):
        totals.add(one)
    assert (totals.files, totals.known, totals.unknown, totals.failed, totals.special) == (7, 4, 1, 1, 1)
    assert (totals.empty, totals.changed) == (1, 1)
    assert (totals.pages, totals.resident, totals.dirty) == (78, 5, 4)
    assert totals.resident_bytes == 5 * PAGE
    assert totals.share == pytest.approx(5 / 78)


def test_what_mincore_does_not_tell_is_no_zero():
    totals = Totals()
    totals.add(Residency(PAGE, 1, 1, None, None, None, None, None, "ok", "mincore"))
    assert (totals.resident, totals.dirty, totals.evicted) == (1, None, None)
    assert Totals().share is None


def test_the_histogram_counts_files_by_their_pages():
    histogram = Histogram()
    for one in [cached((0, 2))] * 6 + [cached((0, 1))] * 3 + [cached()] + [UNKNOWN]:
        histogram.add(one)
    assert list(histogram.buckets()) == [(0, 1, 0.1, 0.1), (2, 3, 0.3, 0.4), (3, 6, 0.6, 1.0)]
    assert list(Histogram().buckets()) == []


def test_each_page_has_the_share_of_files_that_have_it():
    pages = ByPage()
    for one in (cached((0, 2)), cached((0, 0), (3, 3)), cached((0, 0), pages=3), UNKNOWN):
        pages.add(one)
    assert list(pages.shares()) == [(0, 0, 3, 3), (1, 2, 1, 3), (3, 3, 1, 2), (4, 25, 0, 2)]
    assert next(pages.shares()).share == 1.0


def test_pages_where_nothing_changes_are_one_row():
    pages = ByPage()
    for one in (cached((0, 9)), cached((10, 25))):
        pages.add(one)
    assert list(pages.shares()) == [(0, 25, 1, 2)]
    assert list(ByPage().shares()) == []
