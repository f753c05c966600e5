"""Namespaces over their files: what is kept, refused, picked up and never lost."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import mkdtemp

import gevent
import pytest
from gevent.threadpool import ThreadPool
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from istat.clock import FakeClock
from istat.errors import BadQuery, StoreCorrupt, StoreError, StoreFull, UnknownNamespace
from istat_server.keyvalue import syntax
from istat_server.keyvalue.bounds import Bounds
from istat_server.keyvalue.namespaces import Namespaces
from istat_server.store.pool import Delivering

HEAD = b"# istatd settings 1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "settings"


@pytest.fixture
def opened(folder: Path, clock: FakeClock) -> Callable[..., Namespaces]:
    return lambda **bounds: Namespaces(folder, clock, bounds=Bounds(**bounds))


def versions(namespaces: Namespaces, name: str, key: str) -> list[str | None]:
    return [version.value for version in namespaces.versions(name, key)]


def test_what_was_set_is_there_after_another_start(opened: Callable[..., Namespaces]) -> None:
    opened().set("a", {"k": "1", "l": " two\n"})
    again = opened()
    assert again.names() == ["a"] and again.get("a") == {"k": "1", "l": " two\n"}
    again.set("a", {"k": ""})
    assert opened().get("a") == {"l": " two\n"} and versions(opened(), "a", "k") == [None, "1"]


def test_containers_of_users_are_apart(opened: Callable[..., Namespaces]) -> None:
    namespaces = opened()
    for name in ("alice", "Alice", "alice.", "bob", "", ".", ".."):
        namespaces.set(name, {"who": f"<{name}>"})
    namespaces.flush()
    assert {name: namespaces.get(name)["who"] for name in namespaces.names()} == {
        name: f"<{name}>" for name in ("", ".", "..", "Alice", "alice", "alice.", "bob")}


def test_files_are_private_and_nothing_else_stays(opened: Callable[..., Namespaces], folder: Path) -> None:
    opened().set("a", {"k": "1"})
    assert sorted(path.name for path in folder.iterdir()) == ["a.set", "a.versions"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} <= {0o640, 0o600}
    assert stat.S_IMODE(folder.stat().st_mode) & 0o007 == 0


def test_a_change_that_changes_nothing_writes_nothing(opened: Callable[..., Namespaces], folder: Path) -> None:
    namespaces = opened()
    namespaces.set("a", {"k": "1"})
    before = [path.stat() for path in sorted(folder.iterdir())]
    assert namespaces.set("a", {"k": "1", "none": ""}).versions == {}
    namespaces.flush()
    namespaces.close()
    assert [path.stat() for path in sorted(folder.iterdir())] == before
    assert namespaces.totals()["settings.save"] == 1


def test_an_edit_by_hand_is_picked_up_at_once_and_is_a_version(opened: Callable[..., Namespaces],
                                                                folder: Path) -> None:
    namespaces = opened()
    namespaces.set("a", {"k": "1", "gone": "x"})
    (folder / "a.set").write_bytes(HEAD + b"# a comment\nk = 2\n")
    assert namespaces.get("a") == {"k": "2"}
    assert versions(namespaces, "a", "k") == ["2", "1"] and versions(namespaces, "a", "gone") == [None, "x"]
    namespaces.set("a", {"k": "3"})
    assert versions(opened(), "a", "k") == ["3", "2", "1"]


@pytest.mark.parametrize("times", [1, 9])
def test_an_edit_by_hand_while_a_change_is_written_is_not_lost(opened: Callable[..., Namespaces], folder: Path,
                                                              monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    namespaces = opened()
    namespaces.set("a", {"k": "1", "l": "1"})
    encode, edits = syntax.encode, 0

    def slowly(values: Mapping[str, str]) -> bytes:
        nonlocal edits
        if edits < times:
            edits += 1
            (folder / "a.set").write_bytes(HEAD + b"k=1\nl=by hand %d\n" % edits)
        return encode(values)

    monkeypatch.setattr(syntax, "encode", slowly)
    if times == 1:
        assert namespaces.set("a", {"k": "2"}).versions == {"k": 4}
        assert namespaces.get("a") == {"k": "2", "l": "by hand 1"}
        assert versions(namespaces, "a", "l") == ["by hand 1", "1"]
    else:
        with pytest.raises(StoreError, match="somebody else changes it all the time; try again"):
            namespaces.set("a", {"k": "2"})
        assert namespaces.get("a") == {"k": "1", "l": "by hand 4"}
    assert namespaces.totals()["settings.set"] == 2 + (times == 1)


def test_flush_keeps_the_versions_of_edits_by_hand(opened: Callable[..., Namespaces], folder: Path) -> None:
    namespaces = opened()
    namespaces.set("a", {"k": "1"})
    for value in (b"2", b"3"):
        (folder / "a.set").write_bytes(HEAD + b"k=" + value + b"\n")
        namespaces.get("a")
        namespaces.flush()
    assert versions(opened(), "a", "k") == ["3", "2", "1"]


def test_a_file_of_istatd_can_be_laid_there_and_its_values_come_back(opened: Callable[..., Namespaces],
                                                                     folder: Path) -> None:
    folder.mkdir()
    (folder / "cit.set").write_bytes(HEAD + b"dashboard.a={\\\"size\\\":1}\n")
    namespaces = opened()
    assert namespaces.get("cit") == {"dashboard.a": '{"size":1}'}
    namespaces.set("cit", {"dashboard.a": "new"})
    first = namespaces.versions("cit", "dashboard.a")[-1]
    namespaces.restore("cit", "dashboard.a", first.number)
    assert namespaces.get("cit") == {"dashboard.a": '{"size":1}'}


def test_what_is_asked_and_changed_is_counted(opened: Callable[..., Namespaces]) -> None:
    namespaces = opened()
    namespaces.set("a", {"k": "1", "l": "2", "not a key": "3"}, skip=True)
    namespaces.get("a")
    namespaces.get("a", "k*")
    with pytest.raises(BadQuery):
        namespaces.set("a", {"k": "1"}, expected={"k": 7})
    assert namespaces.totals() == {"settings.get": 1, "settings.match": 1, "settings.set": 2, "settings.save": 1,
                                   "settings.refused": 1, "settings.skipped": 1}


def test_load_and_flush_tell_names_that_are_none(opened: Callable[..., Namespaces]) -> None:
    namespaces = opened()
    with pytest.raises(UnknownNamespace, match="no such settings"):
        namespaces.load("a")
    namespaces.flush("a")
    for act in (namespaces.load, namespaces.flush, namespaces.get):
        with pytest.raises(BadQuery, match="invalid settings name"):
            act("../a")
    with pytest.raises(BadQuery, match="at most 200 signs"):
        namespaces.set("a" * 201, {})


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


@pytest.mark.parametrize("damage", ["oversized", "zeros", "newer", "folder", "link", "pipe"])
def test_a_file_that_cannot_be_read_keeps_no_other_from_being_served(
        opened: Callable[..., Namespaces], folder: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    opened().set("good", {"k": "1"})
    bad = folder / "bad.set"
    {"oversized": lambda: bad.write_bytes(b"a=" + b"x" * (1 << 20)), "zeros": lambda: bad.write_bytes(b"a=\0"),
     "newer": lambda: bad.write_bytes(b"# istatd settings 9\n"), "folder": bad.mkdir,
     "link": lambda: bad.symlink_to(folder / "good.set"), "pipe": lambda: os.mkfifo(bad)}[damage]()
    with caplog.at_level(logging.WARNING):
        namespaces = opened()
    assert ("bad.set: it has 1048578 bytes" in caplog.text) == (damage == "oversized")
    for act in (lambda: namespaces.get("bad"), lambda: namespaces.set("bad", {"k": "2"})):
        with pytest.raises(StoreCorrupt, match="bad.set: "):
            act()
    assert namespaces.get("good") == {"k": "1"}
    namespaces.flush()
    namespaces.close()


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


@pytest.mark.parametrize("content", [None, b"# istatd versions 1\n"])
def test_versions_that_were_moved_away_begin_anew(opened: Callable[..., Namespaces], folder: Path,
                                                  content: bytes | None) -> None:
    namespaces = opened()
    for value in "123":
        namespaces.set("a", {"k": value})
    path = folder / "a.versions"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for value in "45":
        namespaces.set("a", {"k": value})
    assert versions(namespaces, "a", "k") == versions(opened(), "a", "k") == ["5", "4", "3"]
    assert b"\0" not in path.read_bytes()


def test_versions_that_were_put_back_are_kept(opened: Callable[..., Namespaces], folder: Path) -> None:
    namespaces = opened()
    for value in ("one", "two", "three"):
        namespaces.set("a", {"k": value})
    old = (folder / "a.versions").read_bytes()
    (folder / "a.versions").unlink()
    namespaces.set("a", {"l": "x"})
    (folder / "a.versions").write_bytes(old)
    namespaces.set("a", {"k": "four"})
    assert versions(namespaces, "a", "k") == ["four", "three", "two", "one"]
    assert versions(namespaces, "a", "l") == ["x"]


def test_a_flush_of_all_goes_on_where_one_cannot_be_written(opened: Callable[..., Namespaces], folder: Path) -> None:
    namespaces = opened()
    for name in "abc":
        namespaces.set(name, {"k": "1"})
        (folder / f"{name}.set").write_bytes(b"\0" if name == "b" else HEAD + b"k=2\n")
    with pytest.raises(StoreCorrupt, match="b.set: "):
        namespaces.flush()
    assert namespaces._held.names() == []
    for name in "ac":
        (folder / f"{name}.set").write_bytes(HEAD + b"k=3\n")
        assert versions(opened(), name, "k") == ["3", "2", "1"]


def test_damaged_versions_are_told_and_the_others_kept(opened: Callable[..., Namespaces], folder: Path,
                                                      caplog: pytest.LogCaptureFixture) -> None:
    namespaces = opened()
    for value in "123":
        namespaces.set("a", {"k": value})
    path = folder / "a.versions"
    path.write_bytes(path.read_bytes().replace(b" k=2", b" k=9") + b"0000 torn")
    again = opened()
    assert versions(again, "a", "k") == ["3", "1"] and "1 damaged lines" in caplog.text
    again.set("a", {"k": "4"})
    assert versions(opened(), "a", "k") == ["4", "3", "1"]


def test_versions_that_are_no_such_file_keep_nobody_from_reading(opened: Callable[..., Namespaces],
                                                                  folder: Path) -> None:
    opened().set("a", {"k": "1"})
    (folder / "a.versions").write_bytes(b"nothing of ours\n")
    namespaces = opened()
    assert namespaces.get("a") == {"k": "1"}
    with pytest.raises(StoreCorrupt, match="move it away, and versions begin anew"):
        namespaces.set("a", {"k": "2"})
    (folder / "a.versions").unlink()
    namespaces.set("a", {"k": "2"})
    assert versions(namespaces, "a", "k") == ["2", "1"]


@pytest.mark.parametrize("where", ["rename", "fsync"])
def test_where_the_disk_is_full_nothing_is_changed(opened: Callable[..., Namespaces], folder: Path, where: str,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    namespaces = opened()
    namespaces.set("a", {"k": "1"})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, where, full)
        with pytest.raises(StoreFull, match="make room on its disk"):
            namespaces.set("a", {"k": "2"})
    assert namespaces.get("a") == {"k": "1"} and len(list(folder.iterdir())) == 2
    namespaces.set("a", {"k": "3"})
    assert versions(namespaces, "a", "k") == ["3", "1"]


def test_a_version_that_could_not_be_written_is_written_with_the_next_change(
        opened: Callable[..., Namespaces], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    namespaces = opened()
    namespaces.set("a", {"k": "1"})

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        assert namespaces.set("a", {"k": "2"}).versions == {"k": 2}
    assert namespaces.get("a") == {"k": "2"} and versions(namespaces, "a", "k") == ["2", "1"]
    namespaces.set("a", {"k": "3"})
    assert versions(opened(), "a", "k") == ["3", "2", "1"]


def test_a_folder_that_everybody_may_write_to_is_refused(opened: Callable[..., Namespaces], folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o1777)
    with pytest.raises(StoreError, match="everybody may write to .*: say chmod o-w"):
        opened()


def test_what_a_crash_left_half_written_is_removed(opened: Callable[..., Namespaces], folder: Path) -> None:
    opened().set("a", {"k": "1"})
    (folder / ".0123456789abcdef.aside").write_bytes(b"half")
    for name in ("notes.txt", ".mine.aside"):
        (folder / name).write_bytes(b"somebody's")
    assert opened().names() == ["a"]
    assert sorted(path.name for path in folder.iterdir()) == [".mine.aside", "a.set", "a.versions", "notes.txt"]


def test_changes_that_come_at_once_are_all_made(folder: Path, clock: FakeClock) -> None:
    namespaces = Namespaces(folder, clock, Delivering(ThreadPool(4)))
    changes = [gevent.spawn(namespaces.set, f"n{number % 2}", {f"k{number}": "1"}) for number in range(40)]
    asked = [gevent.spawn(namespaces.versions, "n0", "k0") for _ in range(10)]
    gevent.joinall([*changes, *asked], raise_error=True)
    assert [len(namespaces.get(name)) for name in ("n0", "n1")] == [20, 20]
    assert sorted(namespaces.numbers("n0").values()) == list(range(1, 21))
    assert not namespaces._locks


@pytest.mark.parametrize("bounds", [{"namespaces": 3}, {"folder": 1000}])
def test_who_makes_namespaces_at_once_makes_no_more_than_there_may_be(folder: Path, clock: FakeClock,
                                                                      bounds: dict[str, int]) -> None:
    namespaces = Namespaces(folder, clock, Delivering(ThreadPool(2)), Bounds(**bounds))
    made = []

    def make(number: int) -> None:
        try:
            namespaces.set(f"n{number}", {"k": "x" * 100})
            made.append(number)
        except BadQuery as error:
            assert error.status == 413

    gevent.joinall([gevent.spawn(make, number) for number in range(20)], raise_error=True)
    assert len(namespaces.names()) == len(made) == 3
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 1000
    assert namespaces._coming == [0, 0]


def test_one_of_two_who_expect_the_same_version_is_refused(folder: Path, clock: FakeClock) -> None:
    namespaces = Namespaces(folder, clock, Delivering(ThreadPool(4)))
    refused = []

    def change(value: str) -> None:
        try:
            namespaces.set("a", {"k": value}, expected={"k": 0})
        except BadQuery as error:
            refused.append(error.status)

    gevent.joinall([gevent.spawn(change, value) for value in "12345"], raise_error=True)
    assert refused == [409] * 4 and len(namespaces.versions("a", "k")) == 1


class Lives(RuleBasedStateMachine):
    """A namespace, and what should be in it, whatever happens: changes, edits by hand, starts, cut files."""

    folder: Path
    names = st.sampled_from("ab")
    values = st.text(st.characters(codec="utf-8"), max_size=4)

    @initialize()
    def begin(self) -> None:
        self.folder = Path(mkdtemp())
        self.clock = FakeClock(1000)
        self.model: dict[str, str] = {}
        self.past: dict[str, list[str | None]] = {}
        self.start()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def start(self) -> None:
        self.namespaces = Namespaces(self.folder, self.clock)

    def became(self, values: dict[str, str]) -> None:
        for key in {*self.model, *values}:
            if values.get(key) != self.model.get(key):
                self.past.setdefault(key, []).insert(0, values.get(key))
        self.model = values

    @rule(key=names, value=values)
    def set(self, key: str, value: str) -> None:
        self.namespaces.set("n", {key: value})
        self.became({**{k: v for k, v in self.model.items() if k != key}, **({key: value} if value else {})})

    @rule(key=names, value=st.text("xyz", min_size=1))
    def edit(self, key: str, value: str) -> None:
        self.namespaces.flush()
        (self.folder / "n.set").write_bytes(HEAD + f"{key} = {value}\n".encode())
        self.became({key: value})
        self.namespaces.get("n")
        self.namespaces.flush()

    @rule()
    def end_and_start(self) -> None:
        self.namespaces.close()
        self.start()

    @rule()
    def crash(self) -> None:
        self.start()

    @rule(key=names)
    def power_fails_between_the_two_files(self, key: str) -> None:
        """The last change is in the `.set` file; of its version half a line is there."""
        path = self.folder / "n.versions"
        before = path.read_bytes() if path.exists() else b""
        self.set(key, "cut")
        after = path.read_bytes()
        path.write_bytes(before + after[len(before):][:7])
        self.start()

    @invariant()
    def it_is_all_there(self) -> None:
        if not self.past:
            return
        assert self.namespaces.get("n") == dict(sorted(self.model.items()))
        for key, values in self.past.items():
            assert versions(self.namespaces, "n", key) == values


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
