"""How many files fit, and what happens beyond."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import LayoutError, UsageError
from istat.pagecache import layouts
from istat.pagecache.model import fitting, ourstore, unadvised
from istat.pagecache.model.fitting import Cache, Fleet
from istat.pagecache.model.overheads import OVERHEADS
from istat.pagecache.model.workload import Workload, of_layout

GIB = 1 << 30
LAYOUT = layouts.parse("mrtg")[0]
MRTG = of_layout(LAYOUT)
SIZING = Path(__file__).parents[4] / "docs/sizing.md"


def test_files_that_fit() -> None:
    assert OVERHEADS["none"].files(10 * GIB, 8) == 327_680
    assert OVERHEADS["ext4"].files(10 * GIB, 8) == 302_428
    assert OVERHEADS["none"].files(10 * GIB, 26) == 100_824
    assert OVERHEADS["ext4"].files(20 * GIB, 9) == 540_873


def test_the_knee_of_lru_is_where_the_papers_machine_had_it() -> None:
    found = fitting.knee(Cache(10 * GIB, model="lru", meta=2), MRTG, 250)
    assert 280_000 <= found <= 330_000
    assert found == 10 * GIB // 4096 // 9 + 1, "when nine pages do not fit any more"


@pytest.mark.parametrize("model", ["paper", "opt", "lru"])
@pytest.mark.parametrize("budget", [1.0, 50.0, 250.0, 5000.0])
def test_the_knee_is_the_first_number_above(model: str, budget: float) -> None:
    cache = Cache(GIB, OVERHEADS["ext4"], model)
    found = fitting.knee(cache, MRTG, budget)
    above, below = (cache.rate(Fleet(MRTG, n), cache.each(Fleet(MRTG, n))) for n in (found, found - 1))
    assert below <= budget < above


@given(st.lists(st.sampled_from((1, 2, 3, 7, 24, 100)), min_size=1, max_size=12), st.integers(0, 40),
       st.integers(1 << 12, 1 << 34), st.floats(0.01, 1e6), st.sampled_from(("paper", "opt", "lru")), st.integers(0, 2))
def test_the_knee_of_any_rings(every: list[int], pages: int, memory: int, budget: float, model: str,
                               meta: int) -> None:
    """At it the budget is passed, before it nowhere that was tried; and what is wanted keeps it."""
    work = Workload(tuple(every), pages=pages)
    cache = Cache(memory, OVERHEADS["ext4"], model, meta)
    found = fitting.knee(cache, work, budget)
    assert cache.rate(Fleet(work, found), cache.each(Fleet(work, found))) > budget
    for count in {max(1, found * part // 16) for part in range(1, 16)} - {found}:
        assert cache.rate(Fleet(work, count), cache.each(Fleet(work, count))) <= budget
    wanted = fitting.pages_wanted(cache, Fleet(work, found), budget)
    assert wanted is None or cache.rate(Fleet(work, found), wanted) < budget


# files -> (whole pages a file, page-ins a second with advice), of a replay at 10 GiB.
STORY = {100_824: (26, 0), 160_000: (16, 3), 240_000: (10, 28), 320_000: (8, 289), 400_000: (6, 1420),
         480_000: (5, 2195)}


@pytest.mark.parametrize("files", STORY)
def test_the_papers_story(files: int) -> None:
    """The formula, within 20 % of a replay, or a few a second."""
    cache = Cache(10 * GIB, model="lru", meta=2)
    fleet = Fleet(MRTG, files)
    pages, page_ins = STORY[files]
    assert cache.each(fleet) == pages
    assert cache.rate(fleet, pages) == pytest.approx(page_ins, rel=0.2, abs=6)


def test_pages_that_are_wanted() -> None:
    cache = Cache(0, model="lru")
    assert fitting.pages_wanted(cache, Fleet(MRTG, 320_000), 50) == 7
    assert fitting.pages_wanted(cache, Fleet(MRTG, 320_000), 35) == 8
    assert fitting.pages_wanted(cache, Fleet(MRTG, 320_000), 20) == 9
    assert fitting.pages_wanted(cache, Fleet(MRTG, 320_000), 1) == 26
    assert fitting.pages_wanted(cache, Fleet(MRTG, 1000), 1e9) == 0
    assert fitting.pages_wanted(cache, Fleet(MRTG, 1000), 0) is None


def test_one_fleet_shares_with_nobody() -> None:
    for files in (1000, 50_000, 100_000, 160_000, 320_000, 480_000, 5_000_000):
        for overhead in OVERHEADS.values():
            cache = Cache(10 * GIB, overhead)
            fleet = Fleet(MRTG, files)
            assert fitting.shared(cache, [fleet]) == [cache.each(fleet)]


def test_what_is_written_more_often_is_kept_first() -> None:
    fast, slow = (of_layout(one) for one in layouts.parse("statfile:10s:10d,1h:1y"))
    fleets = [Fleet(slow, 1000), Fleet(fast, 1000)]
    assert fitting.shared(Cache(2 * 1000 * 4096), fleets) == [0, 2]
    assert fitting.shared(Cache(3 * 1000 * 4096), fleets) == [1, 2]
    assert fitting.total(Cache(2 * 1000 * 4096, model="opt"), fleets) == pytest.approx(
        1000 * (2 + slow.boundary) / 3600 + 1000 * fast.boundary / 10)


def test_how_far_a_mix_can_grow() -> None:
    cache = Cache(10 * GIB, model="lru", meta=2)
    alone = fitting.growth(cache, [Fleet(MRTG, 100_000)], 250)
    assert alone * 100_000 == pytest.approx(fitting.knee(cache, MRTG, 250), rel=2e-4)
    both = fitting.growth(cache, [Fleet(MRTG, 50_000), Fleet(MRTG, 50_000)], 250)
    assert both == pytest.approx(alone, rel=0.02)
    assert fitting.growth(cache, [Fleet(MRTG, 1_000_000)], 250) < 1


def test_a_budget_that_nothing_reaches_is_told() -> None:
    with pytest.raises(UsageError, match="no number of files"):
        fitting.knee(Cache(GIB), MRTG, 1e300)


def test_without_advice_an_update_brings_the_whole_file() -> None:
    """What was measured of mapped files of 26 pages at read_ahead_kb 16, 128 and 2560; 12 of a larger one at 16."""
    found = [unadvised.unadvised(LAYOUT, kb) for kb in (16, 128, 2560)]
    assert [round(one.pages) for one in found] == [8, 26, 26]
    assert found[1].held == 26 and OVERHEADS["none"].files(10 * GIB, found[1].held) == 100_824
    large = layouts.parse("rrd:2:AVERAGE/1/105120,AVERAGE/6/800,AVERAGE/24/800,AVERAGE/288/800,"
                          "MAX/1/800,MAX/6/800,MAX/24/800,MAX/288/800")[0]
    assert unadvised.unadvised(large, 128).pages < large.pages()
    assert unadvised.unadvised(LAYOUT, 0).pages == pytest.approx(3, abs=0.2), "the header and two rows"


def test_dirty_pages_of_each_time_of_day() -> None:
    assert unadvised.dirtied(LAYOUT) == pytest.approx([2.9, 2.9, 4.9, 6.9, 8.8], abs=0.06)


def test_files_of_thousands_of_rings_take_no_time() -> None:
    many = layouts.parse("rrd:1:" + ",".join(f"AVERAGE/{n}/10" for n in range(1, 2000)))[0]
    assert unadvised.dirtied(many)[0] == many.pages()
    assert unadvised.unadvised(many, 128).held == many.pages()


def test_our_own_store_is_sized_as_the_page_about_sizes_says() -> None:
    page = SIZING.read_text()
    for counters, text in ((100_000, "72 MB"), (1_000_000, "630 MB")):
        [row] = re.findall(rf"^\| {counters:,} .*$", page, re.MULTILINE)
        said = float(text.split()[0])
        assert f"| {text} |" in row
        assert ourstore.store("store", counters).memory / 1e6 == pytest.approx(said, rel=0.01)
    million = ourstore.store("store", 1_000_000)
    assert "comes to 0.93 MB" in page and million.counter_bytes == pytest.approx(0.93e6, rel=0.01)
    assert "| 1.5 MB/s |" in page and million.written == pytest.approx(1.5e6)
    assert f"500 to {ourstore.EACH} bytes" in page
    rows = f"{ourstore.FINE_ROW} bytes each at 10 s, {ourstore.COARSE_ROW} at 5 m and {ourstore.HOURLY_ROW} at 1 h"
    assert f"about {rows}" in page


def test_counters_that_fit_into_memory() -> None:
    assert ourstore.counters_that_fit(ourstore.store("store", 1_000_000).memory) == 1_000_000
    assert ourstore.counters_that_fit(1000) == 0
    short, long = (ourstore.store(text, 1000).disk for text in ("store:10s:1d", "store:10s:10d"))
    assert long == pytest.approx(10 * short, rel=1e-3)
    with pytest.raises(LayoutError):
        ourstore.store("mrtg", 1)
