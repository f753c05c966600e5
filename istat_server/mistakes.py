"""What senders do wrong: counted by kind always, shown in the log now and then.

The log gets a few a second in all, cut and escaped (istat/daemon/ratelimit.py); the counts miss nothing.
"""
from __future__ import annotations

import logging
from dataclasses import dataclass

from istat.clock import Clock
from istat.daemon.ratelimit import LimitedLog
from istat_server.roster import Sender

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """A kind of mistake: what was refused, and what would help."""

    what: str
    cure: str


# Every kind there is, whoever counts it: listeners, the intake, the engine.
KINDS = {
    "unterminated": Kind("last lines of datagrams without a line feed", "end every line with one, also the last"),
    "truncated": Kind("datagrams longer than the receive buffer", "send shorter ones"),
    "long_line": Kind("TCP lines longer than max-line", "send shorter lines, or raise max-line"),
    "incomplete": Kind("last lines without a line feed when the connection closed", "end every line with one"),
    "too_many_connections": Kind("connections closed because max-connections were open: the one silent longest makes "
                                 "room for a new one",
                                 "raise max-connections, or let each sender keep one connection"),
    "too_many_of_address": Kind("connections closed because their address (of Unix sockets: their user) had "
                                "max-connections-per-address open",
                                "raise max-connections-per-address, or let each sender keep one connection"),
    "http_request": Kind("connections whose first line is a request of HTTP",
                         "send HTTP to http-port; a web page that does this tries to falsify counters: the browser of "
                         "the sender's machine has it open"),
    "tls_failed": Kind("TLS connections whose handshake failed, or that broke TLS' rules later",
                       "look at the reason in the log: is the server's authority known to the sender, and does the "
                       "server want a certificate of its own (tls-client-ca)?"),
    "plain_refused": Kind("TCP connections without TLS while samples-tls is required",
                          "let the sender use TLS (of istat-agent: transport = tcp, tls = true)"),
    "bad_message": Kind("messages of other protocols than lines that could not be read",
                        "look at what the sender sends there; some are shown in the log"),
    "bad_fields": Kind("lines with too few or too many words", "write `name value` or `name time value`"),
    "bad_number": Kind("lines whose time or value is no number", "write decimal numbers, times in Unix seconds"),
    "not_finite": Kind("values that are infinite or no number", "send nothing where there is no value"),
    "reserved": Kind("lines whose first character is reserved", "begin names with none of # @ $ % & ; :"),
    "bad_metadata": Kind("lines `#key value` that are too long or too many, of a sender or of all",
                         "send at most 32 keys of 256 bytes; beyond 512 bytes each, all senders together tell 8 MiB"),
    "from_future": Kind("samples whose time is more than a minute ahead",
                        "set the clocks, the sender's and this machine's (timedatectl tells whether one is right); "
                        "times are Unix seconds, not milliseconds"),
    "from_past": Kind("samples older than what is kept", "send times in Unix seconds, or keep more by retention"),
    "rejected": Kind("pre-aggregated samples whose fields contradict each other",
                     "look at how the sender computes count, sum, min and max"),
    "too_coarse": Kind("pre-aggregated samples that cover more time than a bucket of the coarsest level",
                       "send them over shorter times, or keep a coarser level by retention"),
    "no_name": Kind("samples whose name means no counter, such as a lone * or ^",
                    "write a name: `name value`, with a * before it where events are counted"),
    "name_refused": Kind("samples of new names while there are max-counters counters",
                         "raise max-counters, or delete counters; are there ids or times in names?"),
    "name_too_long": Kind("samples of names over 1,000 bytes", "choose shorter names"),
    "http_too_many": Kind("HTTP connections refused because one address had its share of them in work, or all had "
                          "requests in progress and few files can be open",
                          "let it ask less at once, or raise num-files"),
    "http_made_room": Kind("idle HTTP connections closed because others needed the places",
                           "see who keeps so many open (ss -tn), and let them be fewer"),
    "http_slow": Kind("HTTP requests whose head or body did not come in time",
                      "look at the client and the network between; some are shown in the log"),
    "http_unread": Kind("HTTP answers given up because their client did not take them",
                        "let clients read what they asked for, or ask less at once"),
    "http_busy": Kind("HTTP requests answered 503 because bodies and answers held http-memory already",
                      "ask less at once, or raise http-memory"),
    "store_refuses": Kind("lines that came while the store took nothing", "see to the reason, told as `refusing`"),
}


class Mistakes:
    """Counts of senders' mistakes by kind, and the sampled log of them."""

    def __init__(self, clock: Clock) -> None:
        self._log = LimitedLog(log, clock)
        self.counts: dict[str, int] = dict.fromkeys(KINDS, 0)

    def note(self, kind: str, line: bytes, sender: Sender | None = None) -> None:
        """Count one mistake and perhaps log its text. `kind` must not come from a sender."""
        self.add(kind)
        self.show(kind, line, sender)

    def add(self, kind: str, count: int = 1) -> None:
        """Count mistakes whose text is not at hand."""
        self.counts[kind] = self.counts.get(kind, 0) + count

    def show(self, kind: str, line: bytes, sender: Sender | None = None) -> None:
        """Log the text of a mistake that is counted already, if the rate limit lets it."""
        if sender is None:
            self._log.warning("mistake", "%s from unknown sender: %s", kind, line)
        else:
            self._log.warning("mistake", "%s from %s: %s", kind, sender, line)
