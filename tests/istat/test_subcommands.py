"""Sub-commands that other packages bring: only the wanted one is loaded, and mistakes are told in a sentence."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from istat.cli import command
from istat.errors import PluginError, StoreError
from istat.subcommands import Group, SubCommand


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


def test_a_group_is_typed_before_its_sub_commands(monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "GROUPS", {"zoo": Group("Look at a zoo.", {"look": lambda: CHECK, "pony": broken})})
    assert run("zoo", "look", "here", "--json") == 0
    assert capsys.readouterr().out == "here True\n"
    assert run("zoo", "pony") == PluginError.exit_code
    assert "the command zoo pony cannot be loaded" in capsys.readouterr().err
    monkeypatch.setattr(command, "GROUPS", {"zoo": Group("Look at a zoo.", {"look": lambda: CHECK})})
    for words, text in ((("zoo",), "usage: istat zoo"), (("zoo", "cow"), "usage: istat zoo"),
                        (("--help",), "Look at a zoo.")):
        with pytest.raises(SystemExit):
            run(*words)
        said = capsys.readouterr()
        assert text in said.out + said.err


def test_parts_of_a_group_are_not_loaded_for_other_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> object:
        raise AssertionError("it was loaded")

    monkeypatch.setattr(command, "GROUPS", {"zoo": Group("Look at a zoo.", {"look": never})})
    assert run("look", "here") == 0


def test_our_own_commands_load_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(command.OWN, "status", SubCommand("Look.", lambda parser: None, lambda arguments, clock: None))
    assert command.main(["status"], None, {"status": broken, "pony": broken}) == 0


def test_a_command_may_have_parts_besides_arguments_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """As `istat fadvise FILE` and `istat fadvise run -- CMD`."""
    def rest(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("words", nargs=argparse.REMAINDER)

    def show(arguments: argparse.Namespace, clock: Any) -> None:
        print(arguments.words)

    both = SubCommand("Look.", _arguments, _action, parts={"run": SubCommand("Run it.", rest, show)})
    for words, told in ((("look", "here"), "here False\n"), (("look", "./run"), "./run False\n"),
                        (("look", "run", "--", "ls", "-l"), "['--', 'ls', '-l']\n")):
        assert command.main(words, None, {"look": lambda: both}) == 0
        assert capsys.readouterr().out == told
