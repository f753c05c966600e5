"""What a replica has besides the store: namespaces as the master's files are, and who sends there."""
from __future__ import annotations

import pytest

from istat.clock import FakeClock
from istat.declared.pages import Kept, encode
from istat.errors import BadQuery
from istat_server.declared.declared import Declared
from istat_server.keyvalue.namespaces import Namespaces
from istat_server.mistakes import Mistakes
from istat_server.replica.companions import DeclaredPull, NamespacePull, RosterPull
from istat_server.replica.master.answers import Namespace
from istat_server.roster import Roster


class Master:
    """The parts of a master that are asked."""

    url = "http://master:8000"

    def __init__(self, namespaces: Namespaces) -> None:
        self.folder = namespaces._folder.path
        self.names = namespaces.names
        self.asked: list[str] = []
        self.rows: list[tuple[str, dict[str, str]]] = []

    def namespaces(self) -> dict[str, str]:
        return {name: str((self.folder / f"{name}.set").stat().st_mtime_ns) for name in self.names()}

    def namespace(self, name: str) -> Namespace:
        self.asked.append(name)
        versions = self.folder / f"{name}.versions"
        return Namespace(name, self.namespaces()[name], (self.folder / f"{name}.set").read_bytes(),
                         versions.read_bytes() if versions.exists() else b"")

    def roster(self) -> list[tuple[str, dict[str, str]]]:
        return self.rows


def test_namespaces_are_pulled_as_they_change_and_go_when_they_go(tmp_path, clock):
    theirs, ours = Namespaces(tmp_path / "theirs", clock), Namespaces(tmp_path / "ours", clock)
    master, pull = Master(theirs), NamespacePull(ours)
    theirs.set("board", {"title": "One"})
    theirs.set("other", {"a": "1"})
    ours.set("left", {"b": "2"})
    pull.pull(master)
    assert ours.names() == ["board", "other"]
    theirs.set("board", {"title": "Two"})
    master.asked.clear()
    pull.pull(master)
    assert master.asked == ["board"]
    assert ours.get("board") == {"title": "Two"}
    assert [version.value for version in ours.versions("board", "title")] == ["Two", "One"]
    assert ours.numbers("board") == theirs.numbers("board")
    theirs.replace("other", None)
    pull.pull(master)
    assert ours.names() == ["board"]


def test_one_that_cannot_be_taken_keeps_no_other_from_it(tmp_path, clock, caplog):
    theirs, ours = Namespaces(tmp_path / "theirs", clock), Namespaces(tmp_path / "ours", clock)
    theirs.set("board", {"title": "One"})
    master = Master(theirs)
    master.names = lambda: ["board"]
    real = master.namespaces
    master.namespaces = lambda: {"../evil": "1", **real()}
    master.namespace = lambda name, read=master.namespace: (
        Namespace(name, "1", b"", b"") if name != "board" else read(name))
    NamespacePull(ours).pull(master)
    assert ours.names() == ["board"]
    assert "'../evil' of the master is not taken" in caplog.text


def test_a_replica_changes_none_itself(tmp_path, clock):
    ours = Namespaces(tmp_path / "ours", clock)
    ours.read_only = lambda: "this server is a replica"
    with pytest.raises(BadQuery, match="this server is a replica"):
        ours.set("board", {"title": "One"})
    ours.replace("board", b"", b"")
    assert ours.names() == ["board"]


def test_who_sends_to_the_master_is_told_of_by_it():
    clock = FakeClock()
    roster = Roster(clock)
    master = Master.__new__(Master)
    master.rows = [("web1", {"hostname": "web1", "agent": "web1"}), ("web2", {})]
    pull = RosterPull(roster)
    pull.pull(master)
    pull.pull(master)
    told = {row["name"]: row for row in map(roster.row, roster.senders(None, lambda: None))}
    assert told["web1"]["via"] is not None and told["web1"]["metadata"]["agent"] == "web1"
    pull.end()
    pull.end()
    assert roster.online() == 0


def test_who_is_not_there_any_more_at_the_master_is_not_here_either():
    roster = Roster(FakeClock())
    master = Master.__new__(Master)
    pull = RosterPull(roster)
    for number in range(20_000):        # containers that come and go, more than a roster has room for
        master.rows = [(f"web{number}", {"agent": f"web{number}"})]
        pull.pull(master)
    rows = map(roster.row, roster.senders(None, lambda: None))
    assert [row["name"] for row in rows if row["online"] and row["via"]] == ["web19999"]
    assert roster.unlisted == 0


class Declaring:
    """A master that declares; what it was asked with."""

    def __init__(self):
        self.page, self.stamp = encode([]), "one"
        self.known = []

    def declared(self, known):
        self.known.append(known)
        return self.stamp, None if known == self.stamp else self.page


def test_what_is_declared_is_pulled_when_it_changes(clock):
    ours, master = Declared(clock, Mistakes(clock)), Declaring()
    pull = DeclaredPull(ours)
    master.page = encode([Kept("tcp 10.0.0.7", b'cpu.user {"unit":"%"}')])
    pull.pull(master)
    pull.pull(master)
    assert [metric.name for metric in ours.all()] == ["cpu.user"] and master.known == ["", "one"]
    master.page, master.stamp = encode([Kept("tcp 10.0.0.7", b"other {}")]), "two"
    pull.pull(master)
    assert [metric.name for metric in ours.all()] == ["other"]
    pull.end()


def test_what_was_damaged_on_its_way_is_pulled_again_and_an_older_master_has_none(clock, caplog):
    ours, master = Declared(clock, Mistakes(clock)), Declaring()
    pull = DeclaredPull(ours)
    master.page = encode([Kept("tcp 10.0.0.7", b"a {}")])[:-20]
    pull.pull(master)
    assert list(ours.all()) == [] and "is not taken" in caplog.text
    master.page = encode([Kept("tcp 10.0.0.7", b"a {}")])
    pull.pull(master)
    assert master.known == ["", ""] and len(ours.all()) == 1
    master.declared = lambda known: ("", None)
    pull.pull(master)
    assert len(ours.all()) == 1
