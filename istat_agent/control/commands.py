"""The commands of istat-agent: `plugins`, `reload`, `try` and `new`. Settings may be given with each, as to the agent
itself: they say where its socket is, and how a plugin is to run.
"""

from __future__ import annotations

import argparse
import json
import os
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from istat import __version__
from istat.cli import INTERRUPTED, report, saying
from istat.clock import Clock, SystemClock
from istat.errors import IstatError, PluginError, SettingsError, UsageError
from istat.settings.declaration import Flag
from istat.subcommands import SubCommand
from istat_agent.collecting.finding import built_in_package
from istat_agent.control import place, skeleton, table, tried
from istat_agent.control.asking import AgentUnreachable, Refused, ask
from istat_agent.options import DECLARATION

PROGRAM = DECLARATION.program
ANSWER_SECONDS = 10.0  # for what the agent knows already
RELOAD_SECONDS = 90.0  # each foreign plugin may take 10 s to load, or fail to
TRY_SECONDS = 100.0  # more than a trial takes (trial.py)
DROP_INS = "/etc/istatd/plugins.d"
CONTINUED = "\n    "  # before further lines of a message, which so are none of the table


class Parser(argparse.ArgumentParser):
    """argparse's, whose refusals are told as all others are."""

    def error(self, message: str) -> NoReturn:
        """See argparse."""
        raise UsageError(f"{message}; see {self.prog} --help")


def main(words: Sequence[str], clock: Clock | None = None) -> int:
    """Run one command: its name and what is typed behind it. Returns the exit status."""
    as_json = "--json" in words
    settings, rest = apart(words)
    try:
        arguments = parser().parse_args(rest)
        arguments.settings = settings
        arguments.action(arguments, clock or SystemClock())
    except IstatError as error:
        return saying.fail(str(error), error.exit_code, as_json, PROGRAM)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    made = Parser(prog=PROGRAM)
    made.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    places = made.add_subparsers(required=True, metavar="COMMAND")
    for name, one in COMMANDS.items():
        examples = "\n".join(f"# {purpose}\n{line}" for line, purpose in one.examples)
        at = places.add_parser(name, help=one.help, description=f"{one.help} {one.more}", epilog=examples,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
        one.arguments(at)
        at.set_defaults(action=one.action)
    return made


def apart(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """(flags of settings with their values, all other words)."""
    settings: list[str] = []
    others: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.removeprefix("--").partition("=")
        known = DECLARATION.settings.get(name) if word.startswith("--") else None
        if known is None and word.startswith("--no-"):
            negated = DECLARATION.settings.get(name.removeprefix("no-"))
            known = negated if negated is not None and isinstance(negated.type, Flag) else None
        if known is None and (name != "config" or not word.startswith("--")):
            others.append(word)
            continue
        settings.append(word)
        if not equals and (known is None or not isinstance(known.type, Flag)) and rest:
            settings.append(rest.pop(0))
    return settings, others


def with_file(settings: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """The same, with the settings file of the packaged service where none is named and that one may be read."""
    named = DECLARATION.file_named(settings, environ)
    if named or not os.access(DECLARATION.file, os.R_OK):
        return list(settings)
    return ["--config", DECLARATION.file, *settings]


def socket_of(arguments: argparse.Namespace) -> str:
    """Where the agent is asked. SettingsError; what else is wrong in a settings file is not for us to tell."""
    settings = with_file(arguments.settings, os.environ)
    path = DECLARATION.file_named(settings, os.environ)
    values, _, problems = DECLARATION.attempt(settings, os.environ)
    told = [problem for problem in problems if not path or not problem.startswith(f"{path}: ")]
    if told and values.source("control-path") == "default":
        raise SettingsError(told)
    return place.of_command(values, os.environ)


def file_or_name(text: str) -> str:
    """A path, of which a leading ./ is kept: it says that a file is meant."""
    return text


def _asks(command: argparse.ArgumentParser) -> None:
    """What the commands have in common. Settings are read elsewhere, and told here."""
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--config", type=Path, metavar="FILE",
                         help=f"settings file of the agent (default {DECLARATION.file}, where there is one)")
    command.add_argument("--control-path", type=Path, metavar="PATH",
                         help="socket of the agent (default control in the service's runtime folder, "
                         f"{place.SERVICE})")


def _try_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("what", type=file_or_name, metavar="FILE_OR_NAME",
                         help="a Python file or a script, wherever it is; or the name of a collector, of a script in "
                         "a drop-in folder, or of an entry point")
    command.add_argument("--here", action="store_true",
                         help="run it by this command and as this user, also where an agent runs that could")
    _asks(command)


def _new_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="its name: lower-case letters, digits and _")
    command.add_argument("--script", action="store_true", help="a shell script, in place of a Python file")
    command.add_argument("--folder", type=Path, default=Path("."), metavar="FOLDER",
                         help="where it is written (default the folder that you are in)")
    command.add_argument("--json", action="store_true", help="print JSON")


def _plugins(arguments: argparse.Namespace, clock: Clock) -> None:
    answer = ask(socket_of(arguments), {"ask": "plugins"}, ANSWER_SECONDS)
    _print(arguments, answer, table.plugins(answer) if not arguments.json else ())


def _reload(arguments: argparse.Namespace, clock: Clock) -> None:
    answer = ask(socket_of(arguments), {"ask": "reload"}, RELOAD_SECONDS)
    _print(arguments, answer, table.reloaded(answer) if not arguments.json else ())
    if answer.get("problems"):
        raise PluginError("not everything runs")


def _new(arguments: argparse.Namespace, clock: Clock) -> None:
    values = DECLARATION.attempt(with_file(arguments.settings, os.environ), os.environ)[0]
    folders = [os.path.realpath(folder) for folder in values["plugin-dir"]]
    dropped = os.path.realpath(arguments.folder) in folders
    if arguments.name in _built_in():
        raise UsageError(f"there is a built-in collector {arguments.name}: choose another name")
    written = skeleton.write(arguments.name, arguments.folder, arguments.script)
    _print(arguments, {"plugin": str(written.plugin), "test": str(written.test)},
           table.begun(written, folders[0] if folders else DROP_INS, dropped))


def _built_in() -> set[str]:
    """Names of folders of built-in plugins, most of which are those of their collectors."""
    package = built_in_package()
    return {module.name for module in pkgutil.iter_modules(package.__path__)} if package is not None else set()


def _try(arguments: argparse.Namespace, clock: Clock) -> None:
    what = _meant(arguments.what)
    answer = None if arguments.here else _tried_by_agent(arguments, what)
    by = "this command"
    if answer is not None and answer.get("unseen") and os.access(what, os.R_OK):
        by = f"this command, since the agent's user, {answer['user']}, does not see the file,"
        answer = None
    if answer is None:
        answer = _tried_here(arguments, what, by)
    _print(arguments, answer, tried.lines(answer) if not arguments.json else ())
    if answer["unknown"]:
        raise UsageError(f"there is no plugin {what!r}: name a collector that istat-agent --list-collectors lists, or "
                         f"a file, as ./{what}")
    if not answer["fine"]:
        raise PluginError(f"something is wrong with {what}" + ("" if arguments.json else ": see above"))


def _tried_here(arguments: argparse.Namespace, what: str, by: str) -> dict[str, Any]:
    """The same by ourselves. `by`: words for that."""
    from istat.daemon import service
    from istat_agent.control.trial import trial
    from istat_agent.settings import load

    values = load(with_file(arguments.settings, os.environ))
    if values["user"]:
        service.drop_privileges(values["user"])
    return trial(what, values, by)


def _meant(what: str) -> str:
    """A name, or the full path of a file."""
    is_file = os.sep in what or (what.endswith(".py") and os.path.exists(what))
    return os.path.abspath(os.path.expanduser(what)) if is_file else what


def _tried_by_agent(arguments: argparse.Namespace, what: str) -> dict[str, Any] | None:
    """The answer of the running agent; None where none runs that would answer us."""
    try:
        return ask(socket_of(arguments), {"ask": "try", "what": what}, TRY_SECONDS)
    except Refused:
        raise
    except AgentUnreachable as error:
        if not error.absent:
            raise
        return None


def _print(arguments: argparse.Namespace, answer: dict[str, Any], lines: Sequence[str]) -> None:
    if arguments.json:
        json.dump(answer, sys.stdout)
        sys.stdout.write("\n")
    else:
        # A message may have several lines, such as one with a hook's definition.
        parts = (part for line in lines for part in line.replace("\n", CONTINUED).split("\n"))
        sys.stdout.writelines(f"{report.printable(part)}\n" for part in parts)


COMMANDS = {
    "plugins": SubCommand(
        DECLARATION.commands["plugins"], _asks, _plugins,
        "A line for each; below them a sentence for each that does not do well, and what to do.",
        (("istat-agent plugins", "How do they do?"),
         ("istat-agent plugins --json", "The same for a program")),
    ),
    "reload": SubCommand(
        DECLARATION.commands["reload"], _asks, _reload,
        "What has not changed goes on untouched, and no sample is lost. Ends with 86 where something does not run.",
        (("istat-agent reload", "Take over changed settings"),),
    ),
    "try": SubCommand(
        DECLARATION.commands["try"], _try_arguments, _try,
        "It runs in a child with limits: by the running agent, as its user and with its settings; where none runs, by "
        "this command. Ends with 86 where something was wrong.",
        (("istat-agent try ./queue.py", "What would this file send?"),
         ("istat-agent try disk", "What does this collector send, and what does it cost?")),
    ),
    "new": SubCommand(
        DECLARATION.commands["new"], _new_arguments, _new,
        "Nothing that is there is written over.",
        (("istat-agent new mails", "A Python file mails.py, and test_mails.py"),
         ("istat-agent new mails --script --folder plugins", "A shell script, elsewhere")),
    ),
}
