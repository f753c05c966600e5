"""`istat query --tz`: days and times of a zone; and how odd names are listed."""

from __future__ import annotations

from typing import Any

import pytest

from istat.cli import asking, command
from istat.clock import FakeClock


class Server:
    """Stands for QueryClient."""

    asked: list[dict[str, Any]] = []

    def __init__(self, url: str, *_: Any, **__: Any) -> None:
        self.url = url

    def series(self, *_: Any, **more: Any) -> dict[str, Any]:
        self.asked.append(more)
        times = {"times": [1332543600, 1332630000, 1332712800]} if more.get("tz") == "Europe/Berlin" else {}
        return {"start": 1332543600, "interval": 86400, "points": 2, "missing": [], **times,
                "series": [{"name": "a", "kind": "gauge", "avg": [1, 2]}]}

    def names(self, match: str, limit: int) -> dict[str, Any]:
        names = [("**x", "event"), ("**y", "gauge"), ("z", "event")]
        return {"names": [{"name": name, "kind": kind} for name, kind in names], "truncated": False}


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    Server.asked.clear()
    for variable in asking.ENVIRONMENT:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(asking, "QueryClient", Server)


def run(*arguments: str) -> int:
    return command.main(arguments, FakeClock(1325395000))


def test_days_of_a_zone_are_told_by_its_clock(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("query", "a", "--last", "2d", "--points", "2", "--columns", "avg", "--tz", "Europe/Berlin") == 0
    assert Server.asked == [{"tz": "Europe/Berlin"}]
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("# time (Europe/Berlin)")
    assert [line.split() for line in lines[2:]] == [["2012-03-24T00:00:00", "1"], ["2012-03-25T00:00:00", "2"]]


def test_a_zone_that_only_the_server_knows_is_told_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("query", "a", "--columns", "avg", "--tz", "Only/There") == 0
    assert capsys.readouterr().out.splitlines()[1:3] == ["# time (UTC)                    avg",
                                                         "2012-03-23T23:00:00               1"]


def test_ls_lists_names_as_they_are_sent(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ls") == 0
    assert capsys.readouterr().out == "**x\n**y\n*z\n"
