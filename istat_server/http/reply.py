"""Between falcon and the route families: reading parameters and bodies, sending JSON, small and compressed.

Knows HTTP, but no store and no route.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import Any

import falcon

from istat.errors import BadQuery
from istat_server.http import numbers
from istat_server.http.exchange import coding
from istat_server.http.exchange.strict import read_json

JSON = "application/json"
quoted: Callable[[str], str] = encode_basestring_ascii


def send(req: falcon.Request, resp: falcon.Response, body: bytes, content_type: str = JSON) -> None:
    """Answer with this body, compressed where the client prefers that and it pays."""
    coding.send(req, resp, body, content_type)


def send_json(req: falcon.Request, resp: falcon.Response, answer: object) -> None:
    """Answer with a small object as JSON."""
    send(req, resp, json.dumps(answer, separators=(",", ":"), default=str).encode())


def parameter(req: falcon.Request, key: str, default: str = "") -> str:
    """A query parameter; the last one when it is repeated."""
    value = req.params.get(key, default)
    return str(value[-1]) if isinstance(value, list) else str(value)


def parameters(req: falcon.Request, key: str) -> list[str]:
    """All values of a query parameter that may be repeated."""
    value = req.params.get(key, [])
    return list(value) if isinstance(value, list) else [value]


def whole_number(value: object, key: str, default: int, least: int, most: int) -> int:
    """An integer from text or JSON, within bounds. BadQuery says which key is wrong."""
    if value is None or value == "":
        return default
    number = numbers.cut(value)
    if number is None:
        raise BadQuery(f"{key} must be a whole number")
    if not least <= number <= most:
        raise BadQuery(f"{key} must be from {least} to {most}")
    return number


def read_body(req: falcon.Request) -> bytes:
    """The request's body, which its route found short enough. BadQuery (411) without a length, (400) when cut off."""
    length = req.content_length
    if length is None:
        raise BadQuery("HTTP exception: Can't read body without content-length", 411)
    try:
        return bytes(req.bounded_stream.read(length))
    except OSError:
        raise BadQuery(f"the body ended before its {length} bytes") from None


def read_object(req: falcon.Request) -> dict[str, Any]:
    """The request's body as a JSON object, all of whose text can be written as UTF-8. BadQuery when it is none."""
    found = read_json(read_body(req))
    if not isinstance(found, dict):
        raise BadQuery("the body must be a JSON object")
    return found


def strings(value: object, key: str) -> list[str]:
    """A JSON array of strings. BadQuery when it is none."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadQuery(f"{key} must be an array of strings")
    return value
