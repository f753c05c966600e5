"""How far one group of targets is in a spool, and what of it is in doubt. Knows no sockets."""
from __future__ import annotations

from collections.abc import Iterator

from istat.spool.frames import Frame


class Cursor:
    """A group's place in the spool; made by `Spool.group`. Everything before `next` is done, but for what is in doubt
    at a member and for what was refused, which `read` gives again, first.

    A receiver takes a sender's sequences only in growing order. So frames that one member refused may be sent, under
    their own sequence, to any member whose last one (WELCOME) is smaller; `renew` is for all others.
    """

    next: int           # the first sequence that was never sent

    def read(self, limit: int) -> Frame | None:
        """The next frame to be sent whose sequence is at most `limit`: those that were refused first. The same one
        again until `sending` is told of it. Steps over damage and counts it."""
        raise NotImplementedError

    def sending(self, member: str, sequence: int) -> None:
        """The frame that `read` gave is about to be sent: in doubt at this member from now on, also after a kill."""
        raise NotImplementedError

    def done(self, member: str, last: int) -> None:
        """A member has all that is in doubt there up to this sequence (ACK, or WELCOME)."""
        raise NotImplementedError

    def refused(self, member: str, sequence: int) -> None:
        """A member did not take this one (LATER): `read` gives it again."""
        raise NotImplementedError

    def doubts(self, member: str) -> list[tuple[int, int]]:
        """What is in doubt at a member: (first, last) of sequences, ascending."""
        raise NotImplementedError

    def members(self) -> list[str]:
        """At whom something is in doubt."""
        raise NotImplementedError

    def again(self, first: int, last: int) -> Iterator[Frame]:
        """Frames in doubt, to be sent once more to the same member. What is not there any more is counted as lost."""
        raise NotImplementedError

    def give_up(self, member: str) -> tuple[int, int]:
        """(frames, lines) that are no more in doubt at a member: they stand at the end of the spool again, for this
        group only and under new sequences (up to `Spool.last`), so that another member takes them."""
        raise NotImplementedError

    @property
    def behind(self) -> tuple[int, int, float]:
        """(frames, lines, seconds) that this group has not had; of the oldest of them how long ago it came."""
        raise NotImplementedError
