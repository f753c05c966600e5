"""`istat replica`: how it stands in words, and a promotion that is not done by mistake."""
from __future__ import annotations

import json

import pytest

from istat.cli import command
from istat.cli.replicas import replica
from istat.cli.report import server_problems


class Client:
    """A server, as the library asks it."""

    def __init__(self) -> None:
        self.store: dict[str, object] = {"term": 0, "fenced": "", "deposed": ""}
        self.promoted = 0

    def status(self) -> dict[str, object]:
        return {"store": self.store}

    def promote(self) -> dict[str, object]:
        self.promoted += 1
        return {"term": 3, "deposed": "http://one:8000"}


@pytest.fixture
def client(monkeypatch):
    made = Client()
    monkeypatch.setattr(replica, "client_of", lambda *_given: made)
    return made


FOLLOWING = {"master": "http://one:8000", "name": "second", "lag": 0, "problem": "", "frames": 12, "bytes": 4096,
             "copies": 1}


@pytest.mark.parametrize(("store", "says"), [
    ({"replica": FOLLOWING}, ["A replica, second, of http://one:8000", "It has all that the master has written"]),
    ({"replica": {**FOLLOWING, "lag": 90.0, "problem": "it is away"}}, ["It is 1 min 30 s behind",
                                                                        "does not follow: it is away"]),
    ({"replica": {**FOLLOWING, "lag": -1.0}}, ["It is not known how far it is behind"]),
    ({"replica": {**FOLLOWING, "copying": {"bytes": 1 << 20, "of": 4 << 20}}}, ["new copy is made: 1 MiB of 4 MiB"]),
    ({"term": 2, "deposed": "http://one:8000"}, ["A master", "Term 2", "http://one:8000 does not know yet"]),
    ({"fenced": "http://two:8000"}, ["fenced: http://two:8000 has taken its place"]),
])
def test_it_tells_how_it_stands(client, capsys, store, says):
    client.store.update(store)
    assert command.main(["replica", "status"]) == 0
    told = capsys.readouterr().out
    for words in says:
        assert words in told


def test_json_has_what_there_is(client, capsys):
    client.store["replica"] = FOLLOWING
    assert command.main(["replica", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"replica": FOLLOWING, "term": 0, "fenced": "", "deposed": "",
                                                        "replicas": {}}


def test_a_master_tells_of_its_replicas(client, capsys, monkeypatch):
    monkeypatch.setattr(client, "status", lambda: {"store": client.store, "replicas": {"two": 0.0, "three": 90.0}})
    assert command.main(["replica", "status"]) == 0
    told = capsys.readouterr().out
    assert "Its replica two: It has all that the master has written" in told
    assert "Its replica three: It is 1 min 30 s behind" in told


def test_looking_wants_no_admin_token_and_promoting_does(monkeypatch, capsys):
    for name in ("ISTAT_TOKEN", "ISTAT_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    closed = ["--server", "http://127.0.0.1:1"]
    assert command.main(["replica", "status", *closed]) == 85
    assert "cannot connect" in capsys.readouterr().err
    assert command.main(["replica", "promote", "--yes", *closed]) == 2
    assert "admin-token" in capsys.readouterr().err


def test_a_promotion_wants_a_word(client, capsys, tmp_path):
    token = tmp_path / "token"
    token.write_text("secret\n")
    assert command.main(["replica", "promote", "--token-file", str(token)]) != 0
    assert client.promoted == 0 and "say --yes" in capsys.readouterr().err
    assert command.main(["replica", "promote", "--yes", "--token-file", str(token)]) == 0
    assert client.promoted == 1 and "It is a master now, of term 3" in capsys.readouterr().out


def test_what_is_wrong_is_among_the_problems():
    found = list(server_problems({"store": {"replica": {**FOLLOWING, "problem": "it is away", "lag": 90.0},
                                            "deposed": "http://one:8000"}}, 0.0))
    assert found == [
        "this replica does not follow http://one:8000: it is away; what it has is 1 min 30 s old",
        "the old master http://one:8000 does not know yet that this server has taken its place; see to it that nothing "
        "is sent there"]
