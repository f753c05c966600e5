"""The one reader of numbers that requests bring: in queries, paths, headers and JSON. None for what is no number.

Python's own int() and float() take more than anyone means: digits of all scripts, `1_0`, spaces around, `nan`. Here
digits are 0 to 9 and numbers are finite. Knows no requests, and says nothing: whoever asks has the words.
"""

from __future__ import annotations

import math
import re

# What 64 bits hold: no number that a client means has more digits, and a text of thousands costs nothing here.
LEAST, MOST = -(1 << 63), (1 << 63) - 1
_DIGITS = re.compile(r"[0-9]{1,19}")
_WHOLE = re.compile(r"-?[0-9]{1,19}")
_CUT = re.compile(r"(-?[0-9]{1,19})\.[0-9]*")
_DECIMAL = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
MOST_SIGNS = 100        # of a decimal: more say nothing that a double can hold


def digits(text: str) -> int | None:
    """A length or a count: digits and nothing else, no sign either."""
    return _within(int(text)) if _DIGITS.fullmatch(text) else None


def whole(text: str) -> int | None:
    """A whole number, with a minus or without."""
    return _within(int(text)) if _WHOLE.fullmatch(text) else None


def decimal(text: str) -> float | None:
    """A finite number, with a fraction or an exponent or without."""
    if len(text) > MOST_SIGNS or not _DECIMAL.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def cut(value: object) -> int | None:
    """A whole number from JSON or text, its fraction cut off: times are often told with one. `true` is no number."""
    if isinstance(value, str):
        with_fraction = _CUT.fullmatch(value)
        return whole(with_fraction[1] if with_fraction else value)
    if isinstance(value, float) and math.isfinite(value):
        return _within(int(value))
    return plain(value)


def plain(value: object) -> int | None:
    """A whole number of JSON, which has no fraction. `true` is none."""
    return _within(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _within(value: int) -> int | None:
    return value if LEAST <= value <= MOST else None
