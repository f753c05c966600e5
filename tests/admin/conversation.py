"""A session of the admin port over a model of a store, without sockets."""

from __future__ import annotations

from typing import Any

from istat.clock import Clock, StoppedClock
from istat_server.admin.guard import Guard
from istat_server.admin.operations import Operations
from istat_server.admin.session import READ_BYTES, Session
from istat_server.roster import Roster
from istat_server.testing.memory import MemoryStore

NOW = 1_700_000_000
TOKEN = "ru1es"


class Kept:
    """Namespaces that write down what is wanted of them."""

    def __init__(self, done: list[str]) -> None:
        self.done = done
        self.error: Exception | None = None

    def flush(self, name: str | None = None) -> None:
        self._do("namespaces" if name is None else f"flush {name}")

    def load(self, name: str) -> None:
        self._do(f"load {name}")

    def _do(self, what: str) -> None:
        if self.error is not None:
            raise self.error
        self.done.append(what)


class NotedStore(MemoryStore):
    """One that writes down its flushes."""

    done: list[str]

    def flush(self) -> None:
        self.done.append("store")
        super().flush()


class Conversation:
    """A server's parts, and who talks to it. `done`: what was done, in order."""

    def __init__(self, clock: Clock | None = None, token: str = TOKEN, is_open: bool = True,
                 http_port: int = 18011) -> None:
        self.clock = clock or StoppedClock(NOW)
        self.done: list[str] = []
        self.store = NotedStore(clock=self.clock)
        self.store.done = self.done
        self.roster = Roster(self.clock)
        self.namespaces = Kept(self.done)
        self.guard = Guard(self.settings(token, is_open))
        self.in_progress = 0.0
        self.operations = Operations(
            self.store, self.roster, self.clock, self.namespaces, lambda: {"http.current": self.in_progress},
            http_port, lambda seconds: self.done.append("samples"), lambda: self.done.append("metrics"),
            lambda seconds: self.done.append("targets"))
        self.wrong = 0
        self.session = self.another()

    @staticmethod
    def settings(token: str, is_open: bool = False) -> dict[str, Any]:
        """What a guard wants of settings."""
        return {"admin-token": token, "admin-open": is_open}

    def another(self) -> Session:
        """A connection more."""
        def note() -> None:
            self.wrong += 1

        return Session(self.operations, self.guard, note)

    def say(self, data: bytes, session: Session | None = None) -> bytes:
        """What is answered to these bytes."""
        found = b""
        for at in range(0, len(data), READ_BYTES):
            found += b"".join(filter(None, (session or self.session).take(data[at:at + READ_BYTES])))
        return found

    def feed(self, text: bytes) -> None:
        """Samples that come in."""
        assert self.store.accept(memoryview(text), 0, len(text)).used == len(text)
