"""Sets of pages as ranges."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.pagecache import ranges

SETS = st.sets(st.integers(0, 60))


@given(SETS)
def test_ranges_are_the_pages_and_text_comes_back(pages):
    made = ranges.of_pages(pages)
    assert list(ranges.pages(made)) == sorted(pages)
    assert ranges.count(made) == len(pages)
    assert ranges.parse(ranges.text(made)) == made
    assert all(b[0] > a[1] + 1 for a, b in zip(made, made[1:]))


@given(SETS, SETS)
def test_difference_and_intersection_are_those_of_sets(pages, others):
    one, two = ranges.of_pages(pages), ranges.of_pages(others)
    assert ranges.without(one, two) == ranges.of_pages(pages - others)
    assert ranges.common(one, two) == ranges.of_pages(pages & others)


@given(SETS, st.integers(0, 60), st.integers(0, 60))
def test_clipped_keeps_what_is_inside(pages, first, last):
    kept = {page for page in pages if first <= page <= last}
    assert ranges.clipped(ranges.of_pages(pages), first, last) == ranges.of_pages(kept)


def test_text_is_as_fincore_prints_it():
    assert ranges.text(((0, 0), (3, 3), (14, 16))) == "0,3,14-16"
    assert ranges.text(()) == ""


@pytest.mark.parametrize("words", ["x", "1-", "-1", "5-3", "1,,2", " 1", "٣", "9" * 20])
def test_other_words_are_refused(words):
    with pytest.raises(ValueError):
        ranges.parse(words)
