"""How far one group of targets is in a spool, and what of it is in doubt. Knows no sockets.

A receiver takes a sender's sequences only in growing order. So frames that a member refused may be sent under their own
sequence, in order, to a member whose last one (WELCOME) is smaller, and what is in doubt at a member waits for it.
For what is to go to another one all the same there is `give_up`.
"""
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from istat.clock import Clock
from istat.errors import SpoolError
from istat.spool.cursorfile import (
    MOST_AGAIN,
    MOST_ENTRIES,
    MOST_MEMBER,
    MOST_MEMBERS,
    CursorFile,
    Entry,
    State,
    group_key,
)
from istat.spool.frames import Frame
from istat.spool.losses import Loss, Tally
from istat.spool.segments import Found, Segment
from istat.spool.shelf import Shelf, Walk

#: Up to which sequence a group was sent, and which ones before that are not done.
Places = tuple[int, frozenset[int]]
REFUSED = ""        # in place of a member: what is to be sent again


class Cursor:
    """A group's place in the spool; made by `Spool.group`. Everything before `next` is done, but for what is in doubt
    at a member and for what was refused, which `read` gives again, first."""

    def __init__(self, shelf: Shelf, file: CursorFile, state: State, clock: Clock,
                 renew: Callable[[Frame, int], int], settle: Callable[[], object]) -> None:
        """`renew`: put lines at the end of the spool, for the group of this key only. `settle`: have nothing wait in
        memory, so that they can stand there."""
        self.name = file.name
        self._shelf, self._file, self._state, self._clock = shelf, file, state, clock
        self._renew, self._settle = renew, settle
        self._key = group_key(file.name)
        self._dirty = True
        self._filed: tuple[dict[str, list[Entry]], list[Entry], tuple[int, ...]] = ({}, [], ())     # see _misleads
        self._seen = 0          # clock of the last frame that was read: when about what is lost came
        segment = shelf.holding(state.next)
        # A kill may have come between a segment that was written anew and the cursor that knows of it.
        same = segment is not None and segment.first == state.segment and not segment.header.through
        self._walk = Walk(shelf, segment, state.at if same else 0)

    @property
    def next(self) -> int:
        """The first sequence that was never sent."""
        return self._state.next

    # -- what is to be sent

    def read(self, limit: int) -> Frame | None:
        """The next frame to be sent whose sequence is at most `limit`: those that were refused first. The same one
        again until `sending` is told of it. Steps over damage and counts it."""
        for entry in self._entries(REFUSED):
            found = self._shelf.locate(entry.sequence, entry.at)
            if found is not None:
                return found.frame if entry.sequence <= limit else None
            self._lose_entry(REFUSED, entry)
        found = self._ahead()
        return None if found is None or found.head.sequence > limit else found.frame

    def sending(self, member: str, sequence: int) -> None:
        """The frame that `read` gave is about to be sent: in doubt at this member from now on, also after a kill that
        leaves the frame.

        SpoolError: too much is in doubt already. ValueError: `read` gave no such frame.
        """
        self._check_room(member)
        refused = self._entries(REFUSED)
        if refused and refused[0].sequence == sequence:
            entry = refused[0]
            self._take(REFUSED, entry)
        else:
            entry = self._pass(sequence)
        self._put(member, entry)
        if sequence < self._shelf.untold:
            self._write()

    def _pass(self, sequence: int) -> Entry:
        """Go past the frame that is next."""
        found = self._ahead()
        if found is None or found.head.sequence != sequence:
            raise ValueError(f"{sequence} is not what is to be sent next")
        entry = self._entry(found)
        self._go_past(found)
        return entry

    # -- what became of it

    def done(self, member: str, last: int) -> None:
        """A member has all that is in doubt there up to this sequence (ACK, or WELCOME)."""
        self._set(member, [entry for entry in self._entries(member) if entry.sequence > last])

    def refused(self, member: str, sequence: int) -> None:
        """A member did not take this one (LATER): `read` gives it again."""
        for entry in self._entries(member):
            if entry.sequence == sequence:
                self._take(member, entry)
                self._put(REFUSED, entry)

    def doubts(self, member: str) -> list[tuple[int, int]]:
        """What is in doubt at a member: (first, last) of sequences, ascending."""
        ranges: list[tuple[int, int]] = []
        for entry in self._entries(member):
            if ranges and ranges[-1][1] + 1 == entry.sequence:
                ranges[-1] = ranges[-1][0], entry.sequence
            else:
                ranges.append((entry.sequence, entry.sequence))
        return ranges

    def members(self) -> list[str]:
        """At whom something is in doubt."""
        return [member for member, entries in self._state.members.items() if entries and member != REFUSED]

    def again(self, first: int, last: int) -> Iterator[Frame]:
        """Frames in doubt, to be sent once more to the same member. What is not there any more is counted as lost."""
        for member in self.members():
            for entry in self._entries(member):
                if first <= entry.sequence <= last:
                    found = self._shelf.locate(entry.sequence, entry.at)
                    if found is not None and found.frame is not None:
                        yield found.frame
                    else:
                        self._lose_entry(member, entry)

    def give_up(self, member: str, first: int = 0) -> tuple[int, int]:
        """(frames, lines) from a sequence on that are no more in doubt at a member: they stand at the end of the spool
        again, for this group only and under new sequences (up to `Spool.last`), so that another member takes them.
        Those for which there is no room stay in doubt. After a kill either all of that was done, or nothing."""
        self._settle()
        frames = lines = 0
        for entry in self._entries(member):
            if entry.sequence < first:
                continue
            found = self._shelf.locate(entry.sequence, entry.at)
            if found is None or found.frame is None:
                self._lose_entry(member, entry)
            elif len(self._state.again) < MOST_AGAIN and self._stand_again(member, entry, found.frame):
                frames, lines = frames + entry.frames, lines + entry.holds
            else:
                break
        self.flush()
        return frames, lines

    def _stand_again(self, member: str, entry: Entry, frame: Frame) -> bool:
        """Put a frame in doubt at the end; False: the disk does not take it. The file of the cursor decides whether it
        counts there or here, and is written only when it is there."""
        if self._shelf.stuck:
            return False
        renewed = Entry(self._shelf.last + 1, entry.holds, entry.clock, -1, entry.frames)
        self._take(member, entry)
        self._state.again.append(renewed)
        self._renew(frame, self._key)
        if self._shelf.stuck:
            self._state.again.remove(renewed)
            self._put(member, entry)
            return False
        return True

    # -- how far it is

    @property
    def behind(self) -> tuple[int, int, float]:
        """(frames, lines, seconds) that this group has not had; of the oldest of them how long ago it came."""
        found = None
        with contextlib.suppress(OSError):      # it cannot be looked at for now, so how old it is is not told
            found = self._ahead()
        entries = [entry for some in [*self._state.members.values(), self._state.again] for entry in some]
        frames = max(0, self._shelf.frames - self._state.frames) + sum(entry.frames for entry in entries)
        lines = max(0, self._shelf.lines - self._state.lines) + sum(entry.holds for entry in entries)
        clocks = [entry.clock for entry in entries] + ([found.head.clock] if found is not None else [])
        return frames, lines, max(0.0, self._clock.now() - min(clocks)) if clocks else 0.0

    @property
    def lost(self) -> Tally:
        """What this group never gets, since the spool was made."""
        return self._state.lost

    @property
    def oldest(self) -> int:
        """The first sequence that the group may still need."""
        return min([entries[0].sequence for entries in self._state.members.values() if entries], default=self.next)

    # -- for the spool

    def place(self) -> State:
        """How far it is, for another group that begins there."""
        state = self._state
        return State(state.next, state.frames, state.lines, state.segment, state.at)

    def catch_up(self) -> None:
        """Go past what was removed, and count it."""
        if self._walk.segment is None or self._walk.segment.gone:
            with contextlib.suppress(OSError):      # the next read does it
                self._ahead()

    def places(self, first: int, below: int) -> Places:
        """Where in these sequences the group is, and what of them is in doubt or refused: that must stay as it is, and
        what was never sent must not be merged with what was."""
        entries = [entry.sequence for some in self._state.members.values() for entry in some]
        return min(max(first, self.next), below), frozenset(one for one in entries if first <= one < below)

    def moved(self, gone: Sequence[Segment], into: Segment, places: Mapping[int, int]) -> None:
        """The frames of these segments stand in another one from now on; `places`: at which byte, by sequence, those
        that are in doubt or refused."""
        for member in list(self._state.members):
            self._set(member, [entry._replace(at=places.get(entry.sequence, entry.at))
                               for entry in self._entries(member)])
        if self._walk.segment in gone:
            self._walk = Walk(self._shelf, into, 0)
            self._state.segment, self._state.at = into.first, 0
            self._dirty = True

    def flush(self) -> None:
        """Bring to the file what changed since it was last written."""
        if self._dirty:
            self._write()

    def correct(self) -> None:
        """Bring it to the file where that has in doubt what is not, or has not what was lost. That frames were sent out
        of memory it need not say, so that a group whose targets are well costs no write."""
        if self._dirty and self._misleads():
            self._write()

    def _misleads(self) -> bool:
        members, again, lost = self._filed
        now = self._state.members
        return again != self._state.again or lost != self._state.lost.numbers or any(
            entry not in now.get(member, ()) for member, entries in members.items() for entry in entries)

    def duplicate(self) -> int | None:
        """A descriptor of the file, for a thread that syncs."""
        return self._file.duplicate()

    @property
    def problem(self) -> str:
        """Why it cannot be kept, in a sentence, or ""."""
        return self._file.problem

    def close(self) -> None:
        """Bring it to the file, and let go of that."""
        self.flush()
        self._file.close()

    def remove(self) -> None:
        """Forget it. OSError."""
        self._file.remove()

    # -- the frame ahead

    def _ahead(self) -> Found | None:
        """The next frame that was never sent. What is missing before it, what is damaged, and what is for another
        group alone is passed."""
        while True:
            found = self._walk.peek() or self._shelf.waiting(self.next)
            if found is None:
                self._count_end()
                return None
            head = found.head
            if head.sequence < self.next:
                self._walk.step()
                continue
            self._lose_up_to(head.sequence - 1, head.frames, head.lines, head.clock)
            if head.only:
                wanted = head.only == self._key and self._stands(head.sequence)
            else:
                wanted = True
            if wanted and found.frame is not None:
                return found
            if wanted:
                self._note_loss(head.sequence, head.sequence, 1, head.holds, head.clock)
            self._go_past(found)

    def _stands(self, sequence: int) -> bool:
        """Whether a frame for this group alone is to be sent."""
        return sequence <= self._state.trusted or any(one.sequence == sequence for one in self._state.again)

    def _count_end(self) -> None:
        """Nothing is ahead: all that ever came in was sent, or is not there any more."""
        self._lose_up_to(self._shelf.last, self._shelf.frames, self._shelf.lines, self._seen)

    def _go_past(self, found: Found) -> None:
        head, state = found.head, self._state
        state.next = head.sequence + 1
        state.frames, state.lines = head.frames, head.lines
        if head.only:
            state.again = [one for one in state.again if one.sequence != head.sequence]
        else:
            frames, lines = found.stands
            state.frames, state.lines = head.frames + frames, head.lines + lines
        self._seen = head.clock
        if found.at >= 0:
            self._walk.step()
        if self._walk.segment is not None:
            state.segment, state.at = self._walk.segment.first, self._walk.at
        self._dirty = True

    # -- what is lost

    def _lose_up_to(self, last: int, frames: int, lines: int, end: int) -> None:
        """Nothing more is there up to this sequence; so many frames and lines had come by then, for all groups."""
        state = self._state
        if frames > state.frames or lines > state.lines:
            came = self._shelf.came
            told = min(last, came) if self.next <= came else last       # behind it are sequences that were never given
            self._note_loss(self.next, max(told, self.next), max(0, frames - state.frames),
                            max(0, lines - state.lines), end)
        state.frames, state.lines = frames, lines
        while state.again and state.again[0].sequence <= last:
            entry = state.again.pop(0)
            self._note_loss(entry.sequence, entry.sequence, entry.frames, entry.holds, entry.clock)

    def _lose_entry(self, member: str, entry: Entry) -> None:
        self._take(member, entry)
        self._note_loss(entry.sequence, entry.sequence, entry.frames, entry.holds, entry.clock,
                        "damaged" if entry.at >= 0 else "disk")

    def _note_loss(self, first: int, last: int, frames: int, lines: int, end: int, unless: str = "damaged") -> None:
        """`unless`: the reason where no other one is known: what was in memory never got to the disk."""
        reason = self._shelf.why(first) or unless
        begin = end if first < self.next else self._seen or end
        self._shelf.losses.note(Loss(self.name, reason, first, last, lines, begin, end, frames))
        self._state.lost.add(reason, frames, lines)
        self._dirty = True

    # -- entries

    def _entry(self, found: Found) -> Entry:
        head = found.head
        frames, lines = found.stands
        for one in self._state.again if head.only else ():
            if one.sequence == head.sequence:
                frames, lines = one.frames, one.holds       # as the first time, when it may have been a merged one
        return Entry(head.sequence, lines, head.clock, found.at, frames)

    def _entries(self, member: str) -> list[Entry]:
        return list(self._state.members.get(member, ()))

    def _put(self, member: str, entry: Entry) -> None:
        self._set(member, sorted([*self._entries(member), entry]))

    def _take(self, member: str, entry: Entry) -> None:
        self._set(member, [one for one in self._entries(member) if one != entry])

    def _set(self, member: str, entries: list[Entry]) -> None:
        if entries:
            self._state.members[member] = entries
        else:
            self._state.members.pop(member, None)
        self._dirty = True

    def _in_doubt(self) -> int:
        """How many entries there are; a merged frame's takes the room of two."""
        members = self._state.members.values()
        count = sum(map(len, members))
        if 2 * count < MOST_ENTRIES:
            return count
        return count + sum(entry.frames != 1 for entries in members for entry in entries)

    def _check_room(self, member: str) -> None:
        members = self._state.members
        if not member or len(member.encode()) > MOST_MEMBER:
            raise ValueError(f"a member's name has 1 to {MOST_MEMBER} bytes")
        if self._in_doubt() >= MOST_ENTRIES or (member not in members
                                                                and len(members) >= MOST_MEMBERS - 1):
            raise SpoolError(f"so much is in doubt at the targets of {self.name} that no more can be sent to others: "
                             f"those that are away have to come back, or be given up")

    def _write(self) -> None:
        self._dirty = False
        self._filed = dict(self._state.members), list(self._state.again), self._state.lost.numbers
        self._file.write(self._state)


