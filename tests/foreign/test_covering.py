"""Which archive counts for a time."""

from __future__ import annotations

from istat_server.foreign.covering import Resolution, cover, missing


def resolution(step: int, reach: int, *starts: int) -> Resolution[str]:
    return Resolution(step, reach, {start: f"{step}@{start}" for start in starts})


def starts(*archives: Resolution[str]) -> list[list[int]]:
    return [sorted(mine) for mine in cover(archives)]


def test_the_finest_that_reaches_back_counts_and_buckets_are_not_cut_in_two() -> None:
    fine = resolution(10, 90, *range(90, 190, 10))
    coarse = resolution(60, 0, 0, 60, 120, 180)
    assert starts(fine, coarse) == [list(range(120, 190, 10)), [0, 60]]


def test_where_the_coarser_one_has_nothing_the_fine_part_of_its_bucket_stays() -> None:
    assert starts(resolution(10, 90, 90, 100, 130), resolution(60, 0, 0)) == [[90, 100, 130], [0]]


def test_what_only_a_coarse_archive_holds_counts_however_young() -> None:
    assert starts(resolution(10, 60), resolution(60, 0, 0, 60, 120)) == [[], [0, 60, 120]]
    assert starts(resolution(10, 60, 130), resolution(60, 0, 0, 60, 120)) == [[130], [0, 60]]
    coarsest = resolution(300, -3000, -300, 0, 300)
    assert starts(resolution(10, 60, 130), resolution(60, 0, 0), coarsest) == [[130], [0], [-300, 300]]


def test_what_is_left_over_of_an_older_lap_does_not_count() -> None:
    assert starts(resolution(10, 600, 10, 610), resolution(60, 0, 0, 600)) == [[610], [0]]


def test_two_archives_of_one_step_complete_each_other() -> None:
    assert starts(resolution(10, 100, 100, 120), resolution(10, 0, 0, 100, 110)) == [[100, 120], [0, 110]]


def test_what_is_missing_is_counted_where_nothing_else_tells_of_it() -> None:
    kept = [(10, {130: 1}), (60, {0: 1})]
    assert missing([0, 60, 120], 60, kept) == 1
    assert missing([10, 70, 130], 10, kept) == 1
