"""Values of a cell's dimensions as canonical bytes, and back; the columns of a batch. Knows nothing of cells and
metrics.

A key is, for each dimension in order, a tag and a body. Cubes on all machines make the same bytes of the same values,
so that cells are matched by their bytes. `1` and `1.0` are different cells; `True` is `1`, as it is in Python.

A column of a batch has one value a row, and is one of

    a buffer            (numpy's arrays, array.array, memoryview) of int32, uint32, int64, uint64 or float64; or of
                        fixed-width bytes (numpy's `S5`: NULs at the end are taken off) or text (`U5`: slow)
    list or tuple       of single values
    (offsets, bytes)    Arrow's layout: row i is bytes[offsets[i]:offsets[i + 1]], as bytes
    (codes, values)     row i is values[codes[i]]; `codes` is a buffer or a list of ints, `values` a list or tuple
    a single value      None, int, float, str or bytes: the same in each row

This module is the specification; `native/cubes/keys.pyx` is the fast build of it and the same tests run on both.
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Sequence

from istat.errors import KeyTooLong

KEY_ROOM = 4096             # [bytes] longest key
MOST_DIMENSIONS = 64
TAG_NONE, TAG_INT, TAG_FLOAT, TAG_STR, TAG_BYTES = range(5)
INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
WHOLE_FORMATS = frozenset("iIlLqQ")
TYPES = "a dimension takes str, bytes, int, float and None, a counter int, and float with dtype=float"
KINDS = ("a column is a buffer of 32- or 64-bit ints, of float64 or of fixed-width bytes, a list or tuple of values, "
         "a pair (offsets, bytes) or (codes, values), or one value for all rows")

Value = None | int | float | str | bytes

_NONE = bytes([TAG_NONE])
_INT = struct.Struct("<Bq")
_FLOAT = struct.Struct("<Bd")


def encoded(values: Sequence[object]) -> bytes:
    """The key of these values, one a dimension: None, int, float, str or bytes.

    TypeError for anything else, OverflowError for an int beyond int64, ValueError for NaN and for a str that is no
    Unicode, KeyTooLong beyond 4096 bytes.
    """
    key = b"".join([encoded_value(value) for value in values])
    if len(key) > KEY_ROOM:
        raise KeyTooLong(f"the values of a cell take {len(key)} bytes, and a key has at most {KEY_ROOM}: shorten them")
    return key


def encoded_value(value: object) -> bytes:
    """One value as its part of a key; errors as of `encoded`."""
    if isinstance(value, str):
        return _text(TAG_STR, value.encode())
    if value is None:
        return _NONE
    if isinstance(value, float):
        if math.isnan(value):
            raise ValueError("NaN is no value of a dimension: it equals nothing, itself neither")
        return _FLOAT.pack(TAG_FLOAT, value + 0.0)      # -0.0 + 0.0 is 0.0
    if isinstance(value, bytes):
        return _text(TAG_BYTES, value)
    return _INT.pack(TAG_INT, whole(value))


def whole(value: object) -> int:
    """An int, or what stands for one, such as numpy's. TypeError for anything else, OverflowError beyond int64."""
    try:
        number = operator.index(value)      # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{type(value).__name__} is no type of a value here: {value!r}; {TYPES}") from None
    if not INT_MIN <= number <= INT_MAX:
        raise OverflowError(f"{number} does not fit into 64 bits with a sign")
    return number


def _text(tag: int, text: bytes) -> bytes:
    size, head = len(text), [tag]
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*head, size]) + text


def decoded(key: bytes, dimensions: int) -> tuple[Value, ...]:
    """The values of a key. ValueError when these are no bytes that `encoded` makes of so many values."""
    if len(key) > KEY_ROOM:
        raise ValueError(f"a key has at most {KEY_ROOM} bytes, not {len(key)}")
    values: list[Value] = []
    at = 0
    for _ in range(dimensions):
        value, at = _decoded_value(key, at)
        values.append(value)
    if at != len(key):
        raise ValueError(f"{len(key) - at} bytes too many in a key")
    return tuple(values)


def _decoded_value(key: bytes, at: int) -> tuple[Value, int]:
    """The value that begins at a byte of a key, and where the next one begins."""
    tag = key[at] if at < len(key) else -1
    if tag == TAG_NONE:
        return None, at + 1
    if tag in (TAG_INT, TAG_FLOAT):
        if at + 9 > len(key):
            raise ValueError("a key ends in the middle of a number")
        if tag == TAG_INT:
            return int(_INT.unpack_from(key, at)[1]), at + 9
        number = float(_FLOAT.unpack_from(key, at)[1])
        if math.isnan(number) or (number == 0 and key[at + 8]):
            raise ValueError("a key has NaN or a negative zero")
        return number, at + 9
    if tag not in (TAG_STR, TAG_BYTES):
        raise ValueError("a key ends too early, or has a tag that is none")
    size, begin = _size(key, at + 1)
    text = key[begin:begin + size]
    if len(text) != size:
        raise ValueError("a key ends in the middle of a text")
    return (text.decode() if tag == TAG_STR else text), begin + size


def _size(key: bytes, at: int) -> tuple[int, int]:
    """The varint there, of at most two bytes as no text of a key is longer; and where the text begins."""
    low = key[at] if at < len(key) else 0x80
    if low < 0x80:
        return low, at + 1
    high = key[at + 1] if at + 1 < len(key) else 0
    if not 0 < high < 0x80:
        raise ValueError("a key has a length that is none, or not in its shortest form")
    return low & 0x7F | high << 7, at + 2


def is_single(column: object) -> bool:
    """Whether it is one value for all rows: no sequence and no buffer. Numbers of numpy are single ones."""
    if column is None or isinstance(column, (str, bytes, int, float)):
        return True
    return not isinstance(column, (list, tuple)) and hasattr(column, "__index__") and not getattr(column, "shape", ())


def values_of(column: object) -> list[object]:
    """The rows of a column that is none of a single value. TypeError when it is of no kind, ValueError when damaged."""
    if isinstance(column, tuple) and len(column) == 2 and _is_pair(column[0]):
        return _pair(column[0], column[1])
    if isinstance(column, (list, tuple)):
        return list(column)
    return _buffer(column)


def rows_in(columns: Sequence[object]) -> int:
    """How many rows these columns have; 1 when all are single values. ValueError when they differ."""
    counts = [len(values_of(column)) for column in columns if not is_single(column)]
    if len(set(counts)) > 1:
        raise ValueError(f"the columns of a batch have one length, not {', '.join(map(str, counts))}")
    return counts[0] if counts else 1


def spread(column: object, rows: int) -> list[object]:
    """The values of a column for so many rows. ValueError when it has another number of them."""
    if is_single(column):
        return [column] * rows
    values = values_of(column)
    if len(values) != rows:
        raise ValueError(f"a column has {len(values)} values, and the batch {rows} rows")
    return values


def encoded_rows(columns: Sequence[object], rows: int) -> list[bytes]:
    """The keys of the rows, not looked at for their length. Errors as of `keys.encoded`."""
    parts = []
    for column in columns:
        seen: dict[tuple[type, object], bytes] = {}     # by type as well: 1, 1.0 and True are equal
        part = []
        for value in spread(column, rows):
            known = seen.get((type(value), value)) if isinstance(value, (str, bytes, int)) else None
            part.append(known if known is not None else encoded_value(value))
            if known is None and isinstance(value, (str, bytes, int)):
                seen[(type(value), value)] = part[-1]
        parts.append(part)
    return [b"".join(row) for row in zip(*parts)] if parts else [b""] * rows


def wholes(column: object, rows: int) -> list[int]:
    """Ints, one a row. TypeError for what is none, OverflowError beyond int64."""
    if is_single(column):
        return [whole(column)] * rows
    return [whole(value) for value in spread(column, rows)]


def reals(column: object, rows: int, name: str) -> list[float]:
    """Floats, one a row. TypeError for what is no number, ValueError for NaN; `name` is whose values they are."""
    if is_single(column):
        return [real(column, name)] * rows
    return [real(value, name) for value in spread(column, rows)]


def real(value: object, name: str) -> float:
    """A number as float. TypeError for what is none, ValueError for NaN."""
    if isinstance(value, (str, bytes)) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise TypeError(f"{name} takes numbers, not {type(value).__name__}: {value!r}")
    number = float(value)       # type: ignore[arg-type]
    if math.isnan(number):
        raise ValueError(f"{name} takes no NaN")
    return number


def _is_pair(first: object) -> bool:
    """Whether the first of two things is offsets or codes, so that they are a pair and no column of two values."""
    return isinstance(first, (list, tuple)) or (not is_single(first) and _view(first) is not None)


def _view(column: object) -> memoryview | None:
    try:
        return memoryview(column)       # type: ignore[arg-type]
    except TypeError:
        return None


def _pair(first: object, second: object) -> list[object]:
    """The rows of (codes, values), or of (offsets, bytes)."""
    numbers = values_of(first)
    if isinstance(second, (list, tuple)):
        codes = [whole(code) for code in numbers]
        if codes and not 0 <= min(codes) <= max(codes) < len(second):
            raise ValueError(f"codes are from 0 to {len(second) - 1}, the places in the list of values")
        return [second[code] for code in codes]
    view = _view(second)
    if view is None:
        raise TypeError(KINDS)
    data = view.tobytes()
    offsets = [whole(offset) for offset in numbers]
    if not offsets or offsets[0] < 0 or offsets[-1] > len(data) or offsets != sorted(offsets):
        raise ValueError(f"offsets rise from 0 to {len(data)}, and there is one more than there are rows")
    return [data[begin:end] for begin, end in zip(offsets, offsets[1:])]


def _buffer(column: object) -> list[object]:
    """The rows of a buffer."""
    view = _view(column)
    if view is None:
        raise TypeError(f"{KINDS}; not {type(column).__name__}")
    if view.ndim != 1:
        raise ValueError(f"a column has one dimension, not {view.ndim}")
    form, width = view.format.lstrip("@=<"), view.itemsize
    if form in WHOLE_FORMATS or form == "d":
        return list(view.tolist())
    data = view.tobytes()
    pieces = [data[at:at + width] for at in range(0, len(data), width)] if width else [b""] * len(view)
    if form.endswith("s"):
        return [piece.rstrip(b"\0") for piece in pieces]
    if form.endswith("w"):
        return [piece.decode("utf-32-le").rstrip("\0") for piece in pieces]
    raise TypeError(f"{KINDS}; not a buffer of format {view.format!r}: convert it, as by NumPy's astype")
