"""Why a replica cannot go on with its master. That the master does not answer is a `ServerUnreachable`.

The sentences are the master's. Knows no sockets.
"""
from __future__ import annotations

from istat.errors import IstatError


class ReplicaError(IstatError):
    """A master refuses what its replica asks, or a replica cannot follow it."""

    exit_code = 115


class CopyNeeded(ReplicaError):
    """What the replica has cannot be gone on with: it wants a base copy anew (410, or 404 for a file of a lease)."""

    exit_code = 116


class Superseded(ReplicaError):
    """Another server has taken the master's place: its term is too low, or it is fenced (409)."""

    exit_code = 117


class OtherStore(ReplicaError):
    """It is not the store that is meant (409)."""

    exit_code = 118
