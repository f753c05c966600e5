"""An HTTP route: a path, what answers it, and who may ask. The table of them all, ours and plugins', is checked here.

Documentation, rights, the OpenAPI document and the application are made from that table, so nothing can answer that is
not in it. Knows no store and no sockets.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from istat.errors import PluginError
from istat_server.http.limits import LIMITS

#: A handler gets falcon's request and response, and what the braces of its path stand for.
Handler = Callable[..., None]
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ANY = "*"               # as a method: whatever it is
PLUGINS_BELOW = "/api/"
OURS = "istat_server."  # what the names of our own plugins begin with: the modules they are


class Access(enum.IntEnum):
    """The right that a request needs. Each includes those before it, but for WRITE and REPLICA: each of these two has
    what READ has, and not what the other has."""

    OPEN = 0        # anybody
    READ = 1        # sees counters and figures
    WRITE = 2       # sends samples
    REPLICA = 3     # copies the store, and takes its place
    ADMIN = 4       # deletes, renames, tells the server what to believe

    def includes(self, other: Access) -> bool:
        """Whether who has this right may do what needs another one."""
        return self >= other and (self, other) != (Access.REPLICA, Access.WRITE)


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a request may bring: in the query, in a JSON object as body, or in the path's braces."""

    name: str
    help: str
    place: str = "query"            # or "body" or "path"
    type: str = "string"            # of OpenAPI: string, integer, number, boolean
    many: bool = False              # a query repeats it, a body has an array
    needed: bool = False
    methods: tuple[str, ...] = METHODS


@dataclass(frozen=True)
class Route:
    """One path and all that is to be known of it.

    `handlers` by method (GET answers HEAD, too); `given`: a query parameter without which the path means another
    route; `below`: it answers all that lies below the path and is no other route's. `body_limit` [bytes]; `example`: a
    query with which GET answers 200. `path` may have fields as in `/api/mine/{name}`.
    """

    path: str
    handlers: Mapping[str, Handler]
    access: Access
    summary: str
    body_limit: int = LIMITS.body
    parameters: Sequence[Parameter] = ()
    example: str = field(default="", compare=False)
    given: str = ""
    below: bool = False
    shown: str = ""                 # the path as documentation writes it, when `path` does not tell

    @property
    def title(self) -> str:
        """The path as documentation has it."""
        return self.shown or self.path

    @property
    def key(self) -> tuple[str, str, bool]:
        """What no two routes of one method have in common, nor those of two plugins."""
        return self.path, self.given, self.below


def table_of(found: Iterable[tuple[str, Iterable[Route]]]) -> list[Route]:
    """One table of what plugins bring: (plugin's name, its routes). PluginError says which two want one path, or what
    is wrong with one."""
    table: list[Route] = []
    owners: dict[tuple[str, str, bool], str] = {}
    methods: dict[tuple[str, str, bool], set[str]] = {}
    for owner, routes in found:
        for route in routes:
            _check(owner, route)
            taken = methods.setdefault(route.key, set())
            if owners.setdefault(route.key, owner) != owner or taken & route.handlers.keys():
                raise PluginError(f"the plugins {owners[route.key]} and {owner} both bring the HTTP route "
                                  f"{route.title}: remove one of them, or have its author choose another path")
            taken |= route.handlers.keys()
            table.append(route)
    return table


def _check(owner: str, route: object) -> None:
    """PluginError when this is no route, or not one that this plugin may bring."""
    if not isinstance(route, Route):
        raise PluginError(f"the plugin {owner} brings {route!r:.80} as an HTTP route: it must be an "
                          "istat_server.http.routes.Route")
    wrong = _wrong(route)
    if wrong:
        raise PluginError(f"the plugin {owner} brings the HTTP route {route.path!r:.80}, which cannot be: {wrong}")
    if not owner.startswith(OURS) and (not route.path.startswith(PLUGINS_BELOW) or route.path == PLUGINS_BELOW):
        raise PluginError(f"the plugin {owner} brings the HTTP route {route.path!r}: paths of plugins begin with "
                          f"{PLUGINS_BELOW}, so that they hide no counter")
    unknown = [method for method in route.handlers if method not in (*METHODS, ANY)]
    if unknown or not route.handlers:
        raise PluginError(f"the plugin {owner} brings the HTTP route {route.path} for "
                          f"{', '.join(map(repr, unknown)) or 'no method'}: methods are {', '.join(METHODS)}")
    if not isinstance(route.access, Access):
        raise PluginError(f"the plugin {owner} does not say who may ask {route.path}: access is an "
                          "istat_server.http.routes.Access")


def _wrong(route: Route) -> str:
    """What is no such thing as a Route has; nothing when all are."""
    if not isinstance(route.path, str) or not isinstance(route.summary, str):
        return "its path and its summary are texts"
    if not isinstance(route.handlers, Mapping) or not all(callable(one) for one in route.handlers.values()):
        return "its handlers are functions by method"
    if not all(isinstance(one, Parameter) for one in route.parameters):
        return "its parameters are istat_server.http.routes.Parameter"
    if not isinstance(route.body_limit, int):
        return "its body_limit is a number of bytes"
    if route.below and "{" in route.path:
        return "what lies below it needs no fields"
    return ""
