"""Which pages of other origins may ask, and by which names this server may be asked: one check for every request.

A browser lets any page send requests, and a page whose own name is made to mean this machine even read the answers
("DNS rebinding"): it then asks by that name, in `Host`. So names are known or refused, and no origin is told that it
may read unless the settings say so. Whoever is no browser is not kept from anything by this; tokens do that.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import falcon

from istat.daemon.listening.binding import HERE, is_address, loopback

log = logging.getLogger(__name__)

HOST, ORIGIN, VARY = "HTTP_HOST", "HTTP_ORIGIN", ("Vary", "Origin")
# A host as a header has it: a name or an IPv4 address, or an IPv6 address in brackets, and perhaps a port.
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/?#@\s]*))(?::[0-9]*)?")
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
HEADERS = "Authorization, Content-Type"
# How long a browser may remember what OPTIONS said [s]: a changed setting should show within minutes.
MAX_AGE = "600"
SHOWN = 100     # characters of a name that a refusal repeats


class Origins:
    """The settings http-origins and http-names, the machine's own names, and what they let pass."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """settings: `http-origins`, `http-names` and `http-listen-address`. Where that is more than loopback, this
        machine's names are known as well: what the system tells at once, and later what is given to `know`."""
        self.refused = 0
        self.wide = not loopback(settings["http-listen-address"])
        self._own = frozenset({HERE})
        if self.wide:
            name = socket.gethostname()
            self.know([name, name.partition(".")[0], settings["http-listen-address"].strip("*[]")])
        self.take(settings)

    def take(self, settings: Mapping[str, Any]) -> None:
        """Take what the settings say from now on."""
        self._origins = frozenset(settings["http-origins"])
        self._given = frozenset(settings["http-names"])
        self._last = ""         # the one that was found ours last: nearly all ask by the same

    def know(self, names: Iterable[str]) -> None:
        """This machine has these names, too. May be called by a thread."""
        self._own = self._own.union(_plain(name) for name in names if name)

    def ask_names(self) -> None:
        """Come to know this machine's names, where others may reach it. In a thread that nobody waits for: the name
        service may take a minute, or for ever."""
        if self.wide:
            threading.Thread(target=lambda: self.know(machine_names()), daemon=True).start()

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """What falcon calls before anything else is looked at. HTTPError 421 for a name that is not this server's."""
        host = req.env.get(HOST)
        if host and host != self._last:
            if not self._is_ours(host):
                raise self._refusal(host)
            self._last = host
        if self._origins:
            resp.append_header(*VARY)
            origin = req.env.get(ORIGIN, "")
            if origin.lower() in self._origins:
                resp.set_header("Access-Control-Allow-Origin", origin)

    def allow(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Say to a page that asks before it sends (OPTIONS) what it may; nothing to pages of other origins."""
        if req.env.get(ORIGIN, "").lower() in self._origins:
            resp.set_header("Access-Control-Allow-Methods", METHODS)
            resp.set_header("Access-Control-Allow-Headers", HEADERS)
            resp.set_header("Access-Control-Max-Age", MAX_AGE)

    def _is_ours(self, host: str) -> bool:
        match = _AUTHORITY.fullmatch(host)
        if match is None:
            return False
        name = _plain(match[1] or match[2])
        return name in self._own or name in self._given or is_address(name)

    def _refusal(self, host: str) -> falcon.HTTPError:
        self.refused += 1
        words = (f"this server does not answer to the name {host[:SHOWN]!a}: if it is one of its names, put it into "
                 "the setting http-names; else ask by address, or as localhost")
        if self.refused == 1:       # of the others the count tells (http.refused.host)
            log.warning("%s; further requests of this kind are only counted", words)
        return falcon.HTTPError("421 Misdirected Request", title=words)


def machine_names(ask: Callable[[], str] = socket.getfqdn) -> list[str]:
    """The names of this machine that the name service knows. May take as long as that does: not for the hub."""
    try:
        return [ask()]
    except (OSError, UnicodeError):
        return []


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")
