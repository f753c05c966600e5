"""How a list is answered: in pages that have a most of bytes, each with `truncated` and the token of the next.

Knows HTTP and what a page is, and no route.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import falcon

from istat_server.http.exchange.pieces import Pieces
from istat_server.http.exchange.turns import turn
from istat_server.http.reply import quoted
from istat_server.query.patterns import portions
from istat_server.store.interface import TOKEN_ROOM, Page

T = TypeVar("T")

NO_TOKEN = "this token is of no list like this one; ask for the first page without any"
# Rows as JSON between turns of others, some 20 us each, and their bytes.
ROWS_AT_ONCE, BYTES_AT_ONCE = 200, 256 * 1024
# What comes behind the last row, in bytes.
END = TOKEN_ROOM + 100
# Rows for which there must be place, or the page ends: else its last ones would be asked for one by one.
LEAST_ROWS = 16


def send_pages(
    req: falcon.Request, resp: falcon.Response, key: str, row: Callable[[T], str],
    ask: Callable[[int, str], Page[T]], wanted: tuple[int, str], most: tuple[int, int], *, skip: int = 0,
    head: str = "",
) -> None:  # fmt: skip
    """Answer with a page of what a store lists: `wanted` are how many and the token, `most` the bytes of an answer and
    of a row."""
    limit, first = wanted
    pieces = Pieces(req, most[0] - END)
    pieces.add(f'{{{head}"{key}":['.encode())

    def room() -> int:
        rows = pieces.room() // most[1]
        return rows if rows >= LEAST_ROWS else 0

    comma = token = ""
    for page in portions(ask, skip, limit, first, turn, room):
        if page.items:
            pieces.add((comma + ",".join(map(row, page.items))).encode())
            comma = ","
        token = page.token
    end_list(pieces, token)
    pieces.send(resp)


def send_rows(
    req: falcon.Request, resp: falcon.Response, key: str, rows: Iterable[tuple[object, str]], limit: int, most: int,
) -> None:  # fmt: skip
    """Answer with a page of rows, at most `limit` of them and `most` bytes: each with the token of those behind it."""
    pieces = Pieces(req, most - END)
    pieces.add(f'{{"{key}":['.encode())
    token = ""
    for count, (text, after) in enumerate(rendered(rows)):
        if count == limit or (count and pieces.room() < len(text)):
            end_list(pieces, token)
            break
        pieces.add(text if not count else b"," + text)
        token = after
    else:
        end_list(pieces, "")
    pieces.send(resp)


def rendered(rows: Iterable[tuple[object, str]]) -> Iterator[tuple[bytes, str]]:
    """Rows as JSON, with what belongs to each; others have their turns in between."""
    count = size = 0
    for row, after in rows:
        text = json.dumps(row, separators=(",", ":"), default=str).encode()
        yield text, after
        count, size = count + 1, size + len(text)
        if count >= ROWS_AT_ONCE or size >= BYTES_AT_ONCE:
            count = size = 0
            turn()


def end_list(pieces: Pieces, token: str) -> None:
    """Say whether there is more."""
    pieces.add(f'],"truncated":{"true" if token else "false"},"token":{quoted(token)}}}'.encode())
