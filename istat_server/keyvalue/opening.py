"""Opening the namespaces that the settings mean."""
from __future__ import annotations

from pathlib import Path

from gevent.threadpool import ThreadPool

from istat import owners
from istat.access import guarded
from istat.clock import Clock
from istat.errors import StoreError
from istat.settings.setting import Values
from istat_server.keyvalue.namespaces import Namespaces
from istat_server.store.ondisk import NAMESPACES, make_folder
from istat_server.store.pool import Delivering

THREADS = 2             # files that may be read or written at once: more would keep the hub waiting for its turn


def prepare_folder(settings: Values, owner: owners.User | None) -> None:
    """Make the folder that the setting names, while we may still make it anywhere; it is `owner`'s then. One in the
    store's is made when it is needed. StoreError in a sentence."""
    folder: Path | None = settings["settings"]
    if folder is None:
        return
    try:
        guarded.check(folder)
        if folder.exists():
            return
        make_folder(folder)
        if owner is not None:
            with guarded.Place(folder) as place:
                place.give(owner)
    except OSError as error:
        raise StoreError(f"the folder {folder} of the namespaces cannot be made: {error.strerror or error}; name "
                         "another with --settings") from error


def open_namespaces(settings: Values, clock: Clock) -> Namespaces:
    """The namespaces of a server. StoreError in a sentence."""
    folder: Path = settings["settings"] or settings["store"] / NAMESPACES
    try:
        return Namespaces(folder, clock, Delivering(ThreadPool(THREADS)))
    except OSError as error:
        raise StoreError(f"the folder {folder} of the namespaces cannot be read: {error.strerror or error}; name "
                         "another with --settings") from error
