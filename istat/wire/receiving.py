"""A receiver's side of acknowledged batches, without a socket: sessions of senders, and the answers they are owed.

An answer that says "kept" waits until what it speaks of is written. Each sender has one session, the last that it
began. Docs: docs/protocols/batches.md. Knows neither store nor spool: a `Keeper` takes the batches, and whoever has the
sockets calls `Session.feed` with whole frames and `Receiving.settle` while something is owed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from istat.wire.batches import (
    HEADER,
    MOST_UNDER_WAY,
    Ack,
    Hello,
    Later,
    Lines,
    Message,
    Meta,
    Ping,
    Pong,
    Refusal,
    Welcome,
    decode,
    encode,
    encode_ack,
    frame_size,
)

# Frames that one call of `feed` takes, unless one with lines comes before: some 0.5 ms.
MOST_FRAMES = 64
WITH_LINES = (Lines, Meta)
# Codes of refusals (docs/protocols/batches.md): no or another token, one's own spool, no marks, the blacklist, a newer
# session, and what is no conversation of this protocol.
TOKEN, OWN, UNABLE, BARRED, ELSEWHERE, PROTOCOL = "token", "own", "unable", "barred", "elsewhere", "protocol"


class NotKept(Exception):
    """A batch cannot be kept now, which turned out only when it was to be: nothing of it is there. Says why."""


class Keeper(Protocol):
    """Where batches go: a daemon's store or spool. `who` is whatever the daemon gave with the session."""

    @property
    def refusing(self) -> str:
        """Why nothing is taken now, in a sentence; "" while batches are taken."""

    @property
    def ticket(self) -> int:
        """What was taken by now is kept, whatever becomes of the process, once `written` is no less than this."""

    @property
    def written(self) -> int:
        """Up to which ticket all is kept. Grows."""

    def hurry(self) -> None:
        """Senders wait for what was taken to be written."""

    def refuses(self, hello: Hello, who: Any) -> Refusal | None:
        """Why batches of this sender are never taken, None where they are. Asked once, before anything else."""

    def last(self, sender: bytes, epoch: int) -> int:
        """The last sequence that was taken of a sender's epoch; 0 for none."""

    def prepare(self, batch: Lines) -> bool:
        """Do what can be done before a batch is taken, if that takes long; whether others had their turn meanwhile."""

    def take(self, batch: Lines, hello: Hello, who: Any) -> int:
        """Take a batch that was not taken before, mark and lines together; how many lines were refused. NotKept."""

    def tell(self, meta: Meta, hello: Hello, who: Any) -> None:
        """What an origin tells of itself."""

    def mistake(self, kind: str, text: bytes, who: Any) -> None:
        """A sender does something wrong; `kind` is a kind of mistakes."""


class Receiving:
    """The sessions of one daemon. `token` (samples-token; "" lets everybody in) may be set at any time; `own` are the
    ids of this daemon's own spools, so that it takes no batches of itself."""

    def __init__(self, keeper: Keeper, token: str = "") -> None:
        self.keeper = keeper
        self.token = token
        self.own: set[bytes] = set()
        self.wake: Callable[[], object] = lambda: None      # called when something is owed: `settle` is to be called
        self.totals = {"taken": 0, "lines": 0, "bytes": 0, "refused": 0, "again": 0, "later": 0, "denied": 0}
        self._sessions: dict[bytes, Session] = {}
        self._owed: deque[tuple[int, Session, Message]] = deque()       # tickets never fall

    def session(self, answer: Callable[[bytes], None], who: Any) -> Session:
        """A new connection whose first line was MAGIC. `answer` sends bytes, or closes what cannot be sent to; it must
        not wait. To be closed at its end."""
        return Session(self, answer, who)

    @property
    def senders(self) -> int:
        """How many senders have a session."""
        return len(self._sessions)

    @property
    def owed(self) -> int:
        """How many answers wait for what is not written yet."""
        return len(self._owed)

    def settle(self) -> bool:
        """Send the answers that are owed for what is written by now; whether there are others."""
        if not self._owed:
            return False
        self.keeper.hurry()
        written = self.keeper.written
        ready: dict[Session, bytearray] = {}
        while self._owed and self._owed[0][0] <= written:
            _ticket, session, message = self._owed.popleft()
            if session.paid(message):
                frame = encode_ack(*message) if isinstance(message, Ack) else encode(message)
                ready.setdefault(session, bytearray()).extend(frame)
        for session, frames in ready.items():
            session.answer(bytes(frames))
        return bool(self._owed)

    def owe(self, session: Session, message: Message) -> None:
        """An answer that holds once all that was taken by now is written."""
        if not self._owed:
            self.wake()
        ticket = self.keeper.ticket
        if self._owed and self._owed[-1][0] > ticket:       # a replica has another store now, whose tickets begin anew
            self._owed = deque((min(old, ticket), whose, what) for old, whose, what in self._owed)
        self._owed.append((ticket, session, message))

    def why_not(self, hello: Hello, who: Any) -> Refusal | None:
        """Why a sender is not let in; None where it is."""
        if self.token and not _same(self.token, hello.token):
            self.keeper.mistake("batch_token", hello.host.encode(), who)
            told = "another token than" if hello.token else "no token, and wants"
            return Refusal(TOKEN, f"the sender shows {told} the receiver's samples-token: set its forward-token")
        if hello.sender in self.own:
            return Refusal(OWN, "these batches come from the receiver's own spool: take it out of its own forward")
        return self.keeper.refuses(hello, who)

    def begin(self, session: Session, hello: Hello, who: Any) -> None:
        """This is the session of a sender from now on; one that it had before ends."""
        before = self._sessions.get(hello.sender)
        self._sessions[hello.sender] = session
        if before is not None:
            if before.hello is not None and before.hello.host != hello.host:
                self.keeper.mistake("batch_copied", f"{before.hello.host}, {hello.host}".encode(), who)
            before.refuse(Refusal(ELSEWHERE, "this sender has connected anew, with the same spool"))

    def end(self, session: Session, sender: bytes) -> None:
        """A session is over."""
        if self._sessions.get(sender) is session:
            del self._sessions[sender]


class Session:
    """One connection of a sender, from its HELLO on: a wire.protocol.Feeder but for its `sender`."""

    def __init__(self, owner: Receiving, answer: Callable[[bytes], None], who: Any) -> None:
        self.hello: Hello | None = None
        self._owner, self._answer, self._who = owner, answer, who
        self._out = bytearray()
        self._owed = 0          # acknowledgements that wait
        self._later = ""        # why no batch of this connection is taken any more
        self._over = False      # refused or closed: nothing more is heard or said

    def feed(self, view: memoryview, start: int, end: int, sender: object = None) -> int:
        """Take whole frames of view[start:end], up to and with the first that has lines; how many bytes those were.
        BadBatch when one is malformed."""
        at = start
        for _ in range(MOST_FRAMES):
            size = frame_size(view, at) if end - at >= HEADER.size else HEADER.size
            if size > end - at:
                break
            message = None if self._over else decode(view[at:at + size])
            at += size
            if message is not None:
                self._take(message)
            if isinstance(message, WITH_LINES):
                break
        self._say()
        return at - start

    @property
    def begun(self) -> bool:
        """Whether a sender is there that was let in."""
        return self.hello is not None and not self._over

    def refuse(self, refusal: Refusal) -> None:
        """Say so, and hear no more."""
        if not self._over:
            self._owner.totals["denied"] += 1
            self._out += encode(refusal)
            self._end()
            self._say()

    def close(self) -> None:
        """The connection has ended."""
        self._end()
        self._out.clear()

    def paid(self, message: Message) -> bool:
        """What it was owed is written; whether that can still be told."""
        self._owed -= isinstance(message, Ack)
        return not self._over

    def answer(self, frames: bytes) -> None:
        """Send frames."""
        if not self._over:
            self._answer(frames)

    def _end(self) -> None:
        self._over = True
        if self.hello is not None:
            self._owner.end(self, self.hello.sender)

    def _say(self) -> None:
        if self._out:
            out = bytes(self._out)
            self._out.clear()
            self._answer(out)

    def _take(self, message: Message) -> None:
        if isinstance(message, Lines) and self.hello is not None:
            self._batch(message, self.hello)
        elif isinstance(message, Ping):
            self._out += encode(Pong())
        elif isinstance(message, Hello) and self.hello is None:
            self._begin(message)
        elif isinstance(message, Meta) and self.hello is not None:
            self._owner.keeper.tell(message, self.hello, self._who)
        else:
            self.refuse(Refusal(PROTOCOL, f"{type(message).__name__} is not what comes now: first one Hello, then "
                                          "Lines, Meta and Ping"))

    def _begin(self, hello: Hello) -> None:
        owner = self._owner
        refusal = owner.why_not(hello, self._who)
        if refusal is not None:
            self.refuse(refusal)
            return
        self.hello = hello
        owner.begin(self, hello, self._who)
        owner.owe(self, Welcome(owner.keeper.last(hello.sender, hello.epoch)))

    def _batch(self, batch: Lines, hello: Hello) -> None:
        owner, totals = self._owner, self._owner.totals
        if self._owed >= MOST_UNDER_WAY:
            self.refuse(Refusal(PROTOCOL, f"more than {MOST_UNDER_WAY} batches under way"))
            return
        refused = 0
        if batch.sequence <= owner.keeper.last(hello.sender, hello.epoch):
            totals["again"] += 1        # also while nothing is taken: told "later", it would go elsewhere, too
        else:
            kept = self._kept(batch, hello)
            if kept is None:
                return
            refused = kept
        self._owed += 1
        owner.owe(self, Ack(batch.sequence, refused))

    def _kept(self, batch: Lines, hello: Hello) -> int | None:
        """Take a batch that was not taken before; how many lines were refused, None: it was not taken, which its sender
        is told unless it is here anew."""
        keeper, totals = self._owner.keeper, self._owner.totals
        self._later = self._later or keeper.refusing
        if not self._later and keeper.prepare(batch):
            if self._over:      # its sender is here anew, and sends it again there
                return None
            self._later = keeper.refusing
        if not self._later:
            try:
                refused = keeper.take(batch, hello, self._who)
            except NotKept as error:
                self._later = str(error)
            else:
                for what, many in (("taken", 1), ("lines", batch.count), ("bytes", len(batch.text)),
                                   ("refused", refused)):
                    totals[what] += many
                return refused
        # What comes behind one that was not taken would make that one look taken.
        totals["later"] += 1
        self._out += encode(Later(batch.sequence, self._later))
        return None


def _same(token: str, said: str) -> bool:
    import hmac  # only where there is a token; it brings OpenSSL, 3 MB of the agent's memory

    return hmac.compare_digest(token.encode(), said.encode())
