"""Who is at the other end of a socket: what counts as one, and how it is told.

Knows addresses as the socket module has them: (host, port, ...), and whatever else for sockets without.
"""

from __future__ import annotations

import ipaddress

# Of an IPv6 address the network: whoever has one address there has them all. [bits]
NETWORK_BITS = 64


def household(address: object) -> str:
    """What counts as one: an IPv4 address, the network of an IPv6 address; "" for sockets without addresses.

    Not the network of a link-local one, which everybody on the cable shares.
    """
    if not isinstance(address, tuple) or not address:
        return ""
    host = str(address[0]).partition("%")[0]
    if ":" not in host:
        return host
    found = ipaddress.IPv6Address(host)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    if found.is_link_local:
        return host
    return str(ipaddress.IPv6Network((int(found) >> NETWORK_BITS << NETWORK_BITS, NETWORK_BITS)))


def in_words(address: object) -> str:
    """`host:port`, of IPv6 with brackets."""
    if not isinstance(address, tuple):
        return "a Unix socket"
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
