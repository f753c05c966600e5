"""The command `istat`: what a person sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from istat.cli import asking, command
from istat.clock import FakeClock
from istat.errors import BadQuery, ServerUnreachable, UnknownCounter
from istat.unanswered import refusal


class Server:
    """Stands for QueryClient: answers from its own table."""

    asked: list[tuple[Any, ...]] = []

    made: list[dict[str, Any]] = []
    lasts: dict[str, int] = {}

    def __init__(self, url: str, timeout: float, token: str, **files: Path | None) -> None:
        self.url = url
        self.token = token
        self.made.append({"token": token, **files})

    def confirm_clock(self) -> dict[str, Any]:
        self.asked.append((self.token,))
        return {"time": 1325395000, "doubt": "the clock went on by 9000 s at once"}

    def series(self, *question: Any) -> dict[str, Any]:
        self.asked.append(question)
        series = [{"name": "cpu", "kind": "gauge", "avg": [1.5, None, 2], "max": [3, None, None]}]
        return {
            "start": 1325394000,
            "interval": 10,
            "points": 3,
            "series": series,
            "missing": ["b"][: len(question[0]) - 1],
        }

    def ends(self, names: list[str]) -> dict[str, Any]:
        self.asked.append(("ends", names))
        return {"counters": [{"name": name, "last": self.lasts.get(name)} for name in names], "missing": []}

    def names(self, match: str, limit: int) -> dict[str, Any]:
        return {
            "names": [{"name": "hits", "kind": "event"}, {"name": "cpu", "kind": "gauge"}],
            "truncated": False,
        }

    def status(self) -> dict[str, Any]:
        return {"version": "1", "store": {"counters": 5}}

    def agents(self) -> list[dict[str, Any]]:
        return []


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    Server.asked.clear()
    Server.made.clear()
    for variable in asking.ENVIRONMENT:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(asking, "QueryClient", Server)


def run(*arguments: str) -> int:
    return command.main(arguments, FakeClock(1325395000))


def test_query_prints_a_table_without_the_gaps(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("query", "cpu", "--last", "30s", "--columns", "avg,max", "--points", "3") == 0
    assert Server.asked == [(["cpu"], 1325394971, 1325395001, 3, ["avg", "max"])]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "# cpu (gauge), every 10 s"
    assert [line.split() for line in lines[2:]] == [
        ["2012-01-01T05:00:00", "1.5", "3"],
        ["2012-01-01T05:00:20", "2", "-"],
    ]


def test_query_names_what_is_missing_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("query", "cpu", "b", "--json", "--columns", "avg,max") == UnknownCounter.exit_code
    output = capsys.readouterr()
    assert json.loads(output.out)["missing"] == ["b"]
    assert json.loads(output.err) == {"error": "there is no counter b", "status": UnknownCounter.exit_code}


def test_query_without_data_says_when_the_last_sample_was(monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    nothing = {"kind": "gauge", "avg": [None, None]}
    zeros = {"name": "hits", "kind": "event", "avg": [0, None]}
    monkeypatch.setattr(Server, "series", lambda self, *_: {
        "start": 1325394990, "interval": 10, "points": 2, "missing": [], "series": [
            {"name": "cpu", **nothing}, {"name": "never", **nothing}, {**zeros}, {**zeros, "name": "live"}]})
    monkeypatch.setattr(Server, "lasts", {"cpu": 1325384200, "hits": 1325390000, "live": 1325394990})
    words = ["query", "cpu", "never", "hits", "live", "--columns", "avg", "--last", "1w"]
    assert run(*words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "# cpu (gauge): no data in the last 1w; the last sample was at 2012-01-01T02:16:40 UTC, 3 h ago",
        "# never (gauge): no data in the last 1w; nothing is kept of it"]
    assert lines[5:7] == ["# hits (event): no data in the last 1w; the last sample was at 2012-01-01T03:53:20 UTC, "
                          "1 h 23 min ago", "# live (event), every 10 s"]
    assert len(lines) == 9
    assert Server.asked == [("ends", ["cpu", "never", "hits", "live"])]
    assert run(*words, "--json") == 0
    assert [series["last"] for series in json.loads(capsys.readouterr().out)["series"]] == [
        1325384200, None, 1325390000, 1325394990]


def test_query_of_an_older_server_does_without(monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    def ends(self: Server, names: list[str]) -> dict[str, Any]:
        raise ServerUnreachable("no such path")

    monkeypatch.setattr(Server, "ends", ends)
    monkeypatch.setattr(Server, "series", lambda self, *_: {
        "start": 1325394990, "interval": 10, "points": 1, "missing": [],
        "series": [{"name": "cpu", "kind": "gauge", "avg": [None]}]})
    assert run("query", "cpu", "--columns", "avg") == 0
    assert capsys.readouterr().out == "# cpu (gauge): no data in the last 1h\n"


def test_ls_marks_events_and_sorts_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ls") == 0
    output = capsys.readouterr()
    assert (output.out, output.err) == ("cpu\n*hits\n", "")


def test_ls_takes_a_regular_expression_and_says_when_nothing_fits(monkeypatch: pytest.MonkeyPatch,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[dict[str, object]] = []

    def names(self: Server, **how: object) -> dict[str, Any]:
        asked.append(how)
        return {"names": [], "truncated": False}

    monkeypatch.setattr(Server, "names", names)
    assert run("ls", "--regex", "^cpu") == run("ls", "cpu.*", "--limit", "5") == run("ls", "cpu") == 0
    assert asked == [{"regex": "^cpu", "limit": 10_000}, {"match": "cpu.*", "limit": 10_000},
                     {"match": "cpu", "limit": 10_000}]
    assert capsys.readouterr().err.splitlines() == [
        "istat: no counter fits '^cpu'",
        "istat: no counter fits 'cpu.*'",
        "istat: no counter fits 'cpu'; try 'cpu*' or '*cpu*'",
    ]


@pytest.mark.parametrize("tokens", [True, False])
def test_ls_asks_for_all_pages_and_tells_what_it_leaves_out(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tokens: bool) -> None:
    asked: list[str] = []
    wanted = [f"n{at:05}" for at in range(25_000)]

    def names(self: Server, match: str, limit: int, token: str = "", offset: int = 0) -> dict[str, Any]:
        first = int(token or offset)
        asked.append(str(first))
        last = min(first + limit, 25_000)
        return {"names": [{"name": name, "kind": "gauge"} for name in wanted[::-1][first:last]],
                "truncated": last < 25_000, **({"token": str(last) if last < 25_000 else ""} if tokens else {})}

    monkeypatch.setattr(Server, "names", names)
    assert run("ls", "n*") == 0
    assert asked == ["0", "10000", "20000"]
    said = capsys.readouterr()
    assert said.out.splitlines() == wanted and said.err == ""
    assert run("ls", "n*", "--limit", "3") == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == wanted[:3] and said.err == "istat: 24,997 more fit; --limit is 3\n"
    assert run("ls", "n*", "--limit", "2", "--json") == 0
    said = capsys.readouterr()
    assert [one["name"] for one in json.loads(said.out)["names"]] == wanted[:2]
    assert json.loads(said.out)["truncated"] and json.loads(said.err)["warning"].startswith("24,998 more fit")


@pytest.mark.parametrize("words", [["query"], ["ls", "--limit", "x"], ["query", "a", "--last", "soon"],
                                   ["send", "a b", "1"], ["query", "a", "b", "--columns", "avg,max"], ["nosuch"],
                                   ["clock", "confirm"]])
def test_with_json_what_is_wrong_is_json_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status = run(*words, "--json")
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert status > 0 and [one["status"] for one in told] == [status] and told[0]["error"]


def test_status_in_its_three_forms(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("status") == 0
    assert capsys.readouterr().out.startswith("istat-server 1 runs at http://127.0.0.1:8000 since 2012-01-01 ")
    assert run("status", "--all") == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["version", "1"],
        ["store.counters", "5"],
    ]
    assert run("status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["store"] == {"counters": 5}


def test_status_does_not_ask_whether_a_server_runs_that_says_it_is_starting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def status(self: Server) -> dict[str, Any]:
        raise refusal("http://one:8000", 503, {"error": "the server is starting"}, "/api/v1/status")

    monkeypatch.setattr(Server, "status", status)
    assert run("status") == ServerUnreachable.exit_code
    assert capsys.readouterr().err == "istat: the server is starting\n"


def test_status_says_what_to_try_when_no_server_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def status(self: Server) -> dict[str, Any]:
        raise ServerUnreachable("no answer")

    monkeypatch.setattr(Server, "status", status)
    assert run("status") == ServerUnreachable.exit_code
    told = capsys.readouterr().err
    assert told.startswith("istat: no answer\n") and "systemctl status istat-server" in told
    assert "journalctl -u istat-server" in told and "ISTAT_URL" in told
    run("status", "--server", "http://stats:8000")
    assert "http-listen-address" in capsys.readouterr().err


def test_wrong_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("query", "a", "--last", "soon") == 2
    assert run("send", "a b", "1") == 80
    assert "istat: --last wants a time" in capsys.readouterr().err


def test_clock_confirm_takes_the_token_from_the_environment_or_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ISTAT_ADMIN_TOKEN", raising=False)
    assert run("clock", "confirm") == 2
    assert "admin-token" in capsys.readouterr().err
    monkeypatch.setenv("ISTAT_ADMIN_TOKEN", "one")
    (tmp_path / "token").write_text("two\n")
    assert run("clock", "confirm") == run("clock", "confirm", "--token-file", str(tmp_path / "token")) == 0
    assert Server.asked == [("one",), ("two",)]
    assert "2012-01-01 05:16:40 UTC is believed. It was doubted: the clock went on" in capsys.readouterr().out
    assert run("clock", "confirm", "--token-file", str(tmp_path / "none")) == 1


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o602, True), (0o640, False), (0o600, False)])
def test_a_token_in_a_file_that_is_open_to_everybody_is_warned_of(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, mode: int, warned: bool
) -> None:
    (tmp_path / "token").write_text("two\n")
    (tmp_path / "token").chmod(mode)
    assert run("clock", "confirm", "--token-file", str(tmp_path / "token")) == 0
    path = tmp_path / "token"
    told = f"istat: warning: the token in {path} is no secret, as everybody may read or write that file " \
           f"(mode {mode:04o}): chmod 600 {path}\n"
    assert capsys.readouterr().err == (told if warned else "")


def test_a_question_takes_its_token_and_files_from_options_and_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("two\n")
    nothing: dict[str, Any] = {"token": "", "ca": None, "cert": None, "key": None}
    assert run("ls") == 0
    monkeypatch.setenv("ISTAT_ADMIN_TOKEN", "never for questions")
    assert run("ls") == 0
    for variable, value in (("ISTAT_TOKEN", "one"), ("ISTAT_CA", "ca.pem"), ("ISTAT_CERT", "cert.pem"),
                            ("ISTAT_KEY", "key.pem")):
        monkeypatch.setenv(variable, value)
    assert run("ls", "cpu*") == 0
    options = ["--ca", "other.pem", "--cert", "c", "--key", "k", "--token-file", str(tmp_path / "token")]
    assert run("status", "--all", *options) == 0
    assert Server.made == [nothing, nothing, {"token": "one", "ca": Path("ca.pem"), "cert": Path("cert.pem"),
                                              "key": Path("key.pem")},
                           {"token": "two", "ca": Path("other.pem"), "cert": Path("c"), "key": Path("k")}]


def test_an_editors_mark_before_the_token_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xef\xbb\xbftwo\n")
    assert run("clock", "confirm", "--token-file", str(tmp_path / "token")) == 0
    assert Server.asked == [("two",)]


@pytest.mark.parametrize(("content", "words"), [("", "has no token in its first line"), ("\nlater\n", "has no token"),
                                                ("s\xe9cret", "has characters that HTTP cannot carry")])
def test_a_file_without_a_token_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, words: str
) -> None:
    (tmp_path / "token").write_text(content)
    for command_line in (["ls"], ["clock", "confirm"]):
        assert run(*command_line, "--token-file", str(tmp_path / "token")) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(("status", "told"), [(401, True), (403, True), (400, False)])
def test_a_refusal_for_want_of_a_right_says_where_a_token_is_taken_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int, told: bool
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BadQuery("no", status)

    monkeypatch.setattr(Server, "names", refuse)
    assert run("ls") == BadQuery.exit_code
    said = capsys.readouterr().err
    where = " (istat takes a token from ISTAT_TOKEN or --token-file FILE)" if told else ""
    assert said == f"istat: no{where}\n"


def test_what_is_to_be_done_next_names_the_same_server_and_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("status", "--server", "https://one:8000", "--ca", "my ca.pem") == 0
    assert "istat status --all --server https://one:8000 --ca 'my ca.pem'" in " ".join(capsys.readouterr().out.split())


def test_help_tells_a_server_whose_address_has_a_percent_sign(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(asking.URL_VARIABLE, "http://one:8000/a%20b")
    with pytest.raises(SystemExit) as ended:
        command.main(["status", "--help"])
    assert ended.value.code == 0
    assert "default http://one:8000/a%20b" in " ".join(capsys.readouterr().out.split())


def test_without_a_command_there_is_the_list_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([], brought={}) == 2
    shown = capsys.readouterr().out
    assert shown.startswith("usage: istat") and "Print what was recorded for counters." in shown
