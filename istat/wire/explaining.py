"""What is wrong with a line, in words, and the line that was probably meant.

For people: `istat explain`, `istat status`, the server's log. It guesses, and says so by giving a line or none; what is
refused is decided elsewhere. Knows lines and the time it is given, no store: what is too old for one is told only where
no store has it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from istat.errors import BadLine
from istat.wire.lines import RESERVED_FIRST, Meta, Sample, parse_line

# Times that are meant, in seconds: not before 2000, and not later than a year ahead (clocks are wrong by less).
EARLIEST, AHEAD = 946_684_800, 366 * 86_400
# A sample may be this much newer than now [s]: docs/formats/lines.md.
FUTURE = 60
# What times are told in by mistake: parts of a second, and how many of them it has.
UNITS = (("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9))
MARK = b"\xef\xbb\xbf"      # the byte-order mark of UTF-8
SLACK = 0.0001              # how far a mean may leave [min, max], as a share
LONGEST_NAME = 1000         # [bytes]
ROUNDS = 4                  # mistakes of one line that are mended one after the other
GENERAL = {
    "bad_fields": "it has {}; a line is `name value`, or `name time value`",
    "bad_number": "{} is no number; times are Unix seconds, and decimals have a point",
    "not_finite": "a value is infinite or no number; send nothing where there is none",
    "reserved": "no name begins with {}",
    "bad_metadata": "what begins with # tells something of the sender, as `#key value`; send no comments",
    "no_name": "its name means no counter",
    "name_too_long": f"its name has more than {LONGEST_NAME:,} bytes",
    "from_future": "its time is more than a minute ahead",
    "from_past": "its time is before the year 2000",
    "rejected": "its count, sum, minimum and maximum contradict each other",
}
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_TIME = re.compile(r"\d{9,19}(?:\.\d*)?", re.ASCII)
_STATSD = re.compile(r"(?P<name>[^\s:|]+):(?P<value>[^\s:|]+)\|(?P<kind>c|g|ms|h|d)(?:\|@(?P<rate>[0-9.]+))?"
                     r"(?:\|#\S*)?")
_ASSIGNED = re.compile(r"(?P<name>[^\s=:]+) ?[=:] ?(?P<value>[+-]?[.0-9]\S*)")
_HTTP = re.compile(r"[A-Z]+ \S+ HTTP/[0-9]")
_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")     # which may mean either: nobody can guess
_UNIT = re.compile(r"(?P<value>[+-]?[0-9.]+)(?:%|[a-zA-Zµ]{1,3}(?:/s)?)")
_NO_NAMES = frozenset(("nan", "inf", "infinity", "nil", "null", "none"))      # they stand for a value that is not there
_NANS = frozenset(("nan", "NaN", "-nan", "-NaN"))       # as istatd writes it

Guess = tuple[str, list[str]]


class Explained(NamedTuple):
    """What is wrong: `kind` as a server counts it ("" where it takes the line all the same), a sentence without its
    full stop, and the line that was probably meant, "" where that is not clear."""

    kind: str
    wrong: str
    right: str = ""


def explain(line: bytes, now: float) -> Explained | None:
    """What is wrong with a line (with or without its LF) at a time [Unix seconds]; None: nothing."""
    found = _wrong(line, now)
    if found is None or not found.right:
        return found
    wrongs, right = [found.wrong], found.right
    for _ in range(ROUNDS):
        more = _wrong(right.encode("utf-8", "surrogateescape"), now)
        if more is None:
            return Explained(found.kind, ", and ".join(wrongs), right)
        wrongs.append(more.wrong)
        if not more.right:
            break
        right = more.right
    return Explained(found.kind, found.wrong)


def _wrong(line: bytes, now: float) -> Explained | None:
    """The first thing that is wrong with a line, and the line without it."""
    if line.startswith(MARK):
        return Explained("", "it begins with a byte-order mark, which becomes part of the name",
                         _text(line.removeprefix(MARK)).strip())
    try:
        kind = _kind(parse_line(line), now)
    except BadLine as error:
        kind = error.kind
    words = [_text(word) for word in line.split()]
    if not kind:
        return _as_zero(words)
    for guess in _GUESSES:
        for wrong, right in guess(words, now):
            return Explained(kind, wrong, " ".join(right))
    return Explained(kind, GENERAL[kind].format(_about(kind, words)))


def _as_zero(words: Sequence[str]) -> Explained | None:
    """What is taken, and hardly meant."""
    nan = next((word for word in words[1:] if word in _NANS), None)
    if nan is None or words[0].startswith("#"):
        return None
    return Explained("", f"{nan!r} is taken as 0, unless the server's setting refuse-nan refuses it; send nothing "
                         "where there is no value")


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")


def _kind(sample: Sample | Meta | None, now: float) -> str:
    """What a server refuses a line for that can be read, as far as the line tells; "" for nothing."""
    if not isinstance(sample, Sample):
        return "bad_metadata" if sample is not None and not sample.key else ""
    if len(sample.name) > LONGEST_NAME:
        return "name_too_long"
    if not sample.name.strip(b"*^"):
        return "no_name"
    if sample.time is not None and sample.time > now + FUTURE:
        return "from_future"
    if sample.time is not None and sample.time < EARLIEST:
        return "from_past"
    event = sample.name.startswith(b"*")
    return "" if event or _agrees(sample) else "rejected"


def _agrees(sample: Sample) -> bool:
    """Whether the fields of a gauge's line fit each other."""
    if sample.count == 0:
        return False
    mean = sample.sum / sample.count
    low, high = sample.min, sample.max
    return not (low > high + abs(high) * SLACK or mean + abs(mean) * SLACK < low or mean > high + abs(high) * SLACK)


def _about(kind: str, words: Sequence[str]) -> str:
    """What goes into the general sentence of a kind."""
    if kind == "bad_fields":
        return f"{len(words)} word{'' if len(words) == 1 else 's'}"
    if kind == "reserved":
        return f"any of {' '.join(RESERVED_FIRST)}"
    if kind == "bad_number":
        return repr(next((word for word in words[1:] if not _NUMBER.fullmatch(word)), " ".join(words[1:])))
    return ""


def seconds(word: str, now: float) -> tuple[int, str] | None:
    """A time that a word may be, in Unix seconds, and what it is told in: "seconds", "milliseconds", or a date."""
    if _TIME.fullmatch(word):
        whole = int(word.partition(".")[0])
        for unit, parts in (("seconds", 1), *UNITS):
            if EARLIEST <= whole // parts <= now + AHEAD:
                return whole // parts, unit
        return None
    try:
        when = datetime.fromisoformat(word) if len(word) > 10 and word[4:5] == "-" else None
    except ValueError:
        return None
    return (math.floor(when.timestamp()), "a date") if when is not None and when.tzinfo is not None else None


# -- guesses: each gives a sentence and the words that were meant, or nothing


def _time_last(words: Sequence[str], now: float) -> Iterator[Guess]:
    """Graphite's order: `name value time`. The value alone could never be the time of a sample."""
    if len(words) != 3 or seconds(words[1], now) is not None or not _NUMBER.fullmatch(words[1]):
        return
    time = seconds(words[2], now)
    if time is not None:
        unit = "" if time[1] == "seconds" else f", in {time[1]} where seconds are wanted"
        yield f"the time stands behind the value, as Graphite has it{unit}", [words[0], str(time[0]), words[1]]


def _wrong_unit(words: Sequence[str], now: float) -> Iterator[Guess]:
    """Milliseconds, and what else is no second."""
    time = seconds(words[1], now) if len(words) in (3, 7) else None
    if time is not None and time[1] != "seconds":
        what = "a date" if time[1] == "a date" else f"in {time[1]}"
        yield f"its time is {what}; it wants Unix seconds", [words[0], str(time[0]), *words[2:]]


def _other_protocol(words: Sequence[str], now: float) -> Iterator[Guess]:
    """HTTP, statsd, and name=value."""
    text = " ".join(words)
    if _HTTP.match(text):
        yield "it is a request of HTTP, which has a port of its own (http-port)", []
    statsd = _STATSD.fullmatch(text)
    if statsd:
        event, value = statsd["kind"] == "c", statsd["value"]
        rate = float(statsd["rate"]) if statsd["rate"] and _NUMBER.fullmatch(statsd["rate"]) else 1.0
        if event and rate and _NUMBER.fullmatch(value):
            value = f"{float(value) / rate:.10g}"
        yield "it is a line of statsd", ["*" + statsd["name"] if event else statsd["name"], value]
    assigned = _ASSIGNED.fullmatch(text)
    if assigned and not statsd:
        yield "a blank, and nothing else, stands between name and value", [assigned["name"], assigned["value"]]


def _odd_number(words: Sequence[str], now: float) -> Iterator[Guess]:
    """Numbers as people or other programs write them: the first that is odd."""
    if len(words) not in (2, 3, 7):
        return
    for at, word in enumerate(words[1:], 1):
        for wrong, right in _mended(word):
            yield f"{word!r} {wrong}", [*words[:at], right, *words[at + 1:]]
            return


def _mended(word: str) -> Iterator[tuple[str, str]]:
    bare = word.strip("\"'")
    unit = _UNIT.fullmatch(word)
    if bare != word and _NUMBER.fullmatch(bare):
        yield "stands in quotes", bare
    elif _COMMA.fullmatch(word) and not _THOUSANDS.fullmatch(word):
        yield "has a comma for a decimal point (LC_NUMERIC=C)", word.replace(",", ".")
    elif re.search(r"\d_\d", word) and _NUMBER.fullmatch(word.replace("_", "")):
        yield "has _ between its digits", word.replace("_", "")
    elif re.fullmatch(r"0[xX][0-9a-fA-F]{1,13}", word):
        yield "is hexadecimal", str(int(word, 16))
    elif unit and _NUMBER.fullmatch(unit["value"]) and not _NUMBER.fullmatch(word):
        yield "has a unit; its place is the name", unit["value"]


def _reserved_sign(words: Sequence[str], now: float) -> Iterator[Guess]:
    """A sign before the name that means something else."""
    if len(words) > 1 and words[0][0] in RESERVED_FIRST.replace("#", "") and words[0].strip(RESERVED_FIRST):
        yield f"no name begins with {words[0][0]}", [words[0].lstrip(RESERVED_FIRST), *words[1:]]


def _name_not_first(words: Sequence[str], now: float) -> Iterator[Guess]:
    """A number stands where the name belongs: `value name`, `time name value` or `time value name`."""
    names = [word for word in words if word.lstrip("*")[:1].isalpha() and word.lower() not in _NO_NAMES]
    if len(words) not in (2, 3) or len(names) != 1 or words[0] in names:
        return
    numbers = [word for word in words if word not in names]
    if all(_NUMBER.fullmatch(word) for word in numbers) and (len(words) == 2 or seconds(words[0], now) is not None):
        yield "the name does not stand first", [names[0], *numbers]


def _blanks_in_name(words: Sequence[str], now: float) -> Iterator[Guess]:
    """A name of several words: what follows it is a number, and no word of it is one."""
    numbers = next((at for at, word in enumerate(words) if _NUMBER.fullmatch(word) or _UNIT.fullmatch(word)), 0)
    if numbers > 1 and len(words) - numbers in (1, 2, 6) and not set("=:|") & set("".join(words[:numbers])):
        yield "there are blanks in the name", ["_".join(words[:numbers]), *words[numbers:]]


_GUESSES: tuple[Callable[[Sequence[str], float], Iterator[Guess]], ...] = (
    _other_protocol, _time_last, _wrong_unit, _odd_number, _reserved_sign, _name_not_first,
    _blanks_in_name)
