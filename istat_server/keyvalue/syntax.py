"""The text of a `.set` file, and which names, keys and values there may be: docs/formats/namespaces.md.

The lines are istatd's. A value is read as it was written, blanks at its ends included, which are escaped for that.
Knows no files.
"""
from __future__ import annotations

import re
from collections.abc import Mapping

from istat.errors import StoreCorrupt

HEADER = b"# istatd settings 1"
_ANY_HEADER = re.compile(rb"# istatd settings\b[ \t]*(.*)")
_BOM = b"\xef\xbb\xbf"       # some editors' mark
_NAME = re.compile(r"[A-Za-z0-9_.-]*")
# What no key has: what istatd refuses, and control characters, which would be seen in no editor.
_NOT_IN_KEYS = re.compile(r"[\x00-\x20\x7f\\/:;*?\"'%()\[\]{}~$^#=+-]")
_BLANK = " \t\r\n\v\f"
# Sign -> what stands for it behind a backslash, but for the backslash itself.
_ESCAPED = {"'": "'", '"': '"', "%": "%", "_": "_", "\0": "0", "\b": "b", "\t": "t", "\n": "n", "\r": "r",
            "\x1a": "Z"}
_OTHER_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
# While a value is unescaped: two signs that no line has, for a backslash and for zero.
_BACKSLASH, _ZERO = "\0", "\ud800"


def is_name(text: str) -> bool:
    """Whether a namespace may be called so. The empty name is one."""
    return _NAME.fullmatch(text) is not None


def is_key(text: str) -> bool:
    """Whether a key may be set that is called so. Files that were edited by hand may have others."""
    return _NOT_IN_KEYS.search(text) is None and is_text(text)


def is_text(text: str) -> bool:
    """Whether UTF-8 can write it: no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def escape(value: str) -> str:
    """A value as one line has it."""
    text = value.replace("\\", "\\\\")     # one sign after the other is the quickest by far
    for sign, letter in _ESCAPED.items():
        text = text.replace(sign, f"\\{letter}")
    if text[-1:] in tuple(_BLANK):
        text = f"{text[:-1]}\\{text[-1]}"
    return f"\\{text}" if text[:1] in tuple(_BLANK) else text


def unescape(text: str) -> str:
    """What a line means by a value; any escape that has no other meaning is the sign itself."""
    if "\\" not in text:
        return text
    text = text.replace("\\\\", _BACKSLASH)
    for sign, letter in _ESCAPED.items():
        text = text.replace(f"\\{letter}", sign if sign != "\0" else _ZERO)
    if "\\" in text:
        text = _OTHER_ESCAPE.sub(lambda found: found[1] or "\\", text)
    return text.replace(_BACKSLASH, "\\").replace(_ZERO, "\0")


def encode(values: Mapping[str, str]) -> bytes:
    """A whole file, its lines in order of the keys."""
    lines = [f"{key}={escape(values[key])}\n" for key in sorted(values)]
    return b"".join((HEADER, b"\n", *(line.encode() for line in lines)))


def decode(data: bytes) -> dict[str, str]:
    """The values of a file; of a key that is there twice the last one. StoreCorrupt for what is none of ours."""
    if b"\0" in data:
        raise StoreCorrupt("it has zero bytes, so it is no text")
    data = data.removeprefix(_BOM)
    head = _ANY_HEADER.match(data)
    if head is not None and head[1].strip() != b"1":
        raise StoreCorrupt(f"its first line says {head[0][:60].decode(errors='replace')!r}, which this istatd does not "
                           "know: a newer one may have written it")
    values = {}
    for line in data.split(b"\n"):
        if line.startswith(b"#") or b"=" not in line:
            continue
        key, _, text = _text(line).partition("=")
        values[key.strip(_BLANK)] = unescape(_trimmed(text))
    return values


def has_header(data: bytes) -> bool:
    """Whether the first line is what it should be."""
    return data.partition(b"\n")[0].rstrip() == HEADER


def _text(line: bytes) -> str:
    """UTF-8, or what editors wrote before there was that."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _trimmed(text: str) -> str:
    """Without the blanks at its ends, but for those that are escaped."""
    text = text.lstrip(_BLANK)
    whole = text.rstrip(_BLANK)
    return text[:len(whole) + 1] if _is_escaped(text, len(whole)) else whole


def _is_escaped(text: str, at: int) -> bool:
    """Whether the sign at a place belongs to the backslash before it."""
    before = text[:at]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1
