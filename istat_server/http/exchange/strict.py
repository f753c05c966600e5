"""A request that takes numbers and text for what they are, whoever asks it: our handlers and those of plugins.

falcon's own getters and fields of paths read numbers as Python does, and JSON with NaN in it. Knows falcon and the
reader of numbers; no route.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

import falcon
import falcon.media
from falcon.routing import converters

from istat.errors import BadQuery
from istat_server.http import numbers

# What text escapes half of a surrogate pair with, in lower case.
SURROGATE = "\\ud"
NO_TEXT = "the body has text that is no UTF-8, such as half of a surrogate pair"


class Request(falcon.Request):
    """falcon's, with getters that take digits for numbers and nothing else."""

    __slots__ = ()

    @property
    def content_length(self) -> int | None:
        """How long the body is; None when nothing is said of it. BadQuery for what is no length."""
        text = self.env.get("CONTENT_LENGTH")
        if not text:
            return None
        length = numbers.digits(text)
        if length is None:
            raise BadQuery("Content-Length must be a number of bytes")
        return length

    def get_param_as_int(self, name: str, *args: Any, **named: Any) -> Any:
        """See falcon."""
        self._strictly(name, numbers.whole, "a whole number")
        return super().get_param_as_int(name, *args, **named)

    def get_param_as_float(self, name: str, *args: Any, **named: Any) -> Any:
        """See falcon."""
        self._strictly(name, numbers.decimal, "a number")
        return super().get_param_as_float(name, *args, **named)

    def get_header_as_int(self, header: str, required: bool = False) -> Any:
        """See falcon (4 and later)."""
        text = self.get_header(header, required=required)
        number = None if text is None else numbers.whole(text)
        if text is not None and number is None:
            raise BadQuery(f"{header} must be a whole number")
        return number

    def check_text(self) -> None:
        """BadQuery when the query is no UTF-8: each wrong byte would be taken for the same sign."""
        query = self.env.get("QUERY_STRING", "")
        if "%" in query or not query.isascii():
            try:
                unquote_to_bytes(query.encode("latin-1")).decode("utf-8")
            except UnicodeError:
                raise BadQuery("the query is no UTF-8") from None

    def _strictly(self, name: str, read: Callable[[str], object], what: str) -> None:
        found = self.params.get(name)
        text = found[-1] if isinstance(found, list) else found
        if text is not None and read(text) is None:
            raise BadQuery(f"{name} must be {what}")


def read_json(body: bytes) -> Any:
    """What a body says. BadQuery when it is no JSON, or has text that no encoding can write, or a NaN."""
    try:
        # Python's own way from bytes to text lets halves of surrogate pairs pass.
        text = body.decode(json.detect_encoding(body))
    except UnicodeError:
        raise BadQuery(NO_TEXT) from None
    return _loads(text)


def _loads(text: str) -> Any:
    try:
        found = json.loads(text, parse_constant=_no_constant)
        if SURROGATE in text.lower():
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise BadQuery(NO_TEXT) from None
    except (ValueError, RecursionError) as error:
        raise BadQuery(f"the body is no JSON: {error}") from None
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"there is no {name} in JSON")


class Whole(converters.IntConverter):
    """`{name:int}` in a path."""

    __slots__ = ()

    def convert(self, value: str) -> int | None:
        """See falcon."""
        return super().convert(value) if numbers.whole(value) is not None else None


def make_strict(app: falcon.App[Any, Any]) -> None:
    """Have the fields of an application's paths, and the bodies that falcon reads for it, read like the rest."""
    fields = app.router_options.converters
    fields["int"] = Whole
    decimal = getattr(converters, "FloatConverter", None)      # since falcon 4
    if decimal is not None:
        fields["float"] = type("Decimal", (decimal,), {"__slots__": (), "convert": _convert_decimal(decimal)})
    app.req_options.media_handlers[falcon.MEDIA_JSON] = falcon.media.JSONHandler(loads=_loads)


def _convert_decimal(base: Any) -> Callable[[Any, str], float | None]:
    def convert(self: Any, value: str) -> float | None:
        found: float | None = base.convert(self, value) if numbers.decimal(value) is not None else None
        return found

    return convert
