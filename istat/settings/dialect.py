"""How istatd was configured: its files of one flag a line, and its flags, read as our settings.

A file is istatd's when the first line that says something begins with two dashes, as no TOML does. What each flag is
here stands in the table `istat.settings.istatd`; this module knows how they are written, and no flag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from istat.settings.setting import suggestion

Given = dict[str, str]      # settings of ours, as texts
NOTHING = ("", "0", "-1")   # asks for nothing


@dataclass(frozen=True)
class Meaning:
    """What a flag of istatd is here.

    `gives` makes settings of its text (ValueError says what is wrong with it), and `why` says what of it is not as it
    was; without, it does nothing here, and `why` says why, or what does it now. `valued`: it has a value. `always`: on
    a command line it means this even where no file of istatd's is named.
    """

    gives: Callable[[str], Given] | None = None
    why: str = ""
    valued: bool = True
    always: bool = False


@dataclass(frozen=True)
class Dialect:
    """istatd's flags as one program of ours takes them. `complete(given, others)` adds to what a file says what istatd
    did unless told otherwise; `others` is what is said elsewhere, and stronger. It yields what is wrong. `tables` are
    those that what was said comes to, as a TOML file would have them."""

    meanings: Mapping[str, Meaning]
    complete: Callable[[Given, Mapping[str, str]], Iterable[str]]
    tables: Callable[[Mapping[str, str]], dict[str, Any]] = lambda _given: {}


@dataclass
class Reading:
    """What flags of istatd came to: settings, what is wrong, what does nothing here and what does something else than
    there, each with the reason."""

    given: Given = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    idle: dict[str, str] = field(default_factory=dict)
    other: dict[str, str] = field(default_factory=dict)

    def take(self, name: str, text: str, meaning: Meaning, where: str) -> None:
        """A flag and its text. What is empty, 0 or absent asks for nothing, so that nothing is told of it."""
        if meaning.gives is None:
            if text not in NOTHING:
                self.idle[name] = meaning.why
            return
        try:
            self.given.update(meaning.gives(text))
        except ValueError as error:
            self.problems.append(f"{where}: --{name} {error}")
        if meaning.why and text not in NOTHING:
            self.other[name] = meaning.why

    def told(self, more: Reading) -> None:
        """Tell what that one tells, too."""
        self.idle.update(more.idle)
        self.other.update(more.other)

    def warning(self, where: str) -> tuple[str, ...]:
        """The one warning about what is not as it was, if anything is."""
        told = "; ".join(f"--{name}: {why}" for name, why in {**self.idle, **self.other}.items())
        return (f"{where}: not all is here as it was in istatd. {told}",) if told else ()


def is_istatds(text: str) -> bool:
    """Whether a file with this text is istatd's."""
    return next(_lines(text), (0, ""))[1].startswith("--")


def read(text: str, path: str, dialect: Dialect, ours: Mapping[str, bool]) -> Reading:
    """The flags of a file. `ours`: our settings, which may stand there too -> whether they have a value."""
    reading = Reading()
    for number, line in _lines(text):
        name, _, rest = line.partition(" ")
        value, where = _unquoted(rest.strip()), f"{path}: line {number}"
        if not name.startswith("--") or name == "--":
            reading.problems.append(f"{where}: {line!r} is no flag with its value: write --NAME VALUE, or # before it")
            continue
        name = name.removeprefix("--")
        meaning = dialect.meanings.get(name) or _own(name, ours)
        if meaning is None:
            known = suggestion(name, [*dialect.meanings, *ours])
            reading.problems.append(f"{where}: --{name} is no flag of istatd and no setting{known}")
        elif meaning.valued and value is None:
            reading.problems.append(f'{where}: --{name} wants a value; "" is an empty one')
        else:
            reading.take(name, value or "", meaning, where)
            if not meaning.valued and value in ("0", "no", "off", "false"):
                reading.other[name] = f"is on, as in istatd, though {value!r} is its value: for no leave the line out"
    return reading


def _own(name: str, ours: Mapping[str, bool]) -> Meaning | None:
    """One of our own settings."""
    if name not in ours:
        return None
    return Meaning(lambda text: {name: text if ours[name] else "yes"}, valued=ours[name])


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers; words are one blank apart from the first on."""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip().replace("\t", " ")
        if line and not line.startswith("#"):
            yield number, line


def _unquoted(text: str) -> str | None:
    """A value without the quotes around it; None where there is none."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1]
    return text or None
