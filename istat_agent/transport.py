"""Which way samples take to the server, as `forward`, `server` and `transport` say: decided here and nowhere else.

Knows settings only. `transport = auto` is resolved once, when the settings are read: all others see udp or tcp, or
`forward` and its settings as if they had been given.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from istat.forwarding.options import token_problems
from istat.forwarding.targets import Target, Targets
from istat.settings.setting import Values
from istat.settings.types import OFF, HostPort

UDP, TCP, AUTO = "udp", "tcp", "auto"
# What `transport` is once `auto` has been resolved, besides UDP: acknowledged batches and a spool, or TCP for want of
# a folder for that.
FORWARDED, WITHOUT_SPOOL = "forwarded", "tcp without a spool"
# What says how `server` is reached, so that it means nothing where `forward` takes its place.
OF_SERVER = ("server", "transport", "tls", "tls-ca", "tls-cert", "tls-key", "token", "max-datagram")
# What each of them is for `forward`.
_AS_FORWARD = {"tls": "forward-tls", "tls-ca": "forward-ca", "tls-cert": "forward-cert", "tls-key": "forward-key",
               "token": "forward-token"}
LOCALHOST = "localhost"


def is_here(server: HostPort | None) -> bool:
    """Whether an address is this machine's own for sure: loopback, by its number or by the name that all machines give
    to it. Other names are not looked up: what they stand for may change."""
    if server is None or not server.host:
        return True
    host = server.host.lower().rstrip(".")
    if host == LOCALHOST or host.endswith(f".{LOCALHOST}"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_unspecified      # who connects to 0.0.0.0 reaches this machine


def is_forwarded(values: Mapping[str, Any]) -> bool:
    """Whether samples go by acknowledged batches and a spool."""
    if values["forward"]:
        return True
    return values["transport"] in (AUTO, FORWARDED) and not is_here(values["server"])


def resolved(values: Values) -> Values:
    """The same settings without `auto`: it is udp, or `forward` is the server, with what was said of TLS and token."""
    if values["forward"] or values["transport"] != AUTO:
        return values
    if not is_forwarded(values):
        return _with(values, transport=UDP)
    server = values["server"]
    targets = (Targets([Target(server.host.lower(), server.port)]),)
    said = {theirs: values[ours] for ours, theirs in _AS_FORWARD.items()}
    return _with(values, transport=FORWARDED, forward=targets, **said)


def without_spool(values: Values) -> Values | None:
    """The same by plain TCP, for a machine that has no folder for the spool; None: the settings want one, by its name,
    by `forward`, or since only that way takes a token or samples of local programs."""
    wanted = values.source("spool") != "default" or values["token"] or values["stat-path"] is not None
    if values["transport"] != FORWARDED or wanted or values["stat-port"] != OFF:
        return None
    return _with(values, transport=WITHOUT_SPOOL, forward=())


def held(old: Values, new: Values) -> tuple[Values, list[str]]:
    """(settings that were read again, as far as they can hold without a restart; the names of those that cannot): the
    spool is neither opened nor closed meanwhile, and its targets stay."""
    if old["transport"] == WITHOUT_SPOOL:
        new = without_spool(new) or new
    if not (old["forward"] or new["forward"]):
        return new, []
    waiting = [name for name in ("server", "transport", *_AS_FORWARD) if old[name] != new[name]]
    kept = {name: old[name] for name in waiting}
    if old.source("forward") != "default" or new.source("forward") != "default":
        return _with(new, **kept), []       # what is said of forward itself waits as it stands
    kept.update({name: old[name] for name in ("forward", *_AS_FORWARD.values())})
    return _with(new, **kept), [name for name in waiting if name != "transport" or "server" not in waiting]


def problems(values: Values) -> Iterable[str]:
    """What is wrong with values that are right alone, before `auto` is resolved."""
    if values["forward"]:
        for name in OF_SERVER:
            if values.source(name) != "default":
                yield f"{name} is set, and forward, which takes the place of server: leave one of them out"
        return
    if values["server"] is None:
        yield "server is empty: say where to send to, as HOST:PORT"
    yield from _of_another_way(values)
    if values["tls"] and values["server"] is not None and not values["server"].host:
        yield "server has no name that its certificate could be for: write it as HOST:PORT"
    for name in ("tls-ca", "tls-cert", "tls-key"):
        if values[name] is not None and not values["tls"]:
            yield f"{name} is set and tls is not: set that, too, or leave {name} out"
    if values["tls-key"] is not None and values["tls-cert"] is None:
        yield "tls-key is set without tls-cert: name the certificate, too"


def _of_another_way(values: Values) -> Iterable[str]:
    """Settings of a way that is not taken."""
    forwarded = is_forwarded(values)
    for name in ("stat-port", "stat-path"):
        if values[name] not in (OFF, None) and not forwarded:
            yield f"{name} takes what is to be forwarded, and nothing is: set forward in place of server, too"
    for ours, theirs in _AS_FORWARD.items():
        if values[theirs]:
            yield f"{theirs} is set, and forward is not: of server it is called {ours}"
    if values["tls"] and values["transport"] != TCP and not forwarded:
        yield "tls is for transport = tcp only: set that, too"
    yield from token_problems("token", values["token"])
    if values["token"] and not forwarded:
        yield ("token is for acknowledged batches, which go to a server on another machine: leave token out, or set "
               "forward in place of server")


def _with(values: Values, **changed: Any) -> Values:
    return replace(values, found={**values.found, **changed})
