"""Policies: the exact misses of the paper's file, both builds the same bytes, hostile sizes refused."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from istat.kernels import Implementation, implementation
from tests.kernels.replay.conftest import POLICIES

FRAMES = range(3, 13)
#: Misses of one file, data pages only, at 3 to 12 frames.
EXACT = {
    "Lru": [9094, 6779, 2675, 1840, 457, 268, 159, 153, 126, 99],
    "Fifo": [8021, 7446, 2784, 2434, 528, 414, 266, 207, 184, 168],
    "Clock": [7749, 5203, 2265, 1379, 367, 208, 176, 165, 143, 121],
    "Opt": [4963, 2971, 1169, 647, 178, 136, 95, 79, 64, 50],
}
LRU_WITH_META = [46017, 43448, 11974, 9417, 3395, 2480, 517, 320, 161, 155]

logs = st.integers(1, 30).flatmap(lambda pages: st.tuples(
    st.just(pages), st.lists(st.integers(0, pages - 1), max_size=300), st.integers(1, 40)))


def whole(references: array[int]) -> array[int]:
    return array("q", [0, len(references)])


@pytest.mark.parametrize("policy", EXACT)
def test_misses_of_the_papers_file_are_exact(kernels: Implementation, paper_pages: array[int], policy: str) -> None:
    assert len(paper_pages) == 28737
    cache = getattr(kernels.replay, policy)
    found = [sum(cache(26, frames).replay(paper_pages, whole(paper_pages))) for frames in FRAMES]
    assert found == EXACT[policy]


def test_misses_with_inode_and_indirect_block_are_exact(kernels: Implementation,
                                                        paper_pages_with_meta: array[int]) -> None:
    log = paper_pages_with_meta
    assert len(log) == 46017
    depths = kernels.replay.depths(log, whole(log), 28)
    for frames, misses in zip(FRAMES, LRU_WITH_META):
        assert sum(depth == 0 or depth > frames for depth in depths) == misses
        assert sum(kernels.replay.Lru(28, frames).replay(log, whole(log))) == misses


@pytest.mark.parametrize("policy", POLICIES)
def test_no_policy_beats_opt_and_each_keeps_what_fits(kernels: Implementation, paper_pages: array[int],
                                                      policy: str) -> None:
    for frames, least in zip(FRAMES, EXACT["Opt"]):
        assert sum(getattr(kernels.replay, policy)(26, frames).replay(paper_pages, whole(paper_pages))) >= least
    assert sum(getattr(kernels.replay, policy)(26, 26).replay(paper_pages, whole(paper_pages))) == 19


@pytest.mark.parametrize("policy", POLICIES)
def test_each_bound_begins_an_empty_cache(kernels: Implementation, policy: str) -> None:
    cache = getattr(kernels.replay, policy)(3, 3)
    log = array("i", [0, 1, 0, 0, 1, 2, 0])
    assert list(cache.replay(log, array("q", [0, 3, 3, 7]))) == [1, 1, 0, 1, 1, 1, 0]
    assert list(cache.replay(log, array("q", [0, 7]))) == [1, 1, 0, 0, 0, 1, 0]     # nothing is left of the run before


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=120)
@given(log=logs, cuts=st.lists(st.integers(0, 300), max_size=3))
def test_both_builds_give_the_same_bytes(native: Implementation, policy: str, log: tuple[int, list[int], int],
                                         cuts: list[int]) -> None:
    pages, listed, frames = log
    references = array("i", listed)
    bounds = array("q", sorted({0, len(listed), *(cut for cut in cuts if cut < len(listed))}))
    if not listed:
        bounds = array("q", [0, 0])
    twin = getattr(implementation("python").replay, policy)(pages, frames).replay(references, bounds)
    assert getattr(native.replay, policy)(pages, frames).replay(references, bounds) == twin
    assert not listed or twin[0] == 1


@settings(max_examples=150)
@given(log=logs, cuts=st.lists(st.integers(0, 300), max_size=3))
def test_one_pass_is_lru_of_all_sizes(native: Implementation, log: tuple[int, list[int], int], cuts: list[int]) -> None:
    pages, listed, frames = log
    references = array("i", listed)
    bounds = array("q", sorted({0, len(listed), *(cut for cut in cuts if cut < len(listed))}) if listed else [0, 0])
    depths = implementation("python").replay.depths(references, bounds, pages)
    assert native.replay.depths(references, bounds, pages) == depths
    missed = native.replay.Lru(pages, frames).replay(references, bounds)
    assert list(missed) == [int(depth == 0 or depth > frames) for depth in depths]


def test_a_stack_larger_than_the_first_places_of_the_tree(native: Implementation) -> None:
    log = array("i", [*range(3000), *range(3000), *range(2999, -1, -1)])
    depths = native.replay.depths(log, whole(log), 3000)
    assert list(depths[:3000]) == [0] * 3000
    assert list(depths[3000:6000]) == [3000] * 3000
    assert list(depths[6000:]) == list(range(1, 3001))


def test_small_stacks_behind_a_large_one_are_cheap(native: Implementation) -> None:
    many, few = 1 << 18, 50_000
    log = array("i", [*range(many), *([0, 0] * few)])
    bounds = array("q", [0, *range(many, many + 2 * few + 1, 2)])
    depths = native.replay.depths(log, bounds, many)
    assert list(depths[many:]) == [0, 1] * few


@pytest.mark.parametrize("policy", POLICIES)
def test_hostile_sizes_are_refused(kernels: Implementation, policy: str) -> None:
    cache = getattr(kernels.replay, policy)
    for pages, frames in ((1, 0), (1, -1), (-1, 1), (kernels.replay.MOST_PAGES + 1, 1),
                          (1, kernels.replay.MOST_FRAMES + 1), (1 << 70, 1), (1, 1 << 70)):
        with pytest.raises(ValueError, match="a cache has"):
            cache(pages, frames)
    for listed, bounds in (([3], [0, 1]), ([-1], [0, 1]), ([0], [0]), ([0], [1, 1]), ([0, 1], [0, 2, 1, 2]), ([0], [])):
        with pytest.raises(ValueError, match=r"none of|do not ascend"):
            cache(3, 2).replay(array("i", listed), array("q", bounds))
        with pytest.raises(ValueError, match=r"none of|do not ascend"):
            kernels.replay.depths(array("i", listed), array("q", bounds), 3)


def test_counts_and_histograms_are_by_group(kernels: Implementation) -> None:
    groups = bytes([0, 0, 7, 7])
    assert kernels.replay.counts(bytearray([1, 0, 1, 1]), groups) == [1, 0, 0, 0, 0, 0, 0, 2]
    found = kernels.replay.histogram(array("i", [0, 5, 2, 2]), groups, 3)
    assert list(found[:4]) == [1, 0, 0, 1]
    assert list(found[28:]) == [0, 0, 2, 0]
    for refused in (lambda: kernels.replay.counts(b"\1", b"\0\0"), lambda: kernels.replay.counts(b"\1", b"\x08"),
                    lambda: kernels.replay.histogram(array("i", [-1]), b"\0", 3),
                    lambda: kernels.replay.histogram(array("i", [1]), b"\0", -1),
                    lambda: kernels.replay.histogram(array("i", [1]), b"\0", 1 << 30)):
        with pytest.raises(ValueError, match=r"group|depth"):
            refused()
