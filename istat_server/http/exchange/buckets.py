"""Rows of buckets as text, a portion at a time, with turns of others in between. Knows rows and answers, no route."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istat.kernels import render
from istat_server.http.exchange.pieces import Pieces
from istat_server.http.exchange.turns import turn

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

# Rendered between turns of others: some 3 ms.
ROWS_AT_ONCE = 2500


def add_rows(pieces: Pieces, rows: Columns, interval: int, parts: tuple[bytes, ...], fields: tuple[str, ...],
             between: bytes) -> None:
    """Rows of this interval as text: see `render.rows`."""
    if len(rows) <= ROWS_AT_ONCE:
        pieces.add(render.rows(rows, parts, fields, between))
        return
    begin, done, step = rows.row(0)[0], 0, ROWS_AT_ONCE * interval
    while done < len(rows):
        some = rows.slice(begin, begin + step)
        if len(some):
            pieces.add((between if done else b"") + render.rows(some, parts, fields, between))
            done += len(some)
            turn()
        begin += step
