"""What the agent opens while it may, as it may give up root next; and what of it the watchdog hands on to the agent
that is executed anew, which could not open it again. Knows settings and sockets; not what they are used for.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, NamedTuple

from istat.daemon import background, service
from istat.daemon.handover import Handover
from istat.errors import SpoolError
from istat.settings.declaration import Values
from istat_agent import transport
from istat_agent.exporting.port import open_listener
from istat_agent.forwarding.folder import prepare_folder
from istat_agent.isolation.anew import Handed

if TYPE_CHECKING:
    from istat_agent.forwarding.ports import Ports

log = logging.getLogger(__name__)


class Openings(NamedTuple):
    """What was opened while we might: what prometheus-port listens on, and the local ports; None: there is none. The
    way from the terminal, and what else came with this start, where it is one anew."""

    prometheus: socket.socket | None
    ports: Ports | None
    pid_file: service.PidFile | None
    leave: background.Leaving | None
    handed: Handed

    def kept(self) -> list[tuple[str, int]]:
        """What is to be handed on by the watchdog."""
        listening = [self.prometheus] if self.prometheus is not None else []
        if self.ports is not None:
            listening += [*self.ports.listeners, *self.ports.datagrams]
        held = [("pid-file", self.pid_file.descriptor)] if self.pid_file is not None else []
        held += [("terminal", self.leave.descriptor)] if self.leave is not None else []
        return [*held, *(("listening", sock.fileno()) for sock in listening)]


def leaving(handed: Handed) -> background.Leaving | None:
    """The way from the terminal that a life before had: it may not have come so far."""
    descriptor = handed.take("terminal")
    return None if descriptor is None else background.Leaving(descriptor)


def open_all(values: Values, handed: Handed, pid_file: service.PidFile | None,
             leave: background.Leaving | None) -> tuple[Values, Openings]:
    """Open what needs rights that may be given up next. As for prepare_forwarding."""
    handover = Handover(("listening", descriptor) for descriptor in handed.take_all("listening"))
    values, ports = prepare_forwarding(values, handover)
    openings = Openings(open_listener(values, handover), ports, pid_file, leave, handed)
    handover.close()
    return values, openings


def prepare_forwarding(values: Values, handover: Handover) -> tuple[Values, Ports | None]:
    """Make the spool's folder and open the local ports, where something is forwarded. The settings are others where
    the folder cannot be made and can be done without. SpoolError, PortInUse, CannotListen."""
    if not values["forward"]:
        return values, None
    from istat_agent.forwarding.ports import open_ports  # only now: who sends to a server needs none of it

    try:
        prepare_folder(values["spool"], values["user"])
    except SpoolError as error:
        return spared(values, error), None
    return values, open_ports(values, handover)


def spared(values: Values, error: SpoolError) -> Values:
    """The settings without a spool, which cannot be used; the error where it is wanted."""
    plain = transport.without_spool(values)
    if plain is None:
        raise error
    log.warning("%s. Samples are sent by plain TCP: while %s is away only some minutes of them wait, in memory", error,
                values["server"])
    return plain
