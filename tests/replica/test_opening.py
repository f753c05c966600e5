"""Which store the settings mean: a replica's, its own, or none that may be."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from istat.errors import ServerUnreachable, SettingsError, StoreCorrupt, StoreError
from istat_server import builtin
from istat_server.options import DECLARATION
from istat_server.replica import basecopy, opening
from istat_server.replica.options import name_of
from istat_server.replica.refusals import CopyNeeded, ReplicaError
from istat_server.replica.store import ReplicaStore
from istat_server.store.files import manifest
from istat_server.store.levels.policies import rules_of
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore
from tests.replica.masters import FakeMaster, copy_store
from tests.store.harness import open_store, put, rows

URL = "http://master:8000"


def settings(folder: Path, *words: str) -> Any:
    return DECLARATION.load(["--store", str(folder), "--replica-of", URL, "--replica-token", "t", *words], {})


@pytest.fixture
def master(tmp_path, clock):
    store = open_store(tmp_path / "master", clock)
    put(store, "old.one 5")
    store.flush()
    yield FakeMaster(store, clock)
    store.close()


def test_data_of_its_own_are_not_replaced_and_a_promoted_one_stays_a_master(tmp_path, clock, caplog):
    folder = tmp_path / "own"
    assert opening.wanted(settings(folder))
    open_store(folder, clock).close()
    with pytest.raises(StoreError, match="has data of its own, and cannot become a replica of http://master:8000"):
        opening.wanted(settings(folder))
    state, _problem = manifest.load(folder)
    manifest.save(folder, replace(state, term=1))
    assert not opening.wanted(settings(folder))
    assert "take it out of the settings" in caplog.text


def test_what_a_promoted_one_had_copied_of_its_master_goes_with_its_next_start(tmp_path, clock):
    folder = tmp_path / "own"
    open_store(folder, clock).close()
    (folder / "base").mkdir()
    (folder / "base" / "mine").touch()
    for whose, stays in ((False, True), (True, False)):
        if whose:
            (folder / "base" / basecopy.WHOSE).touch()
        builtin.istat_open_store(DECLARATION.load(["--store", str(folder)], {}), clock).close()
        assert (folder / "base").exists() == stays


def test_a_fenced_master_is_told_what_to_do_to_become_a_replica(tmp_path, clock):
    folder = tmp_path / "own"
    open_store(folder, clock).close()
    state, _problem = manifest.load(folder)
    manifest.save(folder, replace(state, term=1, fenced="http://two:8000"))
    with pytest.raises(StoreError, match="fenced: http://two:8000 has taken its place.* move the folder away"):
        opening.wanted(settings(folder))


def test_a_first_copy_waits_for_the_master_and_is_not_tried_where_it_is_refused(tmp_path, clock, master, monkeypatch,
                                                                                caplog):
    folder, answers = tmp_path / "replica", [ServerUnreachable("no route"), ServerUnreachable("no route"),
                                             CopyNeeded("the lease is over"), StoreCorrupt("damaged on the way"), None]

    def copy(asked: object, store: Path, show: Any) -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    monkeypatch.setattr(opening, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(opening.basecopy, "copy", copy)
    monkeypatch.setattr(opening.basecopy, "swap", lambda to: copy_store(master, to))
    opening.open_replica(settings(folder), Options(), lambda state, options: (
        StatStore.open(folder, rules_of(state.policies), clock, options=replace(options, key=2)))).close()
    assert not answers and caplog.text.count("no route") == 1 and "tried again" in caplog.text
    answers.append(ReplicaError("the token is wrong"))
    with pytest.raises(ReplicaError, match="the token is wrong"):
        opening.open_replica(settings(tmp_path / "third"), Options(), lambda state, options: None)


def test_the_first_start_copies_and_the_next_does_not(tmp_path, clock, master, monkeypatch):
    copies = []

    def copy(asked: object, folder: Path, show: Any) -> None:
        copies.append(folder)
        show(1, 2)
        show(2, 2)

    monkeypatch.setattr(opening.basecopy, "copy", copy)
    monkeypatch.setattr(opening.basecopy, "swap", lambda folder: copy_store(master, folder))
    folder = tmp_path / "replica"

    def opened(state: manifest.Manifest, options: Options) -> StatStore:
        return StatStore.open(folder, rules_of(state.policies), clock, options=replace(options, key=2))

    for _ in range(2):
        store = opening.open_replica(settings(folder, "--retention", "10s:1h"), Options(), opened)
        assert isinstance(store, ReplicaStore) and opening.wanted(settings(folder))
        assert rows(store.inner, "old.one", 0)
        assert store.refusing == f"this server is a replica of {URL}: send and change there"
        store.close()
    assert copies == [folder]


def test_another_retention_here_is_told_of(tmp_path, clock, master, caplog):
    folder = tmp_path / "replica"
    copy_store(master, folder)
    store = opening.open_replica(settings(folder, "--retention", "10s:7h"), Options(), lambda state, options: (
        StatStore.open(folder, rules_of(state.policies), clock, options=options)))
    store.close()
    assert "the settings here say 10s:7h" in caplog.text


@pytest.mark.parametrize(("words", "says"), [
    (["--replica-of", URL], "replica-of is set without replica-token"),
    (["--replica-of", URL, "--replica-url", URL, "--replica-token", "t"], "a server cannot be its own replica"),
    (["--replica-key", "key"], "replica-key is set without replica-cert"),
    (["--replica-of", "master:8000"], "wants an address such as https://stats1:8000"),
    (["--replica-of", "http://master:8000/path"], "wants an address such as"),
    (["--replica-of", "http://me:secret@master:8000"], "wants an address such as"),
    (["--replica-name", "a b"], "letters, digits, dots, dashes and underscores"),
    (["--replica-name", "a" * 65], "1 to 64 letters"),
])
def test_settings_that_do_not_fit(words: list[str], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        DECLARATION.load([*words, "--check-config"], {})
    assert any(says in problem for problem in caught.value.problems), caught.value.problems


def test_a_replica_has_a_name(monkeypatch) -> None:
    assert name_of({"replica-name": "second"}) == "second"
    monkeypatch.setattr("socket.gethostname", lambda: "stats 2.example")
    assert name_of({"replica-name": ""}) == "stats-2.example"
