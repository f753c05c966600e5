"""Clients for programs: `StatClient` sends samples to a server or agent, `QueryClient` asks a server.

    with StatClient() as stats:
        stats.gauge("queue.length", 17)
        stats.event("mail.sent")
    QueryClient().series(["mail.sent"], columns=["avg", "max"])

Without arguments both find the server as the commands do: by ISTAT_TO and ISTAT_URL. Sending never raises because of
the network: what cannot be sent is dropped and counted. Asking raises typed errors. Neither knows of the store.
"""

from __future__ import annotations

from istat.client.asking import QueryClient
from istat.client.places import (
    DEFAULT_HOST,
    DEFAULT_STAT_PORT,
    DEFAULT_URL,
    TO_VARIABLE,
    URL_VARIABLE,
    samples_address,
)
from istat.client.sending import (
    BATCH_BYTES,
    CAPACITY_BYTES,
    LINGER_SECONDS,
    RETRY_SECONDS,
    SEND_TIMEOUT,
    StatClient,
)

__all__ = [
    "BATCH_BYTES", "CAPACITY_BYTES", "DEFAULT_HOST", "DEFAULT_STAT_PORT", "DEFAULT_URL", "LINGER_SECONDS",
    "RETRY_SECONDS", "SEND_TIMEOUT", "TO_VARIABLE", "URL_VARIABLE", "QueryClient", "StatClient", "samples_address",
]  # fmt: skip
