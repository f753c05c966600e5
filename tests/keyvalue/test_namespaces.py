"""Namespaces over their files: what is kept, refused, picked up and never lost."""

from __future__ import annotations

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
from istat.errors import BadQuery, StoreError, UnknownNamespace
from istat_server.keyvalue import syntax
from istat_server.keyvalue.bounds import Bounds
from istat_server.keyvalue.namespaces import Namespaces
from istat_server.store.pool import Delivering
from tests.keyvalue.reading import HEAD, versions


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
