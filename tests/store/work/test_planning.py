"""What is merged with what: neighbours only, whatever cannot be read for a while."""
from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.retention import Ladder
from istat_server.store.files.manifest import DERIVED, FINE, FileEntry, Manifest, Policy
from istat_server.store.offline.checking import Report, check_groups
from istat_server.store.work.planning import CUT_FILES, Expire, Merge, next_job

LADDER = "10s:10d,5m:30d,1h:1y"
WINDOW = Ladder.parse(LADDER).window(0)
NOW = 1_325_400_000 // WINDOW * WINDOW


def entry(first: int, last: int = 0, *, kind: str = FINE, start: int = NOW, end: int = 0, whole: bool = False,
          ids: int = 0, size: int = 100) -> FileEntry:
    """A file of the cuts first..last; as a cut leaves it unless it is whole."""
    last = last or first
    end = end or start + (WINDOW if whole else 10)
    path = f"10s/{start}-{end}-{first}-{last}-{kind}-{ids}.statfile"
    return FileEntry(path, 0 if kind == FINE else 1, kind, start, end, first, last, 1, size, whole, NOW, ids=ids)


def manifest(*files: FileEntry) -> Manifest:
    return Manifest("00" * 16, (Policy(0, "", LADDER),)).with_files(files)


def after(state: Manifest, job: Merge) -> Manifest:
    """What the workshop makes of a merge: a file for each window, of all the cuts from the first to the last."""
    first, last = min(one.seq_lo for one in job.inputs), max(one.seq_hi for one in job.inputs)
    starts = sorted({one.start - one.start % WINDOW for one in job.inputs})
    made = [entry(first, last, start=start, whole=True, ids=job.inputs[0].ids, size=sum(one.size for one in job.inputs))
            for start in starts]
    return state.with_files(made, [one.path for one in job.inputs])


def faults(state: Manifest) -> list[str]:
    report = Report()
    check_groups(state, report)
    return [finding.text for finding in report.findings]


def merged(state: Manifest, **how) -> list[tuple[int, int]]:
    job = next_job(state, NOW, **how)
    return [(one.seq_lo, one.seq_hi) for one in job.inputs] if isinstance(job, Merge) else []


def test_cuts_wait_until_they_are_many():
    few = [entry(at) for at in range(1, CUT_FILES)]
    assert merged(manifest(*few)) == []
    assert len(merged(manifest(*few, entry(CUT_FILES)))) == CUT_FILES


def test_a_cut_that_cannot_be_read_is_not_merged_around():
    cuts = [entry(at) for at in range(1, 20)]
    assert merged(manifest(*cuts), force=True, avoid=[cuts[4].path]) == [(at, at) for at in range(1, 5)]
    assert merged(manifest(*cuts), avoid=[cuts[4].path]) == [(at, at) for at in range(6, 20)]


def test_a_cut_that_can_be_read_again_becomes_whole_before_its_neighbours_are_merged():
    state = manifest(entry(1, 9, whole=True), entry(10), entry(11, 40, whole=True))
    assert merged(state, force=True) == [(10, 10)]
    assert merged(manifest(entry(1, 9, whole=True), entry(10, whole=True), entry(11, 40, whole=True)),
                  force=True) == [(1, 9), (10, 10), (11, 40)]


@pytest.mark.parametrize("kind", [FINE, DERIVED])
def test_files_of_a_window_are_not_merged_around_one_that_cannot_be_read(kind):
    files = [entry(at, kind=kind, whole=True, start=NOW // 86400 * 86400) for at in range(1, 30)]
    chosen = merged(manifest(*files), force=True, avoid=[files[9].path])
    assert chosen and (max(chosen) < (10, 10) or min(chosen) > (10, 10))


def test_files_of_other_counters_may_be_merged_otherwise():
    assert faults(manifest(entry(1, 66, whole=True, ids=0), entry(44, 50, ids=1, whole=True))) == []
    assert faults(manifest(entry(1, 66, whole=True, ids=0), entry(44, 50, ids=0, whole=True)))


CUTS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(100, 10_000)), min_size=1, max_size=60)
EVENTS = st.lists(st.tuples(st.sampled_from(["cut", "cut", "cut", "fail", "restart", "force"]), st.integers(0, 100)),
                  max_size=60)


@given(cuts=CUTS, events=EVENTS)
def test_whatever_cannot_be_read_for_a_while_no_cut_is_in_two_files(cuts, events):
    """Cuts with late rows and ranges of ids, merges as they come due, files that fail for one life of the server."""
    state, avoid, number = manifest(), set[str](), 0
    for event, which in [("cut", 0), *events, ("restart", 0), ("force", 0)]:
        if event == "cut":
            number += 1
            late, ids, size = cuts[number % len(cuts)]
            state = state.with_files([replace(entry(number, start=NOW - late * WINDOW, ids=one), size=size)
                                      for one in range(ids + 1)])
        elif event == "fail" and state.files:
            avoid.add(state.files[which % len(state.files)].path)
        elif event == "restart":
            avoid.clear()
        while isinstance(job := next_job(state, NOW, event == "force", avoid, expire=False), Merge):
            assert not any(one.path in avoid for one in job.inputs)
            state = after(state, job)
        assert not isinstance(job, Expire)
        assert faults(state) == []
    windows = [(one.start, one.ids) for one in state.files]
    assert len(set(windows)) == len(windows)        # all came together in the end

