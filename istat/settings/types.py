"""The types that a setting can have: each reads text, checks it, and writes itself as TOML.

`parse(text)` serves flags and environment variables, `from_toml(value)` a file's value; both raise
ValueError with a sentence that says what would be right. Knows nothing of programs and files.
"""

from __future__ import annotations

import json
import pathlib
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from istat.errors import BadRetention
from istat.retention import UNITS, format_duration, parse_duration

SIZE_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}  # [bytes]
_SIZE = re.compile(r"([0-9]+)([kmgt]?)(?:i?b)?", re.IGNORECASE)
# One number, and what it counts (seconds, when that is not said); of several parts, as 1h30m, each is whole.
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(ms|[smhdwy])?")


class HostPort(NamedTuple):
    """A network address: host (a name or an IPv4 or IPv6 address without brackets; may be empty) and port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True)
class Type:
    """Base of the types. `word` stands for the value in --help."""

    word = "VALUE"

    def parse(self, text: str) -> Any:
        """The value that a text stands for; ValueError says what would be right."""
        raise NotImplementedError

    def from_toml(self, value: Any) -> Any:
        """The value that a TOML value stands for: text, or a number where that has a meaning."""
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ValueError(f"wants {self.expects()}, not {json.dumps(value, default=str)}")
        return self.parse(str(value))

    def to_toml(self, value: Any) -> str:
        """A value as TOML writes it."""
        return json.dumps(str(value), ensure_ascii=False)

    def expects(self) -> str:
        """What is right, in words, with the bounds."""
        raise NotImplementedError

    def wrong(self, text: str) -> ValueError:
        """The error for a text that does not fit."""
        return ValueError(f"wants {self.expects()}, not {text!r}")


@dataclass(frozen=True)
class Integer(Type):
    """A whole number from `lo` to `hi` (either may be open)."""

    lo: int | None = None
    hi: int | None = None
    word = "N"

    def parse(self, text: str) -> int:
        """See Type.parse."""
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
            raise self.wrong(text)
        value = int(text)
        if (self.lo is not None and value < self.lo) or (self.hi is not None and value > self.hi):
            raise self.wrong(text)
        return value

    def to_toml(self, value: Any) -> str:
        """See Type.to_toml."""
        return str(value)

    def expects(self) -> str:
        """See Type.expects."""
        return "a whole number" + _bounds(self.lo, self.hi)


OFF = -1        # what a Port of "off" is
HIGHEST_PORT = 65535


@dataclass(frozen=True)
class Port(Integer):
    """A port to listen on: 0 takes a free one, "off" (OFF) listens nowhere."""

    lo: int | None = 0
    hi: int | None = HIGHEST_PORT
    word = "PORT"

    def parse(self, text: str) -> int:
        """See Type.parse."""
        return OFF if text.strip().lower() == "off" else super().parse(text)

    def to_toml(self, value: Any) -> str:
        """See Type.to_toml."""
        return '"off"' if value == OFF else str(value)

    def expects(self) -> str:
        """See Type.expects."""
        return f"a port from 1 to {HIGHEST_PORT}, 0 for a free one, or off"


@dataclass(frozen=True)
class Number(Type):
    """A finite number from `lo` to `hi`."""

    lo: float | None = None
    hi: float | None = None
    word = "N"

    def parse(self, text: str) -> float:
        """See Type.parse."""
        try:
            value = float(text)
        except ValueError:
            raise self.wrong(text) from None
        low, high = self.lo is not None and value < self.lo, self.hi is not None and value > self.hi
        if low or high or value != value or value in (float("inf"), float("-inf")):
            raise self.wrong(text)
        return value

    def to_toml(self, value: Any) -> str:
        """See Type.to_toml."""
        return repr(float(value))

    def expects(self) -> str:
        """See Type.expects."""
        return "a number" + _bounds(self.lo, self.hi)


@dataclass(frozen=True)
class Text(Type):
    """Any text on one line."""

    word = "TEXT"

    def parse(self, text: str) -> str:
        """See Type.parse."""
        if "\n" in text or "\0" in text:
            raise self.wrong(text)
        return text

    def from_toml(self, value: Any) -> str:
        """See Type.from_toml; a number is not taken for text."""
        if not isinstance(value, str):
            raise ValueError(f"wants {self.expects()}, not {json.dumps(value, default=str)}")
        return self.parse(value)

    def expects(self) -> str:
        """See Type.expects."""
        return "text on one line"


@dataclass(frozen=True)
class Path(Text):
    """A path of a file or folder; empty means none (None)."""

    word = "PATH"

    def parse(self, text: str) -> pathlib.Path | None:  # type: ignore[override]
        """See Type.parse."""
        return pathlib.Path(super().parse(text)) if text else None

    def from_toml(self, value: Any) -> pathlib.Path | None:  # type: ignore[override]
        """See Type.from_toml."""
        return self.parse(text_of(self, value))

    def expects(self) -> str:
        """See Type.expects."""
        return "a path"


@dataclass(frozen=True)
class Flag(Type):
    """Yes or no. On the command line it takes no value and means yes (`--no-NAME` means no)."""

    word = ""

    def parse(self, text: str) -> bool:
        """See Type.parse."""
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off", ""):
            return False
        raise self.wrong(text)

    def from_toml(self, value: Any) -> bool:
        """See Type.from_toml; only true and false."""
        if not isinstance(value, bool):
            raise ValueError(f"wants true or false, not {json.dumps(value, default=str)}")
        return value

    def to_toml(self, value: Any) -> str:
        """See Type.to_toml."""
        return "true" if value else "false"

    def expects(self) -> str:
        """See Type.expects."""
        return "yes or no"


@dataclass(frozen=True)
class Duration(Type):
    """A length of time, in seconds (float): "1h30m", "1.5h", "250ms", or a plain number of seconds."""

    lo: float = 0.0
    hi: float | None = None
    word = "TIME"

    def parse(self, text: str) -> float:
        """See Type.parse."""
        match = _DURATION.fullmatch(text)
        if match and match[2] == "ms":
            value = float(match[1]) / 1000
        elif match:
            value = float(match[1]) * UNITS[match[2] or "s"]
        else:
            try:
                value = float(parse_duration(text))
            except BadRetention:
                raise self.wrong(text) from None
        if value < self.lo or (self.hi is not None and value > self.hi):
            raise self.wrong(text)
        return value

    def to_toml(self, value: Any) -> str:
        """See Type.to_toml."""
        if float(value).is_integer():
            return f'"{format_duration(int(value))}"'
        milliseconds = round(value * 1000)
        return f'"{milliseconds}ms"' if milliseconds / 1000 == value else f'"{value!r}s"'

    def expects(self) -> str:
        """See Type.expects."""
        least, most = ("" if bound is None else self.to_toml(bound).strip('"') for bound in (self.lo or None, self.hi))
        return "a time such as 10s, 5m or 250ms" + _bounds(least or None, most or None)


@dataclass(frozen=True)
class Size(Type):
    """A number of bytes (int): "8M" is 8 x 1024 x 1024."""

    lo: int = 0
    hi: int | None = None
    word = "SIZE"

    def parse(self, text: str) -> int:
        """See Type.parse."""
        match = _SIZE.fullmatch(text.strip())
        if not match or len(match[1]) > 18:
            raise self.wrong(text)
        value = int(match[1]) * SIZE_UNITS[match[2].lower()]
        if value < self.lo or (self.hi is not None and value > self.hi):
            raise self.wrong(text)
        return value

    def to_toml(self, value: Any) -> str:
        """See Type.to_toml."""
        return f'"{_size_text(value)}"'

    def expects(self) -> str:
        """See Type.expects."""
        low = _size_text(self.lo) if self.lo else None
        high = None if self.hi is None else _size_text(self.hi)
        return "a number of bytes such as 4096, 64k or 8M" + _bounds(low, high)


@dataclass(frozen=True)
class Choice(Type):
    """One of a few words."""

    words: tuple[str, ...]

    def __init__(self, *words: str) -> None:
        object.__setattr__(self, "words", words)

    @property
    def word(self) -> str:  # type: ignore[override]
        """The words, for --help."""
        return "|".join(self.words)

    def parse(self, text: str) -> str:
        """See Type.parse."""
        if text not in self.words:
            raise self.wrong(text)
        return text

    def expects(self) -> str:
        """See Type.expects."""
        return "one of " + ", ".join(self.words)


@dataclass(frozen=True)
class Address(Type):
    """An address "host:port" or "[::1]:port"; a host alone where there is a `port` to assume.

    Its value is a HostPort; empty means none (None).
    """

    port: int | None = None
    word = "HOST:PORT"

    def parse(self, text: str) -> HostPort | None:
        """See Type.parse."""
        if not text:
            return None
        match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]\s]*))(?::([0-9]{1,5}))?", text)
        if not match:
            raise self.wrong(text)
        port = int(match[3]) if match[3] else self.port
        if port is None or port > HIGHEST_PORT:
            raise self.wrong(text)
        if match[2] and not _nameable(match[2]):
            raise self.wrong(text)
        return HostPort(match[1] or match[2] or "", port)

    def expects(self) -> str:
        """See Type.expects."""
        return "an address such as stats.example.net:8111 or [::1]:8111"


@dataclass(frozen=True)
class Many(Type):
    """Several values of one type (a tuple): separated by commas, or an array in TOML. Empty means none."""

    of: Type = Text()

    @property
    def word(self) -> str:  # type: ignore[override]
        """The inner type's word, for --help."""
        return f"{self.of.word},..."

    def parse(self, text: str) -> tuple[Any, ...]:
        """See Type.parse."""
        return tuple(self.of.parse(part.strip()) for part in text.split(",") if part.strip())

    def from_toml(self, value: Any) -> tuple[Any, ...]:
        """See Type.from_toml."""
        if isinstance(value, list):
            return tuple(self.of.from_toml(item) for item in value)
        return self.parse(text_of(self, value))

    def to_toml(self, value: Any) -> str:
        """See Type.to_toml."""
        return "[" + ", ".join(self.of.to_toml(item) for item in value) + "]"

    def expects(self) -> str:
        """See Type.expects."""
        return f"several, separated by commas: {self.of.expects()}"


def _nameable(host: str) -> bool:
    """Whether a host can have this name: none that the system looks up has an empty part, or one of more than 63
    letters as they are in the name service."""
    if host.isascii():      # as it is in the name service; the codec brings tables of Unicode, half a megabyte
        return all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def text_of(wanted: Type, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"wants {wanted.expects()}, not {json.dumps(value, default=str)}")
    return value


def _size_text(value: int) -> str:
    for unit, size in (("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("k", 1 << 10)):
        if value and value % size == 0:
            return f"{value // size}{unit}"
    return str(value)


def _bounds(lo: object, hi: object) -> str:
    if lo is not None and hi is not None:
        return f" from {lo} to {hi}"
    if lo is not None:
        return f" of at least {lo}"
    return f" of at most {hi}" if hi is not None else ""
