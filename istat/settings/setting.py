"""One setting as a program, a plugin or a collector declares it, a plugin's table of them, and the values they get.

It knows no program: which sources a value comes from, and what a command line looks like, is `declaration`'s business.
"""

from __future__ import annotations

import difflib
import re
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from istat.settings.types import Flag, Integer, Many, Number, Text, Type

#: What Python's own types stand for in a declaration.
PLAIN: dict[Any, Type] = {bool: Flag(), int: Integer(), float: Number(), str: Text(), list[str]: Many(Text())}
NAME = re.compile(r"[a-z][a-z0-9_-]*\Z")  # of a setting and of a plugin's table: a bare key of TOML
WIDTH = 100  # columns of --help and of comments in samples
TABLES = "plugins"  # the table of a settings file that holds the plugins' tables


@dataclass(frozen=True)
class Setting:
    """One setting. `type` is one of `istat.settings.types`, or bool, int, float, str or list[str] for the plainest.

    `default` is a value or its text; None means there is none (the value is then None). `help` is a sentence
    or two; `unit` is told beside it; a `secret` is never printed; `example` goes into the sample file where the
    default says too little; a `reloadable` one is taken over at SIGHUP, any other at the next start.
    """

    name: str
    type: Any
    default: Any
    help: str
    unit: str = ""
    secret: bool = False
    example: str = ""
    reloadable: bool = False

    def __post_init__(self) -> None:
        wanted = self.type
        if wanted in PLAIN:
            wanted = PLAIN[wanted]
        elif isinstance(wanted, type):  # Setting("store", Path, ...) means Path()
            wanted = wanted()
        if not isinstance(wanted, Type):
            raise ValueError(f"setting {self.name!r}: a type is one such as int, str or Duration(), not {wanted!r}")
        object.__setattr__(self, "type", wanted)
        if isinstance(self.default, str):
            try:
                object.__setattr__(self, "default", wanted.parse(self.default))
            except ValueError as error:
                raise ValueError(f"setting {self.name!r}: its default {error}") from None
        elif isinstance(self.default, list):
            object.__setattr__(self, "default", tuple(self.default))

    @property
    def explanation(self) -> str:
        """Help with unit and default, on one line."""
        return f"{self.meaning}{self._default_note()}"

    @property
    def meaning(self) -> str:
        """Help with the unit, on one line."""
        return f"{self.help} [{self.unit}]" if self.unit else self.help

    def _default_note(self) -> str:
        if self.secret or self.default in (None, "", (), False):
            return ""
        return f" (default {self.type.to_toml(self.default).strip(chr(34))})"

    def toml(self, value: Any) -> str:
        """A value as TOML writes it; a missing one is the empty text."""
        return '""' if value is None else str(self.type.to_toml(value))

    @property
    def sample(self) -> str:
        """What a sample file shows as its value."""
        return self.example or ('""' if self.secret else self.toml(self.default))

    @property
    def shown_default(self) -> str:
        """The default for a table of the documentation; nothing where there is none to tell."""
        return "" if self.secret or self.default in (None, "", ()) else self.toml(self.default)

    def wrong(self, where: str, error: ValueError) -> str:
        """The sentence about a value that was refused, which does not repeat a secret."""
        return f"{where} " + ("has a wrong value" if self.secret else str(error))


@dataclass(frozen=True)
class Values(Mapping[str, Any]):
    """Settings as loaded: `values["stat-port"]`. `plugins` has those of plugins: `values.plugins["toy"]["port"]`.

    `tables` has the file's free tables as they stand there. `warnings` are sentences about what works and should not be
    so, for the log.
    """

    found: dict[str, Any]
    sources: dict[str, str] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    plugins: dict[str, Values] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def source(self, name: str) -> str:
        """Where a value comes from: "flag", "environment", "file" or "default"."""
        return self.sources.get(name, "default")


@dataclass(frozen=True)
class PluginSettings:
    """The settings of one plugin: the keys of the table `[plugins.NAME]`. ValueError for what cannot be declared."""

    name: str
    settings: Sequence[Setting]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.match(self.name):
            raise ValueError(f"a plugin's table has a name of lower-case letters, digits, '-' and '_', a letter first, "
                             f"not {self.name!r}")
        object.__setattr__(self, "settings", tuple(self.settings))
        for setting in self.settings:
            if not isinstance(setting, Setting):
                raise ValueError(f"{setting!r} is no Setting(name, type, default, help)")
            if not NAME.match(setting.name):
                raise ValueError(f"a setting has a name of lower-case letters, digits, '-' and '_', a letter first, "
                                 f"not {setting.name!r}")
            _check_default(setting)
        names = [setting.name for setting in self.settings]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the setting {name!r} is declared twice")

    def read(self, table: object, problems: list[str], file: str = "") -> Values:
        """The values of a TOML table, or defaults; what is wrong goes to `problems`, a sentence each."""
        at = f"{file}: {TABLES}.{self.name}" if file else f"{TABLES}.{self.name}"
        declared = {setting.name: setting for setting in self.settings}
        values = {name: setting.default for name, setting in declared.items()}
        sources: dict[str, str] = {}
        if not isinstance(table, Mapping):
            problems.append(f"{at} must be a table: [{TABLES}.{self.name}]")
            return Values(values)
        for key, value in table.items():
            if key not in declared:
                problems.append(f"{at}.{key}: no such setting{suggestion(key, declared)}; "
                                f"there are {', '.join(declared) or 'none'}")
                continue
            try:
                values[key], sources[key] = declared[key].type.from_toml(value), "file"
            except ValueError as error:
                problems.append(declared[key].wrong(f"{at}.{key}", error))
        return Values(values, sources)

    def sample(self, head: str = "") -> str:
        """The table for a settings file, everything commented out at its default; `head` is a comment above it."""
        lines = [*comment(head), f"[{TABLES}.{self.name}]"]
        for setting in self.settings:
            lines += ["", *comment(setting.meaning), f"#{setting.name} = {setting.sample}"]
        return "\n".join(lines) + "\n"


def read_tables(plugins: Iterable[PluginSettings], tables: Mapping[str, object], problems: list[str], file: str = "",
                strangers: bool = True) -> dict[str, Values]:
    """Every plugin's values, by its name. A table of no plugin is a problem, unless `strangers` may be there."""
    declared = {plugin.name: plugin for plugin in plugins}
    if not strangers:
        problems += [(f"{file}: " if file else "") + no_such_table(name, declared)
                     for name in tables if name not in declared]
    return {name: plugin.read(tables.get(name, {}), problems, file) for name, plugin in declared.items()}


def no_such_table(name: str, known: Iterable[str]) -> str:
    """The sentence about a table that is no plugin's."""
    names = sorted(known)
    return (f"{TABLES}.{name}: there is no plugin with such settings{suggestion(name, names)}; "
            f"there are {', '.join(names) or 'none'}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """The words " (did you mean ...?)" for a misspelt name, or nothing."""
    close = difflib.get_close_matches(name.replace("_", "-"), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def comment(text: str) -> list[str]:
    """A text as lines of comment."""
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")


def _check_default(setting: Setting) -> None:
    """ValueError for a default that the file could not have."""
    if setting.default is None:
        return
    try:
        again = setting.type.from_toml(tomllib.loads(f"value = {setting.toml(setting.default)}")["value"])
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"the default of {setting.name!r} is not of its type: {error}") from error
    if again != setting.default:
        raise ValueError(f"the default of {setting.name!r} is not of its type, which wants {setting.type.expects()}")
