"""Which files names mean, each once, in order."""
from __future__ import annotations

import os

import pytest

from istat.pagecache.scanning import Selection, scan, visit


@pytest.fixture
def tree(tmp_path):
    """a b/c b/d/e b/d/skip.tmp and a second name of a, a link, a pipe."""
    (tmp_path / "b/d").mkdir(parents=True)
    for name in ("a", "b/c", "b/d/e", "b/d/skip.tmp"):
        (tmp_path / name).write_bytes(b"x" * 5000)
    os.link(tmp_path / "a", tmp_path / "b/second")
    os.symlink("a", tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def paths(tree, *names, **options):
    jobs = options.pop("jobs", 1)
    found = scan([str(tree / name) for name in names], jobs, Selection(**options))
    return [os.path.relpath(one.path, tree) for one in found]


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_folder_is_its_files_and_with_recurse_those_below_each_once(tree, jobs):
    assert paths(tree, ".", jobs=jobs) == ["a"]
    assert paths(tree, ".", jobs=jobs, recurse=True) == ["a", "b/c", "b/d/e", "b/d/skip.tmp"]
    every = paths(tree, ".", jobs=jobs, recurse=True, hardlinks=True)
    assert every == ["a", "b/c", "b/second", "b/d/e", "b/d/skip.tmp"]
    assert paths(tree, "b", "a", "b/second", "a", jobs=jobs) == ["b/c", "b/second"]


def test_globs_choose_by_name_or_by_path_and_keep_out_of_folders(tree):
    assert paths(tree, ".", recurse=True, exclude=["*.tmp", "second"]) == ["a", "b/c", "b/d/e"]
    assert paths(tree, ".", recurse=True, exclude=["d"]) == ["a", "b/c"]
    assert paths(tree, ".", recurse=True, include=["*/d/*"]) == ["b/d/e", "b/d/skip.tmp"]
    assert paths(tree, "a", "b/c", include=["c"]) == ["b/c"]


def test_named_ones_that_are_no_files_are_told_and_a_named_link_is_followed(tree):
    found = {os.path.basename(one.path): one.residency.state
             for one in scan([str(tree / name) for name in ("pipe", "link", "nothing")])}
    assert found == {"pipe": "special", "link": "ok", "nothing": "error(No such file or directory)"}
    assert next(scan(["a\0b"])).residency.failed


def test_more_threads_give_the_same_in_the_same_order(tmp_path):
    for number in range(2000):
        (tmp_path / f"{number:04}").write_bytes(b"x" * number)
    one = [(found.path, found.residency.size) for found in scan([str(tmp_path)])]
    assert one == [(found.path, found.residency.size) for found in scan([str(tmp_path)], jobs=4)]
    assert [size for _, size in one] == list(range(2000))


def test_a_refusal_of_what_is_asked_is_the_files_state_and_others_go_on(tree):
    def ask(handle, about):
        raise OSError(5, "Input/output error")

    assert [one.residency.state for one in visit([str(tree)], ask)] == ["error(Input/output error)"]


@pytest.mark.parametrize("jobs", [1, 3])
def test_who_has_enough_ends_it(tree, jobs):
    found = scan([str(tree)], jobs, Selection(recurse=True))
    assert next(found).path.endswith("a")
    found.close()


def test_names_of_any_bytes_come_back(tmp_path):
    name = os.fsencode(tmp_path) + b"/new\nline \xff"
    with open(name, "wb") as file:
        file.write(b"x")
    found, = scan([str(tmp_path)])
    assert os.fsencode(found.path) == name
    assert found.residency.resident is not None
