"""The settings of a replica. Which store they make one of: `opening`; what a master wants is among the server's own."""
from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from istat.settings.setting import Setting
from istat.settings.types import Duration, Path, Text

LEASE_SECONDS = 3600.0      # that a master keeps for a replica that is away what it needs, unless the settings say so
MOST_NAME = 64      # characters of a replica's name: it stands in names of counters and of leases
_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{MOST_NAME}}}")


class Address(Text):
    """Where a server is asked over HTTP: "https://stats1:8000", without a path."""

    def parse(self, text: str) -> str:
        """See Type.parse."""
        if text and not is_address(text):
            raise self.wrong(text)
        return text.rstrip("/")

    def expects(self) -> str:
        """See Type.expects."""
        return "an address such as https://stats1:8000 or http://10.0.0.5:8000, without a path"


class ReplicaName(Text):
    """The name by which a master knows a replica."""

    def parse(self, text: str) -> str:
        """See Type.parse."""
        if text and not _NAME.fullmatch(text):
            raise self.wrong(text)
        return text

    def expects(self) -> str:
        """See Type.expects."""
        return f"1 to {MOST_NAME} letters, digits, dots, dashes and underscores"


def is_address(text: str) -> bool:
    """Whether it is where a server can be asked over HTTP, and nothing but that."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return (parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0
            and not (parts.path.strip("/") or parts.query or parts.fragment or parts.username))


SETTINGS = (
    Setting("replica-of", Address(), "",
            "Be a replica of the server that answers HTTP there: its store is copied into `store`, which must be empty "
            "or a replica's already, and followed from then on. Samples and changes are refused, and all questions "
            "answered. Wants its replica-token. `istat replica promote` makes it a master."),
    Setting("replica-name", ReplicaName(), "",
            "The name by which the master knows this replica; each of a master's has its own. Empty is the host name."),
    Setting("replica-url", Address(), "",
            "Where this server itself can be asked over HTTP by its master and by other replicas, once it has become a "
            "master. Without it nobody can be told who took the old one's place."),
    Setting("replica-ca", Path(), "", "What signs the master's certificate; empty trusts what the system trusts."),
    Setting("replica-cert", Path(), "", "Certificate that is shown to the master, where that wants one (PEM)."),
    Setting("replica-key", Path(), "", "Its key; empty when the certificate's file has it, too."),
    Setting("replica-lease", Duration(60.0, 30 * 86400.0), LEASE_SECONDS,
            "On a master: how long it keeps files and journal for a replica that does not ask any more. One that comes "
            "later makes a new copy.", reloadable=True),
)


def together(values: Mapping[str, Any]) -> Iterable[str]:
    """What is wrong with values that are right alone."""
    if values["replica-of"] and not values["replica-token"]:
        yield "replica-of is set without replica-token: set the one that the master has"
    if values["replica-of"] and values["replica-of"] == values["replica-url"]:
        yield "replica-of and replica-url are one address: a server cannot be its own replica"
    if values["replica-key"] is not None and values["replica-cert"] is None:
        yield "replica-key is set without replica-cert: name the certificate, or leave both out"


def name_of(values: Mapping[str, Any]) -> str:
    """The name by which the master knows us."""
    given: str = values["replica-name"]
    return given or re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:MOST_NAME] or "replica"
