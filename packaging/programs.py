"""What our programs take on their command lines, in one form: from the settings' declarations and from argparse.

Knows neither roff nor the shell: manpages.py and bashcompletion.py write them.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pkgutil import resolve_name
from typing import Any

from istat import cli
from istat.cli import command
from istat.cli.istatd.alias import Alias, Flag
from istat.daemon.listening.binding import CannotListen, PortInUse
from istat.daemon.logs import LogFileError
from istat.errors import IstatError, PluginError, SettingsError, UsageError
from istat.settings.declaration import Choice, Declaration, FlagHelp, Many, Path
from istat.settings.declaration import Flag as YesOrNo
from istat.subcommands import SubCommand
from istat_agent.control import commands as of_agent
from istat_agent.control.asking import AgentUnreachable
from istat_agent.options import DECLARATION as AGENT
from istat_server.options import DECLARATION as SERVER
from istat_server.tools import ALIASES, COMMANDS, brought

DAEMONS = {"istat-server": SERVER, "istat-agent": AGENT}
# Modules, besides istat.errors, whose errors end a program.
_SERVER_ERRORS = ("istat.daemon.logs", "istat_server.main", "istat_server.sockets", "istat_server.store.statstore")
_TOOL_ERRORS = ("istat_server.foreign.ring", "istat_server.foreign.rrd.tables", "istat_server.foreign.whisper",
                "istat_server.tools.importing", "istat_server.tools.ring.transplant.messages")
DONE = {"istat": "done", "istat-server": "ended by SIGTERM or SIGINT, everything written", "istat-agent":
        "ended by SIGTERM or SIGINT, everything sent"}
INTERRUPTED = "stopped by SIGINT, such as Ctrl-C"


@dataclass(frozen=True)
class Option:
    """A flag, or (without `flags`) a word in its place. `value` stands for what it takes; none when empty.

    `words` are all it may be; `files`: it is a path.
    """

    flags: tuple[str, ...]
    value: str
    help: str
    words: tuple[str, ...] = ()
    files: bool = False
    required: bool = False
    many: bool = False


@dataclass(frozen=True)
class Program:
    """A command or a sub-command, whose name has a blank then."""

    name: str
    section: int
    help: str
    more: str
    options: tuple[Option, ...]
    examples: tuple[tuple[str, str], ...] = ()

    @property
    def page(self) -> str:
        """The name of its manual page."""
        return self.name.replace(" ", "-")


def daemon(declaration: Declaration) -> Program:
    """A program that is all settings."""
    help, _stop, more = declaration.about.partition(". ")
    options = tuple(option for flag in declaration.flags() for option in _of_setting(flag))
    return Program(declaration.program, 8, help.rstrip("."), more, options, declaration.examples)


def _of_setting(flag: FlagHelp) -> Iterator[Option]:
    inner = flag.type.of if isinstance(flag.type, Many) else flag.type
    words = inner.words if isinstance(inner, Choice) else ()
    names: tuple[str, ...] = (f"--{flag.name}",)
    if isinstance(flag.type, YesOrNo):
        names = (f"--{flag.name}", f"--no-{flag.name}")
    if flag.name == "help":
        names = ("--help", "-h")
    yield Option(names, flag.word, flag.help, words, isinstance(inner, Path))


def tool() -> tuple[Program, list[Program]]:
    """The command `istat`, and its sub-commands: our own, and those in the tree's list."""
    parser = command.parser([], brought())
    found = command.sub_commands([], brought())
    grouped = {f"{name} {part}" for name, group in command.GROUPS.items() for part in group.parts}
    missing = (COMMANDS.keys() | grouped) - found.keys()
    if missing:
        raise PluginError(f"cannot be loaded: istat {', '.join(sorted(missing))}")
    programs = [_sub_command(name, one, parser_of(parser, name)) for name, one in sorted(found.items())]
    options = tuple(_of_action(action) for action in parser._actions if action is not _places(parser))
    return Program("istat", 1, command.ABOUT.rstrip("."), "", options), programs


def parser_of(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    """The parser of a sub-command, whose name has a blank where it is one of a group, or a part of a command."""
    if name in (commands := _places(parser).choices):
        return commands[name]
    for word in name.split():
        parser = _places(parser).choices[word]
    return parser


def _places(parser: argparse.ArgumentParser) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    return next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))


def _sub_command(name: str, one: SubCommand, parser: argparse.ArgumentParser, of: str = "istat",
                 section: int = 1) -> Program:
    options = tuple(_of_action(action) for action in parser._actions)
    return Program(f"{of} {name}", section, one.help.rstrip("."), one.more, options, one.examples)


def commands_of(daemon: str) -> list[Program]:
    """What a daemon does besides serving, where its first word says so."""
    if daemon != AGENT.program:
        return []
    parser = of_agent.parser()
    return [_sub_command(name, one, parser_of(parser, name), AGENT.program, 8)
            for name, one in of_agent.COMMANDS.items()]


def _of_action(action: argparse.Action) -> Option:
    takes = action.nargs != 0
    words = tuple(str(word) for word in action.choices or ())
    value = str(action.metavar or "|".join(words) or action.dest.upper()) if takes else ""
    text = (action.help or "") % {**vars(action), "prog": "istat"}
    many = action.nargs in ("*", "+", argparse.REMAINDER)
    needed = action.required and action.nargs not in ("*", "?")
    files = action.type in (pathlib.Path, of_agent.file_or_name)
    return Option(tuple(action.option_strings), value, text, words, files, needed, many)


def aliases() -> dict[str, Alias]:
    """Name -> program under a name of istatd's."""
    return {name: resolve_name(place) for name, place in ALIASES.items()}


def of_alias(alias: Alias) -> Program:
    """The same in our form."""
    words = Option((), alias.words, "", files=alias.files, required=alias.fewest > 0)
    options = [*(_of_flag(flag) for flag in alias.flags), Option(("--help",), "", "tell how it is called, and end")]
    return Program(alias.name, 1, alias.help, alias.more, tuple([words] * bool(alias.words) + options), alias.examples)


def _of_flag(flag: Flag) -> Option:
    default = f" (default {flag.default})" if flag.value and flag.default not in (None, "") else ""
    return Option((flag.name,), flag.value, flag.help + default, files=flag.files)


def alias_statuses(alias: Alias) -> dict[int, str]:
    """Exit status -> what it means, of those that its text does not tell."""
    told = {0: "done", 1: "a command line that cannot be understood, or it cannot be done"}
    return told | {status: meaning(error) for error, status in alias.statuses.items()}


def exit_statuses(program: str) -> dict[int, str]:
    """Exit status -> what it means, from the errors that the program ends by. `program`: a command's name."""
    if program == "istat-agent":
        errors: set[type[IstatError]] = {IstatError, UsageError, SettingsError, PluginError, AgentUnreachable,
                                         PortInUse, CannotListen, LogFileError}
    elif program == "istat-server":
        errors = {e for e in _all_errors(_SERVER_ERRORS) if e.exit_code in (1, 78) or 86 <= e.exit_code <= 93}
    else:
        errors = {e for e in _all_errors(_TOOL_ERRORS) if e is not SettingsError}
    meanings: dict[int, str] = {0: DONE[program]}
    if program in ("istat", "istat-agent"):
        meanings[cli.INTERRUPTED] = INTERRUPTED
    for error in errors:
        meanings.setdefault(error.exit_code, meaning(error))
    return dict(sorted(meanings.items()))


def _all_errors(modules: tuple[str, ...]) -> set[type[IstatError]]:
    named: list[Any] = [import_module(name) for name in ("istat.errors", *modules)]
    values = (value for module in named for value in vars(module).values())
    return {value for value in values if isinstance(value, type) and issubclass(value, IstatError)}


def meaning(error: type[IstatError]) -> str:
    """The first sentence of an error's docstring."""
    return (error.__doc__ or "").partition("\n")[0].partition(". ")[0].rstrip(".")
