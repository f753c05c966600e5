"""Dimensions' values and numbers as texts, for several exporters."""

from __future__ import annotations

import base64


def text_of(value: object) -> str:
    """A dimension's value for people: nothing for a missing one, a question mark for each byte that is no UTF-8."""
    if value is None:
        return ""
    return value.decode("utf-8", "replace").replace("\ufffd", "?") if isinstance(value, bytes) else str(value)


def exact_text(value: object) -> str:
    """A dimension's value for programs: bytes as JSON has them here."""
    if isinstance(value, bytes):
        return f"base64:{base64.b64encode(value).decode()}"
    return "" if value is None else str(value)


def whole(value: float) -> float:
    """An integer where a float is one, so that it is written without a fraction."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
