"""A command line as flags: `--NAME VALUE`, `--NAME=VALUE`, `--NAME` and `--no-NAME` for yes and no; `--` ends it.

Knows which flags there are from who asks; what their values mean is not looked at here, but for istatd's flags.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from istat.settings import dialect
from istat.settings.dialect import Meaning
from istat.settings.setting import Setting
from istat.settings.types import Flag

ANSWERS = ("help", "version", "check-config", "sample-config")


@dataclass
class Line:
    """What was read: texts by setting (and "config"), questions such as "help", problems, and which of istatd's flags
    do nothing, or something else."""

    flags: dict[str, str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    istatd: dialect.Reading = field(default_factory=dialect.Reading)

    def keep(self, name: str, text: str, theirs: Meaning | None) -> None:
        """A flag of ours or of istatd's, and its text; the last one of a name counts."""
        if theirs is None:
            self.flags[name] = text
            return
        reading = dialect.Reading()
        reading.take(name, text, theirs, "the command line")
        self.flags.update(reading.given)
        self.problems += reading.problems
        self.istatd.told(reading)


def read(argv: Sequence[str], program: str, settings: Mapping[str, Setting], istatds: Mapping[str, Meaning],
         suggestion: Callable[[str], str]) -> Line:
    """`istatds`: the flags that mean what they mean in istatd; `suggestion`: words for a misspelt name."""
    line, rest = Line(), list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            line.problems += [f"{one!r} stands behind --, where nothing is read: leave it out" for one in rest]
            break
        name, equals, text = word.removeprefix("--").partition("=")
        setting, theirs = settings.get(name), istatds.get(name)
        if word == "-h":
            line.asked.add("help")
        elif not word.startswith("--"):
            line.problems.append(f"{word!r} is no flag: write --NAME VALUE")
        elif name in ANSWERS:
            line.asked.add(name)
        elif setting and isinstance(setting.type, Flag):
            line.flags[name] = text if equals else "yes"
        elif not equals and name.startswith("no-") and _is_flag(settings.get(name.removeprefix("no-"))):
            line.flags[name.removeprefix("no-")] = "no"
        elif theirs is not None and name != "config" and not theirs.valued:
            line.keep(name, text, theirs)
        elif setting or theirs or name == "config":
            if not equals and (not rest or rest[0].startswith("--")):
                line.problems.append(f"--{name} wants a value")
            else:
                line.keep(name, text if equals else rest.pop(0), None if name == "config" else theirs)
        else:
            line.problems.append(f"--{name} is no setting of {program}{suggestion(name)}")
    return line


def _is_flag(setting: Setting | None) -> bool:
    return setting is not None and isinstance(setting.type, Flag)
