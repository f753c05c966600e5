"""How the agent's commands are told from its flags, and how they find settings and socket."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from istat.errors import SettingsError
from istat_agent import main
from istat_agent.control import commands, place
from istat_agent.control.commands import apart
from istat_agent.options import DECLARATION


@pytest.mark.parametrize(("words", "settings", "others"), [
    ("plugins --json", "", "plugins --json"),
    ("try --control-path c x --json", "--control-path c", "try x --json"),
    ("try --config=a.toml x", "--config=a.toml", "try x"),
    ("try x --config a.toml --tags a,b", "--config a.toml --tags a,b", "try x"),
    ("try --aggregate x --no-aggregate --tls", "--aggregate --no-aggregate --tls", "try x"),
    ("try --no-script x --host", "--host", "try --no-script x"),
    ("new x --script --folder d --plugin-dir=d", "--plugin-dir=d", "new x --script --folder d"),
])
def test_settings_are_told_from_what_is_the_commands_own(words: str, settings: str, others: str) -> None:
    assert apart(words.split()) == (settings.split(), others.split())


def test_commands_are_those_that_are_declared() -> None:
    assert list(commands.COMMANDS) == list(DECLARATION.commands)
    assert all(f"istat-agent {name}" in DECLARATION.help() for name in commands.COMMANDS)
    own = {flag for name in commands.COMMANDS
           for flag in _flags(name) if flag.removeprefix("--") in DECLARATION.settings}
    assert own == {"--control-path"}, "a flag of a command would be taken for a setting"


def _flags(name: str) -> list[str]:
    places = next(one.choices for one in commands.parser()._actions if isinstance(one.choices, dict))
    return [flag for action in places[name]._actions for flag in action.option_strings]


def test_a_word_that_is_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["plugin"]) == 2
    assert capsys.readouterr().err == ("istat-agent: there is no command 'plugin' (did you mean 'plugins'?); there are "
                                       "plugins, reload, try, new, and --help\n")
    assert main.main(["try"]) == 2
    assert "required: FILE_OR_NAME; see istat-agent try --help" in capsys.readouterr().err
    assert main.main(["plugins", "--jsn"]) == 2
    assert main.main(["--plugins"]) == 78, "flags are settings, as ever"


def test_refusals_are_json_where_that_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["plugins", "--json", "--control-path", str(tmp_path / "c")]) == 120
    out, err = capsys.readouterr()
    assert out == "" and json.loads(err)["status"] == 120
    assert main.main(["plugins", "--json", "--what"]) == 2
    assert json.loads(capsys.readouterr().err)["status"] == 2


def socket_of(*settings: str) -> str:
    return commands.socket_of(argparse.Namespace(settings=list(settings)))


def test_where_the_agent_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setattr(DECLARATION, "file", str(tmp_path / "agent.toml"))
    assert socket_of() == "/run/istat-agent/control"
    (tmp_path / "agent.toml").write_text('control-path = "/run/mine/control"\nintervall = 7\n')
    assert socket_of() == "/run/mine/control", "the service's file is read, whatever else is wrong with it"
    assert socket_of("--control-path", "/x") == "/x"
    monkeypatch.setenv("ISTAT_AGENT_CONTROL_PATH", "/from/environment")
    assert socket_of() == "/from/environment"
    monkeypatch.delenv("ISTAT_AGENT_CONTROL_PATH")
    (tmp_path / "other.toml").write_text('host = "a"\n')
    assert socket_of("--config", str(tmp_path / "other.toml")) == "/run/istat-agent/control"
    with pytest.raises(SettingsError, match="no such file|No such file"):
        socket_of("--config", str(tmp_path / "missing.toml"))


def test_where_an_agent_listens(tmp_path: Path) -> None:
    def listens(*flags: str, **environ: str) -> str:
        return place.of_agent(DECLARATION.load(flags, {}), environ)

    assert listens() == ""
    assert listens(RUNTIME_DIRECTORY="/run/a:/run/b") == "/run/a/control"
    assert listens("--control-path", "/x/c", RUNTIME_DIRECTORY="/run/a") == "/x/c"
    assert listens("--control-path", "c").endswith("/c") and listens("--control-path", "c").startswith("/")


def test_a_message_of_several_lines_is_printed_as_such_and_is_none_of_the_table(
    capsys: pytest.CaptureFixture[str]
) -> None:
    commands._print(argparse.Namespace(json=False), {},
                    ["a does not run: unknown hook\n1 | def \x1b[2J()\nthere are b", "c"])
    assert capsys.readouterr().out.splitlines() == [
        "a does not run: unknown hook", "    1 | def \\x1b[2J()", "    there are b", "c"]
