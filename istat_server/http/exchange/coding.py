"""In which coding an answer goes out, gzip, deflate or none, and the bytes of it. Knows HTTP's words, and no route.

The choice is istatd's: only what shares the highest weight counts, nothing of weight 0 does, and gzip comes before
deflate.
"""

from __future__ import annotations

import zlib
from typing import Any

import falcon
import gevent

from istat_server.http import numbers

GZIP, DEFLATE, NONE = "gzip", "deflate", ""
# zlib's ways to ask for the gzip container, and for its own, which HTTP calls deflate.
WBITS = {GZIP: 31, DEFLATE: 15}
FASTEST = 1
# Below this compression saves nothing that anyone would notice. [bytes]
LEAST = 1024
# From here compressing takes milliseconds, so a thread does it. [bytes]
IN_THREAD = 128 * 1024
MOST_WEIGHT = 1000.0    # nobody means more than 1
ACCEPTED = "HTTP_ACCEPT_ENCODING"


class Uncompressed:
    """What falcon calls before a request where all answers are to go out as they are."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Whatever the client accepts, it is as if it had not said so."""
        req.env.pop(ACCEPTED, None)


def wanted(req: falcon.Request) -> str:
    """The coding that a client prefers."""
    return choose(req.env.get(ACCEPTED, ""))


def choose(accepted: str) -> str:
    """The coding that an Accept-Encoding header asks for: GZIP, DEFLATE or NONE.

    `*` stands for the one of the two that is not named, gzip rather than deflate.
    """
    if not accepted:
        return NONE
    weights: dict[str, int] = {}
    for item in accepted.split(","):
        name, _, parameter = item.partition(";")
        weights[name.strip().lower()] = _weight(parameter)
    if "*" in weights:
        weights.setdefault(next((one for one in WBITS if one not in weights), "*"), weights["*"])
    highest = max(weights.values())
    return next((one for one in WBITS if weights.get(one) == highest > 0), NONE)


def _weight(parameter: str) -> int:
    """Hundredths, the rest cut off; what is no number is 0."""
    key, _, number = parameter.partition("=")
    if key.strip().lower() != "q":
        return 100
    return int(100 * min(max(0.0, numbers.decimal(number.strip()) or 0.0), MOST_WEIGHT))


def packer(coding: str) -> Any:
    """What compresses piece by piece in GZIP or DEFLATE."""
    return zlib.compressobj(FASTEST, zlib.DEFLATED, WBITS[coding])


def compress(body: bytes, coding: str) -> bytes:
    """All of it at once; large ones in a thread, so that the hub goes on."""
    if len(body) < IN_THREAD:
        return _compress(body, coding)
    packed: bytes = gevent.get_hub().threadpool.apply(_compress, (body, coding))
    return packed


def _compress(body: bytes, coding: str) -> bytes:
    used = packer(coding)
    return bytes(used.compress(body) + used.flush())


def send(req: falcon.Request, resp: falcon.Response, body: bytes, content_type: str) -> None:
    """Answer with this body, compressed where the client prefers that and it pays."""
    resp.content_type = content_type
    if len(body) > LEAST:
        resp.append_header("Vary", "Accept-Encoding")
        coding = wanted(req)
        if coding:
            body = compress(body, coding)
            resp.set_header("Content-Encoding", coding)
    resp.data = body
