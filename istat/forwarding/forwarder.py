"""All that is forwarded: the spool, and a group of targets for each entry of `forward`. One for a daemon.

Whoever takes samples gives them here: `lines` for those that nobody has marked, `take` for a batch or a whole frame. On
a server a frame is sent only once `release` says that the journal has it. Belongs to the hub; knows no daemon.
"""
from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from istat.clock import Clock

# Which batch a frame came as: its sender, which life of this, its number (istat.spool).
Mark = tuple[bytes, int, int]


@dataclass(frozen=True)
class Introduction:
    """Who we are: the name that targets show for us, and our version."""

    host: str
    version: str


class Forwarder:
    """The spool and the groups. `start`, and in the end `stop`, which closes the spool: a Service of the server."""

    name = "forwarding"

    def __init__(self, values: Mapping[str, Any], clock: Clock, who: Introduction,
                 context: ssl.SSLContext | None = None, known: Callable[[Mark], bool] | None = None) -> None:
        """Open the spool, which is made where it is missing. StoreError when that cannot be.

        values: with the settings of `istat.forwarding.options`. context: of `istat.daemon.tls.client_context`, where
        forward-tls is set. known: whether the store has a batch; the spool is cut at the first that it has not, and
        frames wait for `release`. None: the spool is the journal, and frames are sent at once.
        """
        raise NotImplementedError

    @property
    def id(self) -> bytes:
        """Our sender id, 16 bytes: a server that is greeted by its own forwards to itself."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin to send."""
        raise NotImplementedError

    def stop(self) -> None:
        """Write what is held, give the targets a moment to acknowledge what is under way, and close the spool."""
        raise NotImplementedError

    def lines(self, text: bytes | memoryview, count: int) -> None:
        """Take `count` whole sample lines, of any size, that nobody has marked. Lines without time are of now. They are
        in the spool within 100 ms, when `tick` is called as often as that."""
        raise NotImplementedError

    def take(self, text: bytes, clock: int, count: int, interval: int = 0, mark: Mark | None = None) -> int:
        """Write a frame at once; its sequence. At most 64 KiB of whole sample lines; `clock` [Unix seconds] is the time
        of those without one, `interval` [s] that of 7-token lines, 0: they are samples. A full disk is handled inside,
        and counted."""
        raise NotImplementedError

    def marks(self) -> Mapping[tuple[bytes, int], int]:
        """By sender and epoch the last sequence of those that sent batches: where the spool is the journal."""
        raise NotImplementedError

    def release(self, sequence: int) -> None:
        """All frames up to this one may be sent. Of no meaning where the spool is the journal."""
        raise NotImplementedError

    def meta(self, origin: bytes, text: bytes) -> None:
        """What a sender of this name tells of itself, `#key value` lines: told to the targets, again at each
        connection. Bounded; the longest silent is forgotten."""
        raise NotImplementedError

    def tick(self) -> None:
        """To be called about every 50 ms: what `lines` took goes into the spool, the spool keeps its bounds."""
        raise NotImplementedError

    def totals(self) -> Mapping[str, float]:
        """Values of the metrics `forward.*` by name, totals since the start and present values."""
        raise NotImplementedError

    def status(self) -> dict[str, object]:
        """What /api/v1/status has under `forward`: the spool, and each group with its targets."""
        raise NotImplementedError
