"""`istat settings` against the HTTP application over real files, without sockets."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import requests
from falcon.testing import TestClient

from istat.cli import command
from istat.cli.namespaces import asking
from istat.cli.tokens import ADMIN_VARIABLE, TOKEN_VARIABLE
from istat.clock import FakeClock
from istat.errors import BadQuery, UnknownNamespace, UsageError
from istat_server.keyvalue.namespaces import Namespaces
from istat_server.testing.memory import MemoryStore
from tests.http.application import app_of

SERVER = "http://stats.example.net:8000"


class Answer:
    """What requests makes of an answer."""

    def __init__(self, result: Any) -> None:
        self.status_code, self.json = result.status_code, lambda: result.json


@pytest.fixture
def namespaces(tmp_path: Path, clock: FakeClock) -> Namespaces:
    return Namespaces(tmp_path / "settings", clock)


@pytest.fixture(autouse=True)
def server(namespaces: Namespaces, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    client = TestClient(app_of(MemoryStore(clock=clock), clock, namespaces=namespaces, write="writes"))

    def request(session: requests.Session, method: str, url: str, timeout: float, **question: Any) -> Answer:
        sent = {"Authorization": str(session.headers.get("Authorization", ""))}
        return Answer(client.simulate_request(method, url.removeprefix(SERVER), headers=sent, **question))

    monkeypatch.setattr(requests.Session, "request", request)
    monkeypatch.setenv(TOKEN_VARIABLE, "writes")
    monkeypatch.delenv(ADMIN_VARIABLE, raising=False)


def run(*words: str) -> int:
    return command.main(["settings", words[0], "--server", SERVER, *words[1:]], FakeClock(), {})


def test_a_value_is_set_changed_and_brought_back(clock: FakeClock, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("set", "ops", "oncall", "alice") == 0
    clock.advance(10)
    assert run("set", "ops", "oncall", "bob") == 0
    assert run("get", "ops", "oncall") == 0
    assert capsys.readouterr().out == "oncall: version 1\noncall: version 2\nbob\n"
    clock.advance(10)
    assert run("delete", "ops", "oncall") == 0
    assert run("versions", "ops", "oncall") == 0
    assert capsys.readouterr().out == ("oncall: version 3\n"
                                       "       3  2012-01-01T05:17:00Z  (deleted)\n"
                                       "       2  2012-01-01T05:16:50Z  bob\n"
                                       "       1  2012-01-01T05:16:40Z  alice\n")
    assert run("restore", "ops", "oncall", "1") == 0
    assert run("get", "ops", "oncall", "--json") == 0
    assert capsys.readouterr().out == ('oncall: version 4\n'
                                       '{"keys": [{"key": "oncall", "value": "alice", "version": 4}]}\n')


def test_lists_come_whole_however_many_pages_they_have(namespaces: Namespaces, monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(asking, "LISTED_AT_ONCE", 2)
    for name in ("b", "a", "c", ""):
        namespaces.set(name, {"k1": "1", "k2": "x" * 100, "k3": "\n\x1b"})
    assert run("list") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["(no", "a", "b", "c"]
    assert run("list", "--limit", "3", "--json") == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["namespaces"]] == ["", "a", "b"]
    assert run("get", "a") == 0
    assert capsys.readouterr().out == f"k1=1\nk2={'x' * 60}... (100 signs)\nk3=\\n\\x1b\n"
    assert run("get", "a", "k?", "--limit", "1") == 0
    assert capsys.readouterr().out == "k1=1\n"


def test_a_value_comes_from_standard_input(namespaces: Namespaces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"size":\n1}\n')))
    assert run("set", "cit", "dashboard.a", "-") == 0
    assert namespaces.get("cit") == {"dashboard.a": '{"size":\n1}'}


def test_somebody_elses_change_is_not_overwritten(namespaces: Namespaces, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("set", "ops", "oncall", "alice", "--expected", "0") == 0
    assert run("set", "ops", "oncall", "bob", "--expected", "0") == BadQuery.exit_code
    assert "'oncall' has version 1 by now, not 0" in capsys.readouterr().err
    assert namespaces.get("ops") == {"oncall": "alice"}


@pytest.mark.parametrize(("words", "status", "told"), [
    (("get", "none"), UnknownNamespace.exit_code, "there is no namespace of that name (no such settings)"),
    (("versions", "none", "key"), BadQuery.exit_code, "nothing is known of a key 'key' in the namespace 'none'"),
    (("get", "a", "none"), BadQuery.exit_code, "no key of 'a' fits 'none'"),
    (("set", "a", "k", ""), UsageError.exit_code, "`istat settings delete` does that"),
    (("set", "a/b", "k", "1"), BadQuery.exit_code, "invalid settings name"),
    (("set", "a", "k k", "1"), BadQuery.exit_code, "'k k' cannot be a key"),
    (("delete", "a", "none"), BadQuery.exit_code, "there is no key none in 'a'"),
    (("versions", "a", "none"), BadQuery.exit_code, "nothing is known of a key 'none'"),
    (("restore", "a", "key", "7"), BadQuery.exit_code, "no version 7 of 'key'"),
    (("restore", "a", "key", "x"), UsageError.exit_code, "invalid int value"),
])
def test_what_cannot_be_done_is_told(namespaces: Namespaces, capsys: pytest.CaptureFixture[str],
                                     words: tuple[str, ...], status: int, told: str) -> None:
    namespaces.set("a", {"key": "value"})
    try:
        found = run(*words)
    except SystemExit as end:
        found = int(str(end.code))
    assert found == status and told in capsys.readouterr().err
    assert namespaces.get("a") == {"key": "value"} and namespaces.names() == ["a"]


def test_a_change_takes_the_admin_token_and_says_what_it_lacks(
        namespaces: Namespaces, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(ADMIN_VARIABLE, "wrong")
    assert run("set", "a", "k", "1") == BadQuery.exit_code
    monkeypatch.delenv(ADMIN_VARIABLE)
    monkeypatch.delenv(TOKEN_VARIABLE)
    assert run("set", "a", "k", "1") == BadQuery.exit_code
    said = capsys.readouterr().err
    assert "this needs the write-token" in said
    assert "(istat takes a token from ISTAT_ADMIN_TOKEN, ISTAT_TOKEN or --token-file FILE)" in said
    assert namespaces.names() == []
