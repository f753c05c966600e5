"""Opening the forwarder that a server's settings mean."""
from __future__ import annotations

import socket
import ssl
from pathlib import Path

from istat import __version__, owners
from istat.access import guarded
from istat.clock import Clock
from istat.errors import StoreError
from istat.forwarding.forwarder import Forwarder, Introduction
from istat.settings.setting import Values
from istat_server.forwarding.tee import Tee
from istat_server.store.interface import Capability, Store
from istat_server.store.ondisk import make_folder

# In the store's folder, where the settings name no other.
SPOOL = "spool"


def folder_of(settings: Values) -> Path:
    """Where the spool is."""
    folder: Path = settings["spool"] or settings["store"] / SPOOL
    return folder


def prepare_folder(settings: Values, owner: owners.User | None) -> None:
    """Make the folder that the setting names, while we may still make it anywhere; it is `owner`'s then. One in the
    store's is made when it is needed. StoreError in a sentence."""
    folder: Path | None = settings["spool"]
    if folder is None or not settings["forward"]:
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
        raise StoreError(f"the folder {folder} of the spool cannot be made: {error.strerror or error}; name another "
                         "with --spool") from error


def context_of(settings: Values) -> ssl.SSLContext | None:
    """What targets are reached with where forward-tls is set. SettingsError for files that cannot be used."""
    if not settings["forward"] or not settings["forward-tls"]:
        return None
    from istat.daemon.tls import client_context

    return client_context(settings["forward-ca"], settings["forward-cert"], settings["forward-key"])


def open_tee(settings: Values, clock: Clock, store: Store, context: ssl.SSLContext | None) -> Tee | None:
    """The forwarder, and what feeds it; None where nothing is forwarded. StoreError, SpoolError."""
    if not settings["forward"]:
        return None
    if Capability.BATCH_MARKS not in store.capabilities:
        raise StoreError("this store cannot tell which batches it has, which forwarding needs: take forward out")

    who = Introduction(socket.gethostname(), __version__)
    return Tee(Forwarder(settings, folder_of(settings), clock, who, context, store.knows), store)
