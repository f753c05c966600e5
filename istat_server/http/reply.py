"""Between falcon and the route families: reading parameters and bodies, sending JSON, small and compressed.

Knows HTTP, but no store and no route.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import Any

import falcon
import gevent

from istat.errors import BadQuery
from istat_server.http import numbers
from istat_server.http.exchange.strict import read_json

JSON = "application/json"
# Below this compression saves nothing that anyone would notice. [bytes]
GZIP_LEAST = 1024
# From here compressing takes milliseconds, so a thread does it. [bytes]
GZIP_IN_THREAD = 128 * 1024
GZIP_WBITS = 31  # zlib's way to ask for the gzip container

quoted: Callable[[str], str] = encode_basestring_ascii


def send(req: falcon.Request, resp: falcon.Response, body: bytes, content_type: str = JSON) -> None:
    """Answer with this body, compressed if the client asks for gzip and it pays."""
    resp.content_type = content_type
    if len(body) > GZIP_LEAST:
        resp.append_header("Vary", "Accept-Encoding")
        if takes_gzip(req.env.get("HTTP_ACCEPT_ENCODING", "")):
            body = compress(body)
            resp.set_header("Content-Encoding", "gzip")
    resp.data = body


def send_json(req: falcon.Request, resp: falcon.Response, answer: object) -> None:
    """Answer with a small object as JSON."""
    send(req, resp, json.dumps(answer, separators=(",", ":"), default=str).encode())


def compress(body: bytes) -> bytes:
    """gzip, fastest level; large bodies in a thread, so that the hub goes on."""
    if len(body) < GZIP_IN_THREAD:
        return _gzip(body)
    packed: bytes = gevent.get_hub().threadpool.apply(_gzip, (body,))
    return packed


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, GZIP_WBITS)
    return packer.compress(body) + packer.flush()


def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding header wants gzip at least as much as no compression.

    istatd's rule: of the encodings with the highest weight gzip is taken, and weight 0 never counts.
    """
    if "gzip" not in accepted and "*" not in accepted:
        return False
    weights: dict[str, float] = {}
    for item in accepted.split(","):
        name, _, parameter = item.partition(";")
        key, _, number = parameter.strip().partition("=")
        weight = 1.0
        if key.strip().lower() == "q":
            weight = numbers.decimal(number) or 0.0
        weights[name.strip().lower()] = weight
    gzip = weights.get("gzip", weights.get("*", 0.0))
    return gzip > 0.0 and gzip >= max(weights.values())


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
