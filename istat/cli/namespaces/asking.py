"""What the sub-commands of `istat settings` ask a server: the routes of namespaces. Knows istat.client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from istat.client import QueryClient
from istat.errors import NO_SETTINGS, BadQuery, UnknownCounter, UnknownNamespace

LISTED_AT_ONCE = 1000
NAMESPACES = "/api/v1/namespaces"
ONE, VERSIONS, RESTORE = (f"/api/v1/namespace{rest}" for rest in ("", "/versions", "/restore"))

Row = dict[str, Any]


class Asked:
    """A server's namespaces. Errors as of QueryClient; UnknownNamespace where there is none of a name."""

    def __init__(self, client: QueryClient) -> None:
        self._client = client

    def namespaces(self, most: int | None = None) -> Iterator[Row]:
        """All, or `most`: {"name", "bytes"}."""
        return self._pages(NAMESPACES, "namespaces", {}, most)

    def keys(self, name: str, match: str = "*", most: int | None = None) -> Iterator[Row]:
        """Keys of one that fit a pattern: {"key", "value", "version"}."""
        return self._pages(ONE, "keys", {"name": name, "match": match}, most)

    def versions(self, name: str, key: str, most: int | None = None) -> Iterator[Row]:
        """What a key was, the last first: {"version", "time", "value"}; a value of None: it was deleted."""
        return self._pages(VERSIONS, "versions", {"name": name, "key": key}, most)

    def change(self, name: str, changes: Mapping[str, str | None], expected: Mapping[str, int]) -> dict[str, Any]:
        """Set keys, and delete those of None, all or none, if they have the versions expected. {"versions"}: the new
        one of each key that changed."""
        return self._ask("POST", ONE, json={"name": name, "changes": dict(changes), "expected": dict(expected)})

    def restore(self, name: str, key: str, version: int) -> dict[str, Any]:
        """Bring an earlier version back: {"versions"}."""
        return self._ask("POST", RESTORE, json={"name": name, "key": key, "version": version})

    def _ask(self, *words: str, **question: Any) -> dict[str, Any]:
        """QueryClient.ask, which knows of nothing but counters that may not be there."""
        try:
            return self._client.ask(*words, **question)
        except UnknownCounter as error:
            if str(error) == NO_SETTINGS:
                raise UnknownNamespace(f"there is no namespace of that name ({NO_SETTINGS}); `istat settings list` "
                                       "tells which there are") from error
            raise BadQuery(str(error), error.status) from error

    def _pages(self, path: str, key: str, question: Mapping[str, str], most: int | None) -> Iterator[Row]:
        """The rows of all pages of a list, or so many of them."""
        token, left = "", most
        while left is None or left > 0:
            limit = LISTED_AT_ONCE if left is None else min(left, LISTED_AT_ONCE)
            params: dict[str, str | int] = {**question, "limit": limit, **({"token": token} if token else {})}
            answer = self._ask("GET", path, params=params)
            yield from answer[key]
            token = answer["token"]
            left = None if left is None else left - len(answer[key])
            if not token:
                return
