"""`splitd`: what comes over a TCP connection goes to several places, and what the first of them answers comes back.

A place that cannot be reached, ends, or takes nothing for a while is let go and told; the others go on. Connections and
what waits for a place are bounded.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress

from istat.cli.istatd.alias import Alias, Given
from istat.cli.istatd.places import place
from istat.cli.report import printable
from istat.clock import Clock
from istat.errors import IstatError
from istat.settings.types import HostPort

PIECE = 1 << 16             # [bytes] read at once, and what may wait for a place
MOST_CONNECTIONS = 500
CONNECT_SECONDS = 10.0
SLOW_SECONDS = 5.0          # how long a place may take nothing
LAST_SECONDS = 10.0         # how long the first place may answer when all has been sent


class Place:
    """One of the places, for one connection."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name, self.reader, self.writer, self.here = name, reader, writer, True
        writer.transport.set_write_buffer_limits(high=PIECE)

    async def send(self, data: bytes) -> None:
        """Send a piece, the end where it is empty."""
        if not self.here:
            return
        try:
            if data:
                self.writer.write(data)
            else:
                self.writer.write_eof()
            await asyncio.wait_for(self.writer.drain(), SLOW_SECONDS)
        except (TimeoutError, OSError) as error:
            self.here = False
            _tell(f"{self.name} takes no more: {error or 'it is too slow'}")
            self.writer.transport.abort()


class Splitter:
    """Listens, and serves each connection."""

    def __init__(self, places: Sequence[HostPort]) -> None:
        self._places = places
        self._served = 0

    async def serve(self, host: str, port: int) -> None:
        """Listen until cancelled. OSError."""
        server = await asyncio.start_server(self._connection, host, port, limit=PIECE)
        print(f"listening on {host}:{server.sockets[0].getsockname()[1]}", flush=True)
        async with server:
            await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._served >= MOST_CONNECTIONS:
            _tell(f"more than {MOST_CONNECTIONS} connections: one is closed")
            writer.close()
            return
        self._served += 1
        try:
            await self._split(reader, writer)
        finally:
            self._served -= 1
            writer.close()

    async def _split(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = await asyncio.gather(*map(_connected, self._places))
        places = [place for place in found if place is not None]
        first = found[0]
        back = asyncio.ensure_future(_relay(first, writer)) if first is not None else None
        try:
            while any(place.here for place in places):
                data = await reader.read(PIECE)
                await asyncio.gather(*(place.send(data) for place in places))
                if not data:
                    break
            if back is not None:
                await asyncio.wait({back}, timeout=LAST_SECONDS)
        except OSError:
            pass        # the sender is gone
        finally:
            if back is not None:
                back.cancel()
            for place in places:
                place.writer.close()


async def _connected(place: HostPort) -> Place | None:
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(place.host, place.port), CONNECT_SECONDS)
    except (TimeoutError, OSError) as error:
        _tell(f"{place} cannot be reached: {error or 'no answer'}")
        return None
    return Place(str(place), reader, writer)


async def _relay(place: Place, writer: asyncio.StreamWriter) -> None:
    """What a place answers, to who sent."""
    with suppress(OSError):
        while data := await place.reader.read(PIECE):
            writer.write(data)
            await writer.drain()


def _tell(text: str) -> None:
    print(printable(f"splitd: {text}"), file=sys.stderr)


def _run(given: Given, clock: Clock) -> int:
    at, *places = (place(word, "") for word in given.words)
    try:
        asyncio.run(Splitter(places).serve(at.host or "", at.port))
    except OSError as error:
        raise IstatError(f"cannot listen on {at}: {error.strerror or error}") from error
    return 0


ALIAS = Alias("splitd", "Send what comes over TCP to several places", _run, (), "[HOST:]PORT HOST:PORT...", 2, 33,
              "What the first place answers comes back. A place that fails is let go; the others go on, and the next "
              "connection tries it again. It listens on this machine unless a host is named.",
              (("splitd 8110 localhost:8111 stats.example.net:8111", "Samples for a server here and one elsewhere"),))
