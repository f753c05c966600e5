"""The files of a store that no server has open, brought into their final form."""

from __future__ import annotations

from pathlib import Path

from istat.clock import Clock, SystemClock
from istat.errors import StoreError
from istat_server.store.files import manifest
from istat_server.store.levels import policies
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore


def compact(folder: Path, clock: Clock | None = None) -> None:
    """Bring the files of a store that no server has open into their final form. StoreError."""
    state, _problem = manifest.load(Path(folder))
    if state is None:
        raise StoreError(f"{folder} holds no store")
    store = StatStore.open(folder, policies.rules_of(state.policies), clock or SystemClock(),
                          options=Options(replica=True))
    try:
        store.compact()
    finally:
        store.close()
