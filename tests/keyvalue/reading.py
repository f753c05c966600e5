"""What tests of namespaces look at."""

from __future__ import annotations

from istat_server.keyvalue.namespaces import Namespaces

HEAD = b"# istatd settings 1\n"


def versions(namespaces: Namespaces, name: str, key: str) -> list[str | None]:
    """What a key was, the newest first."""
    return [version.value for version in namespaces.versions(name, key)]
