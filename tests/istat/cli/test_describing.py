"""`istat ls --long` and `istat describe`: what a person sees of declared metrics."""

from __future__ import annotations

import json
from typing import Any

import pytest

from istat.cli import asking, command
from istat.clock import FakeClock
from istat.errors import BadQuery, UnknownCounter, UsageError

NOW = 1325395000
CPU = {"metric": "cpu.user", "unit": "%", "help": "time of programs", "link": "https://example.net/cpu"}
NOTHING = {"metric": None, "unit": "", "help": "", "link": ""}


class Server:
    """Stands for QueryClient."""

    old = False
    asked: list[tuple[str, int]] = []
    counters: dict[str, dict[str, Any]] = {}
    lasts: dict[str, int] = {}

    def __init__(self, *given: Any, **more: Any) -> None:
        pass

    def names(self, match: str, limit: int) -> dict[str, Any]:
        return {"names": [{"name": name, "kind": row["kind"]} for name, row in self.counters.items()],
                "truncated": False, "token": ""}

    def ends(self, names: list[str]) -> dict[str, Any]:
        return {"counters": [{"name": name, "last": self.lasts.get(name)} for name in names], "missing": []}

    def describe(self, names: list[str]) -> dict[str, Any]:
        self.asked.append(("describe", len(names)))
        if self.old:
            raise BadQuery("no such path", 404)
        return {"counters": [{"name": name, **self.counters[name]} for name in names if name in self.counters],
                "missing": [name for name in names if name not in self.counters]}

    def metrics(self, match: str, limit: int, token: str) -> dict[str, Any]:
        self.asked.append((match, limit))
        if match == "nothing*":
            return {"metrics": [], "truncated": False, "token": ""}
        if not token:
            return {"metrics": [{"name": "cpu.user", "kind": "gauge", "unit": "%", "help": "time", "link": ""}],
                    "truncated": True, "token": "cpu.user"}
        return {"metrics": [{"name": "disk.<device>.reads", "kind": "event", "unit": "", "help": "", "link": ""}],
                "truncated": False, "token": ""}


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> type[Server]:
    monkeypatch.setattr(asking, "QueryClient", Server)
    Server.asked, Server.old = [], False
    Server.lasts = {"cpu.user.host.web1": NOW - 12, "old": NOW - 90_000}
    Server.counters = {
        "old": {"kind": "event", **NOTHING},
        "cpu.user.host.web1": {"kind": "gauge", **CPU},
        "never": {"kind": "gauge", "metric": "never", "unit": "°C\x1b", "help": "\x1b[31mred", "link": ""},
    }
    return Server


def run(*arguments: str) -> int:
    return command.main(arguments, FakeClock(NOW))


def test_ls_long_tells_unit_kind_age_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ls", "--long") == 0
    assert capsys.readouterr().out.splitlines() == [
        "name                unit    kind   age      help",
        "cpu.user.host.web1  %       gauge  12 s     time of programs",
        "never               °C\\x1b  gauge  -        \\x1b[31mred",
        "old                 -       event  1 d 1 h",
    ]
    assert run("ls", "--long", "--json", "--limit", "1") == 0
    assert json.loads(capsys.readouterr().out) == {
        "names": [{"name": "cpu.user.host.web1", "kind": "gauge", "last": NOW - 12, **CPU}], "truncated": True}


def test_ls_long_asks_for_as_many_as_a_server_tells_at_once(server: type[Server]) -> None:
    server.counters = {f"c{number}": {"kind": "gauge", **NOTHING} for number in range(2500)}
    assert run("ls", "--long") == 0
    assert server.asked == [("describe", 1000), ("describe", 1000), ("describe", 500)]


def test_of_an_older_server_ls_long_tells_the_rest(server: type[Server], capsys: pytest.CaptureFixture[str]) -> None:
    server.old = True
    assert run("ls", "--long") == 0
    told = capsys.readouterr()
    assert "cpu.user.host.web1  -     gauge  12 s" in told.out.splitlines()
    assert told.err == "istat: the server is older, and knows nothing of units and meanings\n"


def test_nothing_fits_and_ls_long_prints_nothing(server: type[Server], capsys: pytest.CaptureFixture[str]) -> None:
    server.counters = {}
    assert run("ls", "--long", "x*") == 0
    told = capsys.readouterr()
    assert told.out == "" and "no counter fits 'x*'" in told.err


def test_describe_tells_what_counters_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("describe", "cpu.user.host.web1", "old") == 0
    assert capsys.readouterr().out.splitlines() == [
        "cpu.user.host.web1 (gauge)",
        "  unit         %",
        "  meaning      time of programs",
        "  declared as  cpu.user",
        "  more         https://example.net/cpu",
        "",
        "old (event)",
        "  nothing is declared of it: who sends it can, by a line #metric",
    ]
    assert run("describe", "never", "--json") == 0
    assert json.loads(capsys.readouterr().out)["counters"][0]["unit"] == "°C\x1b"


def test_a_counter_of_events_is_named_as_ls_lists_it(
        server: type[Server], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ls", "old") == 0
    assert "*old" in capsys.readouterr().out.splitlines()
    server.counters["*old"] = server.counters["old"]    # a real server knows it by both
    assert run("describe", "*old") == 0
    assert capsys.readouterr().out.startswith("*old (event)")
    assert run("describe", "*old", "cpu.user.host.web1") == 0
    capsys.readouterr()
    assert run("describe", "*.reads") == 0
    assert "disk.<device>.reads  -     event" in capsys.readouterr().out.splitlines()
    assert server.asked[-2:] == [("*.reads", 10_000), ("*.reads", 10_000)]


def test_what_is_no_counter_is_told_after_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("describe", "old", "no.such") == UnknownCounter.exit_code
    told = capsys.readouterr()
    assert told.out.startswith("old (event)") and "there is no counter no.such" in told.err


def test_without_names_all_that_is_declared_is_listed(server: type[Server], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("describe") == 0
    assert capsys.readouterr().out.splitlines() == [
        "metric               unit  kind   help",
        "cpu.user             %     gauge  time",
        "disk.<device>.reads  -     event",
    ]
    assert run("describe", "nothing*") == 0
    assert capsys.readouterr().err == "istat: nothing is declared that fits 'nothing*'\n"
    assert run("describe", "d*", "--json") == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert [row["name"] for row in found] == ["cpu.user", "disk.<device>.reads"]
    assert run("describe", "d*", "x") == UsageError.exit_code
