"""Sub-commands that other packages bring: only the wanted one is loaded, and mistakes are told in a sentence."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from istat.cli import command
from istat.errors import PluginError, StoreError
from istat.subcommands import SubCommand


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place")


def _action(arguments: argparse.Namespace, clock: Any) -> None:
    if arguments.place == "bad":
        raise StoreError("bad holds no store")
    if arguments.place == "closed":
        raise PermissionError(13, "Permission denied", "closed")
    print(arguments.place, arguments.json)


CHECK = SubCommand("Look at a place.", _arguments, _action)


def broken() -> object:
    raise ImportError("no module named pony")


def run(*words: str) -> int:
    return command.main(words, None, {"look": lambda: CHECK, "pony": broken, "cow": lambda: 5})


def test_a_brought_command_runs_with_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("look", "here", "--json") == 0
    assert capsys.readouterr().out == "here True\n"


def test_its_errors_are_told_as_our_own_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("look", "bad") == StoreError.exit_code
    assert run("look", "closed") == 1
    told = capsys.readouterr().err
    assert told.startswith("istat: bad holds no store\nistat: closed: Permission denied (this is the user ")
    assert told.endswith("; run it as that user, or as root\n")


def test_one_that_cannot_be_loaded_says_so_and_harms_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("pony") == run("cow") == PluginError.exit_code
    error = capsys.readouterr().err
    assert "the command pony cannot be loaded" in error and "cow cannot be used" in error
    with pytest.raises(SystemExit):
        run("--help")
    listed = capsys.readouterr().out
    assert "Look at a place." in listed and "pony" not in listed and "query" in listed


def test_our_own_commands_load_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(command.OWN, "status", SubCommand("Look.", lambda parser: None, lambda arguments, clock: None))
    assert command.main(["status"], None, {"status": broken, "pony": broken}) == 0
