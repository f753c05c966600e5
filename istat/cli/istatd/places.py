"""Addresses on the command lines of istatd's programs and of our sub-commands like them."""

from __future__ import annotations

from istat.errors import UsageError
from istat.settings.types import Address, HostPort


def place(text: str, option: str, port: int | None = None) -> HostPort:
    """Host and port of a text such as `localhost:8112`, `[::1]:8112` or `8112`, which is a port of this machine; a host
    alone where there is a `port` to assume. UsageError names the option."""
    try:
        found = Address(port).parse(f"127.0.0.1:{text}" if text.isdigit() else text)
    except ValueError as error:
        raise UsageError(f"{option} {error}".lstrip()) from None
    if found is None:
        raise UsageError(f"{option} wants HOST:PORT".lstrip())
    return found
