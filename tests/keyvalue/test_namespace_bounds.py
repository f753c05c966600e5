"""Bounds of namespaces: what is too much is refused, and memory stays small, whatever is asked or lies there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from istat.errors import BadQuery, StoreCorrupt, UnknownNamespace
from istat_server.keyvalue.namespaces import Namespaces
from tests.keyvalue.reading import HEAD, versions


@pytest.mark.parametrize(("bounds", "changes", "words"), [
    ({"keys": 2}, {"a": "1", "b": "1", "c": "1"}, "a change has at most 2 keys"),
    ({"key": 3}, {"\u00e9\u00e9": "1"}, "a key has at most 3 bytes"),
    ({"value": 3}, {"a": "\u00e9\u00e9"}, "a value has at most 3 bytes"),
    ({"file": 40}, {"a": "x" * 30}, "at most 40 bytes as a file"),
    ({"folder": 40}, {"a": "x" * 30}, "the files of all namespaces"),
    ({"namespaces": 1}, {"a": "1"}, "1 is the most"),
    ({}, {"a": "\ud800"}, "is no text"), ({}, {"a b": "1"}, "cannot be a key"),
])
def test_what_is_too_much_is_refused_counted_and_changes_nothing(
        opened: Callable[..., Namespaces], bounds: dict[str, int], changes: dict[str, str], words: str) -> None:
    namespaces = opened(**bounds)
    if "namespaces" in bounds:
        namespaces.set("first", {})
    before = namespaces.names()
    with pytest.raises(BadQuery, match=words):
        namespaces.set("a", changes)
    assert namespaces.names() == before and namespaces.totals()["settings.refused"] == 1


def test_what_is_beyond_bounds_already_can_be_made_smaller(opened: Callable[..., Namespaces]) -> None:
    opened().set("a", dict.fromkeys("abcde", "x" * 100))
    small = opened(keys=2, file=300, folder=300, memory=1)
    with pytest.raises(StoreCorrupt, match="300 is the most"):
        small.get("a")
    narrow = opened(keys=2, folder=300)
    narrow.set("a", {"a": "", "b": ""})
    assert sorted(narrow.get("a")) == ["c", "d", "e"]
    with pytest.raises(BadQuery, match="a namespace has at most 2 keys"):
        narrow.set("a", {"f": "1"})


def test_only_so_many_changes_wait(opened: Callable[..., Namespaces]) -> None:
    namespaces = opened(waiting=0)
    with pytest.raises(BadQuery, match="too many changes") as caught:
        namespaces.set("a", {"k": "1"})
    assert caught.value.status == 503


def test_versions_are_bounded_and_what_is_stays(opened: Callable[..., Namespaces], folder: Path) -> None:
    namespaces = opened(versions=3, history=1000)
    namespaces.set("a", {"old": "stays"})
    for number in range(100):
        namespaces.set("a", {"k": f"value {number}"})
        assert (folder / "a.versions").stat().st_size <= 1000
    assert versions(namespaces, "a", "k") == ["value 99", "value 98", "value 97"]
    assert versions(opened(), "a", "old") == ["stays"]
    assert namespaces.numbers("a") == {"k": 101, "old": 1}


def test_what_is_in_memory_is_bounded(opened: Callable[..., Namespaces]) -> None:
    namespaces = opened(memory=1000)
    for number in range(20):
        namespaces.set(f"n{number}", {"k": "x" * 200})
    assert len(namespaces._held.names()) <= 4
    assert all(namespaces.get(f"n{number}") == {"k": "x" * 200} for number in range(20))


def test_names_that_are_none_leave_nothing_in_memory(opened: Callable[..., Namespaces]) -> None:
    namespaces = opened(value=3)
    for number in range(20):
        assert namespaces.versions(f"none{number}", "k") == []
        with pytest.raises(UnknownNamespace):
            namespaces.numbers(f"none{number}")
        with pytest.raises(BadQuery):
            namespaces.set(f"none{number}", {"k": "long"})
    assert namespaces._held.names() == [] and not namespaces._locks


def test_versions_in_memory_are_bounded_with_the_values(opened: Callable[..., Namespaces]) -> None:
    namespaces = opened(memory=3000)
    for number in range(20):
        for value in "ab":
            namespaces.set(f"n{number}", {"k": value * 200})
    assert len(namespaces._held.names()) <= 4
    assert all(versions(namespaces, f"n{number}", "k") == ["b" * 200, "a" * 200] for number in range(20))


def test_thousands_of_keys_that_cannot_be_or_that_others_wrote_take_no_time_each(
        opened: Callable[..., Namespaces], folder: Path) -> None:
    """All of them at once: were one looked for among the others, this would take minutes."""
    namespaces = opened()
    keys = [f"k{number:05}" for number in range(10_000)]
    done = namespaces.set("a", {**dict.fromkeys(keys[:5000], ""), **{f" {key}": "1" for key in keys[5000:]}}, skip=True)
    assert len(done.skipped) == 5000
    with pytest.raises(BadQuery, match="a change has at most 10,000 keys, and this one has 10,001: send several"):
        namespaces.set("a", dict.fromkeys([*keys, "one more"], ""), skip=True)
    (folder / "a.set").write_bytes(HEAD + b"".join(b"%s=1\n" % key.encode() for key in keys))
    numbers = namespaces.numbers("a")
    assert numbers == {key: number for number, key in enumerate(keys, 1)}
    assert namespaces.set("a", {"k00000": "2"}, expected=numbers).versions == {"k00000": 10_001}
