"""Line grammar: one line of bytes to a sample. Knows no name tables, no sockets, no clock.

All of this module is specification; `native/ingest/lines.pyx` is the fast build of it and the same tests run on both.
A line is `name value`, `name time value` or `name time sum sumsq min max count`; tokens are split at
space, TAB, VT, FF and CR.
"""
from __future__ import annotations

import math
import re
from collections.abc import Iterator

EMPTY, SAMPLE, META, RESERVED, BAD_FIELDS, BAD_NUMBER, NOT_FINITE, UNKNOWN = range(8)
# Good lines whose sample a counter refused: the grammar knows none of them, the engine tells so.
FROM_FUTURE, FROM_PAST, REJECTED, TOO_COARSE = range(8, 12)

CODES = {
    "EMPTY": EMPTY, "SAMPLE": SAMPLE, "META": META, "RESERVED": RESERVED, "BAD_FIELDS": BAD_FIELDS,
    "BAD_NUMBER": BAD_NUMBER, "NOT_FINITE": NOT_FINITE, "UNKNOWN": UNKNOWN, "FROM_FUTURE": FROM_FUTURE,
    "FROM_PAST": FROM_PAST, "REJECTED": REJECTED, "TOO_COARSE": TOO_COARSE,
}

RESERVED_BYTES = b"@$%&;:"
NUMBER_ROOM = 400       # [bytes] a longer token is no number anybody means

_SPACE = re.compile(rb"[ \t\x0b\x0c\r]+")
_DECIMAL = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(rb"[+-]?[0-9]{1,18}")
_TIME = re.compile(rb"([+-]?[0-9]{1,18})(?:\.[0-9]*)?")
_NAN_AS_ZERO = frozenset((b"nan", b"NaN", b"-nan", b"-NaN"))
_NOT_FINITE = re.compile(rb"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)

Parsed = tuple[int] | tuple[int, bytes, int, "int | None", float, float, float, float, int]


def number(token: bytes, refuse_nan: bool = False) -> tuple[int, float]:
    """(code, value) of a decimal floating text; the four NaN spellings of istatd are 0, unless they are refused."""
    if not token or len(token) > NUMBER_ROOM:
        return BAD_NUMBER, 0.0
    if _DECIMAL.fullmatch(token):
        value = float(token)
        return (SAMPLE, value + 0.0) if math.isfinite(value) else (NOT_FINITE, 0.0)
    if token in _NAN_AS_ZERO and not refuse_nan:
        return SAMPLE, 0.0
    return (NOT_FINITE if _NOT_FINITE.fullmatch(token) else BAD_NUMBER), 0.0


def integer(token: bytes) -> tuple[int, int]:
    """(code, value) of a signed decimal integer of at most 18 digits."""
    if _INTEGER.fullmatch(token):
        return SAMPLE, int(token)
    return BAD_NUMBER, 0


def time_of(token: bytes) -> tuple[int, int]:
    """(code, value) of a time: an integer, whose fraction is cut off."""
    found = _TIME.fullmatch(token)
    return (SAMPLE, int(found[1])) if found else (BAD_NUMBER, 0)


def split(line: bytes) -> list[bytes]:
    """The tokens of a line."""
    return [token for token in _SPACE.split(line) if token]


def parse(line: bytes, refuse_nan: bool = False) -> Parsed:
    """(code, name, fields, time, sum, sumsq, min, max, count) of one line without its LF, or (code,).

    `refuse_nan`: istatd's spellings of NaN are not finite, as all others, instead of 0.
    """
    if line in (b"", b"\r"):
        return (EMPTY,)
    if line[0] == 0x23:
        return (META,)
    if line[0] in RESERVED_BYTES:
        return (RESERVED,)
    tokens = split(line)
    if tokens and tokens[0][0] in b"#" + RESERVED_BYTES:        # only behind white space; no name may begin so
        return (RESERVED,)
    if len(tokens) < 2 or 4 <= len(tokens) <= 6:
        return (BAD_FIELDS,)
    return _sample(tokens, refuse_nan)


def _sample(tokens: list[bytes], refuse_nan: bool) -> Parsed:
    name = tokens[0]
    if len(tokens) == 2:
        code, value = number(tokens[1], refuse_nan)
        return (code, name, 2, None, value, value * value, value, value, 1) if code == SAMPLE else (code,)
    code, time = time_of(tokens[1])
    if code != SAMPLE:
        return (code,)
    if len(tokens) == 3:
        code, value = number(tokens[2], refuse_nan)
        return (code, name, 3, time, value, value * value, value, value, 1) if code == SAMPLE else (code,)
    values = []
    for token in tokens[2:6]:
        code, value = number(token, refuse_nan)
        if code != SAMPLE:
            return (code,)
        values.append(value)
    code, count = integer(tokens[6])
    if code != SAMPLE or count < 0:
        return (BAD_NUMBER,)
    total, sumsq, low, high = values
    return (code, name, 7, time, total, sumsq, low, high, count)


def sift(data: bytes | bytearray | memoryview, start: int, end: int,
         refuse_nan: bool = False) -> list[tuple[int, int, int]]:
    """(code, start, end) of each whole line in data[start:end] that is no sample, its LF included; in order."""
    found = []
    for begin, line in _lines(data, start, end):
        code = parse(line, refuse_nan)[0]
        if code != SAMPLE:
            found.append((code, begin, begin + len(line) + 1))
    return found


def timed(data: bytes | bytearray | memoryview, start: int, end: int, clock: int) -> bytes:
    """The samples among the whole lines of data[start:end] as an original istatd takes them: each with a time, that of
    the line or `clock`, which has no fraction. All digits stay. What stands behind the seventh token is left out."""
    out = []
    for _begin, line in _lines(data, start, end):
        parsed = parse(line)
        if parsed[0] != SAMPLE:
            continue
        name, *numbers = split(line)[:parsed[2]]  # type: ignore[misc]
        time = b"%d" % clock if len(numbers) == 1 else numbers.pop(0).partition(b".")[0]
        out.append(b" ".join([name, time, *numbers]) + b"\n")
    return b"".join(out)


def _lines(data: bytes | bytearray | memoryview, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Where each whole line begins, and the line without its LF. ValueError when there is no such part."""
    if not 0 <= start <= end <= len(data):
        raise ValueError(f"{start}..{end} is not inside {len(data)} bytes")
    text = bytes(data[start:end])
    for line in text.split(b"\n")[:-1]:
        yield start, line
        start += len(line) + 1


def count_lines(data: bytes | bytearray | memoryview) -> int:
    """How many line feeds there are."""
    return bytes(data).count(b"\n")
