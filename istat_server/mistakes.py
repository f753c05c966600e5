"""What senders do wrong: counted by kind always, told by sender with an example, shown in the log now and then.

The log gets a few a second in all, cut and escaped (istat/daemon/ratelimit.py); the counts miss nothing. What was
probably meant by a line is worked out when somebody looks, not when it comes.
"""
from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from istat.clock import Clock
from istat.daemon.logs import escaped
from istat.daemon.ratelimit import LimitedLog
from istat.declared.lines import BEGINS, why_not
from istat.wire.explaining import Explained, explain
from istat_server.roster import FORGET_SECONDS, Sender

log = logging.getLogger(__name__)

# Complaints kept: a sender and a kind each, some 0.5 KB. One sender can have as many as there are kinds.
MOST_COMPLAINTS = 256
# A complaint that was not heard again for so long makes room for a new one [s]: whoever repeats his mistake is not
# pushed out by addresses that nobody has.
QUIET_SECONDS = 600.0
# Of an example line [bytes]: what the engine keeps of a bad one.
EXAMPLE_BYTES = 200
# What senders are called that there was no room for.
OTHERS = "(other senders)"
# Kinds whose text is a whole line of our protocol, so that one can say what was meant by it.
OF_LINES = frozenset(("bad_fields", "bad_number", "not_finite", "reserved", "bad_metadata", "from_future", "from_past",
                      "rejected", "no_name"))


@dataclass(frozen=True)
class Kind:
    """A kind of mistake: what was refused, and what would help."""

    what: str
    cure: str


# Kinds whose text is a sender's host, which does not say what is wrong with it.
BATCHES = "batch_"
# The kind of those whom the blacklist bars.
BARRED = "blacklisted"
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
    BARRED: Kind("connections closed and runs of datagrams dropped because their sender is on the blacklist",
                 "take it off the file of blacklist-path, or have it stop sending"),
    "http_request": Kind("connections whose first line is a request of HTTP",
                         "send HTTP to http-port; a web page that does this tries to falsify counters: the browser of "
                         "the sender's machine has it open"),
    "tls_failed": Kind("TLS connections whose handshake failed, or that broke TLS' rules later",
                       "look at the reason in the log: is the server's authority known to the sender, and does the "
                       "server want a certificate of its own (tls-client-ca)?"),
    "plain_refused": Kind("TCP connections without TLS while samples-tls is required",
                          "let the sender use TLS (of istat-agent: forward-tls, or with server transport = tcp, "
                          "tls = true)"),
    "token_wanted": Kind("connections of other machines that send lines while samples-token is set",
                         "let an istat-agent forward there (its forward-token), or take samples-token out"),
    "batch_token": Kind("senders of batches that show another token than samples-token, or none",
                        "give the sender's forward-token the value of samples-token"),
    "batch_copied": Kind("hosts that send batches with one and the same spool's id, each of which ends the other's "
                         "connection and has its batches taken for old ones",
                         "a machine was copied with its spool: stop the copy's program, remove its spool folder, and "
                         "start it again"),
    "answers_unread": Kind("senders of batches that do not read their acknowledgements",
                           "look at the sender and the network between; it connects again, and nothing is lost"),
    "bad_message": Kind("messages of other protocols than lines that could not be read, frames of batches among them",
                        "look at what the sender sends there; some are shown in the log"),
    "bad_fields": Kind("lines with too few or too many words", "write `name value` or `name time value`"),
    "bad_number": Kind("lines whose time or value is no number", "write decimal numbers, times in Unix seconds"),
    "not_finite": Kind("values that are infinite or no number", "send nothing where there is no value"),
    "reserved": Kind("lines whose first character is reserved", "begin names with none of # @ $ % & ; :"),
    "bad_metadata": Kind("lines `#key value` that are too long or too many, of a sender or of all, and lines `#metric` "
                         "that cannot be read",
                         "send at most 32 keys of 256 bytes; beyond 512 bytes each, all senders together tell 8 MiB. "
                         "`#metric NAME JSON` has 512 bytes, such as #metric a.b {\"unit\":\"ms\"}"),
    "from_future": Kind("samples whose time is more than a minute ahead",
                        "set the clocks, the sender's and this machine's (timedatectl tells whether one is right); "
                        "times are Unix seconds, not milliseconds"),
    "from_past": Kind("samples older than what is kept",
                      "write `name time value` with times in Unix seconds, or keep more by retention"),
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
    "admin_token": Kind("wrong tokens at admin-port", "see who sends them: `auth TOKEN` wants the admin-token"),
    "admin_too_many": Kind("connections of admin-port closed because others needed the places",
                           "let scripts close theirs (`quit`)"),
    "store_refuses": Kind("lines that came while the store took nothing",
                          "`istat status` says why as long as it is so, and the log: a full disk, or a replica or a "
                          "fenced master, which is not to be sent to"),
}


class Complaint:
    """One kind of mistake of one sender: how often, when last, and what the last one looked like."""

    __slots__ = ("kind", "sender", "count", "last", "example")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.sender: Sender | None = None       # one of its connections, the last
        self.count = 0
        self.last = 0.0
        self.example = b""

    def row(self) -> dict[str, object]:
        """What /api/v1/status says of it under `refused_by`; what was probably meant only where that is clear."""
        found: dict[str, object] = {"kind": self.kind, "sender": OTHERS, "address": "", "transport": "",
                                    "count": self.count, "last": self.last, "example": _text(self.example)}
        if self.sender is not None:
            found.update(sender=self.sender.name, address=self.sender.address, transport=self.sender.transport)
        explained = _explained(self.kind, self.example, self.last)
        if explained is not None:
            found.update(wrong=_text(explained.wrong), meant=_text(explained.right))
        return found


class Complaints:
    """Who does what wrong: the last MOST_COMPLAINTS of them, by sender (its host or user) and kind."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[str, str], Complaint] = OrderedDict()      # longest not heard first

    def __len__(self) -> int:
        return len(self._found)

    def note(self, kind: str, text: bytes, sender: Sender | None, count: int, now: float) -> None:
        """`sender` did it `count` times more; an empty text leaves the example as it is."""
        key = sender.who if sender is not None else "", kind
        found = self._found.get(key)
        if found is None:
            if not self._make_room(now):
                key, sender = ("", kind), None
            found = self._found.setdefault(key, Complaint(kind))
        self._found.move_to_end(key)
        found.sender, found.last = sender, now
        found.count += count
        if text:
            found.example = bytes(text[:EXAMPLE_BYTES])

    def _make_room(self, now: float) -> bool:
        while len(self._found) >= MOST_COMPLAINTS:
            key, longest = next(iter(self._found.items()))
            if abs(now - longest.last) < QUIET_SECONDS:
                return False
            del self._found[key]
        return True

    def rows(self, most: int, now: float) -> Iterator[dict[str, object]]:
        """Those of the last day, the last one first."""
        for complaint in [*reversed(self._found.values())][:most]:
            if now - complaint.last <= FORGET_SECONDS:
                yield complaint.row()


class Mistakes:
    """Counts of senders' mistakes by kind, who did them, and the sampled log of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._log = LimitedLog(log, clock)
        self.counts: dict[str, int] = dict.fromkeys(KINDS, 0)
        self._complaints = Complaints()

    def note(self, kind: str, line: bytes, sender: Sender | None = None) -> None:
        """Count one mistake and perhaps log its text. `kind` must not come from a sender."""
        self.add(kind)
        self.show(kind, line, sender)

    def add(self, kind: str, count: int = 1) -> None:
        """Count mistakes whose text is not at hand."""
        self.counts[kind] = self.counts.get(kind, 0) + count

    def show(self, kind: str, line: bytes, sender: Sender | None = None) -> None:
        """Tell the text of a mistake that is counted already; log it, if the rate limit lets it."""
        self.blame(kind, line, sender)
        hint = _Hint(kind, line, self._clock)
        if sender is None:
            self._log.warning("mistake", "%s from unknown sender: %s%s", kind, line, hint)
        else:
            self._log.warning("mistake", "%s from %s: %s%s", kind, sender, line, hint)

    def blame(self, kind: str, line: bytes, sender: Sender | None = None, count: int = 1) -> None:
        """Tell mistakes that are counted already by their sender, and log none of them."""
        self._complaints.note(kind, line, sender, count, self._clock.now())
        if sender is not None:
            sender.refused[kind] = sender.refused.get(kind, 0) + count

    def complaints(self, most: int) -> list[dict[str, object]]:
        """Who did what wrong, the last one first, as /api/v1/status has it."""
        return list(self._complaints.rows(most, self._clock.now()))


class _Hint:
    """What was probably meant by a line, or what helps: worked out only if the log takes it."""

    __slots__ = ("_kind", "_line", "_clock")

    def __init__(self, kind: str, line: bytes, clock: Clock) -> None:
        self._kind, self._line, self._clock = kind, line, clock

    def __str__(self) -> str:
        if self._kind.startswith(BATCHES):
            return f" ({KINDS[self._kind].cure})"
        if self._kind == "bad_metadata" and self._line.startswith(BEGINS):      # nobody could guess what is wrong
            return f" ({_text(why_not(self._line))})"
        found = _explained(self._kind, self._line, self._clock.now())
        return f" ({found.wrong}; write: {_text(found.right)})" if found is not None and found.right else ""


def _explained(kind: str, line: bytes, now: float) -> Explained | None:
    """What was probably meant by a line that was refused as this kind; None for one that may have been cut."""
    if kind not in OF_LINES or not 0 < len(line) < EXAMPLE_BYTES:
        return None
    declared = why_not(line)
    return Explained(kind, declared) if declared else explain(line, now)


def _text(words: bytes | str) -> str:
    """Words of a sender as they may be shown anywhere."""
    return escaped(words if isinstance(words, str) else words.decode("utf-8", "backslashreplace"))
