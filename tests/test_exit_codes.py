"""Exit codes: no two error classes of ours, wherever they stand, end a program with one; or one is a kind of the other
and says why that is enough."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import istat
import istat_agent
import istat_server
from istat.errors import IstatError

PACKAGES = (istat, istat_server, istat_agent)
#: Errors without a code of their own, each with why it needs none.
KINDS = {
    "istat.cli.cubes.files.BadFrame": "a FormatError that names the file",
    "istat.cli.istatd.adminport.Refused": "a BadQuery, which the admin port has refused",
    "istat.cli.istatd.alias.Misread": "of istatd's programs, which end with istatd's statuses",
    "istat_agent.control.asking.Refused": "what an agent has answered, with the code of its error",
    "istat_server.http.transport.flight.Busy": "a BadQuery that is answered by HTTP",
    "istat_server.keyvalue.contents.ChangedMeanwhile": "a StoreError, after some tries",
    "istat_server.store.following.Diverged": "a StoreError, after which a replica copies anew",
    "istat_server.store.work.copying.Gone": "a StoreError that a master answers a replica with, over HTTP",
    "istat_server.store.work.copying.NotInPlace": "a StoreError that a master answers a replica with, over HTTP",
    "istat_server.store.versions.NewerFormat": "a StoreError that says what to do",
}


def kinds_of(error: type[IstatError]) -> Iterator[type[IstatError]]:
    """The class and all below it, those of ours."""
    yield error
    for kind in error.__subclasses__():
        yield from kinds_of(kind)


@pytest.fixture(scope="module")
def errors() -> dict[str, type[IstatError]]:
    """Every error class by its full name."""
    for package in PACKAGES:
        for path in Path(package.__path__[0]).rglob("*.py"):
            words = path.relative_to(Path(package.__path__[0]).parent).with_suffix("").parts
            if words[-1] not in ("__init__", "__main__"):
                import_module(".".join(words))
    ours = tuple(package.__name__ for package in PACKAGES)
    found = {f"{one.__module__}.{one.__qualname__}": one for one in kinds_of(IstatError)
             if one.__module__.partition(".")[0] in ours}
    assert len(found) > 35
    return found


def test_no_two_errors_have_one_code(errors: dict[str, type[IstatError]]) -> None:
    whose: dict[int, list[str]] = {}
    for name, error in errors.items():
        if "exit_code" in vars(error):
            whose.setdefault(error.exit_code, []).append(name)
    assert [names for names in whose.values() if len(names) > 1] == []
    assert all(0 < code < 126 or code == 130 for code in whose)


def test_each_has_its_own_or_says_why_not(errors: dict[str, type[IstatError]]) -> None:
    assert {name for name, error in errors.items() if "exit_code" not in vars(error)} == set(KINDS)
