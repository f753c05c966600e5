"""`istat delete`, `undelete` and `rename` against the HTTP application over the model of the store, without sockets."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from falcon.testing import Result, TestClient

from istat.cli import command
from istat.cli.tokens import TOKEN_VARIABLE
from istat.clock import FakeClock
from istat.errors import BadQuery, IstatError, UnknownCounter, UsageError
from istat_server.http.limits import HttpLimits
from istat_server.store.interface import Counter, Deleted, Kind, NamePattern, Syntax
from istat_server.testing.memory import MemoryStore
from tests.http.application import app_of

NOW = 1325395000
SERVER = "http://stats.example.net:8000"


class Answer:
    """What requests makes of an answer."""

    def __init__(self, result: Result) -> None:
        self.status_code, self.json = result.status_code, lambda: result.json


class Server:
    """A server with some counters, and the questions it got."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        self.store = MemoryStore(clock=self.clock)
        self.questions: list[tuple[str, dict[str, Any]]] = []
        self._app = TestClient(app_of(self.store, self.clock, admin="s3cret",
                                      limits=HttpLimits(listed=1000, offset=1000)))

    def add(self, *names: str) -> None:
        for name in names:
            self.store.add(name, None, 1)

    @property
    def names(self) -> list[str]:
        return sorted(counter.name for counter in self.store.match(NamePattern(Syntax.GLOB, b"*"), 1000).items)

    @property
    def confirmed(self) -> list[dict[str, Any]]:
        """The questions that were more than a look."""
        return [question for _path, question in self.questions if question.get("confirm")]

    def request(self, session: requests.Session, method: str, url: str, timeout: float, **question: Any) -> Answer:
        """Stands for requests.Session.request."""
        assert url.startswith(SERVER) and timeout >= 60, "a big delete takes its time"
        path = url.removeprefix(SERVER)
        self.questions.append((path, question.get("json") or question.get("params") or {}))
        sent = {"Authorization": str(session.headers.get("Authorization", ""))}
        return Answer(self._app.simulate_request(method, path, headers=sent, **question))


class Terminal(io.StringIO):
    """A person who answers questions."""

    def __init__(self, said: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().__init__(said)
        self.meanwhile = meanwhile

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1, /) -> str:    # type: ignore[override]    # as StringIO has it
        self.meanwhile()
        return super().readline()


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """The only server there is; nobody is at the terminal."""
    server = Server()
    server.add("web.a", "web.b", "*mail.sent")
    monkeypatch.setattr(requests.Session, "request", lambda session, *words, **more: server.request(
        session, *words, **more))
    monkeypatch.setenv(TOKEN_VARIABLE, "s3cret")
    monkeypatch.setenv("ISTAT_URL", SERVER)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return server


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command: its exit status, what it printed and what it complained of."""

    def run(*words: str) -> tuple[int, str, str]:
        status = command.main(words, FakeClock(NOW), {})
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


Run = Callable[..., tuple[int, str, str]]


def test_delete_shows_what_would_go_and_does_it_with_yes(server: Server, run: Run) -> None:
    assert run("delete", "web.*") == (0, "web.a\nweb.b\n2 counters would be deleted; say --yes to do it\n", "")
    assert server.confirmed == []
    assert run("delete", "web.*", "--yes") == (
        0, "web.a\nweb.b\n2 counters deleted; `istat undelete` brings them back for a day at least\n", "")
    assert server.names == ["mail.sent"]
    assert server.confirmed == [{"match": "web.*", "expected": 2, "confirm": True}]
    assert run("delete", "mail.sent", "--yes")[1].endswith(
        "1 counter deleted; `istat undelete` brings it back for a day at least\n")
    assert server.names == []


def test_delete_takes_names_and_patterns_together(server: Server, run: Run) -> None:
    server.add("web.front.x", "web1")
    status, out, err = run("delete", "web?", "mail.sent", "web.f*", "none", "web.a", "--yes")
    assert (status, err) == (0, "istat: there is no counter none\n")
    assert sorted(out.splitlines()[:-1]) == ["mail.sent", "web.a", "web.front.x", "web1"]
    assert out.splitlines()[-1].startswith("4 counters deleted;")
    assert server.names == ["web.b"]
    assert [question for path, question in server.questions if not question["confirm"]] == [
        {"match": ["web?", "web.f*"], "names": ["mail.sent", "none", "web.a"], "confirm": False}]


def test_a_star_at_the_beginning_is_an_event_counter_and_alone_it_is_all(server: Server, run: Run) -> None:
    server.add("web.mail.sent")
    assert run("delete", "*mail.sent", "--yes")[0] == 0
    assert server.names == ["web.a", "web.b", "web.mail.sent"]
    assert run("delete", "*", "--yes")[0] == 0
    assert server.names == []


def test_where_no_counter_fits_delete_fails(server: Server, run: Run) -> None:
    assert run("delete", "none", "no.*", "--yes") == (
        UnknownCounter.exit_code, "", "istat: there is no counter none\nistat: no counter fits\n")
    assert server.confirmed == []


def test_of_many_counters_a_few_are_shown(server: Server, run: Run) -> None:
    server.add(*(f"many.n{number:04}" for number in range(999)), "many.last")
    lines = run("delete", "many.*")[1].splitlines()
    assert lines[:10] == [f"many.n{number:04}" for number in range(10)]
    assert lines[10:] == ["... and 990 more", "1,000 counters would be deleted; say --yes to do it"]


@pytest.mark.parametrize(("said", "done"), [("y\n", True), (" YES \n", True), ("n\n", False), ("\n", False),
                                            ("", False), ("yep\n", False)])
def test_a_person_is_asked(server: Server, run: Run, monkeypatch: pytest.MonkeyPatch, said: str, done: bool) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(said))
    status, out, err = run("delete", "web.*")
    assert (status, err) == (0, "")
    assert out.startswith("web.a\nweb.b\nDelete 2 counters? [y/N] ")
    assert ("2 counters deleted" in out, "would be deleted" in out) == (done, not done)
    assert (server.names == ["mail.sent"]) is done
    assert bool(server.confirmed) is done


def test_a_person_who_said_yes_is_not_asked_and_a_script_that_wants_json_neither(
        server: Server, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> None:
        raise AssertionError("it waits for a word")

    monkeypatch.setattr("sys.stdin", Terminal("y\n", nobody))
    assert run("delete", "web.a", "--json")[0] == 0
    assert "web.a" in server.names
    assert run("delete", "web.a", "--yes")[0] == 0
    assert "web.a" not in server.names
    assert run("rename", "web.b", "front.b", "--json")[0] == 0
    assert "web.b" in server.names


def test_nothing_is_deleted_when_others_fit_by_the_time_of_the_answer(server: Server, run: Run,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("y\n", lambda: server.add("web.c")))
    status, out, err = run("delete", "web.*")
    assert (status, err) == (BadQuery.exit_code, "istat: 3 counters are meant by now, not 2; look again\n")
    assert "deleted" not in out
    assert server.names == ["mail.sent", "web.a", "web.b", "web.c"]


def test_of_counters_that_were_named_those_are_deleted_that_are_left(server: Server, run: Run,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile() -> None:
        counter = server.store.find(b"web.b")
        assert counter is not None
        server.store.delete([counter.id])

    monkeypatch.setattr("sys.stdin", Terminal("y\n", meanwhile))
    status, out, err = run("delete", "web.a", "web.b")
    assert (status, err) == (0, "")
    assert "[y/N] 1 counter deleted;" in out
    assert server.names == ["mail.sent"]


def test_delete_in_json(server: Server, run: Run) -> None:
    for yes, deleted in (((), 0), (("--yes",), 2)):
        status, out, err = run("delete", "web.*", "none", "--json", *yes)
        assert (status, json.loads(err)) == (0, {"warning": "there is no counter none"})
        assert json.loads(out) == {"count": 2, "deleted": deleted, "missing": ["none"], "names": ["web.a", "web.b"]}
    status, out, err = run("delete", "web.*", "--json", "--yes")
    assert status == UnknownCounter.exit_code
    assert json.loads(out) == {"count": 0, "deleted": 0, "missing": [], "names": []}


def test_delete_wants_a_pattern(server: Server, run: Run) -> None:
    assert run("delete", "--yes") == (
        UsageError.exit_code, "", "istat: name what to delete, or --list what was\n")
    assert server.questions == []


def test_what_was_deleted_is_listed_with_its_time(server: Server, run: Run) -> None:
    assert run("delete", "--list") == (0, "", "")
    run("delete", "web.a", "--yes")
    server.clock.advance(60)
    run("delete", "mail.sent", "--yes")
    assert run("delete", "--list") == (0, "2012-01-01T05:17:40Z  mail.sent\n2012-01-01T05:16:40Z  web.a\n", "")
    assert run("delete", "--list", "web.*") == (0, "2012-01-01T05:16:40Z  web.a\n", "")
    listed = json.loads(run("delete", "--list", "--json", "mail.*")[1])
    assert listed == {"deleted": [{"name": "mail.sent", "kind": "event", "time": NOW + 60, "undo": True,
                                   "reason": ""}]}


def test_the_list_has_all_pages_and_says_what_cannot_be_undone(server: Server, run: Run,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    gone = [Deleted(Counter(number, f"n{number:04}", Kind.GAUGE), NOW, "its data are gone") for number in range(2501)]

    def deleted(pattern: NamePattern, limit: int, behind: tuple[int, int] | None = None) -> list[Deleted]:
        return [one for one in gone if behind is None or one.counter.id > behind[1]][:limit]

    monkeypatch.setattr(server.store, "deleted", deleted)
    status, out, err = run("delete", "--list")
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == "2012-01-01T05:16:40Z  n0000  (no undo: its data are gone)"
    assert len(out.splitlines()) == 2501


def test_several_patterns_are_all_listed_and_each_once(server: Server, run: Run) -> None:
    run("delete", "web.*", "mail.sent", "--yes")
    assert run("delete", "--list", "mail.*", "web.b")[1].split() == [
        "2012-01-01T05:16:40Z", "mail.sent", "2012-01-01T05:16:40Z", "web.b"]
    assert len(run("delete", "--list", "*", "web.*")[1].splitlines()) == 3


def test_what_fits_several_patterns_is_deleted_once(server: Server, run: Run) -> None:
    assert run("delete", "web.*", "web.?", "web.b", "mail.sent", "nosuch") == (
        0, "web.b\nmail.sent\nweb.a\n3 counters would be deleted; say --yes to do it\n",
        "istat: there is no counter nosuch\n")
    status, out, _err = run("delete", "web.*", "web.?", "web.b", "--yes")
    assert status == 0 and out.endswith("2 counters deleted; `istat undelete` brings them back for a day at least\n")
    assert server.names == ["mail.sent"]


def test_a_name_that_is_taken_is_no_success_in_json_either(server: Server, run: Run) -> None:
    for words in (["web.a", "web.b"], ["web.a", "web.b", "--yes"]):
        status, out, err = run("rename", *words, "--json")
        assert status == IstatError.exit_code
        assert json.loads(out)["problems"] == ["there is a counter web.b already"]
        assert [json.loads(line) for line in err.splitlines()] == [
            {"warning": "there is a counter web.b already"},
            {"error": "nothing was renamed", "status": IstatError.exit_code}]
    assert server.names == ["mail.sent", "web.a", "web.b"]


def test_undelete_brings_back_by_name_and_by_pattern(server: Server, run: Run) -> None:
    run("delete", "*", "--yes")
    assert run("undelete", "mail.sent") == (0, "1 counter came back\n", "")
    assert server.names == ["mail.sent"]
    assert run("undelete", "web.a", "web.?") == (0, "2 counters came back\n", "")
    assert server.names == ["mail.sent", "web.a", "web.b"]


def test_undelete_says_what_stays_deleted_and_why(server: Server, run: Run) -> None:
    run("delete", "web.*", "--yes")
    server.add("web.a")
    stays = "istat: web.a stays deleted: its name was taken by a counter that came since\n"
    assert run("undelete", "web.*") == (
        IstatError.exit_code, "1 counter came back\n", stays + "istat: 1 counter did not come back\n")
    assert run("undelete", "web.a") == (IstatError.exit_code, "", stays + "istat: nothing came back\n")
    status, out, err = run("undelete", "web.a", "--json")
    assert status == IstatError.exit_code
    assert [json.loads(line) for line in err.splitlines()] == [
        {"warning": stays.removeprefix("istat: ").rstrip()}, {"error": "nothing came back", "status": 1}]
    assert json.loads(out) == {"undeleted": 0, "refused": [
        {"name": "web.a", "reason": "its name was taken by a counter that came since"}]}


def test_undelete_of_names_of_which_some_were_never_deleted_is_no_success(server: Server, run: Run) -> None:
    run("delete", "web.*", "--yes")
    assert run("undelete", "web.?", "web.a", "nosuch", "none.*") == (
        IstatError.exit_code, "2 counters came back\n",
        "istat: there is no deleted counter nosuch\nistat: 1 counter did not come back\n")


def test_undelete_of_what_was_never_deleted_says_where_to_look(run: Run) -> None:
    status, out, err = run("undelete", "web.a")
    assert (status, out) == (IstatError.exit_code, "")
    assert err == ("istat: nothing came back: no deleted counter fits; `istat delete --list` shows which "
                   "there are\n")


def test_rename_shows_what_would_be_renamed_and_does_it_with_yes(server: Server, run: Run) -> None:
    shown = "web.a -> front.a\nweb.b -> front.b\n"
    assert run("rename", "web.*", "front.*") == (
        0, shown + "2 counters would be renamed; say --yes to do it\n", "")
    assert server.names == ["mail.sent", "web.a", "web.b"]
    assert run("rename", "web.*", "front.*", "--yes") == (0, shown + "2 counters renamed\n", "")
    assert server.names == ["front.a", "front.b", "mail.sent"]
    assert server.confirmed == [{"from": "web.*", "to": "front.*", "expected": 2, "confirm": True}]
    assert run("rename", "mail.sent", "mail.out", "--yes") == (0, "mail.sent -> mail.out\n1 counter renamed\n", "")


@pytest.mark.parametrize(("said", "names"), [("y\n", ["front.a", "mail.sent", "web.b"]),
                                             ("n\n", ["mail.sent", "web.a", "web.b"])])
def test_a_person_is_asked_before_a_rename(server: Server, run: Run, monkeypatch: pytest.MonkeyPatch, said: str,
                                           names: list[str]) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(said))
    assert run("rename", "web.a", "front.a")[1].startswith("web.a -> front.a\nRename 1 counter? [y/N] ")
    assert server.names == names


def test_a_rename_is_all_or_none(server: Server, run: Run) -> None:
    server.add("front.a")
    status, out, err = run("rename", "web.*", "front.*", "--yes")
    assert (status, out) == (IstatError.exit_code, "web.a -> front.a\nweb.b -> front.b\n")
    assert err == "istat: there is a counter front.a already\nistat: nothing was renamed\n"
    assert server.names == ["front.a", "mail.sent", "web.a", "web.b"]
    assert server.confirmed == []


def test_a_rename_is_refused_when_others_fit_by_the_time_of_the_answer(server: Server, run: Run,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("y\n", lambda: server.add("web.c")))
    status, _out, err = run("rename", "web.*", "front.*")
    assert (status, err) == (BadQuery.exit_code, "istat: 3 counters are meant by now, not 2; look again\n")
    assert server.names == ["mail.sent", "web.a", "web.b", "web.c"]


def test_what_cannot_be_renamed(server: Server, run: Run) -> None:
    assert run("rename", "none", "other", "--yes") == (
        UnknownCounter.exit_code, "", "istat: there is no counter none\n")
    assert run("rename", "no.*", "other.*", "--yes") == (UnknownCounter.exit_code, "", "istat: no counter fits\n")
    status, _out, err = run("rename", "web.*", "other", "--yes")
    assert (status, "wants two prefixes" in err) == (BadQuery.exit_code, True)
    assert server.names == ["mail.sent", "web.a", "web.b"]


def test_rename_in_json(server: Server, run: Run) -> None:
    shown = {"count": 1, "problems": [], "names": [["web.a", "front.a"]]}
    status, out, err = run("rename", "web.a", "front.a", "--json")
    assert (status, json.loads(out), err) == (0, shown, "")
    assert json.loads(run("rename", "web.a", "front.a", "--json", "--yes")[1]) == {**shown, "renamed": 1}
    assert server.names == ["front.a", "mail.sent", "web.b"]


@pytest.mark.parametrize("words", [("delete", "web.a", "--yes"), ("delete", "--list"), ("undelete", "web.a"),
                                   ("rename", "web.a", "b", "--yes")])
def test_each_of_them_wants_the_token(server: Server, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                      words: tuple[str, ...]) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE)
    status, out, err = run(*words)
    assert (status, out) == (UsageError.exit_code, "")
    assert err.startswith("istat: this needs the server's admin-token: in ISTAT_ADMIN_TOKEN, or with --token-file")
    assert server.questions == []
    (tmp_path / "token").write_text("guessed\n")
    (tmp_path / "token").chmod(0o600)
    status, out, err = run(*words, "--token-file", str(tmp_path / "token"))
    assert (status, out) == (BadQuery.exit_code, "")
    assert err.startswith("istat: the token is wrong: this needs the server's admin-token; ")
    assert server.names == ["mail.sent", "web.a", "web.b"]


def test_the_token_may_come_from_a_file(server: Server, run: Run, monkeypatch: pytest.MonkeyPatch,
                                        tmp_path: Path) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE)
    (tmp_path / "token").write_text("s3cret\nand notes\n")
    assert run("delete", "web.a", "--yes", "--token-file", str(tmp_path / "token"))[0] == 0
    assert server.names == ["mail.sent", "web.b"]
