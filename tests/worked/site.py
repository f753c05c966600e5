"""What a site sees of our server: lines go in as senders' do, answers come by istatd's own HTTP requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from falcon.testing import Result

from istat.clock import FakeClock
from istat_server import builtin
from istat_server.roster import Sender
from tests.server.assembled import Whole

NOW = 1325395000        # 2012-01-01 05:16:40 UTC, where the worked examples stand
HOUR = 1325394000       # 05:00:00, aligned to an hour


class Site:
    """A server of our built-in parts over a store in files, which can be restarted or killed."""

    def __init__(self, folder: Path, clock: FakeClock, *words: str) -> None:
        self.folder, self.clock, self._words = folder, clock, words
        self.sender = Sender("tcp", "192.0.2.7:4321", clock.now())
        self._open()

    def _open(self) -> None:
        self.whole = Whole(self.folder, self.clock, *self._words, plugins=[builtin])
        self.server = self.whole.server
        self.server.open()
        self.store: Any = self.server.store

    def end(self) -> None:
        """As after SIGTERM."""
        self.server.close()

    def restart(self, *words: str) -> None:
        """Stop in order and start again, with other words if any."""
        self.end()
        self._words = words or self._words
        self._open()

    def crash(self) -> None:
        """Be killed, and start again: what the journal was given is there."""
        self.store._hand_over()
        self.store._journal.close()
        self.store._lock.close()
        self._open()

    # -- senders

    def feed(self, *lines: str | bytes, end: bytes = b"\n") -> None:
        """Lines as a connection brings them."""
        text = b"".join((line.encode() if isinstance(line, str) else line) + end for line in lines)
        assert self.server.intake.feed(memoryview(text), 0, len(text), self.sender) == len(text)

    def at(self, now: float, *lines: str) -> None:
        """Lines that come at a moment of the clock."""
        self.clock.set(now)
        self.store.tick()
        self.feed(*lines)

    @property
    def refused(self) -> dict[str, int]:
        """What was refused so far, by kind, without zeros."""
        found = dict(self.server.mistakes.counts)
        for kind, count in self.store.totals().refused.items():
            found[kind] = found.get(kind, 0) + count
        return {kind: count for kind, count in found.items() if count}

    # -- readers

    def ask(self, path: str, **more: Any) -> Result:
        """What HTTP says."""
        return self.whole.ask(path, **more)

    def get(self, name: str, start: int, end: int, samples: int = 0, **more: Any) -> Any:
        """The JSON of `GET /NAME`."""
        answer = self.ask(f"/{name}", params={"start": start, "end": end, "samples": samples, **more})
        assert answer.status_code == 200, answer.text
        return answer.json

    def buckets(self, name: str, start: int, end: int, *fields: str, samples: int = 0, **more: Any) -> list[Any]:
        """(time, fields...) of each bucket; of two fields or more."""
        found = self.get(name, start, end, samples, **more)["buckets"]
        return [(one["time"], *(one["data"][field] for field in fields)) for one in found]

    def listed(self, pattern: str = "*") -> dict[str, int]:
        """Name -> type (0 gauge, 1 event counter, 2 branch) of `GET /?q=`."""
        found = self.ask("/", params={"q": pattern}).json["matching_names"]
        return {one["name"]: one["type"] for one in found}

    def level(self, name: str, level: int, start: int = 0, end: int = 1 << 40) -> list[Any]:
        """Buckets of one level, whichever a request would take: (time, count, sum, m2, min, max)."""
        (found,) = self.store.select([self.store.find(name.encode()).id], level, start, end)
        rows: list[Any] = found.rows()
        return rows
