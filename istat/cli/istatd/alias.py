"""An alias: a program under a name of istatd's, with that one's options. Knows how their command lines are read and how
the programs end; not what they do.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from istat.cli import INTERRUPTED, output
from istat.cli.report import printable
from istat.clock import Clock, SystemClock
from istat.errors import IstatError

NUMBER = re.compile(r"-[0-9.]+")    # a word, though it begins as an option does


class Misread(IstatError):
    """A command line that cannot be understood."""


@dataclass(frozen=True)
class Flag:
    """An option, spelled with its dashes. `value` stands for what it takes, nothing for a switch; the default's type is
    the value's. `files`: it is a path."""

    name: str
    help: str
    value: str = ""
    default: str | int | float | None = None
    files: bool = False
    least: float | None = None      # of numbers
    most: float | None = None

    def read(self, word: str) -> Any:
        """The value of a word. ValueError."""
        if not isinstance(self.default, (int, float)):
            return word
        number = type(self.default)(word)
        if (self.least is not None and number < self.least) or (self.most is not None and number > self.most):
            raise ValueError(word)
        return number


@dataclass(frozen=True)
class Given:
    """What a command line says: options by their names without dashes, and the words beside them."""

    values: Mapping[str, Any]
    words: tuple[str, ...]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


@dataclass(frozen=True)
class Alias:
    """One program. `words`: how those beside the options are told, and how many there may be (`fewest`, `most`).

    `action` prints and gives the exit status; `statuses` has those of errors that do not end it with 1.
    """

    name: str
    help: str
    action: Callable[[Given, Clock], int]
    flags: tuple[Flag, ...] = ()
    words: str = ""
    fewest: int = 0
    most: int = 0
    more: str = ""
    examples: tuple[tuple[str, str], ...] = ()
    statuses: Mapping[type[IstatError], int] = field(default_factory=dict)
    files: bool = False         # the words are paths

    def main(self, argv: Sequence[str] | None = None, clock: Clock | None = None) -> int:
        """Run it; its exit status."""
        words = list(sys.argv[1:] if argv is None else argv)

        def fail(text: str, status: int = 1) -> int:
            print("\n".join(map(printable, f"{self.name}: {text}".split("\n"))), file=sys.stderr)
            return status

        def body() -> int:
            if "--help" in words:
                print(self.usage())
                return 0
            try:
                return self.action(self.read(words), clock or SystemClock())
            except Misread as error:
                print(f"{printable(str(error))}\n{self.usage()}", file=sys.stderr)
                return 1
            except IstatError as error:
                return fail(str(error), next((s for kind, s in self.statuses.items() if isinstance(error, kind)), 1))
            except KeyboardInterrupt:
                return INTERRUPTED

        return output.run(body, fail, lambda error: fail(_words(error)))

    def read(self, line: Sequence[str]) -> Given:
        """What a command line says. Misread. Behind `--` all are words."""
        known = {flag.name: flag for flag in self.flags}
        values = {flag.name.lstrip("-"): flag.default if flag.value else False for flag in self.flags}
        words: list[str] = []
        rest = list(line)
        while rest:
            word = rest.pop(0)
            if word == "--":
                words += rest
                break
            if word in known and not known[word].value:
                values[word.lstrip("-")] = True
            elif word in known:
                values[word.lstrip("-")] = _value(known[word], rest)
            elif word.startswith("-") and word != "-" and not NUMBER.fullmatch(word):
                raise Misread(f"Command line error near {word}")
            else:
                words.append(word)
        if len(words) > self.most:
            raise Misread(f"Command line error near {words[self.most]}")
        if len(words) < self.fewest:
            raise Misread(f"{self.name} wants {self.words}")
        return Given(values, tuple(words))

    def usage(self) -> str:
        """How it is called: each option with what it is unless given."""
        lines = [" ".join(filter(None, ("usage:", self.name, "[options]" if self.flags else "", self.words)))]
        for flag in self.flags:
            default = f" ({flag.default})" if flag.value and flag.default is not None else ""
            lines.append(f"  {' '.join(filter(None, (flag.name, flag.value)))}{default}: {flag.help}")
        return "\n".join(lines)


def _value(flag: Flag, rest: list[str]) -> Any:
    if not rest:
        raise Misread(f"Command line error near {flag.name}: it wants {flag.value}")
    word = rest.pop(0)
    try:
        return flag.read(word)
    except ValueError:
        between = f" of {flag.least:g} to {flag.most:g}" if flag.least is not None and flag.most is not None else ""
        raise Misread(f"Command line error near {word}: {flag.name} wants a number{between}") from None


def _words(error: OSError) -> str:
    told = error.strerror or str(error)
    return f"{error.filename}: {told}" if error.filename else told
