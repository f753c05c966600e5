"""Where the clients find a server: the usual ports, and what the environment says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from istat.errors import UsageError
from istat.settings.types import Address, HostPort

DEFAULT_STAT_PORT = 8111
DEFAULT_HOST = "127.0.0.1"
DEFAULT_URL = f"http://{DEFAULT_HOST}:8000"
# Where a server answers, and where it takes samples (HOST:PORT), when nobody says.
URL_VARIABLE, TO_VARIABLE = "ISTAT_URL", "ISTAT_TO"


def samples_address(environment: Mapping[str, str] = os.environ) -> HostPort:
    """Where samples go when nobody says: ISTAT_TO, else the host of ISTAT_URL at the usual port, else this machine.
    UsageError for what is no address."""
    if told := environment.get(TO_VARIABLE, ""):
        try:
            found = Address(DEFAULT_STAT_PORT).parse(told)
        except ValueError as error:
            raise UsageError(f"{TO_VARIABLE} (where samples are sent) {error}") from None
        if found is None or not found.host or not found.port:
            raise UsageError(f"{TO_VARIABLE} (where samples are sent) is {told!r}, which names no "
                             f"{'port' if found is not None and found.host else 'host'}: write it as HOST:PORT")
        return found
    url = environment.get(URL_VARIABLE, "")
    try:
        host = urlsplit(url).hostname if url else DEFAULT_HOST
    except ValueError:      # a bracket that is not closed
        host = None
    if not host:
        raise UsageError(f"{URL_VARIABLE} is {url!r}, which is no address of a server: write it as http://HOST:PORT, "
                         f"such as {DEFAULT_URL}, or say by {TO_VARIABLE}=HOST:PORT where samples are sent")
    return HostPort(host, DEFAULT_STAT_PORT)
