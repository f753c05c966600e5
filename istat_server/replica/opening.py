"""Opening the store that the settings mean, where they want a replica; at the first start it is copied first.

A folder with data of its own becomes no replica. One that was promoted stays a master, whatever the settings say. A
first copy waits for a master that is away, for as long as it takes: a pair of machines starts in any order.
"""
from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent

from istat.errors import ServerUnreachable, StoreCorrupt, StoreError
from istat_server.replica import basecopy
from istat_server.replica.options import name_of
from istat_server.replica.refusals import CopyNeeded
from istat_server.replica.source import Master
from istat_server.replica.store import ReplicaStore
from istat_server.store.files import manifest
from istat_server.store.files.manifest import Manifest
from istat_server.store.levels.policies import rules_of
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore

log = logging.getLogger(__name__)

# Opens a folder with its rules.
Open = Callable[[Manifest, Options], StatStore]
SHOW_SHARE = 10             # parts of a copy that are told in the log
FIRST_WAIT, MOST_WAIT, GROWTH = 1.0, 60.0, 1.5      # between tries of a first copy [s], each with up to half more
# What another try may mend: the master is away, its lease was over, bytes were damaged on the way.
PASSES = (ServerUnreachable, CopyNeeded, StoreCorrupt)


def master_of(settings: Mapping[str, Any], url: str, term: int = 0) -> Master:
    """A server as our replica asks it. SettingsError."""
    return Master(url, settings["replica-token"], name_of(settings), settings["replica-ca"], settings["replica-cert"],
                  settings["replica-key"], settings["replica-url"], term)


def wanted(settings: Mapping[str, Any]) -> bool:
    """Whether the store that the settings mean is to be a replica's. StoreError when it has data of its own."""
    folder = Path(settings["store"])
    if not settings["replica-of"]:
        return False
    state, _problem = manifest.load(folder) if folder.exists() else (None, "")
    if state is None or state.follows is not None:
        return True
    if state.fenced:
        raise StoreError(f"{folder} is a former master's, fenced: {state.fenced} has taken its place. To make a "
                         f"replica of {settings['replica-of']} here, move the folder away; to read what only it has, "
                         "take replica-of out of the settings")
    if state.term:
        log.warning("this server has become a master, and replica-of = %s is passed over: take it out of the settings",
                    settings["replica-of"])
        return False
    raise StoreError(f"{folder} has data of its own, and cannot become a replica of {settings['replica-of']}: move the "
                     "folder away, or name an empty one with --store")


def open_replica(settings: Mapping[str, Any], options: Options, opened: Open) -> ReplicaStore:
    """The replica's store. Where there is none yet it is copied first, which blocks the greenlet, as long as the master
    is away, too. ReplicaError where the master refuses, StoreError."""
    folder, url = Path(settings["store"]), settings["replica-of"]
    basecopy.settle(folder)
    if manifest.load(folder)[0] is None:
        _first_copy(settings, folder, url)

    def reopen() -> StatStore:
        state, _problem = manifest.load(folder)
        if state is None:
            raise StoreError(f"{folder} has no MANIFEST any more")
        if rules_of(state.policies).default.text != settings["retention"].text:
            log.warning("the master has the retention %s, and the settings here say %s: that would begin with a start "
                        "after a promotion; set the same here", rules_of(state.policies).default.text,
                        settings["retention"].text)
        return opened(state, replace(options, replica=True, lineage=None))

    return ReplicaStore(reopen(), reopen, url)


def _first_copy(settings: Mapping[str, Any], folder: Path, url: str) -> None:
    master = master_of(settings, url)
    told = [0]

    def show(done: int, total: int) -> None:
        tenth = done * SHOW_SHARE // total if total else SHOW_SHARE
        if tenth > told[0]:
            told[0] = tenth
            log.info("%d %% of %s are copied", tenth * 100 // SHOW_SHARE, url)

    log.info("the store of %s is copied into %s", url, folder)
    try:
        _tried(lambda: basecopy.copy(master, folder, show))
        basecopy.swap(folder)
    finally:
        master.close()


def _tried(copy: Callable[[], object]) -> None:
    """Copy, and try again while that may help."""
    wait, told = FIRST_WAIT, ""
    while True:
        try:
            copy()
            return
        except PASSES as error:
            if str(error) != told:
                told = str(error)
                log.warning("there is no first copy of the master yet, and nothing to be served: %s; it is tried "
                            "again, at least every %d s", told, MOST_WAIT * 3 // 2)
        gevent.sleep(wait * (1 + random.random() / 2))      # noqa: S311 - no secret
        wait = min(wait * GROWTH, MOST_WAIT)
