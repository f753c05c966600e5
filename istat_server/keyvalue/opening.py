"""Opening the namespaces that the settings mean."""
from __future__ import annotations

from pathlib import Path

from gevent.threadpool import ThreadPool

from istat.clock import Clock
from istat.errors import StoreError
from istat.settings.setting import Values
from istat_server.keyvalue.namespaces import Namespaces
from istat_server.store.ondisk import NAMESPACES
from istat_server.store.pool import Delivering

THREADS = 4             # files that may be read or written at once


def open_namespaces(settings: Values, clock: Clock) -> Namespaces:
    """The namespaces of a server. StoreError in a sentence."""
    folder: Path = settings["settings"] or settings["store"] / NAMESPACES
    try:
        return Namespaces(folder, clock, Delivering(ThreadPool(THREADS)))
    except OSError as error:
        raise StoreError(f"the folder {folder} of the namespaces cannot be read: {error.strerror or error}; name "
                         "another with --settings") from error
