"""What peers do wrong: counted by kind always, shown in the log now and then.

A peer can send mistakes faster than any disk can take log lines, so the log gets a few a second in all,
cut and escaped; the counts miss nothing.
"""
from __future__ import annotations

import logging

from istat.clock import Clock
from istat_server.roster import Peer

log = logging.getLogger(__name__)

# Log lines about mistakes: so many per second in the long run, and so many at once.
LINES_PER_SECOND = 2.0
LINES_AT_ONCE = 10.0
# How much of a bad line is shown [bytes].
SHOWN_BYTES = 200

# The kinds that listeners count. The line grammar adds its own (istat_server.ingest.intake).
KINDS = {
    "unterminated": "datagrams whose last byte is no line feed",
    "truncated": "datagrams longer than the receive buffer",
    "long_line": "TCP lines longer than max-line",
    "incomplete": "last lines without a line feed when the connection closed",
    "too_many_connections": "connections refused because max-connections were open",
}


class Mistakes:
    """Counts of peers' mistakes by kind, and the sampled log of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._allowance = LINES_AT_ONCE
        self._allowed_at = clock.monotonic()
        self._hidden = 0
        self.counts: dict[str, int] = dict.fromkeys(KINDS, 0)

    def note(self, kind: str, line: bytes, peer: Peer | None = None) -> None:
        """Count one mistake and perhaps log its text. `kind` must not come from a peer."""
        self.add(kind)
        self.show(kind, line, peer)

    def add(self, kind: str, count: int = 1) -> None:
        """Count mistakes whose text is not at hand."""
        self.counts[kind] = self.counts.get(kind, 0) + count

    def show(self, kind: str, line: bytes, peer: Peer | None = None) -> None:
        """Log the text of a mistake that is counted already, if the rate limit lets it."""
        if not self._may_log():
            self._hidden += 1
            return
        source = f"{peer.transport} {peer.address}" if peer is not None else "unknown peer"
        more = f" ({self._hidden} more not shown)" if self._hidden else ""
        self._hidden = 0
        log.warning("%s from %s: %s%s", kind, source, escaped(line), more)

    def _may_log(self) -> bool:
        now = self._clock.monotonic()
        self._allowance = min(LINES_AT_ONCE,
                              self._allowance + (now - self._allowed_at) * LINES_PER_SECOND)
        self._allowed_at = now
        if self._allowance < 1.0:
            return False
        self._allowance -= 1.0
        return True


def escaped(line: bytes) -> str:
    """A peer's bytes as printable ASCII, at most `SHOWN_BYTES` of them."""
    shown = repr(bytes(line[:SHOWN_BYTES]))[1:]
    return shown if len(line) <= SHOWN_BYTES else f"{shown}... ({len(line)} bytes)"
