"""A program's settings, declared once: validation, --help, the sample file and the docs table come from that.

A setting's value is taken from the command line (`--stat-port 8111`), else the environment
(`ISTAT_SERVER_STAT_PORT`), else the TOML file named by `--config`, else its default. All problems are
reported at once, in one SettingsError. The file may be one of istatd's instead, and flags may be istatd's
(`istat.settings.dialect`). Knows no particular program.
"""

from __future__ import annotations

import copy
import os
import stat
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, NoReturn

from istat import __version__, owners
from istat.errors import IstatError, SettingsError
from istat.settings import commandline, dialect
from istat.settings.commandline import Line
from istat.settings.dialect import Dialect
from istat.settings.retentions import Retention, RetentionRules
from istat.settings.setting import (
    TABLES,
    WIDTH,
    PluginSettings,
    Setting,
    Values,
    comment,
    read_tables,
    suggestion,
)
from istat.settings.types import (
    Address,
    Choice,
    Duration,
    Flag,
    HostPort,
    Integer,
    Many,
    Number,
    Path,
    Port,
    Size,
    Text,
    Type,
)

__all__ = [
    "Address", "Choice", "Declaration", "Duration", "Flag", "HostPort", "Integer", "Many", "Number", "Path",
    "PluginSettings", "Port", "Retention", "RetentionRules", "Setting", "Size", "Text", "Type", "Values",
]  # fmt: skip


# Of a settings file; no real one has a hundredth of it [bytes].
MOST_FILE = 1 << 20


@dataclass(frozen=True)
class FlagHelp:
    """A flag as --help and the manual page tell it: `--name WORD`. `type` is a setting's; None for a question."""

    name: str
    word: str
    help: str
    type: Type | None = None


class Renewal(NamedTuple):
    """What a reload came to: the values from now on, and the names of those that changed and of those that wait for a
    restart (whose values are the old ones, so that the next reload tells of them again)."""

    values: Values
    changed: list[str]
    waiting: list[str]


class Declaration:
    """All settings of one program.

    `env_prefix` is that of its environment variables ("ISTAT_SERVER"); `file` is where its TOML file
    usually lies: told in --help, read only when `--config` names it. `tables` are the top-level tables
    which the file may hold besides settings; their contents are the caller's to check, but for the plugins' tables
    once `with_plugins` has named them. `actions` are flags
    without value that the program itself answers, with their help; they are not for `load`. `examples` are
    command lines, each with what it is for. `together` tells the problems of values that are right alone and do not
    fit each other. `istatd`: what istatd's flags are here. `commands`: first words for which the program does something
    else than serve, with their help; they are not for `load`.
    """

    def __init__(
        self,
        program: str,
        env_prefix: str,
        file: str,
        settings: Sequence[Setting],
        about: str = "",
        tables: Sequence[str] = (),
        actions: Mapping[str, str] | None = None,
        examples: Sequence[tuple[str, str]] = (),
        together: Callable[[Values], Iterable[str]] = lambda values: (),
        istatd: Dialect | None = None,
        commands: Mapping[str, str] | None = None,
    ) -> None:
        self.program, self.file, self.about, self.tables = program, file, about, tuple(tables)
        self.actions, self.examples = dict(actions or {}), tuple(examples)
        self._together, self.commands = together, dict(commands or {})
        self.istatd = istatd or Dialect({}, lambda given, others: ())
        self.env_prefix = env_prefix.rstrip("_") + "_"
        self.settings = {setting.name: setting for setting in settings}
        self.plugins: tuple[PluginSettings, ...] | None = None
        if len(self.settings) != len(settings) or "config" in self.settings:
            raise ValueError(f"a setting of {program} is declared twice")

    def with_plugins(self, plugins: Iterable[PluginSettings]) -> Declaration:
        """The same with these tables `[plugins.NAME]`, read and told like all else; any other table is a problem."""
        more = copy.copy(self)
        more.plugins = tuple(plugins)
        return more

    def load(self, argv: Sequence[str], environ: Mapping[str, str], earlier: IstatError | None = None,
             look: Callable[[Values], None] = lambda values: None) -> Values:
        """The values for these arguments (without the program's name) and this environment.

        SettingsError lists every problem. SystemExit(0) after --help, --version, --check-config
        and --sample-config, which print. `earlier` is what went wrong with plugins before: told with the problems of
        the settings, and raised when there are none. `look` sees for --check-config whether what right values name is
        right too, such as a file; it raises what keeps the program from starting.
        """
        values, asked, problems = self.attempt(argv, environ, strangers=earlier is not None)
        if problems:
            raise SettingsError([*(str(earlier).split("\n") if earlier else ()), *problems])
        if earlier is not None:
            raise earlier
        if "check-config" in asked:
            look(values)
            for text in values.warnings:
                print(f"{self.program}: warning: {text}", file=sys.stderr)
            print(f"{self.program}: the settings are fine")
            raise SystemExit(0)
        return values

    def attempt(self, argv: Sequence[str], environ: Mapping[str, str],
                strangers: bool = False) -> tuple[Values, set[str], list[str]]:
        """(values, questions such as "check-config", problems); what is wrong has its default. As for `load` otherwise.

        `strangers`: tables of plugins that are not known are no mistake, since some could not be loaded.
        """
        line = self._command_line(argv)
        for name in ("help", "version", "sample-config"):
            if name in line.asked:
                self._answer(name)
        variables = {name: self.variable(name) for name in self.settings}
        texts = {name: environ[variable] for name, variable in variables.items() if variable in environ}
        path = line.flags.pop("config", None) or environ.get(self.variable("config"), "")
        problems: list[str] = []
        text, mode = _read_file(path, problems) if path else ("", 0)
        warnings: tuple[str, ...] = ()
        file: dict[str, Any]
        if text and dialect.is_istatds(text):
            file, warnings, line = self._istatds(path, text, texts, argv, problems)
        else:
            file = _toml(path, text, problems)
        file = _joined(self.istatd.tables(line.flags), file)
        asked, problems = line.asked, [*line.problems, *problems]
        values = self._combine(line.flags, texts, file, path, problems)
        values = replace(values, warnings=warnings + line.istatd.warning("the command line"))
        problems += self._together(values) if not problems else ()
        if self.plugins is not None:
            plugins = read_tables(self.plugins, values.tables.get(TABLES, {}), problems, path, strangers)
            values = replace(values, plugins=plugins)
        if mode & stat.S_IROTH and (secrets := self._secrets_of(file, values.tables.get(TABLES, {}))):
            told = f"everybody may read the settings file {path} (mode {mode:04o}), in which stands"
            values = replace(values, warnings=(*values.warnings, f"{told} {', '.join(secrets)}: chmod o-r {path}"))
        return values, asked, problems

    @property
    def valued(self) -> dict[str, bool]:
        """Whether the flag of each setting has a value behind it."""
        return {name: not isinstance(setting.type, Flag) for name, setting in self.settings.items()}

    def _istatds(self, path: str, text: str, texts: Mapping[str, str], argv: Sequence[str],
                 problems: list[str]) -> tuple[dict[str, Any], tuple[str, ...], Line]:
        """What a file of istatd's says, as a TOML file would; what does nothing in it; and the command line, read with
        the meaning that flags have beside such a file."""
        line = self._command_line(argv, beside_istatds=True)
        line.flags.pop("config", None)
        reading = dialect.read(text, path, self.istatd, self.valued)
        told = (f"{path}: {problem}" for problem in self.istatd.complete(reading.given, {**texts, **line.flags}))
        problems += [*reading.problems, *told]
        found = {**self._as_toml(reading.given, path, problems), **self.istatd.tables(reading.given)}
        return found, reading.warning(path), line

    def _as_toml(self, given: Mapping[str, str], path: str, problems: list[str]) -> dict[str, Any]:
        """Texts as the values that a TOML file would have for them."""
        found: dict[str, Any] = {}
        for name, text in given.items():
            setting = self.settings.get(name)
            if setting is None:     # the table is for several programs
                continue
            try:
                found[name] = tomllib.loads(f"value = {setting.toml(setting.type.parse(text))}")["value"]
            except ValueError as error:
                problems.append(setting.wrong(f"{path}: {name}", error))
        return found

    def _secrets_of(self, file: Mapping[str, Any], tables: Mapping[str, Any]) -> list[str]:
        """The secrets that a file holds, in tables of plugins too."""
        declared: list[tuple[str, Iterable[Setting], Mapping[str, Any]]] = [("", self.settings.values(), file)]
        for plugin in self.plugins or ():
            table = tables.get(plugin.name)
            declared.append((f"{TABLES}.{plugin.name}.", plugin.settings, table if isinstance(table, Mapping) else {}))
        return [at + setting.name for at, settings, found in declared for setting in settings
                if setting.secret and found.get(setting.name)]

    def _command_line(self, argv: Sequence[str], beside_istatds: bool = False) -> Line:
        """A command line. Beside a file of istatd's flags mean what they did there, ports of 0 among them."""
        theirs = {name: meaning for name, meaning in self.istatd.meanings.items()
                  if beside_istatds or meaning.always or name not in self.settings}
        return commandline.read(argv, self.program, self.settings, theirs, self.suggestion)

    def file_named(self, argv: Sequence[str], environ: Mapping[str, str]) -> str:
        """The settings file that a command line or the environment names, or nothing."""
        return self._command_line(argv).flags.get("config") or environ.get(self.variable("config"), "")

    def variable(self, name: str) -> str:
        """The environment variable of a setting. Unknown ones of our prefix are no error: container
        managers make variables of that form for a service that is called like the program."""
        return self.env_prefix + name.upper().replace("-", "_")

    def _answer(self, asked: str) -> NoReturn:
        answers = {"help": self.help, "sample-config": self.sample}
        text = answers[asked]() if asked in answers else f"{self.program} {__version__}\n"
        sys.stdout.write(text)
        raise SystemExit(0)

    def _combine(
        self,
        flags: dict[str, str],
        texts: dict[str, str],
        file: dict[str, Any],
        path: str,
        problems: list[str],
    ) -> Values:
        """Each setting's value from its strongest source; problems of weaker sources are told as well."""
        tables = {name: file.pop(name) for name in self.tables if isinstance(file.get(name), dict)}
        problems += [f"{path}: {self._unknown(name, file[name])}" for name in file if name not in self.settings]
        values = {name: setting.default for name, setting in self.settings.items()}
        sources: dict[str, str] = {}
        for name, setting in self.settings.items():
            attempts = (
                ("file", f"{path}: {name}", file, setting.type.from_toml),
                ("environment", self.variable(name), texts, setting.type.parse),
                ("flag", f"--{name}", flags, setting.type.parse),
            )
            for source, where, given, read in attempts:
                if name not in given:
                    continue
                try:
                    values[name], sources[name] = read(given[name]), source
                except ValueError as error:
                    problems.append(setting.wrong(where, error))
        return Values(values, sources, tables)

    def _unknown(self, name: str, value: object) -> str:
        if isinstance(value, dict):
            return (f"{self.program} has no table [{name}]{suggestion(name, list(self.tables))}; a setting stands "
                    "under its own name, before all tables")
        return f"{name!r} is no setting of {self.program}{self.suggestion(name)}"

    def suggestion(self, name: str) -> str:
        """The words " (did you mean ...?)" for a misspelt name, or nothing."""
        return suggestion(name, [*self.settings, *self.tables])

    def renew(self, old: Values, new: Values) -> Renewal:
        """What holds after a SIGHUP at which the settings were read again: of what changed, the reloadable ones."""
        values, changed, waiting = _renewed(self.settings.values(), old, new)
        plugins = dict(new.plugins)
        for plugin in self.plugins or ():
            at = f"{TABLES}.{plugin.name}."
            found = _renewed(plugin.settings, old.plugins[plugin.name], new.plugins[plugin.name], at)
            plugins[plugin.name] = found.values
            changed += found.changed
            waiting += found.waiting
        return Renewal(replace(values, plugins=plugins), changed, waiting)

    def reload_note(self) -> str:
        """The sentence about what SIGHUP takes over."""
        taken = [f"`{s.name}`" for s in self.settings.values() if s.reloadable]
        kept = [f"`{s.name}`" for s in self.settings.values() if not s.reloadable]
        if kept and len(kept) < len(taken):
            return f"SIGHUP takes over all but {', '.join(kept)}, which want a restart."
        return f"SIGHUP takes over {', '.join(taken) or 'none of them'}; all else wants a restart."

    def flags(self) -> list[FlagHelp]:
        """Every flag there is: settings, the program's own actions, and what all programs answer."""
        settings = [FlagHelp(s.name, s.type.word, s.explanation, s.type) for s in self.settings.values()]
        actions = [FlagHelp(name, "", text) for name, text in self.actions.items()]
        return [
            *settings,
            *actions,
            FlagHelp("config", "FILE", f"read settings from a TOML file, usually {self.file}, or from one of istatd's",
                     Path()),
            FlagHelp("check-config", "", "report all problems of the settings, and end"),
            FlagHelp("sample-config", "", "print a commented sample of the file, and end"),
            FlagHelp("version", "", "print the version, and end"),
            FlagHelp("help", "", "print this, and end"),
        ]

    def help(self) -> str:
        """The text of --help."""
        lines = [f"usage: {self.program} [--config FILE] [--NAME VALUE ...]", ""]
        lines += [*textwrap.wrap(self.about, WIDTH), ""] if self.about else []
        for name, text in self.commands.items():
            lines += _entry(f"{self.program} {name}", text)
        lines += [""] if self.commands else []
        for flag in self.flags():
            lines += _entry(f"--{flag.name} {flag.word}", flag.help)
        lines += ["", "Each setting can also be given as an environment variable, such as"]
        first = next(iter(self.settings))
        lines += [f"{self.variable(first)} for --{first}. Flags win over those, and those over the file."]
        for plugin in self.plugins or ():
            lines += ["", f"In the file's table [{TABLES}.{plugin.name}]:", ""]
            for setting in plugin.settings:
                lines += _entry(f"{setting.name} = {setting.type.word or 'true|false'}", setting.explanation)
        lines += ["", *(text for line, purpose in self.examples for text in (f"# {purpose}", line))]
        return "\n".join(lines) + "\n"

    def sample(self) -> str:
        """A TOML file with every setting commented out at its default (or its example)."""
        lines = [f"# Settings of {self.program}, usually {self.file}."]
        lines += ["# What is commented out is the default.", ""]
        for setting in self.settings.values():
            lines += [*comment(setting.meaning), f"#{setting.name} = {setting.sample}", ""]
        lines += [plugin.sample() for plugin in self.plugins or ()]
        return "\n".join(lines)

    def table(self) -> str:
        """The settings as a Markdown table, for the docs."""
        rows = ["| setting | value | default | meaning |", "|---|---|---|---|"]
        for s in self.settings.values():
            default = f"`{s.shown_default}`" if s.shown_default else ""
            expects, meaning = (text.replace("|", "\\|") for text in (s.type.expects(), s.meaning))
            rows.append(f"| `{s.name}` | {expects} | {default} | {meaning} |")
        return "\n".join(rows) + "\n"


def _renewed(settings: Iterable[Setting], old: Values, new: Values, at: str = "") -> Renewal:
    different = [setting for setting in settings if old[setting.name] != new[setting.name]]
    kept = [setting.name for setting in different if not setting.reloadable]
    values = replace(new, found={**new.found, **{name: old[name] for name in kept}},
                     sources={**new.sources, **{name: old.source(name) for name in kept}})
    return Renewal(values, [at + s.name for s in different if s.reloadable], [at + name for name in kept])


def _entry(head: str, text: str) -> list[str]:
    """A line of --help, and what it means below it."""
    return [f"  {head}".rstrip(), *textwrap.wrap(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)]


def _read_file(path: str, problems: list[str]) -> tuple[str, int]:
    """A settings file's text, and its mode; nothing, and a problem, when it cannot be read or is not to be believed."""
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno()).st_mode
            mode = stat.S_IMODE(found) if stat.S_ISREG(found) else 0
            if mode & stat.S_IWOTH:
                problems.append(f"everybody may write the settings file {path} (mode {mode:04o}), and so decide what "
                                f"is done: chmod o-w {path}")
            # TOML has no byte-order mark, but editors put one in front.
            data = file.read(MOST_FILE + 1)
            if len(data) <= MOST_FILE:
                return data.decode("utf-8-sig"), mode
            problems.append(f"the settings file {path} has more than {MOST_FILE:,} bytes: name the right one")
    except PermissionError as error:
        problems.append(f"cannot read the settings file {path}: {error.strerror}{owners.refused(path)}; "
                        "run it as root, or as a user who may read it")
    except OSError as error:
        problems.append(f"cannot read the settings file {path}: {error.strerror}")
    except UnicodeDecodeError as error:
        problems.append(f"{path} is no TOML: its byte {error.start + 1} is not UTF-8; save it as UTF-8")
    return "", 0


def _toml(path: str, text: str, problems: list[str]) -> dict[str, Any]:
    """What a TOML file holds; nothing, and a problem, when it is none."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{path} is no TOML: {error}")
    except (ValueError, RecursionError):
        problems.append(f"{path} has a number that is too long, or brackets within brackets too deep to be read")
    return {}


def _joined(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    """Both tables as one, those within them too; where both say something the strong one holds."""
    return {**weak, **{name: _joined(weak[name], value) if isinstance(value, dict) and isinstance(weak.get(name), dict)
                       else value for name, value in strong.items()}}
