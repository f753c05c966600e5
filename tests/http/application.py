"""The HTTP application over a store, with our routes and tokens; no server."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from istat.clock import Clock, FakeClock
from istat_server.http.app import make_app
from istat_server.http.families.table import our_routes
from istat_server.http.limits import LIMITS, HttpLimits
from istat_server.http.openapi import described
from istat_server.http.origins import Origins
from istat_server.http.rights import Rights
from istat_server.http.routes import Route
from istat_server.keyvalue.namespaces import Namespaces

# For tests that are about something else.
_FOLDER = TemporaryDirectory()
NAMESPACES = Namespaces(Path(_FOLDER.name), FakeClock())
NAMESPACES.set("x", {"key": "value"})


class Nobody:
    """A roster without senders."""

    def senders(self, *_: Any) -> list[Any]:
        return []


def tokens(read: str = "", write: str = "", admin: str = "", replica: str = "") -> dict[str, str]:
    """The settings that rights are made of."""
    return {"read-token": read, "write-token": write, "admin-token": admin,
            "replica-token": replica}


def origins(*names: str, listen: str = "", pages: Iterable[str] = ()) -> Origins:
    """What is known of names and origins. falcon's test client asks by a name of its own, and other
    tests by "x"."""
    return Origins({"http-names": ("falconframework.org", "x", *names), "http-origins": tuple(pages),
                    "http-listen-address": listen})


def app_of(store: Any, clock: Clock, agents: Any = Nobody(), status: Any = dict, metrics: Any = str,  # noqa: B008
           files: Path | None = None, limits: HttpLimits = LIMITS, more: Iterable[Route] = (),
           namespaces: Namespaces = NAMESPACES, settings_open: bool = False, **given: str) -> Any:
    """An application; `given` are tokens: read, write, admin, replica."""
    ours = our_routes(store, status, agents, metrics, clock, files, limits, namespaces=namespaces,
                      settings_open=settings_open)
    table = described([("istat_server.builtin", ours), ("mine", more)])
    return make_app(table, Rights(tokens(**given), clock), origins())
