"""A plugin that opens the in-memory model as the server's store: docs/specs/0005-doors.md, section 1."""
from __future__ import annotations

from istat.clock import Clock
from istat.retention import Rules
from istat.settings.setting import Values
from istat_server.hookspecs import hookimpl
from istat_server.testing.memory import MemoryStore


@hookimpl
def istat_open_store(settings: Values, clock: Clock) -> MemoryStore:
    """A store that keeps nothing after the process."""
    return MemoryStore(Rules(settings["retention"], settings["retention-rules"]), clock, settings["max-counters"])
