"""Log lines that others can cause, senders and browsers above all: so many a second of each kind, and nothing of theirs
that could be taken for ours.

Whoever sends can be refused faster than any disk takes lines, so all such lines go through a `LimitedLog`: what is
left out is told with the next line of its kind, and what was written by others is escaped and cut. Lines for debugging
need none of it: who asks for them wants them all, and `logs` keeps each of them in its place. Knows nothing of what is
logged.
"""

from __future__ import annotations

import logging
import re

from istat.clock import Clock, SystemClock
from istat.daemon.logs import escaped

# Lines of one kind: so many a second in the long run, and so many at once.
LINES_PER_SECOND = 2.0
LINES_AT_ONCE = 10.0
# How much of a value that came from outside is shown [bytes or characters].
SHOWN = 200
# Of a sentence, of which such a value may be a part.
SENTENCE = 1000
# What cannot be misread without quotes: paths, addresses, methods, names.
WORD = re.compile(r"[!-&(-\[\]-~]+")


class RateLimit:
    """How many lines there may be: a store of them that fills with time. `left_out`: those there were too many since
    the last that might be."""

    __slots__ = ("left_out", "_clock", "_per_second", "_at_once", "_allowance", "_at")

    def __init__(self, clock: Clock, per_second: float = LINES_PER_SECOND, at_once: float = LINES_AT_ONCE) -> None:
        self.left_out = 0
        self._clock = clock
        self._per_second, self._at_once = per_second, at_once
        self._allowance, self._at = at_once, clock.monotonic()

    def allows(self) -> bool:
        """Whether one more may be logged now; it counts either way."""
        now = self._clock.monotonic()
        self._allowance = min(self._at_once, self._allowance + (now - self._at) * self._per_second)
        self._at = now
        if self._allowance < 1.0:
            self.left_out += 1
            return False
        self._allowance -= 1.0
        return True


class LimitedLog:
    """A logger for lines that others can cause. Kinds are the caller's: each has a limit of its own."""

    def __init__(self, log: logging.Logger, clock: Clock | None = None, per_second: float = LINES_PER_SECOND,
                 at_once: float = LINES_AT_ONCE) -> None:
        self._log = log
        self._clock = clock or SystemClock()
        self._rate = per_second, at_once
        self._limits: dict[str, RateLimit] = {}

    def info(self, kind: str, text: str, *values: object) -> bool:
        """As `warning`."""
        return self._say(logging.INFO, kind, text, values, None)

    def warning(self, kind: str, text: str, *values: object) -> bool:
        """Log a line, the values as `shown`, if the limit of its kind lets it; whether it did."""
        return self._say(logging.WARNING, kind, text, values, None)

    def error(self, kind: str, text: str, *values: object, exc_info: BaseException | None = None) -> bool:
        """As `warning`, perhaps with a traceback."""
        return self._say(logging.ERROR, kind, text, values, exc_info)

    def _say(self, level: int, kind: str, text: str, values: tuple[object, ...],
             exc_info: BaseException | None) -> bool:
        limit = self._limits.get(kind)
        if limit is None:
            limit = self._limits.setdefault(kind, RateLimit(self._clock, *self._rate))
        if not limit.allows():
            return False
        words = tuple(map(shown, values))
        if limit.left_out:
            text, words = f"{text} (%d more not shown)", (*words, limit.left_out)
            limit.left_out = 0
        self._log.log(level, text, *words, exc_info=exc_info)
        return True


class Writer:
    """What libraries write to instead of a file: each text is a line that others can cause."""

    def __init__(self, log: LimitedLog, kind: str) -> None:
        self._log, self._kind = log, kind

    def write(self, text: str) -> int:
        """Log a text as an error, if it is any."""
        if text.strip():
            self._log.error(self._kind, "%s", Words(text.strip()))
        return len(text)

    def flush(self) -> None:
        """There is nothing to flush."""


class Words(str):
    """A sentence of ours in which others' words may be: it is shown without quotes."""

    __slots__ = ()


def shown(value: object) -> object:
    """A value as it may stand in a line: numbers as they are; bytes in quotes; text too, unless it is one word;
    whatever else in its own words. All printable, and cut."""
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _cut(repr(bytes(value[:SHOWN])).removeprefix("b"), len(value), SHOWN, "bytes")
    text = str(value)
    if not isinstance(value, str) or isinstance(value, Words):
        return _cut(escaped(text[:SENTENCE]), len(text), SENTENCE, "characters")
    if len(text) <= SHOWN and WORD.fullmatch(text):
        return text
    return _cut(ascii(text[:SHOWN]), len(text), SHOWN, "characters")


def _cut(text: str, size: int, most: int, unit: str) -> str:
    return text if size <= most else f"{text}... ({size} {unit})"
