"""At a start: whether one of the replicas that this master knows of has taken its place meanwhile.

So an old master that comes back takes no sample that its successor will not have, even before that has told it. Who
cannot be asked in a few seconds is passed over: it tells us itself. Knows how a server is asked, and the store's side.
"""
from __future__ import annotations

import logging
from collections.abc import Callable

import gevent

from istat.errors import IstatError
from istat_server.replica.source import Master
from istat_server.store.positions import Known
from istat_server.store.work.copying import Copying

log = logging.getLogger(__name__)

# That a start waits for all answers together [s].
PATIENCE = 3.0


def ask_known(store: object, ask: Callable[[str], Master]) -> None:
    """Fence a store where a replica says that it has taken its place. `ask` makes a Master of an address. Blocks the
    greenlet, for PATIENCE at most."""
    copying = getattr(store, "copying", None)
    if not isinstance(copying, Copying):
        return
    known = [one for one in copying.state.replicas if one.url]
    if not known or copying.state.fenced:
        return
    asked = [gevent.spawn(_ask, copying, ask, one) for one in known]
    gevent.joinall(asked, timeout=PATIENCE)
    gevent.killall(asked)


def _ask(copying: Copying, ask: Callable[[str], Master], known: Known) -> None:
    try:
        master = ask(known.url)
        try:
            found = master.state()
        finally:
            master.close()
        if found.deposed == copying.state.uuid and found.term > copying.state.term:
            copying.fence(copying.state.uuid, found.term, known.url)
            log.warning("the replica %s (%s) has taken this server's place: it is fenced", known.name, known.url)
    except (IstatError, OSError) as error:
        log.info("the replica %s cannot be asked whether it has taken our place: %s", known.name, error)
