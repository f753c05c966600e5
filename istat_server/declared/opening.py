"""Opening what is declared of metrics, where a server keeps it: beside its namespaces."""

from __future__ import annotations

from pathlib import Path

from gevent.threadpool import ThreadPool

from istat.clock import Clock
from istat.settings.setting import Values
from istat_server.declared.declared import Declared
from istat_server.declared.saving import Saving
from istat_server.ingest.intake import Intake
from istat_server.store.interface import Store
from istat_server.store.ondisk import NAMESPACES
from istat_server.store.pool import Delivering


def open_declared(declared: Declared, settings: Values, clock: Clock, store: Store, intake: Intake) -> Saving:
    """Read what was kept, and have it told by what comes from now on; the service that keeps it."""
    folder: Path = settings["settings"] or settings["store"] / NAMESPACES
    saving = Saving(declared, folder, clock, Delivering(ThreadPool(1)))
    saving.load()
    declared.read_only = lambda: store.read_only
    intake.declared = declared.take
    return saving
