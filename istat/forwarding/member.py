"""One target of a group: reached, settled, and fed while it is the one in use. A greenlet of its own.

What was sent to it before and not acknowledged is settled first, in each connection: WELCOME says which of it the
target has, the rest is sent again, and only then what is new. A target is sent growing sequences only.
"""
from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import gevent
from gevent.event import Event

from istat.clock import Clock
from istat.declared.told import Told
from istat.errors import BadBatch, SpoolError
from istat.forwarding.counts import Counts
from istat.forwarding.origins import Origins
from istat.forwarding.plain import Plain, preamble
from istat.forwarding.retrying import Pauses
from istat.forwarding.session import Session
from istat.forwarding.targets import Target
from istat.forwarding.ways import NotTaken, Refused, Sent, Way, advice, dial
from istat.kernels import lines
from istat.spool.cursors import Cursor
from istat.spool.frames import Frame
from istat.wire.batches import MOST_LINES, MOST_TEXT, Hello

if TYPE_CHECKING:
    import ssl  # 5 MB of memory, which only who forwards by TLS needs

log = logging.getLogger(__name__)

LOOK = 1.0          # [s] between two looks at whether all is well, when nothing happens
OURSELVES = ""      # the origin that the sender itself is
ORIGINS_AT_ONCE = 20    # told before batches have their turn again
METRICS_AGAIN = 6 * 3600.0      # [s] after which all are declared again: what nobody tells for a day may go there
METRICS_AT_ONCE = 30    # declared before that: one message takes as many, however long they are
# Frames that are joined to one batch. With 16 batches under way there are 128 frames in doubt at a target, and the
# cursor of a group has room for three times as many.
MOST_JOINED = 8
QUIET = 60.0        # [s] in which a target that comes and goes is told once
FAULTS = (OSError, Refused, NotTaken, BadBatch, SpoolError)


@dataclass(frozen=True)
class Means:
    """What all members of a daemon have in common. `limit()`: the last sequence that may be sent; `given()`: the last
    that there is."""

    hello: Hello
    version: str
    context: ssl.SSLContext | None
    clock: Clock
    counts: Counts
    origins: Origins
    declared: Told
    limit: Callable[[], int]
    given: Callable[[], int]


class Turns(Protocol):
    """What a member wants of its group, which decides who is in use."""

    def wants(self, member: Member) -> bool:
        """Whether it is to be reached."""

    def claim(self, member: Member) -> bool:
        """Make it the one in use; whether it is."""

    def keeps(self, member: Member) -> bool:
        """Whether it goes on being that."""

    def let_go(self, member: Member) -> None:
        """Its connection has ended."""

    def free(self, member: Member, first: int) -> None:
        """What is in doubt there from this sequence on was certainly not taken."""

    def taken(self, member: Member) -> None:
        """It has acknowledged something."""

    def shifts(self) -> None:
        """It has gone: others may be wanted."""


class Member:
    """A target, and the way to it. `state` is for people: waiting, connecting, away, in use, settled (it is reached,
    and another is in use)."""

    def __init__(self, group: Turns, target: Target, cursor: Cursor, means: Means) -> None:
        self.target, self.name = target, str(target)
        self.changed = Event()
        self.away = False           # the last try failed
        self.connected = False      # it has greeted us,
        self.settled = False        # and nothing is in doubt any more of what it was sent before
        self.state, self.why = "waiting", ""
        self.doubtful_since = means.clock.monotonic()   # since when what is in doubt waits for it
        self._group, self._cursor, self._means = group, cursor, means
        self._pauses = Pauses()
        self._untold: dict[str, None] = {}      # origins to be told of
        self._undeclared: dict[bytes, None] = {}        # metrics to be declared
        self._declared_at = means.clock.monotonic()     # when all of them were
        self._told_at: float | None = None      # since when it is away, if that was told
        self._greeted = False                   # in the last try
        self._had = 0                           # our last sequence that the target had when we came
        self._refuses = False                   # the last batch that it answered
        self._quiet_until = float("-inf")

    @property
    def doubts(self) -> bool:
        """Whether anything is in doubt here."""
        return bool(self._cursor.doubts(self.name))

    def news(self, origin: str) -> None:
        """An origin tells something new."""
        if self.connected:
            self._untold[origin] = None
            self.changed.set()

    def declared(self, names: Sequence[bytes]) -> None:
        """What is declared of these metrics is new. An original knows none."""
        if self.connected and not self.target.original:
            self._undeclared.update(dict.fromkeys(names))
            self.changed.set()

    def forever(self) -> None:
        """Be there for the group."""
        while True:
            while not self._group.wants(self):
                self.changed.wait(LOOK)
                self.changed.clear()
            try:
                self._visit()
            except FAULTS as error:
                self._fails(error)
                gevent.sleep(self._pauses.next())

    def _visit(self) -> None:
        """One connection, from its beginning to its end."""
        self.state, self._greeted = "connecting", False
        way = self._open()
        try:
            last = self._had = way.greet()
            self._check_last(last)
            self._reached()
            self._settle(way, last)
            self.settled, self.state = True, "settled"
            while not self._group.claim(self):
                if not self._group.wants(self):
                    return
                way.wait(self.changed, LOOK)
            self.state = "in use"
            self._feed(way)
        finally:
            if self.settled:        # else what is in doubt is what was before
                self.doubtful_since = self._means.clock.monotonic()
            self.connected, self.settled, self.state = False, False, "waiting"
            way.close()
            self._write_off(way)
            self._group.let_go(self)

    def _open(self) -> Way:
        means = self._means
        if self.target.original:
            sock = dial(self.target, None)
            return Plain(sock, preamble(means.hello.host, means.version), means.clock, self._arrived, self.changed)
        sock = dial(self.target, means.context)
        return Session(sock, means.hello, means.clock, self._acknowledged, self.changed)

    def _check_last(self, last: int) -> None:
        """Refused where the target would take what is new for old: it would acknowledge that, and count nothing."""
        given = self._means.given()
        if last > given:
            raise Refused(f"it says that it has the batch {last} of our spool, whose last one is {given}: was the "
                          "spool put back as it was before? Then move its folder away (setting spool), so that a new "
                          "one begins")

    def _reached(self) -> None:
        self.away, self.connected, self._greeted, self.why = False, True, True, ""
        self._means.counts.connects += 1
        # An original has it all as its own: it is told of ourselves, and what comes from now on.
        names = [OURSELVES] if self.target.original else self._means.origins.names()
        self._untold = dict.fromkeys(names)
        self._declare_all()
        if not self._refuses:
            self._tell_back()

    def _declare_all(self) -> None:
        """An original knows no declarations."""
        self._declared_at = self._means.clock.monotonic()
        self._undeclared = {} if self.target.original else dict.fromkeys(self._means.declared.names())

    def _tell_back(self) -> None:
        """That it was away was told; so it is told that it is back. Of one that took nothing, once it takes."""
        if self._told_at is not None:
            away, self._told_at = self._means.clock.monotonic() - self._told_at, None
            log.info("the target %s %s again, after %.0f s", self.name,
                     "takes samples" if self._refuses else "can be reached", away)

    def _settle(self, way: Way, last: int) -> None:
        """Have what is in doubt here no more in doubt."""
        if self.target.original:
            for first, end in self._cursor.doubts(self.name):
                self._means.counts.lost["cut"] += sum(frame.count for frame in self._cursor.again(first, end))
                self._cursor.done(self.name, end)
            return
        self._cursor.done(self.name, last)
        try:
            for first, end in self._cursor.doubts(self.name):
                for frame in self._cursor.again(first, end):
                    self._send(way, frame, [frame.sequence])
                while way.under_way:
                    way.wait(self.changed, LOOK)
                self._cursor.done(self.name, end)       # frames of it may have gone from the spool meanwhile
        except NotTaken as later:
            # WELCOME said that it had none of this, and it takes none of it on this connection, nor on an earlier one.
            self._group.free(self, later.sequence)
            raise

    def _feed(self, way: Way) -> None:
        """Give the target all that comes, until an earlier one of the group is to be used instead."""
        cursor = self._cursor
        try:
            while self._group.keeps(self):
                self._tell(way)
                frames = self._next(way) if way.room else ()
                if frames:
                    self._send(way, joined(frames), [frame.sequence for frame in frames])
                elif self._untold or self._undeclared:
                    gevent.sleep(0)
                else:
                    way.wait(self.changed, LOOK)
            while way.under_way:
                way.wait(self.changed, LOOK)
        except NotTaken as later:
            # What was sent before it is taken, and its acknowledgement comes no more: it stays in doubt.
            for sent in way.under_way:
                if sent.sequence >= later.sequence:
                    for sequence in sent.sequences:
                        cursor.refused(self.name, sequence)
            raise

    def _next(self, way: Way) -> list[Frame]:
        """The next frame, and small ones behind it that make one batch with it: each costs a way to and fro."""
        cursor, limit = self._cursor, self._means.limit()
        found: list[Frame] = []
        size = count = 0
        while len(found) < MOST_JOINED:
            frame = cursor.read(limit)
            if frame is None or found and not self._joins(found[0], frame):
                break
            if found and frame.clock != found[0].clock:
                frame = timed(frame)
            size, count = size + len(frame.text), count + frame.count
            if found and (size > MOST_TEXT or count > MOST_LINES):
                break
            try:
                cursor.sending(self.name, frame.sequence)
            except SpoolError:      # so much is in doubt, here and at others that are away
                if found or way.under_way:
                    break           # there will be room
                raise
            found.append(frame)
        return found

    def _joins(self, first: Frame, frame: Frame) -> bool:
        """Whether a frame may be of the batch that begins with another one. Not where the target has that one and not
        this: the batch would be new to it."""
        return frame.interval == first.interval and not first.sequence <= self._had < frame.sequence

    def _send(self, way: Way, frame: Frame, sequences: Sequence[int]) -> None:
        while not way.room:
            way.wait(self.changed, LOOK)
        self._means.counts.sent += frame.count
        way.send(frame, sequences)

    def _tell(self, way: Way) -> None:
        for origin in list(self._untold)[:ORIGINS_AT_ONCE]:
            del self._untold[origin]
            text = self._means.origins.text(origin)
            if text:
                way.meta(origin, text)
        if self._means.clock.monotonic() - self._declared_at > METRICS_AGAIN:
            self._declare_all()
        if self._undeclared:
            names = list(self._undeclared)[:METRICS_AT_ONCE]
            for name in names:
                del self._undeclared[name]
            text = self._means.declared.text(names)
            if text:        # else they are declared no more
                way.meta(OURSELVES, text)

    def _acknowledged(self, sent: Sent, refused: int) -> None:
        self._cursor.done(self.name, sent.sequence)
        self._means.counts.acknowledged += sent.lines - refused
        self._means.counts.refused += refused
        self._pauses.forget()
        self._tell_back()
        self._refuses = False
        self._group.taken(self)

    def _arrived(self, sent: Sent) -> None:
        self._acknowledged(sent, 0)

    def _write_off(self, way: Way) -> None:
        """Of an original nobody will ever know what became of what was under way."""
        if self.target.original and way.under_way:
            self._means.counts.lost["cut"] += sum(sent.lines for sent in way.under_way)
            self._cursor.done(self.name, way.under_way[-1].sequence)

    def _fails(self, error: Exception) -> None:
        self.away, self.state, self._refuses = True, "away", isinstance(error, NotTaken)
        self.why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        self._means.counts.failures += 1
        self._group.shifts()
        now = self._means.clock.monotonic()
        if self._told_at is None and now >= self._quiet_until:
            self._told_at, self._quiet_until = now, now + QUIET
            log.warning("cannot forward to %s: %s; what comes waits in the spool, or goes to the next target%s",
                        self.name, self.why, advice(self.target, error, self._greeted))


def timed(frame: Frame) -> Frame:
    """A frame each of whose lines has its time, so that it may stand with one of another clock."""
    text = lines.timed(memoryview(frame.text), 0, len(frame.text), frame.clock)
    return replace(frame, text=text, count=text.count(b"\n"))


def joined(frames: Sequence[Frame]) -> Frame:
    """Frames as one, which has the sequence of the last."""
    first, last = frames[0], frames[-1]
    if first is last:
        return first
    return replace(first, sequence=last.sequence, count=sum(frame.count for frame in frames),
                   text=b"".join(frame.text for frame in frames))
