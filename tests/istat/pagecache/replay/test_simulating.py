"""Checks 12 and 13: exact numbers of the paper's file, cliffs, policies beside each other, models beside a replay."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from istat.errors import PageLogError, UsageError
from istat.kernels import IMPLEMENTATION
from istat.pagecache import layouts
from istat.pagecache.model import rates, workload
from istat.pagecache.replay import gathering
from istat.pagecache.replay.gathering import gather
from istat.pagecache.replay.generating import Plan
from istat.pagecache.replay.pagelog import Header, Record
from istat.pagecache.replay.simulating import POLICIES, Simulation

pytestmark = pytest.mark.seconds(20)
MRTG = layouts.parse("mrtg")
WORK = workload.of_layout(MRTG[0])
SEEDS = range(1, 7)
fast = pytest.mark.skipif(IMPLEMENTATION == "python", reason="the plain-Python kernels take minutes for it")

EXACT = {
    "lru": [9094, 6779, 2675, 1840, 457, 268, 159, 153, 126, 99],
    "fifo": [8021, 7446, 2784, 2434, 528, 414, 266, 207, 184, 168],
    "clock": [7749, 5203, 2265, 1379, 367, 208, 176, 165, 143, 121],
    "opt": [4963, 2971, 1169, 647, 178, 136, 95, 79, 64, 50],
}
WITH_META = [46017, 43448, 11974, 9417, 3395, 2480, 517, 320, 161, 155]
READAHEAD = {**dict.fromkeys(range(8, 18), 172664), 18: 55952, 19: 55952, 24: 55934, 25: 53278, 26: 104, 27: 68, 28: 28}
#: 60 files sharing 60*p frames, misses an update: p -> policies in this order.
SHARED_POLICIES = ("lru", "fifo", "clock", "2q", "arc", "s3-fifo", "linux2", "mglru", "lirs", "opt")
SHARED = {
    3: (1.3460, 1.0334, 1.2951, 0.6592, 1.147, 0.811, 0.849, 1.245, 0.427, 0.4118),
    5: (0.3694, 0.3735, 0.3250, 0.2857, 0.369, 0.226, 0.244, 0.317, 0.105, 0.0946),
    6: (0.2326, 0.2998, 0.1514, 0.2013, 0.232, 0.108, 0.187, 0.165, 0.067, 0.0528),
    8: (0.0294, 0.0510, 0.0219, 0.0363, 0.028, 0.019, 0.024, 0.023, 0.019, 0.0131),
    9: (0.0169, 0.0466, 0.0174, 0.0258, 0.017, 0.017, 0.024, 0.017, 0.018, 0.0097),
}
#: How far ours may be off: exact in all digits that are given; those two that are not specified in full; imitations.
TOLERANCE = {"s3-fifo": 0.03, "lirs": 0.03, "linux2": 0.10, "mglru": 0.10}
#: Figure 13, misses an update with inode and indirect block, 91 days: frames -> log.
FIGURE_13_FRAMES = (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16, 17, 18, 25, 26, 28)
FIGURE_13 = {
    "random": (5.32, 5.03, 1.37, 1.06, 0.38, 0.27, 0.053, 0.035, 0.017, 0.016, 0.005, 0.002, 0.001, 0, 0, 0),
    "linux-2.6.9": (*[20.0] * 12, 6.65, 6.08, 0.035, 0),
    "mmap-now": (*[28] * 15, 0),
    "hourly": (0.67, 0.67, 0.67, 0.65, 0.46, 0.29, 0.062, 0.036, 0.018, 0.016, 0.005, 0.002, 0.001, 0, 0, 0),
}
#: Figure 14 at 8 frames: slot -> pages in, pages written, an update.
FIGURE_14 = {"plain": (0.008, 2.9), "after an aggregation": (0.87, 2.9), "half hour": (0.34, 4.9),
             "two hours": (1.9, 6.9), "midnight": (4.8, 8.8)}


def simulation(plan: Plan, private: bool = True, warm_up: int = 0) -> Simulation:
    return Simulation(gather(plan.records()), plan.header, private, warm_up)


def misses(found: Simulation, policy: str, frames: int) -> int:
    return sum(found.outcome(policy, frames).misses)


def warm(found: Simulation, frames: int) -> float:
    """LRU's misses an update, without the cold ones: of 91 days they are 0.001, and not in the figures."""
    outcome = found.outcome("lru", frames)
    return (sum(outcome.misses) - sum(outcome.cold)) / sum(found.updates)


@cache
def zero(readahead: str, meta: bool) -> Simulation:
    return simulation(Plan(MRTG, 1, 30, readahead=readahead, meta=meta, synchronised=True))


@cache
def shared() -> Simulation:
    return simulation(Plan(MRTG, 60, 4), private=False, warm_up=289)


@cache
def quarter(log: str) -> list[Simulation]:
    """91 days of one file, from six starts."""
    return [simulation(Plan(MRTG, 1, 91, seed, meta=True, readahead="random" if log == "hourly" else log,
                            flush=3600 if log == "hourly" else 0)) for seed in SEEDS]


@pytest.mark.parametrize("policy", EXACT)
def test_misses_of_data_pages_are_exact(policy: str) -> None:
    found = zero("random", False)
    assert (found.references, sum(found.updates), sum(found.cold)) == (28737, 8640, 19)
    assert [misses(found, policy, frames) for frames in range(3, 13)] == EXACT[policy]


def test_misses_with_inode_and_indirect_block_are_exact() -> None:
    found = zero("random", True)
    assert found.references == 46017
    assert [misses(found, "lru", frames) for frames in range(3, 13)] == WITH_META


def test_misses_of_the_readahead_of_2007_are_exact() -> None:
    found = zero("linux-2.6.9", True)
    assert (found.references, sum(found.cold)) == (172664, 28)
    assert {frames: misses(found, "lru", frames) for frames in READAHEAD} == READAHEAD


def test_cliffs_of_figure_13() -> None:
    old, advised = zero("linux-2.6.9", True), zero("random", True)
    assert misses(old, "lru", 17) / misses(old, "lru", 18) > 3
    assert misses(old, "lru", 25) / misses(old, "lru", 26) > 100
    assert misses(advised, "lru", 4) / misses(advised, "lru", 5) > 3


@fast
@pytest.mark.parametrize("pages", SHARED)
def test_sixty_files_that_share_a_cache(pages: int) -> None:
    found = shared()
    assert sum(found.updates) == 863 * 60
    for policy, wanted in zip(SHARED_POLICIES, SHARED[pages]):
        each = misses(found, policy, 60 * pages) / sum(found.updates)
        digits = 4 if policy in ("lru", "fifo", "clock", "2q", "opt") else 3
        if policy in TOLERANCE:
            assert each == pytest.approx(wanted, rel=TOLERANCE[policy], abs=0.0006), policy
        else:
            assert round(each, digits) == wanted, policy


def test_each_policy_has_a_number_of_its_own() -> None:
    assert set(SHARED_POLICIES) == set(POLICIES)


@fast
@pytest.mark.parametrize("log", FIGURE_13)
def test_figure_13(log: str) -> None:
    for frames, wanted in zip(FIGURE_13_FRAMES, FIGURE_13[log]):
        found = sum(warm(one, frames) for one in quarter(log)) / len(SEEDS)
        # The specification's six starts are not known: where misses are rare, these differ.
        loose = 0.02 if wanted > 0.1 else 0.15
        assert found == pytest.approx(wanted, rel=loose, abs=0.001), (frames, found)


@fast
def test_figure_14() -> None:
    found = quarter("random")
    assert found[0].slots == list(FIGURE_14)
    for place, (came, written) in enumerate(FIGURE_14.values()):
        updates = sum(one.updates[place] for one in found)
        assert sum(one.outcome("lru", 8).misses[place] for one in found) / updates == pytest.approx(
            came, rel=0.1, abs=0.001)
        assert sum(one.written[place] for one in found) / updates == pytest.approx(written, rel=0.015, abs=0.05)


@fast
@pytest.mark.parametrize(("files", "pages_a_second", "default"), [
    (160_000, 3, 10_683), (240_000, 28, 16_000), (320_000, 289, 21_400), (400_000, 1420, 26_700),
    (480_000, 2195, 32_000)])
def test_the_papers_story(files: int, pages_a_second: float, default: float) -> None:
    """10 GiB, frames = 10 GiB / 4096 / files."""
    frames = (10 << 30) // 4096 // files
    rates_of = {log: sum(warm(one, frames) for one in quarter(log)) / len(SEEDS) * files / 300
                for log in ("random", "linux-2.6.9")}
    assert rates_of["random"] == pytest.approx(pages_a_second, rel=0.06, abs=0.6)
    assert rates_of["linux-2.6.9"] == pytest.approx(default, rel=0.005)


@fast
@pytest.mark.parametrize("pages", range(1, 9))
def test_the_model_of_lru_is_within_a_fifth_of_a_replay(pages: int) -> None:
    each = sum(warm(one, pages) for one in _half_years()) / 4
    assert rates.faults("lru", WORK, pages) == pytest.approx(each, rel=0.2)


@cache
def _half_years() -> list[Simulation]:
    return [simulation(Plan(MRTG, 1, 182, seed)) for seed in range(1, 5)]


#: "LRU simulated" of 182 days, mean of 4 starts.
LRU_SIMULATED = {1: 3.321, 3: 1.040, 4: 0.767, 5: 0.2995, 6: 0.2019, 7: 0.0459, 8: 0.0310, 9: 0.0175, 12: 0.0107}
OPT_SIMULATED = {3: 0.4118, 4: 0.2443, 5: 0.0946, 6: 0.0528, 7: 0.0165, 8: 0.0131, 9: 0.0097, 12: 0.0057}


@fast
@pytest.mark.parametrize("pages", LRU_SIMULATED)
def test_lru_of_half_a_year(pages: int) -> None:
    found = sum(misses(one, "lru", pages) / sum(one.updates) for one in _half_years()) / 4
    assert found == pytest.approx(LRU_SIMULATED[pages], rel=0.01 if pages < 7 else 0.05)


@fast
@pytest.mark.parametrize("pages", OPT_SIMULATED)
def test_the_model_of_opt_is_within_a_ninth_of_opt(pages: int) -> None:
    found = misses(shared(), "opt", 60 * pages) / sum(shared().updates)
    assert round(found, 4) == OPT_SIMULATED[pages]
    if pages <= 9:
        assert rates.faults("opt", WORK, pages) == pytest.approx(found, rel=0.11)


@fast
def test_private_caches_and_a_shared_one_agree_where_most_fits() -> None:
    """Below 8 pages a file they do not: in a shared cache all files have their half hours together."""
    private = simulation(Plan(MRTG, 60, 4), warm_up=289)
    for pages, apart in ((5, 0.25), (6, 0.25), (8, 0.07), (9, 0.07)):
        each = misses(private, "lru", pages) / sum(private.updates)
        assert each == pytest.approx(misses(shared(), "lru", 60 * pages) / sum(shared().updates), rel=apart)


def small(order: Callable[[list[Record]], list[Record]] = list) -> Simulation:
    records = [Record(300, "b", (0, 1), (1,)), Record(300, "a", (0,)), Record(600, "a", (0,)),
               Record(600, "b", (0, 1), (0, 1), 12)]
    return Simulation(gather(order(records)), Header(4096, 300), False)


def test_references_of_one_time_are_by_name_of_the_file() -> None:
    found = small()
    assert (found.slots, found.references, found.updates, found.written) == (["plain"], 6, (15,), (3,))
    # a0 b0 b1 a0 b0 b1: with two frames LRU misses all of them, in the order of the log it would not.
    assert (misses(found, "lru", 2), misses(found, "lru", 3), found.cold) == (6, 3, (3,))
    assert misses(small(lambda records: sorted(records)), "lru", 2) == 6


def test_warming_up_is_not_counted() -> None:
    records = [Record(300 * number, "a", (0, number), (0,)) for number in range(1, 5)]
    found = Simulation(gather(records), Header(4096, 300), True, 3)
    assert (found.references, found.updates, found.cold, found.written, found.seconds) == (2, (1,), (1,), (1,), 300)
    assert misses(found, "fifo", 8) == 1
    with pytest.raises(PageLogError, match="none are left"):
        Simulation(gather(records), Header(4096, 300), True, 4)


def test_inode_and_indirect_block_may_be_added() -> None:
    gathered = gather([Record(1, "a", (0, 13)), Record(2, "a", (0, 3)), Record(3, "b", (-2, 0))], meta=True)
    assert (list(gathered.ends), gathered.pages, gathered.most_pages) == ([4, 7, 9], 7, 5)


def test_what_there_is_not_is_refused() -> None:
    for policy, frames in (("sieve", 3), ("lru", 0), ("fifo", 1 << 60)):
        with pytest.raises(UsageError):
            small().outcome(policy, frames)


def test_a_log_that_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MOST_PAGES", 10)
    assert gather([Record(1, "a", tuple(range(10)))]).pages == 10
    with pytest.raises(PageLogError, match="more than"):
        gather([Record(1, "a", tuple(range(8))), Record(2, "b", tuple(range(3)))])


@fast
def test_coalescing_halves_the_page_ins_of_too_many_files() -> None:
    """480,000 files in 10 GiB: 2,195 page-ins/s as they come, 1,067 when an hour is written at once."""
    for log, wanted in (("random", 2195), ("hourly", 1067)):
        found = [one.pages_a_second(warm(one, 5), 480_000) for one in quarter(log)]
        assert sum(found) / len(found) == pytest.approx(wanted, rel=0.01)
