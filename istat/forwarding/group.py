"""A group of targets: which of them is in use, and what becomes of what is in doubt at one that stays away.

The first that can be reached is used, and the first is gone back to. Knows no sockets.
"""
from __future__ import annotations

import logging
from collections.abc import Sequence

import gevent

from istat.forwarding.member import Means, Member
from istat.forwarding.targets import Targets
from istat.spool.cursors import Cursor

log = logging.getLogger(__name__)

QUIET = 60.0    # [s] in which it is told once which target is used: they may come and go


class Group:
    """Targets of which one at a time gets what the spool has."""

    def __init__(self, targets: Targets, cursor: Cursor, means: Means, doubt: float) -> None:
        """doubt: how long what is in doubt waits for its target [s]."""
        self.name = str(targets)
        self._cursor, self._means, self._doubt = cursor, means, doubt
        self.members = [Member(self, target, cursor, means) for target in targets]
        self._in_use: Member | None = None
        self._greenlets: list[gevent.Greenlet] = []
        self._told, self._quiet_until = "", float("-inf")   # which one is in use, and until when no other is told

    def start(self) -> None:
        """Begin to send."""
        self._greenlets = [gevent.spawn(member.forever) for member in self.members]

    def stop(self) -> None:
        """End the connections. What is under way is settled by the next ones."""
        gevent.killall(self._greenlets)
        frames, lines, _seconds = self.behind
        if frames:
            log.info("lines that wait in the spool for %s until the next start: %d", self.name, lines)

    def wake(self) -> None:
        """There may be something to send."""
        if self._in_use is not None:
            self._in_use.changed.set()

    def shifts(self) -> None:
        """A target has gone, or has come: others may be wanted now."""
        for member in self.members:
            member.changed.set()

    def declared(self, names: Sequence[bytes]) -> None:
        """What is declared of these metrics is new."""
        for member in self.members:
            member.declared(names)

    def news(self, origin: str) -> None:
        """An origin tells something new."""
        for member in self.members:
            member.news(origin)

    # -- asked by members

    def wants(self, member: Member) -> bool:
        """Whether a member is to be reached: those before it are away, or something is in doubt there."""
        earlier = self.members[:self.members.index(member)]
        return member.doubts or (self._in_use not in earlier and all(one.away for one in earlier))

    def claim(self, member: Member) -> bool:
        """Make a member the one in use; not while another one is, which is to let go if it is a later one."""
        if self._in_use is None:
            self._in_use = member
        elif self._in_use is not member:
            self._in_use.changed.set()      # it asks whether it keeps its place
        return self._in_use is member

    def keeps(self, member: Member) -> bool:
        """Whether the one in use goes on: no earlier one waits for its place."""
        return not any(one.settled for one in self.members[:self.members.index(member)])

    def let_go(self, member: Member) -> None:
        """The connection of a member has ended."""
        if self._in_use is member:
            self._in_use = None
        self.shifts()

    def free(self, member: Member, first: int) -> None:
        """What is in doubt at a member from this sequence on was certainly not taken: others may have it, at once.
        Where there are none it stays, to be sent there again in its place."""
        if len(self.members) > 1:
            self._cursor.give_up(member.name, first)
            self.shifts()

    # -- for the forwarder

    def tick(self) -> None:
        """To be called about every second: what waited too long for its target goes to the one in use."""
        for place, greenlet in enumerate(self._greenlets):
            if greenlet.dead:       # by a fault of ours, which the hub has told: the next try may do without it
                self.members[place].away = True         # others are wanted meanwhile
                self.shifts()
                self._greenlets[place] = gevent.spawn(self.members[place].forever)
        used = self._in_use
        now = self._means.clock.monotonic()
        for member in self.members:
            if used is None or member is used or member.connected or not member.doubts:
                continue
            if now - member.doubtful_since >= self._doubt:
                _frames, lines = self._cursor.give_up(member.name)
                self._means.counts.doubted += lines
                self.wake()

    def taken(self, member: Member) -> None:
        """A member has acknowledged something. Log which one that is, where another one was told: one that is reached
        may refuse all, as a replica does."""
        if self._in_use is not member or member.name == self._told:
            return
        now = self._means.clock.monotonic()
        if now >= self._quiet_until:
            self._told, self._quiet_until = member.name, now + QUIET
            frames, lines, _seconds = self.behind
            log.info("forwarding to %s%s%s", self._told, f" of {self.name}" if len(self.members) > 1 else "",
                     f"; {lines} lines wait" if frames else "")

    @property
    def connected(self) -> bool:
        """Whether there is a target in use."""
        return self._in_use is not None

    @property
    def behind(self) -> tuple[int, int, float]:
        """(frames, lines, seconds) as `Cursor.behind`."""
        return self._cursor.behind

    @property
    def oldest(self) -> int:
        """The first sequence that the group may still need."""
        return self._cursor.oldest

    def status(self) -> dict[str, object]:
        """For /api/v1/status."""
        frames, lines, seconds = self.behind
        lost = self._cursor.lost
        return {"name": self.name, "in_use": self._in_use.name if self._in_use is not None else "",
                "waiting_frames": frames, "waiting_lines": lines, "waiting_seconds": seconds,
                "lost_frames": lost.frames, "lost_lines": lost.lines,
                "targets": [{"target": one.name, "state": one.state, "why": one.why,
                             "in_doubt": sum(last - first + 1 for first, last in self._cursor.doubts(one.name))}
                            for one in self.members]}
